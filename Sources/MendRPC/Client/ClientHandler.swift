internal import MendHTTP2
internal import NIOCore

/// What a connection tells its owner, in this order; events may be passed over. Told on the connection's loop.
enum ConnectionEvent: Hashable, Sendable {
  /// The server speaks HTTP/2, and takes this many calls at once.
  case ready(maxCalls: Int)
  /// It takes this many calls from now on.
  case maxCalls(Int)
  /// Open calls go on, new ones fail with this error.
  case draining(RPCError, tooManyPings: Bool)
  /// Calls fail with this error.
  case closed(RPCError)
}

/// One connection of a client: a session and its calls, in one channel handler.
final class ClientHandler: ChannelInboundHandler, @unchecked Sendable {
  // Unchecked: but for constants everything is touched on the channel's loop alone; whoever comes from elsewhere hops
  // there first.
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let loop: any EventLoop
  let address: ServerAddress
  let configuration: ClientConfiguration
  let session: HTTP2Session
  private let outbox: Outbox

  private enum Phase {
    case connecting, ready
    case draining(RPCError)
    case closed(RPCError)
  }
  private var phase = Phase.connecting
  private var owner: (@Sendable (ConnectionEvent) -> Void)?
  private var channelContext: ChannelHandlerContext?
  private var calls: [ClientCall?] = []
  private var queue = CallQueue()
  private var openCalls = 0
  private var maxCalls = 0
  private var events: [HTTP2Event] = []
  private var isReading = false
  private var isFlushScheduled = false
  private var keepalive: ClientKeepalive
  private var timer: Scheduled<Void>?
  private var timerAt = NIODeadline.distantFuture
  private var connectTimer: Scheduled<Void>?
  private var lossReason: String?

  init(_ channel: any Channel, _ address: ServerAddress, _ configuration: ClientConfiguration) throws {
    loop = channel.eventLoop
    self.address = address
    self.configuration = configuration
    var limits = HTTP2Limits()
    limits.maxHeaderListBytes = configuration.limits.maxMetadataBytes
    limits.streamWindowBytes = configuration.limits.streamWindowBytes
    limits.connectionWindowBytes = configuration.limits.connectionWindowBytes
    let shared = LoopContext.of(loop)
    outbox = shared.outbox
    session = try HTTP2Session(role: .client, limits: limits, memory: shared.memory)
    keepalive = ClientKeepalive(configuration, now: .now())
  }

  /// Tells `owner` what becomes of the connection from now on, and first what has become of it.
  func attach(_ owner: @escaping @Sendable (ConnectionEvent) -> Void) {
    self.owner = owner
    switch phase {
    case .connecting: break
    case .ready: owner(.ready(maxCalls: maxCalls))
    case .draining(let error): owner(.draining(error, tooManyPings: false))
    case .closed(let error): owner(.closed(error))
    }
  }

  // MARK: Calls

  func start(_ call: ClientCall) {
    guard call.outcome == nil, !call.isStarted else { return }
    call.isStarted = true
    switch phase {
    case .connecting, .ready:
      guard let deadline = call.deadline else { return enqueue(call) }
      guard deadline > .now() else {
        call.fail(.notBegun("the call's deadline passed before it began", .deadlineExceeded, origin: .local))
        return
      }
      arm(at: deadline)
      enqueue(call)
    case .draining(let error), .closed(let error):
      call.fail(error)
    }
  }

  private func enqueue(_ call: ClientCall) {
    guard !queue.isEmpty || !canOpen else { return open(call) }
    guard queue.count < configuration.limits.maxQueuedCalls else {
      call.fail(
        .notBegun(
          "\(queue.count) calls wait for a stream to \(address); let some end first", .resourceExhausted,
          origin: .local))
      return
    }
    queue.append(call)
  }

  private var canOpen: Bool {
    guard case .ready = phase else { return false }
    return openCalls < maxCalls
  }

  private func open(_ call: ClientCall) {
    var headers = call.headers
    if let deadline = call.deadline {
      let left = max(1, (deadline - .now()).nanoseconds)
      headers.append("grpc-timeout", TimeoutText.format(nanoseconds: left))
    }
    let size = headers.listBytes
    let limit = min(session.peerMaxHeaderListBytes, configuration.limits.maxMetadataBytes)
    guard size <= limit else {
      call.fail(
        .notBegun(
          "the request's metadata has \(size) bytes; at most \(limit) are taken", .resourceExhausted, origin: .local))
      return
    }
    do throws(HTTP2Error) {
      let handle = try session.request(headers, endStream: false)
      call.handle = handle
      while calls.count <= Int(handle.slot) { calls.append(nil) }
      calls[Int(handle.slot)] = call
      openCalls += 1
      if let request = call.onlyRequest {
        session.write(handle) { $0.append(contentsOf: request) }
        session.finish(handle)
      }
      call.opened()
      scheduleFlush()
      // A server that never says a word is found out by nothing else.
      if openCalls == 1 { arm() }
    } catch {
      call.fail(.notBegun("no stream can be opened to \(address): \(error)"))
    }
  }

  private func openQueued() {
    while canOpen, let call = queue.popFirst() {
      if call.outcome == nil { open(call) }
    }
  }

  func ended(_ call: ClientCall) {
    if call.handle == nil { queue.remove(call) }
  }

  private func call(_ handle: StreamHandle) -> ClientCall? {
    guard Int(handle.slot) < calls.count, let call = calls[Int(handle.slot)], call.handle == handle else { return nil }
    return call
  }

  // MARK: The channel

  func handlerAdded(context: ChannelHandlerContext) {
    channelContext = context
    if context.channel.isActive { flush() }
    connectTimer = loop.scheduleTask(in: TimeAmount(configuration.connectTimeout)) { self.connectTimedOut() }
  }

  func channelActive(context: ChannelHandlerContext) {
    flush()
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    let now = NIODeadline.now()
    keepalive.heard(now)
    isReading = true
    do throws(HTTP2Error) {
      try session.receive(buffer.readableBytesSpan, now: now.uptimeNanoseconds)
      work()
    } catch {
      work()
      lossReason = "\(error)"
      isReading = false
      flush()
      close()
      return
    }
    isReading = false
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    flush()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { flush() }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if lossReason == nil { lossReason = ConnectionFault.words(error) }
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    lost()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    lost()
  }

  /// The connection is gone, and every call with it.
  private func lost() {
    if case .closed = phase { return }
    channelContext = nil
    timer?.cancel()
    connectTimer?.cancel()
    let what =
      switch phase {
      case .connecting: "can't connect to \(address)"
      case .draining(let error): error.message
      default: "the connection to \(address) was lost"
      }
    let reason = lossReason.map { "\(what): \($0)" } ?? what
    let refusal = RPCError.notBegun(reason)
    phase = .closed(refusal)
    owner?(.closed(refusal))
    owner = nil
    let open = calls.compactMap { $0 }
    calls.removeAll()
    for call in open {
      call.fail(.lost(reason))
      call.streamClosed(.internalError)
    }
    for call in queue.removeAll() { call.fail(refusal) }
  }

  private func connectTimedOut() {
    guard case .connecting = phase else { return }
    lossReason = "no answer after \(configuration.connectTimeout)"
    close()
    lost()
  }

  /// Closes at once; calls fail.
  func close() {
    channelContext?.close(promise: nil)
  }

  /// Takes no more calls and closes when the open ones have ended.
  func closeGracefully(_ error: RPCError, tooManyPings: Bool = false) {
    switch phase {
    case .closed, .draining: return
    case .connecting, .ready: break
    }
    connectTimer?.cancel()
    phase = .draining(error)
    owner?(.draining(error, tooManyPings: tooManyPings))
    for call in queue.removeAll() { call.fail(error) }
    closeIfDrained()
  }

  private func closeIfDrained() {
    guard case .draining = phase, openCalls == 0 else { return }
    session.terminate(.noError)
    scheduleFlush()
  }

  // MARK: Events

  private func work() {
    session.exchangeEvents(with: &events)
    guard !events.isEmpty else { return }
    for event in events {
      switch event {
      case .headers(let handle, let endStream):
        guard let call = call(handle) else { break }
        var block = HeaderBlock()
        session.exchangeHeaders(of: handle, with: &block)
        call.received(headers: block, endStream: endStream)
      case .data(let handle, _):
        guard let call = call(handle) else { break }
        call.receivedData()
        if session.unreadBytes > configuration.limits.maxBufferedResponseBytes { call.failForMemory() }
      case .trailers(let handle):
        guard let call = call(handle) else { break }
        var block = HeaderBlock()
        session.exchangeTrailers(of: handle, with: &block)
        call.received(trailers: block)
      case .closed(let handle, let code):
        if let call = call(handle) {
          call.streamClosed(code)
          calls[Int(handle.slot)] = nil
          openCalls -= 1
        }
        session.release(handle)
      case .drained(let handle):
        call(handle)?.drained()
      case .settings:
        settingsArrived()
      case .goAway(_, let code):
        goAwayArrived(code)
      case .pingAcknowledged, .pingReceived, .settingsAcknowledged, .headersTooLarge:
        break
      }
    }
    events.removeAll(keepingCapacity: true)
    openQueued()
    closeIfDrained()
    arm()
  }

  private func settingsArrived() {
    let allowed = min(session.peerMaxConcurrentStreams, configuration.limits.maxConcurrentCalls)
    if case .connecting = phase {
      connectTimer?.cancel()
      maxCalls = allowed
      phase = .ready
      owner?(.ready(maxCalls: allowed))
    } else if allowed != maxCalls {
      maxCalls = allowed
      owner?(.maxCalls(allowed))
    }
  }

  private func goAwayArrived(_ code: HTTP2ErrorCode) {
    let text = String(decoding: session.goAwayText, as: UTF8.self)
    let said = text.isEmpty || text.contains(where: \.isNewline) ? "" : " (\(text))"
    let why = code == .noError ? "it is shutting down" : "\(code)\(said)"
    closeGracefully(
      .notBegun("\(address) takes no more calls: \(why)"),
      tooManyPings: code == .enhanceYourCalm && text == "too_many_pings")
  }

  // MARK: Sending

  func scheduleFlush() {
    guard !isReading, !isFlushScheduled else { return }
    isFlushScheduled = true
    loop.execute {
      self.isFlushScheduled = false
      self.flush()
    }
  }

  private func flush() {
    while let context = channelContext, context.channel.isWritable {
      let buffer: ByteBuffer?
      do throws(HTTP2Error) {
        buffer = try outbox.fill(from: session)
      } catch {
        lossReason = "\(error)"
        return close()
      }
      work()
      guard let buffer else { break }
      context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }
    if session.isFinished { close() }
  }

  // MARK: Timers

  private func arm(at deadline: NIODeadline? = nil) {
    if case .closed = phase { return }
    var due = deadline ?? .distantFuture
    if let ping = keepalive.nextDue(openCalls: openCalls) { due = min(due, ping) }
    guard due < timerAt else { return }
    timer?.cancel()
    timerAt = due
    timer = loop.scheduleTask(deadline: due) { self.tick() }
  }

  private func tick() {
    timerAt = .distantFuture
    let now = NIODeadline.now()
    var next: NIODeadline?
    for call in calls.compactMap({ $0 }) + queue.all {
      guard call.outcome == nil, let deadline = call.deadline else { continue }
      if deadline <= now {
        call.deadlinePassed()
      } else {
        next = min(next ?? deadline, deadline)
      }
    }
    switch keepalive.check(now: now, openCalls: openCalls) {
    case .nothing: break
    case .ping: session.ping(0)
    case .close:
      lossReason = "it does not answer pings"
      return close()
    }
    flush()
    arm(at: next)
  }
}

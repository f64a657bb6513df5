internal import MendHTTP2
internal import NIOCore

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
  private let onPhase: @Sendable (ClientConnection.Phase) -> Void

  private var channelContext: ChannelHandlerContext?
  private var calls: [ClientCall?] = []
  private var queue: [ClientCall] = []
  private var head = 0
  private var openCalls = 0
  private var events: [HTTP2Event] = []
  private var isReading = false
  private var isFlushScheduled = false
  private var phase = ClientConnection.Phase.connecting
  private var heardAt: NIODeadline
  private var pingedAt: NIODeadline?
  private var timer: Scheduled<Void>?
  private var timerAt = NIODeadline.distantFuture
  private var lossReason: String?

  init(
    _ channel: any Channel, _ address: ServerAddress, _ configuration: ClientConfiguration,
    onPhase: @escaping @Sendable (ClientConnection.Phase) -> Void
  ) throws {
    loop = channel.eventLoop
    self.address = address
    self.configuration = configuration
    self.onPhase = onPhase
    var limits = HTTP2Limits()
    limits.maxHeaderListBytes = configuration.limits.maxMetadataBytes
    let shared = LoopContext.of(loop)
    outbox = shared.outbox
    session = try HTTP2Session(role: .client, limits: limits, memory: shared.memory)
    heardAt = .now()
  }

  // MARK: Calls

  func start(_ call: ClientCall) {
    guard call.outcome == nil, !call.isStarted else { return }
    call.isStarted = true
    switch phase {
    case .connecting, .ready:
      guard let deadline = call.deadline else { return enqueue(call) }
      guard deadline > .now() else {
        call.fail(RPCError(.deadlineExceeded, "the call's deadline passed before it began"))
        return
      }
      arm(at: deadline)
      enqueue(call)
    case .draining(let error), .closed(let error):
      call.fail(error)
    }
  }

  private func enqueue(_ call: ClientCall) {
    guard head < queue.count || !canOpen else { return open(call) }
    guard queue.count - head < configuration.limits.maxQueuedCalls else {
      var error = RPCError(
        .resourceExhausted, "\(queue.count - head) calls wait for a stream to \(address); let some end first")
      error.isSafeToRetry = true
      call.fail(error)
      return
    }
    queue.append(call)
  }

  private var canOpen: Bool {
    guard case .ready = phase else { return false }
    return openCalls < session.peerMaxConcurrentStreams
  }

  private func open(_ call: ClientCall) {
    var headers = call.headers
    if let deadline = call.deadline {
      let left = max(1, (deadline - .now()).nanoseconds)
      headers.append("grpc-timeout", TimeoutText.format(nanoseconds: left))
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
    } catch {
      call.fail(refusal("no stream can be opened to \(address): \(error)"))
    }
  }

  /// An error for calls that the server has certainly not begun.
  private func refusal(_ message: String) -> RPCError {
    var error = RPCError(.unavailable, message)
    error.isSafeToRetry = true
    return error
  }

  private func openQueued() {
    while head < queue.count, canOpen {
      let call = queue[head]
      head += 1
      if call.outcome == nil { open(call) }
    }
    if head == queue.count {
      queue.removeAll(keepingCapacity: true)
      head = 0
    } else if head > 1024 {
      queue.removeFirst(head)
      head = 0
    }
  }

  func ended(_ call: ClientCall) {
    if call.handle == nil, let index = queue[head...].firstIndex(where: { $0 === call }) { queue.remove(at: index) }
  }

  private func call(_ handle: StreamHandle) -> ClientCall? {
    guard Int(handle.slot) < calls.count, let call = calls[Int(handle.slot)], call.handle == handle else { return nil }
    return call
  }

  // MARK: The channel

  func handlerAdded(context: ChannelHandlerContext) {
    channelContext = context
    if context.channel.isActive { flush() }
    loop.scheduleTask(in: TimeAmount(configuration.connectTimeout)) { self.connectTimedOut() }
  }

  func channelActive(context: ChannelHandlerContext) {
    flush()
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    let now = NIODeadline.now()
    heardAt = now
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
    if lossReason == nil { lossReason = "\(error)" }
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
    let what =
      switch phase {
      case .connecting: "can't connect to \(address)"
      case .draining(let error): error.message
      default: "the connection to \(address) was lost"
      }
    let reason = lossReason.map { "\(what): \($0)" } ?? what
    setPhase(.closed(refusal(reason)))
    let open = calls.compactMap { $0 }
    let queued = queue[head...]
    calls.removeAll()
    queue.removeAll()
    head = 0
    for call in open {
      call.fail(RPCError(.unavailable, reason))
      call.streamClosed(.internalError)
    }
    for call in queued { call.fail(refusal(reason)) }
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
  func closeGracefully(_ error: RPCError) {
    switch phase {
    case .closed, .draining: return
    case .connecting, .ready: break
    }
    setPhase(.draining(error))
    let queued = queue[head...]
    queue.removeAll()
    head = 0
    for call in queued { call.fail(error) }
    closeIfDrained()
  }

  private func closeIfDrained() {
    guard case .draining = phase, openCalls == 0 else { return }
    session.terminate(.noError)
    scheduleFlush()
  }

  private func setPhase(_ next: ClientConnection.Phase) {
    phase = next
    onPhase(next)
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
        call(handle)?.receivedData()
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
        if case .connecting = phase { setPhase(.ready) }
      case .goAway(_, let code):
        let why = code == .noError ? "it is shutting down" : "\(code)"
        closeGracefully(refusal("\(address) takes no more calls: \(why)"))
      case .pingAcknowledged:
        pingedAt = nil
      case .pingReceived:
        break
      }
    }
    events.removeAll(keepingCapacity: true)
    openQueued()
    closeIfDrained()
    arm()
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
    if let interval = configuration.keepaliveInterval, openCalls > 0 {
      due = min(due, pingedAt.map { $0 + TimeAmount(configuration.keepaliveTimeout) } ?? heardAt + TimeAmount(interval))
    }
    guard due < timerAt else { return }
    timer?.cancel()
    timerAt = due
    timer = loop.scheduleTask(deadline: due) { self.tick() }
  }

  private func tick() {
    timerAt = .distantFuture
    let now = NIODeadline.now()
    var next: NIODeadline?
    for call in calls.compactMap({ $0 }) + queue[head...] {
      guard call.outcome == nil, let deadline = call.deadline else { continue }
      if deadline <= now {
        call.fail(RPCError(.deadlineExceeded, "no answer from \(address) within \(call.options.timeout ?? .zero)"))
      } else {
        next = min(next ?? deadline, deadline)
      }
    }
    if let interval = configuration.keepaliveInterval, openCalls > 0 {
      if let sent = pingedAt, heardAt <= sent {
        if now >= sent + TimeAmount(configuration.keepaliveTimeout) {
          lossReason = "it does not answer pings"
          return close()
        }
      } else if now >= heardAt + TimeAmount(interval) {
        pingedAt = now
        session.ping(0)
      } else {
        pingedAt = nil
      }
    }
    flush()
    arm(at: next)
  }
}

internal import MendHTTP2
internal import NIOCore

/// One connection of a server: a session, its calls and their workers, in one channel handler.
///
/// A read is fed to the session as a whole, the events it made are worked through, handlers run, and what the session
/// has to say is written once.
final class ServerConnection: ChannelInboundHandler, @unchecked Sendable {
  // Unchecked: everything is touched on the channel's loop alone; whoever comes from elsewhere hops there first.
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let server: ServerShared
  let loop: any EventLoop
  let session: HTTP2Session
  private let outbox: Outbox
  let workers: CallWorkers
  let facts: ConnectionFacts
  var timers: ConnectionTimers

  private var channelContext: ChannelHandlerContext?
  private let calls = Pinned<[ServerCall?]>([])
  private(set) var openCalls = 0
  private var events: [HTTP2Event] = []
  private var isReading = false
  private var isFlushScheduled = false
  private var isClosed = false
  /// Said why it ends, and waits for the peer to have read that.
  private var isLingering = false
  private(set) var isShuttingDown = false
  private var shutdownAnnounced = false
  private var earliestDeadline: NIODeadline?
  private var timer: Scheduled<Void>?
  private var timerAt = NIODeadline.distantFuture
  private static let shutdownPing: UInt64 = 0x6d65_6e64_2e67_6f21

  init(_ server: ServerShared, _ channel: any Channel, peer: PeerAddress, isSecure: Bool) throws {
    self.server = server
    facts = ConnectionFacts(peer: peer, isSecure: isSecure)
    loop = channel.eventLoop
    let shared = LoopContext.of(loop)
    session = try HTTP2Session(role: .server, limits: server.sessionLimits, memory: shared.memory)
    outbox = shared.outbox
    workers = CallWorkers(shared.executor)
    timers = ConnectionTimers(server.limits, server.keepalive, now: .now())
  }

  deinit {
    calls.free()
  }

  var peer: PeerAddress { facts.peer }

  // MARK: The channel

  func handlerAdded(context: ChannelHandlerContext) {
    channelContext = context
    workers.onIdle = { [self] in server.connectionEnded(self) }
    server.connectionStarted(self)
    if context.channel.isActive { flush() }
    arm()
  }

  func channelActive(context: ChannelHandlerContext) {
    flush()
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    let now = NIODeadline.now()
    guard !isLingering else { return }
    isReading = true
    do throws(HTTP2Error) {
      try session.receive(buffer.readableBytesSpan, now: now.uptimeNanoseconds)
      work(now)
    } catch {
      work(now)
      isReading = false
      flush()
      endWithLastWords()
      return
    }
    if timers.receivingHeaders(session.isReceivingHeaders, now: now) { arm(now: now) }
    workers.kick()
    if openCalls > 0 { arm(at: earliestDeadline, now: now) }
    earliestDeadline = nil
    isReading = false
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    flush()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    timers.writabilityChanged(context.channel.isWritable, now: .now())
    if context.channel.isWritable { flush() } else { arm() }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    tellHandshakeFault(error, context)
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    ended()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    ended()
  }

  private func ended() {
    guard !isClosed else { return }
    isClosed = true
    channelContext = nil
    timer?.cancel()
    endCalls()
    workers.close()
  }

  private func endCalls() {
    for call in calls.value { call?.streamClosed(RPCError(.cancelled, "the connection to \(peer) is lost")) }
    calls.value.removeAll()
  }

  func close() {
    channelContext?.close(promise: nil)
  }

  /// Closes a connection whose peer was told what it did wrong. A socket that is closed while bytes wait in it drops
  /// what the peer has not read yet; so it is only half closed at first, and nothing more is read.
  private func endWithLastWords() {
    guard !isLingering, let context = channelContext else { return }
    isLingering = true
    endCalls()
    guard context.channel.isWritable else { return close() }
    context.channel.setOption(.autoRead, value: false).whenFailure { _ in self.close() }
    context.close(mode: .output, promise: nil)
    loop.scheduleTask(in: Self.lingering) { self.close() }
  }

  private static let lingering = TimeAmount.seconds(1)

  // MARK: Events

  private func work(_ now: NIODeadline) {
    session.exchangeEvents(with: &events)
    guard !events.isEmpty else { return }
    timers.heard(now)
    for event in events {
      switch event {
      case .headers(let handle, let endStream):
        opened(handle, endStream, now)
      case .headersTooLarge(let handle, let bytes, _):
        refused(handle, bytes, now)
      case .data(let handle, let endStream):
        if let call = call(handle) { arrived(call, endStream) }
      case .trailers(let handle):
        if let call = call(handle) { arrived(call, true) }
      case .closed(let handle, let code):
        closed(handle, code)
      case .drained(let handle):
        call(handle)?.drained()
      case .settings:
        timers.hasSettings = true
      case .settingsAcknowledged:
        timers.isAcknowledged = true
      case .goAway:
        // The caller opens no more; what is open goes on.
        break
      case .pingReceived:
        if timers.pingIsTooMuch(now) { session.terminate(.enhanceYourCalm, saying: "too_many_pings") }
      case .pingAcknowledged(let opaque):
        timers.pingAnswered()
        if opaque == Self.shutdownPing { announceShutdown() }
      }
    }
    events.removeAll(keepingCapacity: true)
  }

  private func call(_ handle: StreamHandle) -> ServerCall? {
    guard Int(handle.slot) < calls.value.count, let call = calls.value[Int(handle.slot)], call.handle == handle else {
      return nil
    }
    return call
  }

  private func obtain(_ handle: StreamHandle, _ now: NIODeadline) -> ServerCall {
    let slot = Int(handle.slot)
    while calls.value.count <= slot { calls.value.append(nil) }
    if calls.value[slot] != nil, isKnownUniquelyReferenced(&calls.value[slot]), let call = calls.value[slot] {
      call.reuse(handle, now: now)
      return call
    }
    let call = ServerCall(self, handle, now: now)
    calls.value[slot] = call
    return call
  }

  private func opened(_ handle: StreamHandle, _ endStream: Bool, _ now: NIODeadline) {
    let call = obtain(handle, now)
    openCalls += 1
    let storage = call.storage
    session.exchangeHeaders(of: handle, with: &storage.request.value.metadata.block)
    let block = storage.request.value.metadata.block
    let head = RequestHead(block)
    guard head.isPost, head.isGRPC else {
      call.refusal = head.isPost ? .contentType : .method
      if endStream { call.refuse() }
      return
    }
    do throws(RPCError) {
      let route = try accept(call, storage, block, head, now)
      call.assign(route)
      if route.takesOneMessage {
        if endStream { arrived(call, true) }
      } else {
        call.requestEnded = endStream
        start(call)
      }
    } catch {
      call.finish(error)
    }
  }

  /// A call whose headers were too many to keep.
  private func refused(_ handle: StreamHandle, _ bytes: Int, _ now: NIODeadline) {
    openCalls += 1
    obtain(handle, now).finish(
      RPCError(
        .resourceExhausted,
        "the call's headers have \(bytes) bytes (name, value and 32 for each); at most "
          + "\(server.limits.maxMetadataBytes) are taken"))
  }

  /// Everything that may refuse a call before its handler runs.
  private func accept(
    _ call: ServerCall, _ storage: CallStorage, _ block: HeaderBlock, _ head: RequestHead, _ now: NIODeadline
  ) throws(RPCError) -> Route {
    guard let route = server.routes.route(block.bytes, head.path) else {
      throw server.routes.unknown(block.text(head.path))
    }
    guard let encoding = head.encoding else {
      throw RPCError(
        .unimplemented,
        "grpc-encoding \(head.encodingName(block)) is not supported; \(MessageEncoding.accepted) are")
    }
    call.encoding = encoding
    call.acceptsGzip = head.acceptsGzip
    if let fault = head.fault(block) { throw fault }
    if let timeout = head.timeout {
      guard timeout > 0 else { throw RPCError(.deadlineExceeded, "the call's timeout is 0") }
      let deadline = now + .nanoseconds(timeout)
      call.deadline = deadline
      storage.request.value.deadline = .now + .nanoseconds(timeout)
      earliestDeadline = min(earliestDeadline ?? deadline, deadline)
    }
    guard workers.busyCount < server.limits.maxRunningCalls else {
      throw RPCError.exhausted(
        "running_calls",
        "\(server.limits.maxRunningCalls) calls of this connection are still running; wait for some to end")
    }
    guard session.outboundBytes <= server.limits.maxUnsentResponseBytes else {
      throw RPCError(
        .resourceExhausted,
        "\(session.outboundBytes) bytes of responses wait on this connection; read them before calling again")
    }
    storage.request.value.facts = route
    if head.hasBinaryMetadata { storage.request.value.metadata = try Metadata(receiving: block) }
    if let authorize = server.authorize {
      storage.request.value.identity = try authorize(route.method, storage.request.value.metadata, peer)
    }
    return route
  }

  private func arrived(_ call: ServerCall, _ endStream: Bool) {
    guard !call.isOver else {
      session.giveCredit(call.handle, keeping: 0)
      return
    }
    if endStream { call.requestEnded = true }
    if call.refusal != nil { return call.dropRequest() }
    guard let route = call.route, route.takesOneMessage else { return call.requestArrived() }
    if endStream {
      start(call)
      return
    }
    // The handler needs the whole message: what is refused is refused early, the rest may come.
    do throws(RPCError) {
      let limit = server.limits.maxRequestBytes
      try session.withReceived(call.handle) { bytes throws(RPCError) in
        _ = try MessageFraming.scan(bytes, limit: limit, encoding: call.encoding, who: "the request")
        guard bytes.byteCount <= limit + MessageFraming.prefixBytes else {
          throw RPCError(.internal, "the request goes on after its message; this method takes one")
        }
        return 0
      }
      guard session.unreadBytes <= server.limits.maxBufferedRequestBytes else {
        throw RPCError.exhausted(
          "buffered_request_bytes",
          "\(session.unreadBytes) bytes of requests wait on this connection; send fewer large requests at once")
      }
      session.giveCredit(call.handle, keeping: 0)
    } catch {
      call.abort(error)
    }
  }

  private func start(_ call: ServerCall) {
    guard !call.isStarted, let route = call.route else { return }
    switch route.handler {
    case .inline(let handler):
      guard call.runInline(handler) == .declined else { return }
      call.markStarted()
      workers.submit(call)
    case .task:
      call.markStarted()
      workers.submit(call)
    }
  }

  private func closed(_ handle: StreamHandle, _ code: HTTP2ErrorCode) {
    if let call = call(handle) {
      call.streamClosed(
        RPCError(.cancelled, code == .cancel ? "the caller cancelled the call" : "the caller ended the stream: \(code)")
      )
    }
    session.release(handle)
    // A burst of calls is not kept for ever.
    let slot = Int(handle.slot)
    if slot >= Self.keptCalls, slot < calls.value.count { calls.value[slot] = nil }
  }

  private static let keptCalls = 64

  func callEnded(_ call: ServerCall) {
    openCalls -= 1
    answered()
  }

  /// Part of a response is on its way: the caller may ping for it (gRPC's clients do, to measure the connection).
  func answered() { timers.answered() }

  // MARK: Sending

  /// Writes soon what a handler produced outside of a read.
  func scheduleFlush() {
    guard !isReading, !isFlushScheduled, !isClosed else { return }
    isFlushScheduled = true
    loop.execute {
      self.isFlushScheduled = false
      self.flush()
    }
  }

  private func flush() {
    while !isLingering, let context = channelContext, context.channel.isWritable {
      let buffer: ByteBuffer?
      do throws(HTTP2Error) {
        buffer = try outbox.fill(from: session)
      } catch {
        return close()
      }
      // Sending ends streams and wakes writers.
      work(.now())
      guard let buffer else { break }
      context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }
    if session.isFinished {
      if session.isTerminated { endWithLastWords() } else { close() }
    } else if session.outboundBytes == 0 {
      timers.windowOpen()
    } else if channelContext?.channel.isWritable == true {
      let now = NIODeadline.now()
      if timers.windowClosed(sent: session.counters.dataBytesSent, now: now) { arm(now: now) }
    }
  }

  // MARK: Shutdown and timers

  /// Takes no new calls; the connection closes when the open ones have ended.
  func shutDown() {
    guard !isClosed, !isShuttingDown else { return }
    isShuttingDown = true
    session.beginShutdown()
    session.ping(Self.shutdownPing)
    flush()
    // A caller that doesn't answer the ping is told all the same.
    loop.scheduleTask(in: .seconds(1)) { self.announceShutdown() }
  }

  private func announceShutdown() {
    guard isShuttingDown, !shutdownAnnounced, !isClosed else { return }
    shutdownAnnounced = true
    session.finishShutdown()
    scheduleFlush()
  }

  /// Wakes this connection when something may be due.
  private func arm(at deadline: NIODeadline? = nil, now: NIODeadline = .now()) {
    guard !isClosed else { return }
    let due = min(deadline ?? .distantFuture, timers.nextDue(now: now, openCalls: openCalls))
    guard due < timerAt else { return }
    timer?.cancel()
    timerAt = due
    timer = loop.scheduleTask(deadline: due) { self.tick() }
  }

  private func tick() {
    guard !isClosed else { return }
    timerAt = .distantFuture
    let now = NIODeadline.now()
    switch timers.check(now: now, openCalls: openCalls) {
    case .nothing: break
    case .ping: session.ping(0)
    case .shutDown: shutDown()
    case .close: return close()
    case .terminate(let code):
      session.terminate(code)
      flush()
      return endWithLastWords()
    }
    var next: NIODeadline?
    if openCalls > 0 {
      for call in calls.value {
        guard let call, !call.isOver else { continue }
        if let deadline = call.deadline {
          if deadline <= now {
            call.abort(RPCError(.deadlineExceeded, "the call's deadline passed"))
            continue
          }
          next = min(next ?? deadline, deadline)
        }
        if !call.isStarted {
          let due = call.startedAt + .init(server.limits.requestTimeout)
          if due <= now {
            call.abort(
              RPCError(.cancelled, "the request was not complete after \(server.limits.requestTimeout)"))
          } else {
            next = min(next ?? due, due)
          }
        }
      }
    }
    flush()
    arm(at: next)
  }
}

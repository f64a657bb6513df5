internal import MendHTTP2
internal import NIOCore
internal import NIOTLS

/// An event of a connection for its owner. They come in this order, on the connection's loop; some may be skipped.
enum ConnectionEvent: Hashable, Sendable {
  /// The server speaks HTTP/2, and allows this many calls at once.
  case ready(maxCalls: Int)
  /// The server allows this many calls from now on.
  case maxCalls(Int)
  /// The server answered its first call.
  case served
  /// A call's deadline passed and nothing arrived meanwhile; a ping was sent.
  case silent
  /// Bytes arrived again.
  case heard
  /// Open calls go on, new ones fail with this error.
  case draining(RPCError, tooManyPings: Bool)
  /// Calls fail with this error.
  case closed(RPCError)
}

/// One connection of a client: a session and its calls, in one channel handler.
final class ClientHandler: ChannelInboundHandler, @unchecked Sendable {
  // Unchecked: all but constants is used on the channel's loop alone; other threads hop there first.
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let loop: any EventLoop
  let address: ServerAddress
  let configuration: ClientConfiguration
  let session: HTTP2Session
  private let outbox: Outbox

  enum Phase {
    case connecting, ready
    case draining(RPCError)
    case closed(RPCError)
  }
  var phase = Phase.connecting
  var owner: (@Sendable (ConnectionEvent) -> Void)?
  private var channelContext: ChannelHandlerContext?
  var calls: [ClientCall?] = []
  var queue = CallQueue()
  var openCalls = 0
  var maxCalls = 0
  var hasServed = false
  private var isSilent = false
  var events: [HTTP2Event] = []
  private var isReading = false
  private var isFlushScheduled = false
  var keepalive: ClientKeepalive
  var timer: Scheduled<Void>?
  var timerAt = NIODeadline.distantFuture
  var connectTimer: Scheduled<Void>?
  var loss: ConnectionLoss?

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
    if configuration.firstStreamID > 1 { try session.skipStreams(to: configuration.firstStreamID) }
    keepalive = ClientKeepalive(configuration, now: .now())
  }

  deinit {
    session.end(on: loop)
  }

  /// Sends `owner` the events from now on, and first one for the current phase.
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
      let now = NIODeadline.now()
      call.openedAt = now
      let left = max(1, (deadline - now).nanoseconds)
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
      // Nothing else detects a server that never answers.
      if openCalls == 1 { arm() }
      if handle.id >= Self.lastStreamID {
        closeGracefully(.notBegun("the connection to \(address) has used up its stream ids"))
      }
    } catch {
      // The next call would fail in the same way.
      let error = RPCError.notBegun("no stream can be opened to \(address): \(error)")
      call.fail(error)
      closeGracefully(error)
    }
  }

  /// The ids of a connection's streams end at 2^31 - 1 (RFC 9113 5.1.1). A thousand calls before that another
  /// connection takes over, so that those on their way to this one still find a stream.
  private static let lastStreamID = Int32.max - 2000

  func openQueued() {
    while canOpen, let call = queue.popFirst() {
      if call.outcome == nil { open(call) }
    }
  }

  func ended(_ call: ClientCall) {
    if call.handle == nil { queue.remove(call) }
  }

  func call(_ handle: StreamHandle) -> ClientCall? {
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
    if isSilent {
      isSilent = false
      owner?(.heard)
    }
    if case .connecting = phase, let foreign = ConnectionLoss(http1: buffer) {
      loss = foreign
      return close()
    }
    isReading = true
    do throws(HTTP2Error) {
      try session.receive(buffer.readableBytesSpan, now: now.uptimeNanoseconds)
      work()
    } catch {
      work()
      loss = ConnectionLoss("\(error)")
      isReading = false
      flush()
      close()
      return
    }
    isReading = false
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .handshakeCompleted(let name)? = event as? TLSUserEvent, name != "h2" {
      loss = .noALPN
      close()
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    flush()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { flush() }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if loss == nil { loss = ConnectionLoss(error) }
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    lost()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    lost()
  }

  /// The connection is lost, and all of its calls.
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
    let broken = brokenRule
    if let broken {
      loss = ConnectionLoss("it was closed because the server violated HTTP/2: \(broken)")
    } else if loss == nil, case .connecting = phase {
      loss = .hungUp(hasTLS: configuration.tls != nil)
    }
    let reason = loss.map { "\(what): \($0.message)" } ?? what
    let refusal = RPCError.notBegun(reason, origin: broken == nil ? .connection : .server, fault: loss?.fault)
    phase = .closed(refusal)
    owner?(.closed(refusal))
    owner = nil
    let open = calls.compactMap { $0 }
    calls.removeAll()
    for call in open {
      call.fail(broken == nil ? .lost(reason, fault: loss?.fault) : RPCError(.internal, reason))
      call.streamClosed(.internalError)
    }
    for call in queue.removeAll() { call.fail(refusal) }
  }

  /// The rule that the server broke, if this side ended the connection for that.
  private var brokenRule: String? {
    guard session.isTerminated else { return nil }
    let reason = session.terminationReason
    guard reason.isEmpty else { return reason }
    // A connection that drains is ended as well, when it has drained.
    if case .draining = phase { return nil }
    return "a malformed frame"
  }

  /// A call waited until its deadline and nothing arrived since `start`. Only this detects a server that takes bytes
  /// and does nothing. Further calls use another connection until this one has answered.
  func nothingCame(since start: NIODeadline) {
    guard case .ready = phase, !isSilent, keepalive.suspect(silentSince: start, now: .now()) else { return }
    isSilent = true
    session.ping(0)
    owner?(.silent)
    scheduleFlush()
    arm()
  }

  private func connectTimedOut() {
    guard case .connecting = phase else { return }
    loss = ConnectionLoss("no answer after \(configuration.connectTimeout)")
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

  func closeIfDrained() {
    guard case .draining = phase, openCalls == 0 else { return }
    session.terminate(.noError)
    scheduleFlush()
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

  func flush() {
    while let context = channelContext, context.channel.isWritable {
      let buffer: ByteBuffer?
      do throws(HTTP2Error) {
        buffer = try outbox.fill(from: session)
      } catch {
        loss = ConnectionLoss("\(error)")
        return close()
      }
      work()
      guard let buffer else { break }
      context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }
    if session.isFinished { close() }
  }
}

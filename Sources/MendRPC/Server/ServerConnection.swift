internal import MendHTTP2
internal import NIOCore
internal import Synchronization

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

  private(set) var channelContext: ChannelHandlerContext?
  let calls = Pinned<[ServerCall?]>([])
  var openCalls = 0
  private var events: [HTTP2Event] = []
  private var isReading = false
  private var isFlushScheduled = false
  /// Of the bytes that the session holds, those that the server knows of.
  private var reportedBytes = 0
  private(set) var isClosed = false
  /// Said why it ends, and waits for the peer to have read that.
  private var isLingering = false
  var isShuttingDown = false
  var shutdownAnnounced = false
  var earliestDeadline: NIODeadline?
  var timer: Scheduled<Void>?
  var timerAt = NIODeadline.distantFuture
  static let shutdownPing: UInt64 = 0x6d65_6e64_2e67_6f21

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
    reportBytes()
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
  func endWithLastWords() {
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

  func flush() {
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
    reportBytes()
  }

  /// Tells the server what this connection holds, where that changed by something.
  private func reportBytes() {
    let held = isClosed ? 0 : session.heldBytes
    let change = held &- reportedBytes
    guard change != 0, held == 0 || change.magnitude >= Self.reportedChange else { return }
    reportedBytes = held
    server.heldBytes.wrappingAdd(change, ordering: .relaxed)
  }

  private static let reportedChange = 4096

  /// The server holds more than it may, and this connection has its part in that.
  var isOverBudget: Bool {
    session.heldBytes > Self.heldShare && server.heldBytes.load(ordering: .relaxed) > server.limits.maxHeldBytes
  }

  /// A connection with less than this is served whatever others hold.
  private static let heldShare = 64 * 1024

  var overBudget: RPCError {
    .exhausted(
      "held_bytes",
      "the server holds \(server.limits.maxHeldBytes) bytes of requests and responses that wait, \(session.heldBytes) of "
        + "them of this connection; read its responses, end its requests, and call again")
  }
}

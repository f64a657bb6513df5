internal import MendHTTP2
internal import NIOCore
internal import NIOTLS
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
  let inflations: InflationQueue
  let facts: ConnectionFacts
  var timers: ConnectionTimers

  private(set) var channelContext: ChannelHandlerContext?
  let calls = Pinned<[ServerCall?]>([])
  var openCalls = 0
  private var events: [HTTP2Event] = []
  private var isReading = false
  private var isFlushScheduled = false
  /// How many were sent when that was looked at last.
  private var dataFramesSeen = 0
  /// Of the bytes that the session holds, those that the server knows of.
  private var reportedBytes = 0
  /// Of the bytes that the session holds, those of calls that the same read brought and that have not begun yet; below 0
  /// while nobody asked.
  private var bytesAhead = -1
  private(set) var isClosed = false
  private var greeting: Scheduled<Void>?
  /// TLS was agreed on without HTTP/2.
  private var lacksALPN = false
  /// Said why it ends, and waits for the peer to have read that.
  private var isLingering = false
  /// Has yet to say why it ends, to a peer that reads nothing at present.
  private var isEnding = false
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
    inflations = shared.inflations
    workers = CallWorkers(shared.executor)
    timers = ConnectionTimers(server.limits, server.keepalive, now: .now())
  }

  deinit {
    calls.free()
    session.end(on: loop)
  }

  var peer: PeerAddress { facts.peer }

  // MARK: The channel

  func handlerAdded(context: ChannelHandlerContext) {
    channelContext = context
    workers.onIdle = { [self] in server.connectionEnded(self) }
    server.connectionStarted(self)
    if !facts.isSecure { greeting = loop.scheduleTask(in: Self.greetingDelay) { self.greet() } }
    arm()
  }

  /// Sends the first SETTINGS.
  private func greet() {
    greeting?.cancel()
    greeting = nil
    flush()
  }

  /// Every caller of HTTP/2 speaks first. One that speaks HTTP/1 by then can be told so in words that it understands; to one
  /// that says nothing the server's SETTINGS may be of interest.
  private static let greetingDelay = TimeAmount.milliseconds(100)

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .handshakeCompleted(let name)? = event as? TLSUserEvent {
      if name == "h2" {
        greet()
      } else {
        lacksALPN = true
        server.observer?.handshakeFailed(peer, .withoutHTTP2)
      }
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    let now = NIODeadline.now()
    guard !isLingering else { return }
    if session.counters.bytesSent == 0, let refusal = refusal(of: buffer) {
      if !refusal.isEmpty { context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: refusal)), promise: nil) }
      return endWithLastWords()
    }
    if let greeting {
      greeting.cancel()
      self.greeting = nil
    }
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

  /// What is said, before the end, to a caller whose first bytes are not HTTP/2, or whose TLS is not for it (RFC 9113
  /// 3.2: TLS has to agree to ALPN `h2`). Nil for all others. Nothing was sent before.
  private func refusal(of first: ByteBuffer) -> String? {
    if HTTPRefusal.isHTTP1(first) { return HTTPRefusal.answerInHTTP1 }
    return lacksALPN ? "" : nil
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    flush()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    let isWritable = context.channel.isWritable
    timers.writabilityChanged(isWritable, now: .now())
    // Who does not read what it was answered is not read either: its answers would have to be kept.
    if !isEnding, !isLingering { try? context.channel.syncOptions?.setOption(.autoRead, value: isWritable) }
    if isWritable { flush() }
    arm()
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
    greeting?.cancel()
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

  /// As ``endWithLastWords()``, for a peer that has not read what comes before: it gets as long to take that.
  private func endUnheard() {
    guard !isEnding, !isLingering else { return }
    isEnding = true
    endCalls()
    channelContext?.channel.setOption(.autoRead, value: false).whenFailure { _ in self.close() }
    loop.scheduleTask(in: Self.lingering) { self.close() }
  }

  private static let lingering = TimeAmount.seconds(1)

  // MARK: Events

  private func work(_ now: NIODeadline) {
    session.exchangeEvents(with: &events)
    guard !events.isEmpty else { return }
    bytesAhead = -1
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
    assert(
      session.unreadBytes <= server.limits.maxBufferedRequestBytes + Self.unlookedBytes, "requests are kept unbounded")
  }

  /// For what one read brought, and whose handlers run next.
  private static let unlookedBytes = 16 << 20

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
      noteAnswers()
      // Sending ends streams and wakes writers.
      work(.now())
      guard let buffer else { break }
      context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }
    if session.isFinished {
      if session.isTerminated { endWithLastWords() } else { close() }
    } else if session.isTerminated {
      endUnheard()
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

  /// Whoever loads a long answer pings meanwhile, to measure its line; that is no ping for nothing.
  private func noteAnswers() {
    let sent = session.counters.dataFramesSent
    guard sent != dataFramesSeen else { return }
    dataFramesSeen = sent
    answered()
  }

  /// A few kilobytes that are megabytes take their sender nothing and this loop ten milliseconds: who goes on sending them
  /// is ended as one that goes on breaking rules is.
  func countBomb(_ faults: Int) {
    session.countFaults(faults, now: NIODeadline.now().uptimeNanoseconds)
    if session.isTerminated { scheduleFlush() }
  }

  /// The server holds more than it may, and this connection has its part in that.
  var isOverBudget: Bool {
    let held = session.heldBytes
    guard held > Self.heldShare else { return false }
    // What one read brought is not reported yet.
    let excess = server.heldBytes.load(ordering: .relaxed) + held - reportedBytes - server.limits.maxHeldBytes
    return excess > 0 && excess > measureAhead()
  }

  /// Calls are refused for what came before them, not for those that come behind them in the same read.
  private func measureAhead() -> Int {
    guard bytesAhead < 0 else { return bytesAhead }
    bytesAhead = 0
    for case .headers(let handle, _) in events where call(handle) == nil {
      bytesAhead += session.heldBytes(of: handle)
    }
    return bytesAhead
  }

  /// A call begins.
  func passed(_ handle: StreamHandle) {
    if bytesAhead > 0 { bytesAhead -= session.heldBytes(of: handle) }
  }

  /// A connection with less than this is served whatever others hold.
  private static let heldShare = 64 * 1024

  var overBudget: RPCError {
    .exhausted(
      "held_bytes",
      "the server holds \(server.limits.maxHeldBytes) bytes of calls, \(session.heldBytes) of them of this connection; "
        + "read its responses, end its calls, and call again")
  }
}

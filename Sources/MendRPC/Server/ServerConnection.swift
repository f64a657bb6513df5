internal import MendHTTP2
internal import NIOCore
internal import NIOTLS
internal import Synchronization

/// One connection of a server: a session, its calls and their workers, in one channel handler.
///
/// Each read is given to the session as a whole. Then its events are handled, handlers run, and the session's output is
/// written once.
final class ServerConnection: ChannelInboundHandler, @unchecked Sendable {
  // Unchecked: everything is used on the channel's loop alone; other threads hop there first.
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
  /// The number of DATA frames sent at the last look.
  private var dataFramesSeen = 0
  /// How many of the session's bytes are included in the server's count.
  private var reportedBytes = 0
  /// The bytes of calls that arrived in the same read and have not begun yet; negative until they are counted.
  private var bytesAhead = -1
  var lifecycle = ConnectionLifecycle.waiting
  /// Sends the server's SETTINGS to a peer that says nothing at first.
  private var greeting: Scheduled<Void>?
  var earliestDeadline: NIODeadline?
  var isClosed: Bool { if case .closed = lifecycle { true } else { false } }
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
    if !facts.isSecure { greeting = loop.scheduleTask(in: Self.greetingDelay) { self.on(.greetingDue) } }
    arm()
  }

  /// Every HTTP/2 caller speaks first, and one that speaks HTTP/1 can still be answered in HTTP/1. A caller that says
  /// nothing may be waiting for the server's SETTINGS.
  private static let greetingDelay = TimeAmount.milliseconds(100)

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .handshakeCompleted(let name)? = event as? TLSUserEvent { on(.tlsAgreed(onHTTP2: name == "h2")) }
    context.fireUserInboundEventTriggered(event)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    let now = NIODeadline.now()
    switch lifecycle {
    case .serving, .draining, .ending: break
    case .lingering, .closed: return
    case .waiting, .lackingHTTP2:
      greeting?.cancel()
      on(.firstBytes(isHTTP1: NonGRPCRequest.isHTTP1(buffer)))
      guard case .serving = lifecycle else { return }
    }
    isReading = true
    do throws(HTTP2Error) {
      try session.receive(buffer.readableBytesSpan, now: now.uptimeNanoseconds)
      work(now)
    } catch {
      work(now)
      isReading = false
      flush()
      return on(.sessionFinished(isTerminated: true))
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
    let isWritable = context.channel.isWritable
    timers.writabilityChanged(isWritable, now: .now())
    // A peer that does not read its answers is not read either: more answers would have to be kept.
    switch lifecycle {
    case .ending, .lingering, .closed: break
    default: try? context.channel.syncOptions?.setOption(.autoRead, value: isWritable)
    }
    if isWritable { flush() }
    arm()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    tellHandshakeFault(error, context)
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) { on(.channelGone) }

  func handlerRemoved(context: ChannelHandlerContext) { on(.channelGone) }

  /// The channel is gone.
  func release() {
    channelContext = nil
    greeting?.cancel()
    timer?.cancel()
    endCalls()
    workers.close()
    reportBytes()
  }

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
        if opaque == Self.shutdownPing { on(.shutdownHeard) }
      }
    }
    events.removeAll(keepingCapacity: true)
    assert(
      session.unreadBytes <= server.limits.maxBufferedRequestBytes + Self.unlookedBytes, "requests are kept unbounded")
  }

  /// An allowance for the bytes of one read, whose handlers run next.
  private static let unlookedBytes = 16 << 20

  // MARK: Sending

  /// Writes soon, for output that was produced outside of a read.
  func scheduleFlush() {
    guard !isReading, !isFlushScheduled, !isClosed else { return }
    isFlushScheduled = true
    loop.execute {
      self.isFlushScheduled = false
      self.flush()
    }
  }

  func flush() {
    while lifecycle != .lingering, let context = channelContext, context.channel.isWritable {
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
      on(.sessionFinished(isTerminated: session.isTerminated))
    } else if session.isTerminated {
      on(.sessionTerminated)
    } else if session.outboundBytes == 0 {
      timers.windowOpen()
    } else if channelContext?.channel.isWritable == true {
      let now = NIODeadline.now()
      if timers.windowClosed(sent: session.counters.dataBytesSent, now: now) { arm(now: now) }
    }
    reportBytes()
  }

  /// Reports to the server how many bytes this connection holds, if that changed by much.
  private func reportBytes() {
    let held = isClosed ? 0 : session.heldBytes
    let change = held &- reportedBytes
    guard change != 0, held == 0 || change.magnitude >= Self.reportedChange else { return }
    reportedBytes = held
    server.heldBytes.wrappingAdd(change, ordering: .relaxed)
  }

  private static let reportedChange = 4096

  /// A caller that loads a long answer may ping meanwhile, to measure its connection.
  private func noteAnswers() {
    let sent = session.counters.dataFramesSent
    guard sent != dataFramesSeen else { return }
    dataFramesSeen = sent
    answered()
  }

  /// Counts a decompression bomb as faults: a few kilobytes that become megabytes cost the sender nothing and this loop
  /// ten milliseconds, so a peer that keeps sending them is ended like one that keeps breaking rules.
  func countBomb(_ faults: Int) {
    session.countFaults(faults, now: NIODeadline.now().uptimeNanoseconds)
    if session.isTerminated { scheduleFlush() }
  }

  /// Whether the whole server holds more than it may, and this connection has its part in that.
  func isOverBudget(_ held: Int) -> Bool {
    guard held > Self.heldShare else { return false }
    // What one read brought is not reported yet.
    let excess = server.heldBytes.load(ordering: .relaxed) + held - reportedBytes - server.limits.maxHeldBytes
    return excess > 0 && excess > measureAhead()
  }

  /// The bytes of later calls in the same read: a call is refused for what came before it only.
  private func measureAhead() -> Int {
    guard bytesAhead < 0 else { return bytesAhead }
    bytesAhead = 0
    for case .headers(let handle, _) in events where call(handle) == nil {
      bytesAhead += session.heldBytes(of: handle)
    }
    return bytesAhead
  }

  /// A call begins: its bytes are no longer ahead.
  func passed(_ handle: StreamHandle) {
    if bytesAhead > 0 { bytesAhead -= session.heldBytes(of: handle) }
  }

  /// A connection with less than this is served whatever others hold.
  private static let heldShare = 64 * 1024
}

internal import MendHTTP2
internal import NIOCore

/// The time limits of a connection, as a value that takes the time as an argument.
struct ConnectionTimers {
  enum Action: Hashable {
    case nothing, ping, shutDown, close
    /// Tell the peer why, then close.
    case terminate(HTTP2ErrorCode)
  }

  private let limits: ServerLimits
  private let keepalive: ServerKeepalive
  private let startedAt: NIODeadline
  private var heardAt: NIODeadline
  /// When the socket stopped taking bytes.
  private var stalledSince: NIODeadline?
  /// When the peer's window closed with bytes waiting for it, and how many it had taken before.
  private var windowClosedSince: NIODeadline?
  private var takenBytes = 0
  private var headersSince: NIODeadline?
  private var pingedAt: NIODeadline?
  private var lastPing: NIODeadline?
  private var strikes = 0
  /// The peer's preface and SETTINGS arrived.
  var hasSettings = false
  /// The peer acknowledged ours.
  var isAcknowledged = false

  init(_ limits: ServerLimits, _ keepalive: ServerKeepalive, now: NIODeadline) {
    self.limits = limits
    self.keepalive = keepalive
    startedAt = now
    heardAt = now
  }

  /// A frame with a meaning arrived from the peer.
  mutating func heard(_ now: NIODeadline) {
    heardAt = now
  }

  /// The server sent part of a response, so pings are justified.
  mutating func answered() {
    strikes = 0
    lastPing = nil
  }

  mutating func pingAnswered() {
    pingedAt = nil
  }

  /// The socket takes bytes again, or does not. Meanwhile nothing is read from it, so the peer's own time limits begin
  /// anew.
  mutating func writabilityChanged(_ isWritable: Bool, now: NIODeadline) {
    stalledSince = isWritable ? nil : now
    guard isWritable else { return }
    if headersSince != nil { headersSince = now }
    if pingedAt != nil { pingedAt = now }
  }

  /// Bytes wait for the peer's window, which has taken `sent` bytes so far. True if the wait begins now.
  mutating func windowClosed(sent: Int, now: NIODeadline) -> Bool {
    guard windowClosedSince == nil || sent != takenBytes else { return false }
    takenBytes = sent
    defer { windowClosedSince = now }
    return windowClosedSince == nil
  }

  /// Nothing waits for the peer's window.
  mutating func windowOpen() {
    windowClosedSince = nil
  }

  /// A header list is being received, or is not. True if one begins now.
  mutating func receivingHeaders(_ isReceiving: Bool, now: NIODeadline) -> Bool {
    guard isReceiving else {
      headersSince = nil
      return false
    }
    guard headersSince == nil else { return false }
    headersSince = now
    return true
  }

  /// Counts a ping. True if the peer sends too many.
  mutating func pingIsTooMuch(_ now: NIODeadline) -> Bool {
    defer { lastPing = now }
    guard let lastPing, now - lastPing < TimeAmount(keepalive.minPingInterval) else { return false }
    strikes += 1
    return strikes > keepalive.maxPingStrikes
  }

  /// When to check next; always later than `now`.
  func nextDue(now: NIODeadline, openCalls: Int, isDraining: Bool = false) -> NIODeadline {
    max(due(now, openCalls, isDraining), now + .milliseconds(1))
  }

  private func due(_ now: NIODeadline, _ openCalls: Int, _ isDraining: Bool) -> NIODeadline {
    guard hasSettings, isAcknowledged else { return startedAt + TimeAmount(limits.handshakeTimeout) }
    var due = NIODeadline.distantFuture
    if let stalledSince { due = min(due, stalledSince + TimeAmount(limits.stallTimeout)) }
    if let windowClosedSince { due = min(due, windowClosedSince + TimeAmount(limits.stallTimeout)) }
    if stalledSince == nil, let headersSince { due = min(due, headersSince + TimeAmount(limits.headersTimeout)) }
    if let pingedAt {
      if stalledSince == nil { due = min(due, pingedAt + TimeAmount(keepalive.timeout)) }
    } else if let interval = keepalive.interval {
      due = min(due, heardAt + TimeAmount(interval))
    }
    if !isDraining {
      if let age = limits.maxConnectionAge { due = min(due, startedAt + TimeAmount(age)) }
      // The end of a call arms no timer, so the time is checked again while calls are open.
      if let idle = limits.idleTimeout { due = min(due, (openCalls == 0 ? heardAt : now) + TimeAmount(idle)) }
    }
    return openCalls > 0 ? min(due, now + TimeAmount(limits.requestTimeout)) : due
  }

  mutating func check(now: NIODeadline, openCalls: Int, isDraining: Bool = false) -> Action {
    guard hasSettings, isAcknowledged else {
      guard now >= startedAt + TimeAmount(limits.handshakeTimeout) else { return .nothing }
      return hasSettings ? .terminate(.settingsTimeout) : .close
    }
    if let stalledSince, now >= stalledSince + TimeAmount(limits.stallTimeout) { return .close }
    if let windowClosedSince, now >= windowClosedSince + TimeAmount(limits.stallTimeout) {
      return .terminate(.enhanceYourCalm)
    }
    if stalledSince == nil, let headersSince, now >= headersSince + TimeAmount(limits.headersTimeout) {
      return .terminate(.enhanceYourCalm)
    }
    if stalledSince == nil, let pingedAt {
      // Anything that arrived since is as good as the answer.
      if heardAt > pingedAt {
        self.pingedAt = nil
      } else if now >= pingedAt + TimeAmount(keepalive.timeout) {
        return .close
      }
    }
    if !isDraining {
      if let age = limits.maxConnectionAge, now >= startedAt + TimeAmount(age) { return .shutDown }
      if let idle = limits.idleTimeout, openCalls == 0, now >= heardAt + TimeAmount(idle) { return .shutDown }
    }
    if let interval = keepalive.interval, pingedAt == nil, now >= heardAt + TimeAmount(interval) {
      pingedAt = now
      return .ping
    }
    return .nothing
  }
}

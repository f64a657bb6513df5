internal import MendHTTP2
internal import NIOCore

/// What time does to a connection: a value, told the time by its owner.
struct ConnectionTimers {
  enum Action: Hashable {
    case nothing, ping, shutDown, close
    /// Closed after the peer was told why.
    case terminate(HTTP2ErrorCode)
  }

  private let limits: ServerLimits
  private let keepalive: ServerKeepalive
  private let startedAt: NIODeadline
  private var heardAt: NIODeadline
  /// Since when the socket took nothing, though there is something for it.
  private var stalledSince: NIODeadline?
  /// The same for the peer's window, and how much it had taken before.
  private var windowClosedSince: NIODeadline?
  private var takenBytes = 0
  private var headersSince: NIODeadline?
  private var pingedAt: NIODeadline?
  private var lastPing: NIODeadline?
  private var strikes = 0
  private var isRetiring = false
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

  /// The peer said something that meant something.
  mutating func heard(_ now: NIODeadline) {
    heardAt = now
  }

  /// The server sent a response: pings were called for.
  mutating func answered() {
    strikes = 0
    lastPing = nil
  }

  mutating func pingAnswered() {
    pingedAt = nil
  }

  /// Nothing is read from a socket that takes nothing: what is due from the peer is counted from when it is read again.
  mutating func writabilityChanged(_ isWritable: Bool, now: NIODeadline) {
    stalledSince = isWritable ? nil : now
    guard isWritable else { return }
    if headersSince != nil { headersSince = now }
    if pingedAt != nil { pingedAt = now }
  }

  /// Bytes wait for the peer's window; `sent` is all that it took so far. True when that begins now.
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

  /// Headers are being received, or are not. True when that begins now.
  mutating func receivingHeaders(_ isReceiving: Bool, now: NIODeadline) -> Bool {
    guard isReceiving else {
      headersSince = nil
      return false
    }
    guard headersSince == nil else { return false }
    headersSince = now
    return true
  }

  /// Counts a ping; true when the peer sends too many of them.
  mutating func pingIsTooMuch(_ now: NIODeadline) -> Bool {
    defer { lastPing = now }
    guard let lastPing, now - lastPing < TimeAmount(keepalive.minPingInterval) else { return false }
    strikes += 1
    return strikes > keepalive.maxPingStrikes
  }

  /// When to look next; always later than `now`.
  func nextDue(now: NIODeadline, openCalls: Int) -> NIODeadline {
    max(due(now, openCalls), now + .milliseconds(1))
  }

  private func due(_ now: NIODeadline, _ openCalls: Int) -> NIODeadline {
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
    guard !isRetiring else { return due }
    if let age = limits.maxConnectionAge { due = min(due, startedAt + TimeAmount(age)) }
    // Nobody looks anew when a call ends, and requests that are being received have a time limit of their own.
    if let idle = limits.idleTimeout { due = min(due, (openCalls == 0 ? heardAt : now) + TimeAmount(idle)) }
    return openCalls > 0 ? min(due, now + TimeAmount(limits.requestTimeout)) : due
  }

  mutating func check(now: NIODeadline, openCalls: Int) -> Action {
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
    if !isRetiring {
      if let age = limits.maxConnectionAge, now >= startedAt + TimeAmount(age) {
        isRetiring = true
        return .shutDown
      }
      if let idle = limits.idleTimeout, openCalls == 0, now >= heardAt + TimeAmount(idle) {
        isRetiring = true
        return .shutDown
      }
    }
    if let interval = keepalive.interval, pingedAt == nil, now >= heardAt + TimeAmount(interval) {
      pingedAt = now
      return .ping
    }
    return .nothing
  }
}

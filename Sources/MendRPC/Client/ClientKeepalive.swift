internal import NIOCore

/// When a client pings its server, and when the connection counts as dead: a value, told the time by its owner.
///
/// A connection that was silent for `interval` is pinged; one that says nothing for `timeout` after that is dead, also
/// when its socket knows nothing of it. Without open calls it is not pinged, unless that is asked for: servers count
/// pings against those who send them for nothing (gRPC's A8).
struct ClientKeepalive: Hashable, Sendable {
  enum Action: Hashable {
    case nothing, ping, close
  }

  private let interval: TimeAmount?
  private let timeout: TimeAmount
  private let pingsWithoutCalls: Bool
  /// Of pings that no interval asked for.
  private let suspicionInterval: TimeAmount
  private var suspectedAt: NIODeadline?
  private var heardAt: NIODeadline
  private var pingedAt: NIODeadline?

  init(_ configuration: ClientConfiguration, now: NIODeadline) {
    interval = configuration.keepaliveInterval.map { TimeAmount($0) }
    timeout = TimeAmount(configuration.keepaliveTimeout)
    pingsWithoutCalls = configuration.keepaliveWithoutCalls
    suspicionInterval = interval ?? .minutes(5)
    heardAt = now
  }

  /// Bytes arrived, whatever they were: the server lives.
  mutating func heard(_ now: NIODeadline) {
    heardAt = now
    pingedAt = nil
  }

  /// When to ask `check` next; nil while there is nothing to wait for.
  func nextDue(openCalls: Int) -> NIODeadline? {
    if let pingedAt { return pingedAt + timeout }
    guard let interval else { return nil }
    return openCalls > 0 || pingsWithoutCalls ? heardAt + interval : nil
  }

  /// A call's deadline passed, and it began at `start`. True where the server is to be pinged for that: nothing came since,
  /// and it was not asked for the same reason of late, or a server that is slow would count too many pings.
  mutating func suspect(silentSince start: NIODeadline, now: NIODeadline) -> Bool {
    guard heardAt < start, pingedAt == nil else { return false }
    if let suspectedAt, now - suspectedAt < suspicionInterval { return false }
    suspectedAt = now
    pingedAt = now
    return true
  }

  mutating func check(now: NIODeadline, openCalls: Int) -> Action {
    guard let due = nextDue(openCalls: openCalls), now >= due else { return .nothing }
    guard pingedAt == nil else { return .close }
    pingedAt = now
    return .ping
  }
}

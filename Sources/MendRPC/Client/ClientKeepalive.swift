internal import NIOCore

/// Decides when a client pings its server and when the connection is dead, as a value that takes the time as an
/// argument.
///
/// A connection that was silent for `interval` is pinged. If it stays silent for `timeout` it is dead, even if its
/// socket reports no error. Without open calls it is not pinged unless configured: servers punish needless pings
/// (gRPC's A8).
struct ClientKeepalive: Hashable, Sendable {
  enum Action: Hashable {
    case nothing, ping, close
  }

  private let interval: TimeAmount?
  private let timeout: TimeAmount
  private let pingsWithoutCalls: Bool
  /// The least time between two pings that are sent because a call passed its deadline.
  private let suspicionInterval: TimeAmount
  /// The time of the last such ping.
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

  /// Bytes arrived, so the server is alive.
  mutating func heard(_ now: NIODeadline) {
    heardAt = now
    pingedAt = nil
  }

  /// When to call `check` next; nil if nothing is due.
  func nextDue(openCalls: Int) -> NIODeadline? {
    if let pingedAt { return pingedAt + timeout }
    guard let interval else { return nil }
    return openCalls > 0 || pingsWithoutCalls ? heardAt + interval : nil
  }

  /// A call that began at `start` passed its deadline. True if the server is to be pinged: nothing arrived since, and
  /// it was not pinged for this reason lately, or a slow server would count too many pings.
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

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
  private var heardAt: NIODeadline
  private var pingedAt: NIODeadline?

  init(_ configuration: ClientConfiguration, now: NIODeadline) {
    interval = configuration.keepaliveInterval.map { TimeAmount($0) }
    timeout = TimeAmount(configuration.keepaliveTimeout)
    pingsWithoutCalls = configuration.keepaliveWithoutCalls
    heardAt = now
  }

  /// Bytes arrived, whatever they were: the server lives.
  mutating func heard(_ now: NIODeadline) {
    heardAt = now
    pingedAt = nil
  }

  /// When to ask `check` next; nil while there is nothing to wait for.
  func nextDue(openCalls: Int) -> NIODeadline? {
    guard let interval else { return nil }
    if let pingedAt { return pingedAt + timeout }
    return openCalls > 0 || pingsWithoutCalls ? heardAt + interval : nil
  }

  mutating func check(now: NIODeadline, openCalls: Int) -> Action {
    guard let due = nextDue(openCalls: openCalls), now >= due else { return .nothing }
    guard pingedAt == nil else { return .close }
    pingedAt = now
    return .ping
  }
}

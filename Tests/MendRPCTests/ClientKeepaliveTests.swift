import NIOCore
import Testing

@testable import MendRPC

@Suite struct ClientKeepaliveTests {
  private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

  private func keepalive(_ change: (inout ClientConfiguration) -> Void = { _ in }) -> ClientKeepalive {
    var configuration = ClientConfiguration()
    configuration.keepaliveInterval = .seconds(300)
    change(&configuration)
    return ClientKeepalive(configuration, now: start)
  }

  @Test("A silent connection with calls is pinged, and closed when nothing comes in time")
  func halfOpen() {
    var keepalive = keepalive()
    #expect(keepalive.nextDue(openCalls: 1) == start + .seconds(300))
    #expect(keepalive.check(now: start + .seconds(299), openCalls: 1) == .nothing)
    #expect(keepalive.check(now: start + .seconds(300), openCalls: 1) == .ping)
    #expect(keepalive.nextDue(openCalls: 1) == start + .seconds(320))
    #expect(keepalive.check(now: start + .seconds(319), openCalls: 1) == .nothing)
    #expect(keepalive.check(now: start + .seconds(320), openCalls: 1) == .close)
  }

  @Test("Whatever arrives answers the ping, and pings are never closer together than the interval")
  func answered() {
    var keepalive = keepalive()
    #expect(keepalive.check(now: start + .seconds(300), openCalls: 1) == .ping)
    keepalive.heard(start + .seconds(301))
    #expect(keepalive.nextDue(openCalls: 1) == start + .seconds(601))
    #expect(keepalive.check(now: start + .seconds(600), openCalls: 1) == .nothing)
    #expect(keepalive.check(now: start + .seconds(601), openCalls: 1) == .ping)
  }

  @Test("Without calls it is not pinged, unless that is asked for; the first call after a pause finds out")
  func withoutCalls() {
    var quiet = keepalive()
    #expect(quiet.nextDue(openCalls: 0) == nil)
    #expect(quiet.check(now: start + .seconds(9000), openCalls: 0) == .nothing)
    #expect(quiet.check(now: start + .seconds(9000), openCalls: 1) == .ping)
    var eager = keepalive { $0.keepaliveWithoutCalls = true }
    #expect(eager.check(now: start + .seconds(300), openCalls: 0) == .ping)
    // A ping that is under way is waited for, also when the last call has ended.
    #expect(quiet.check(now: start + .seconds(9020), openCalls: 0) == .close)
  }

  @Test("Without an interval nothing is ever due")
  func off() {
    var keepalive = keepalive { $0.keepaliveInterval = nil }
    #expect(keepalive.nextDue(openCalls: 5) == nil)
    #expect(keepalive.check(now: start + .seconds(100_000), openCalls: 5) == .nothing)
  }
}

import MendHTTP2
import NIOCore
import Testing

@testable import MendRPC

/// What time does to a connection, on a clock that the tests move.
@Suite struct ConnectionTimersTests {
  private func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

  private func timers(ready: Bool = true, _ change: (inout ServerLimits) -> Void = { _ in }) -> ConnectionTimers {
    var limits = ServerLimits()
    limits.idleTimeout = nil
    change(&limits)
    var keepalive = ServerKeepalive()
    keepalive.interval = nil
    var timers = ConnectionTimers(limits, keepalive, now: at(0))
    timers.hasSettings = ready
    timers.isAcknowledged = ready
    return timers
  }

  @Test("handshakeTimeout: a peer without SETTINGS is closed, one that acknowledges nothing is told")
  func handshake() {
    var silent = timers(ready: false)
    #expect(silent.nextDue(now: at(0), openCalls: 0) == at(10))
    let action6 = silent.check(now: at(9), openCalls: 0)
    #expect(action6 == .nothing)
    let action7 = silent.check(now: at(10), openCalls: 0)
    #expect(action7 == .close)
    var rude = timers(ready: false)
    rude.hasSettings = true
    let action8 = rude.check(now: at(9), openCalls: 0)
    #expect(action8 == .nothing)
    let action9 = rude.check(now: at(10), openCalls: 0)
    #expect(action9 == .terminate(.settingsTimeout))
  }

  @Test("headersTimeout: headers that never end, end the connection; those that do, don't")
  func headers() {
    var timers = self.timers()
    let began1 = timers.receivingHeaders(true, now: at(100))
    #expect(began1)
    // More of the same headers is no new beginning.
    let began2 = timers.receivingHeaders(true, now: at(109))
    #expect(!began2)
    #expect(timers.nextDue(now: at(100), openCalls: 0) == at(110))
    let action10 = timers.check(now: at(109), openCalls: 0)
    #expect(action10 == .nothing)
    let action11 = timers.check(now: at(110), openCalls: 0)
    #expect(action11 == .terminate(.enhanceYourCalm))
    let began3 = timers.receivingHeaders(false, now: at(110))
    #expect(!began3)
    let action12 = timers.check(now: at(200), openCalls: 0)
    #expect(action12 == .nothing)
  }

  @Test("What is due from a peer counts from when it is read again: a socket that takes nothing is not read")
  func unread() {
    var timers = self.timers { $0.stallTimeout = .seconds(60) }
    let began = timers.receivingHeaders(true, now: at(0))
    #expect(began)
    timers.writabilityChanged(false, now: at(1))
    let stalled = timers.check(now: at(30), openCalls: 0)
    #expect(stalled == .nothing)
    #expect(timers.nextDue(now: at(30), openCalls: 0) == at(61))
    timers.writabilityChanged(true, now: at(40))
    let resumed = timers.check(now: at(49), openCalls: 0)
    #expect(resumed == .nothing)
    let late = timers.check(now: at(50), openCalls: 0)
    #expect(late == .terminate(.enhanceYourCalm))
  }

  @Test("stallTimeout: a window that stays closed ends the connection, one that takes something doesn't")
  func window() {
    var timers = self.timers { $0.stallTimeout = .seconds(30) }
    let began4 = timers.windowClosed(sent: 1000, now: at(0))
    #expect(began4)
    let began5 = timers.windowClosed(sent: 1000, now: at(20))
    #expect(!began5)
    #expect(timers.nextDue(now: at(0), openCalls: 0) == at(30))
    let action13 = timers.check(now: at(29), openCalls: 1)
    #expect(action13 == .nothing)
    // One byte was taken.
    _ = timers.windowClosed(sent: 1001, now: at(29))
    let action14 = timers.check(now: at(58), openCalls: 1)
    #expect(action14 == .nothing)
    let action15 = timers.check(now: at(59), openCalls: 1)
    #expect(action15 == .terminate(.enhanceYourCalm))
    timers.windowOpen()
    let action16 = timers.check(now: at(500), openCalls: 1)
    #expect(action16 == .nothing)
  }

  @Test("stallTimeout: a socket that takes nothing is closed")
  func socket() {
    var timers = self.timers { $0.stallTimeout = .seconds(30) }
    timers.writabilityChanged(false, now: at(5))
    let action17 = timers.check(now: at(34), openCalls: 1)
    #expect(action17 == .nothing)
    let action18 = timers.check(now: at(35), openCalls: 1)
    #expect(action18 == .close)
    timers.writabilityChanged(true, now: at(35))
    let action19 = timers.check(now: at(500), openCalls: 1)
    #expect(action19 == .nothing)
  }

  @Test("idleTimeout and maxConnectionAge: the connection is asked to end once, and calls keep it from being idle")
  func retiring() {
    var idle = timers { $0.idleTimeout = .seconds(60) }
    let action20 = idle.check(now: at(60), openCalls: 1)
    #expect(action20 == .nothing)
    let action21 = idle.check(now: at(60), openCalls: 0)
    #expect(action21 == .shutDown)
    let action22 = idle.check(now: at(600), openCalls: 0, isDraining: true)
    #expect(action22 == .nothing)
    var old = timers { $0.maxConnectionAge = .seconds(100) }
    #expect(old.nextDue(now: at(0), openCalls: 0) == at(100))
    let action23 = old.check(now: at(99), openCalls: 5)
    #expect(action23 == .nothing)
    let action24 = old.check(now: at(100), openCalls: 5)
    #expect(action24 == .shutDown)
  }

  @Test("maxPingStrikes: pings within minPingInterval are forgiven twice, and an answer starts the count anew")
  func pings() {
    var timers = self.timers()
    let often = (0..<4).map { timers.pingIsTooMuch(at(Int64($0) * 299)) }
    #expect(often == [false, false, false, true])
    timers.answered()
    let again = (0..<4).map { timers.pingIsTooMuch(at(2000 + Int64($0))) }
    #expect(again == [false, false, false, true])
    timers.answered()
    let seldom = (0..<10).map { timers.pingIsTooMuch(at(5000 + Int64($0) * 300)) }
    #expect(!seldom.contains(true))
  }
}

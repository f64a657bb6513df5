import NIOCore
import Testing

@testable import MendRPC

/// The pool's decisions on a manual clock: what happened, when, and what it asks for.
@Suite struct PoolStateTests {
  typealias Action = PoolState.Action

  /// A pool and a clock that only the test moves.
  struct Bench {
    var pool: PoolState
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private var calls: UInt64 = 0

    init(_ change: (inout PoolConfiguration) -> Void = { _ in }) {
      var configuration = PoolConfiguration()
      configuration.backoff.jitter = 0
      change(&configuration)
      pool = PoolState(configuration, address: "test:1", generator: SeededGenerator(seed: 1))
    }

    mutating func advance(_ time: Duration) { now = now + TimeAmount(time) }

    mutating func request(
      ready: Bool = false, timeout: Duration? = nil
    ) -> (call: PoolState.CallID, decision: PoolState.Decision, actions: [Action]) {
      calls += 1
      let call = PoolState.CallID(number: calls)
      let patience = PoolState.Patience(
        waitsForReady: ready, deadline: timeout.map { [now] in now + TimeAmount($0) })
      let (decision, actions) = pool.request(call, patience, now: now)
      return (call, decision, actions)
    }

    /// A ready connection with room for so many calls, which a first call asked for and left again, answered.
    mutating func connect(maxCalls: Int = 100) throws -> PoolState.ConnectionID {
      let first = request()
      guard case .connect(let id)? = first.actions.first,
        pool.connected(id, maxCalls: maxCalls, now: now) == [.admit(first.call, id)]
      else { throw NotConnected() }
      _ = pool.served(id)
      _ = pool.ended(on: id, now: now)
      return id
    }

    struct NotConnected: Error {}
  }

  static func id(_ number: UInt64) -> PoolState.ConnectionID { PoolState.ConnectionID(number: number) }
  static let refused = RPCError.notBegun("can't connect to test:1: Connection refused")
  static let goodbye = RPCError.notBegun("test:1 takes no more calls: it is shutting down", origin: .server)

  @Test("The first call has a connection made, those that come meanwhile share it, and later ones have it at once")
  func firstConnection() {
    var bench = Bench()
    let (first, second) = (bench.request(), bench.request())
    #expect(first.decision == .queued)
    #expect(first.actions == [.connect(Self.id(1))])
    #expect(second.decision == .queued)
    #expect(second.actions == [])
    #expect(
      bench.pool.connected(Self.id(1), maxCalls: 100, now: bench.now)
        == [.admit(first.call, Self.id(1)), .admit(second.call, Self.id(1))])
    #expect(bench.request().decision == .admitted(Self.id(1)))
  }

  @Test("A full connection has another made, one at a time, up to the limit; then calls wait, in their order")
  func growth() throws {
    var bench = Bench { $0.maxConnections = 2 }
    let first = try bench.connect(maxCalls: 2)
    #expect(bench.request().decision == .admitted(first))
    #expect(bench.request().decision == .admitted(first))
    let third = bench.request()
    #expect(third.actions == [.connect(Self.id(2))])
    let fourth = bench.request()
    #expect(fourth.actions == [])
    // A place on the first connection is as good.
    #expect(bench.pool.ended(on: first, now: bench.now) == [.admit(third.call, first)])
    #expect(bench.pool.connected(Self.id(2), maxCalls: 1, now: bench.now) == [.admit(fourth.call, Self.id(2))])
    let (fifth, sixth) = (bench.request(), bench.request())
    #expect(fifth.decision == .queued)
    #expect(fifth.actions + sixth.actions == [])
    #expect(bench.pool.ended(on: Self.id(2), now: bench.now) == [.admit(fifth.call, Self.id(2))])
    #expect(bench.pool.ended(on: first, now: bench.now) == [.admit(sixth.call, first)])
  }

  @Test("Whoever finds the queue full is refused with the figures")
  func fullQueue() {
    var bench = Bench { $0.maxQueuedCalls = 2 }
    let first = bench.request()
    _ = bench.request()
    guard case .refused(let error) = bench.request().decision else {
      Issue.record("it was taken")
      return
    }
    #expect(error.code == .resourceExhausted)
    #expect(error.isSafeToRetry)
    #expect(error.message == "2 calls already wait for a connection to test:1; let some end first")
    #expect(bench.pool.counters.callsRefused == 1)
    // One that leaves makes room.
    #expect(bench.pool.cancel(first.call) == true)
    #expect(bench.pool.cancel(first.call) == false)
    #expect(bench.request().decision == .queued)
  }

  @Test("A server that raises its limit lets waiting calls in, and one that lowers it gets no more than that")
  func limitChanges() throws {
    var bench = Bench { $0.maxConnections = 1 }
    let id = try bench.connect(maxCalls: 1)
    _ = bench.request()
    let waiting = bench.request()
    #expect(bench.pool.limitChanged(id, maxCalls: 3, now: bench.now) == [.admit(waiting.call, id)])
    #expect(bench.pool.limitChanged(id, maxCalls: 1, now: bench.now) == [])
    let late = bench.request()
    #expect(bench.pool.ended(on: id, now: bench.now) == [])
    #expect(bench.pool.ended(on: id, now: bench.now) == [.admit(late.call, id)])
  }

  @Test("A failed attempt fails those that won't wait, with its words; those that wait have another made in time")
  func failedConnect() {
    var bench = Bench()
    let (hasty, patient) = (bench.request(), bench.request(ready: true))
    #expect(bench.pool.closed(Self.id(1), Self.refused, now: bench.now) == [.fail(hasty.call, Self.refused)])
    // During the backoff: at once, with the last reason.
    guard case .refused(let error) = bench.request().decision else {
      Issue.record("it was taken")
      return
    }
    #expect(error.code == .unavailable)
    #expect(error.message == "can't connect to test:1: Connection refused (the next attempt is in 1 s)")
    #expect(bench.pool.nextDue == bench.now + .seconds(1))
    bench.advance(.milliseconds(999))
    #expect(bench.pool.tick(now: bench.now) == [])
    bench.advance(.milliseconds(1))
    #expect(bench.pool.tick(now: bench.now) == [.connect(Self.id(2))])
    #expect(bench.pool.connected(Self.id(2), maxCalls: 9, now: bench.now) == [.admit(patient.call, Self.id(2))])
    #expect(bench.pool.lastFailure == nil)
  }

  @Test("Attempts are 1, 1.6, 2.56 ... seconds apart, at most 120, and a success starts them anew")
  func backoff() {
    var bench = Bench()
    _ = bench.request(ready: true)
    var expected = 1.0
    for number in 1...15 {
      #expect(bench.pool.closed(Self.id(UInt64(number)), Self.refused, now: bench.now) == [])
      let due = bench.pool.nextDue ?? bench.now
      #expect(abs(Double((due - bench.now).nanoseconds) / 1e9 - expected) < 0.001)
      bench.now = due
      #expect(bench.pool.tick(now: bench.now) == [.connect(Self.id(UInt64(number) + 1))])
      expected = min(expected * 1.6, 120)
    }
    #expect(expected == 120)
    #expect(bench.pool.connected(Self.id(16), maxCalls: 9, now: bench.now).count == 1)
    _ = bench.pool.served(Self.id(16))
    _ = bench.pool.ended(on: Self.id(16), now: bench.now)
    bench.advance(.seconds(60))
    _ = bench.pool.closed(Self.id(16), Self.refused, now: bench.now)
    let next = bench.request()
    #expect(next.actions == [.connect(Self.id(17))])
    _ = bench.pool.closed(Self.id(17), Self.refused, now: bench.now)
    _ = bench.request(ready: true)
    #expect(bench.pool.nextDue == bench.now + .seconds(1))
  }

  @Test("The wait counts from the attempt's beginning, and its jitter from the seed")
  func jitter() {
    func due(_ seed: UInt64) -> NIODeadline? {
      var bench = Bench()
      bench.pool = PoolState(PoolConfiguration(), address: "", generator: SeededGenerator(seed: seed))
      _ = bench.request(ready: true)
      bench.advance(.milliseconds(300))
      _ = bench.pool.closed(Self.id(1), Self.refused, now: bench.now)
      return bench.pool.nextDue
    }
    let start = Bench().now
    var seen: Set<NIODeadline> = []
    for seed in 0..<100 as Range<UInt64> {
      guard let due = due(seed) else {
        Issue.record("nothing is due")
        return
      }
      #expect(due >= start + .milliseconds(800) && due <= start + .milliseconds(1200))
      seen.insert(due)
    }
    #expect(seen.count > 90)
    #expect(due(7) == due(7))
  }

  @Test("After a pause of any length the next call has an attempt made at once: never stuck in backoff")
  func afterBackoff() {
    var bench = Bench()
    for number in 1...12 as ClosedRange<UInt64> {
      let call = bench.request()
      #expect(call.actions == [.connect(Self.id(number))])
      #expect(bench.pool.closed(Self.id(number), Self.refused, now: bench.now) == [.fail(call.call, Self.refused)])
      #expect(bench.pool.nextDue == nil)
      bench.advance(.seconds(3600))
    }
  }

  @Test("What no time heals fails all who wait, also those who wait for a server")
  func misconfigured() {
    var bench = Bench()
    let (hasty, patient) = (bench.request(), bench.request(ready: true))
    let error = RPCError(.failedPrecondition, "can't use ca.pem")
    #expect(
      bench.pool.closed(Self.id(1), error, now: bench.now) == [.fail(hasty.call, error), .fail(patient.call, error)])
  }

  @Test("A failed attempt beside a connection that works fails nobody")
  func failedSecond() throws {
    var bench = Bench()
    let id = try bench.connect(maxCalls: 1)
    _ = bench.request()
    let waiting = bench.request()
    #expect(waiting.actions == [.connect(Self.id(2))])
    #expect(bench.pool.closed(Self.id(2), Self.refused, now: bench.now) == [])
    #expect(bench.request().decision == .queued)
    #expect(bench.pool.ended(on: id, now: bench.now) == [.admit(waiting.call, id)])
  }

  @Test("A call waits to its deadline, in every phase, and is told the last reason")
  func deadlines() {
    var bench = Bench()
    let early = bench.request(ready: true, timeout: .seconds(2))
    let late = bench.request(ready: true, timeout: .seconds(5))
    #expect(bench.pool.nextDue == bench.now + .seconds(2))
    _ = bench.pool.closed(Self.id(1), Self.refused, now: bench.now)
    bench.advance(.seconds(2))
    let actions = bench.pool.tick(now: bench.now)
    guard case .fail(early.call, let error)? = actions.first else {
      Issue.record("\(actions)")
      return
    }
    #expect(error.code == .deadlineExceeded)
    #expect(error.message.hasSuffix("Connection refused"))
    #expect(actions.dropFirst() == [.connect(Self.id(2))])
    #expect(bench.pool.nextDue == bench.now + .seconds(3))
    #expect(bench.pool.connected(Self.id(2), maxCalls: 1, now: bench.now) == [.admit(late.call, Self.id(2))])
    if case .refused(let error) = bench.request(timeout: .seconds(-1)).decision {
      #expect(error.code == .deadlineExceeded)
    } else {
      Issue.record("a call whose deadline is over was taken")
    }
  }

  @Test("After a GOAWAY new calls have a new connection at once; the old one is forgotten when it closes")
  func goAway() throws {
    var bench = Bench()
    let old = try bench.connect()
    _ = bench.request()
    #expect(bench.pool.draining(old, Self.goodbye, tooManyPings: false, now: bench.now) == [])
    let next = bench.request()
    #expect(next.actions == [.connect(Self.id(2))])
    #expect(bench.pool.connected(Self.id(2), maxCalls: 9, now: bench.now) == [.admit(next.call, Self.id(2))])
    #expect(bench.pool.ended(on: old, now: bench.now) == [])
    #expect(bench.pool.closed(old, Self.refused, now: bench.now) == [])
    #expect(bench.request().decision == .admitted(Self.id(2)))
  }

  @Test("A GOAWAY sends no call that waits away empty-handed")
  func goAwayWithWaiters() throws {
    var bench = Bench { $0.maxConnections = 1 }
    let id = try bench.connect(maxCalls: 1)
    _ = bench.request()
    #expect(bench.request().actions == [])
    #expect(bench.pool.draining(id, Self.goodbye, tooManyPings: false, now: bench.now) == [.connect(Self.id(2))])
  }

  @Test("A connection that says goodbye without having served is a failed attempt, and attempts are spread")
  func goodbyeUnserved() {
    var bench = Bench()
    let hasty = bench.request()
    #expect(hasty.actions == [.connect(Self.id(1))])
    #expect(bench.pool.connected(Self.id(1), maxCalls: 9, now: bench.now) == [.admit(hasty.call, Self.id(1))])
    #expect(bench.pool.draining(Self.id(1), Self.goodbye, tooManyPings: false, now: bench.now) == [])
    _ = bench.pool.ended(on: Self.id(1), now: bench.now)
    // Whoever won't wait is refused, in the server's words.
    if case .refused(let error) = bench.request().decision {
      #expect(error.message.hasPrefix(Self.goodbye.message))
      #expect(error.origin == .server)
    } else {
      Issue.record("it connects again at once")
    }
    // The waits grow though connections are made.
    for (number, wait) in [(2, 1.0), (3, 1.6), (4, 2.56)] {
      let patient = bench.request(ready: true)
      #expect(patient.actions == [])
      let due = bench.pool.nextDue ?? bench.now
      #expect(abs(Double((due - bench.now).nanoseconds) / 1e9 - wait) < 0.001)
      bench.now = due
      let id = Self.id(UInt64(number))
      #expect(bench.pool.tick(now: bench.now) == [.connect(id)])
      #expect(bench.pool.connected(id, maxCalls: 9, now: bench.now) == [.admit(patient.call, id)])
      #expect(bench.pool.draining(id, Self.goodbye, tooManyPings: false, now: bench.now) == [])
      _ = bench.pool.ended(on: id, now: bench.now)
      _ = bench.pool.closed(id, Self.refused, now: bench.now)
    }
    _ = bench.request(ready: true)
    // One that serves starts them anew.
    bench.now = bench.pool.nextDue ?? bench.now
    _ = bench.pool.tick(now: bench.now)
    _ = bench.pool.connected(Self.id(5), maxCalls: 9, now: bench.now)
    _ = bench.pool.served(Self.id(5))
    #expect(bench.pool.draining(Self.id(5), Self.goodbye, tooManyPings: false, now: bench.now) == [])
    #expect(bench.request().actions == [.connect(Self.id(6))])
  }

  @Test("A server that takes no calls at present is not asked by further connections")
  func noPlaces() {
    var bench = Bench()
    let call = bench.request()
    #expect(bench.pool.connected(Self.id(1), maxCalls: 0, now: bench.now) == [])
    for _ in 0..<5 { #expect(bench.request().actions == []) }
    #expect(bench.pool.tick(now: bench.now + .seconds(10)) == [])
    #expect(
      bench.pool.limitChanged(Self.id(1), maxCalls: 1, now: bench.now) == [
        .admit(call.call, Self.id(1)), .connect(Self.id(2)),
      ])
  }

  @Test("A connection that does not answer gets no calls until it does: another is made")
  func silent() throws {
    var bench = Bench()
    let id = try bench.connect()
    #expect(bench.request().decision == .admitted(id))
    #expect(bench.pool.silenceChanged(id, isSilent: true, now: bench.now) == [])
    let next = bench.request()
    #expect(next.actions == [.connect(Self.id(2))])
    #expect(bench.pool.silenceChanged(id, isSilent: false, now: bench.now) == [.admit(next.call, id)])
    #expect(bench.pool.silenceChanged(id, isSilent: true, now: bench.now) == [])
    _ = bench.pool.connected(Self.id(2), maxCalls: 9, now: bench.now)
    #expect(bench.request().decision == .admitted(Self.id(2)))
    // It is lost at last, and fails nobody who waits for it.
    #expect(bench.pool.closed(id, Self.refused, now: bench.now + .seconds(20)) == [])
  }

  @Test("Draining connections are bounded: the oldest is closed")
  func manyGoAways() throws {
    var bench = Bench { $0.maxDrainingConnections = 2 }
    var ids: [PoolState.ConnectionID] = []
    for _ in 0..<3 {
      let id = try bench.connect()
      _ = bench.request()
      ids.append(id)
      let actions = bench.pool.draining(id, Self.goodbye, tooManyPings: false, now: bench.now)
      #expect(actions == (ids.count == 3 ? [.close(ids[0])] : []))
    }
  }

  @Test("too_many_pings doubles the interval of the next connections' pings, within bounds")
  func tooManyPings() throws {
    var bench = Bench { $0.connection.keepaliveInterval = .seconds(300) }
    for expected in [600, 1200, 2400] {
      let id = try bench.connect()
      _ = bench.pool.draining(id, Self.goodbye, tooManyPings: true, now: bench.now)
      #expect(bench.pool.keepaliveInterval == .seconds(expected))
    }
    for _ in 0..<20 {
      let id = try bench.connect()
      _ = bench.pool.draining(id, Self.goodbye, tooManyPings: true, now: bench.now)
    }
    #expect(bench.pool.keepaliveInterval == .seconds(24 * 3600))
  }

  @Test("An idle connection is closed after its time, and the next call has another made")
  func idle() throws {
    var bench = Bench { $0.idleTimeout = .seconds(600) }
    let id = try bench.connect()
    #expect(bench.pool.nextDue == bench.now + .seconds(600))
    bench.advance(.seconds(599))
    #expect(bench.pool.tick(now: bench.now) == [])
    #expect(bench.request().decision == .admitted(id))
    bench.advance(.seconds(1000))
    #expect(bench.pool.nextDue == nil)
    #expect(bench.pool.tick(now: bench.now) == [])
    #expect(bench.pool.ended(on: id, now: bench.now) == [])
    bench.advance(.seconds(600))
    #expect(bench.pool.tick(now: bench.now) == [.retire(id)])
    #expect(bench.request().actions == [.connect(Self.id(2))])
  }

  @Test("A connection that is lost as soon as it is made counts as a failed attempt; one that lasted does not")
  func shortLived() throws {
    var bench = Bench()
    let first = try bench.connect()
    bench.advance(.milliseconds(400))
    #expect(bench.pool.closed(first, Self.refused, now: bench.now) == [])
    if case .refused = bench.request().decision {} else { Issue.record("it connects again at once") }
    bench.advance(.milliseconds(600))
    let second = try bench.connect()
    bench.advance(.seconds(2))
    _ = bench.pool.closed(second, Self.refused, now: bench.now)
    #expect(bench.request().actions == [.connect(Self.id(3))])
  }

  @Test("Closing drains what is open, fails what waits, and a later call opens anew")
  func shutDown() throws {
    var bench = Bench { $0.maxConnections = 1 }
    let id = try bench.connect(maxCalls: 1)
    _ = bench.request()
    let waiting = bench.request()
    let error = RPCError(.cancelled, "closed")
    #expect(bench.pool.shutDown(error) == [.fail(waiting.call, error), .retire(id)])
    #expect(bench.pool.shutDown(error) == [])
    #expect(bench.request().actions == [.connect(Self.id(2))])
    // A connection that was being made when the pool was closed is of no use.
    _ = bench.pool.shutDown(error)
    #expect(!bench.pool.isConnecting(Self.id(2)))
    #expect(bench.pool.connected(Self.id(2), maxCalls: 1, now: bench.now) == [])
  }

  @Test("Ten thousand random steps keep its promises: no call lost or admitted twice, no connection overfull")
  func randomSteps() {
    for seed in 1...20 as ClosedRange<UInt64> { RandomPool(seed: seed).run(steps: 500) }
  }
}

/// Drives a pool at random and checks after every step what must always hold.
private struct RandomPool {
  private var generator: SeededGenerator
  private var bench: PoolStateTests.Bench
  private var waiting: Set<PoolState.CallID> = []
  private var running: [PoolState.ConnectionID: Int] = [:]
  private var limits: [PoolState.ConnectionID: Int] = [:]
  private var connecting: Set<PoolState.ConnectionID> = []

  init(seed: UInt64) {
    generator = SeededGenerator(seed: seed)
    bench = PoolStateTests.Bench {
      $0.maxConnections = 3
      $0.maxQueuedCalls = 20
      $0.maxDrainingConnections = 2
    }
  }

  func run(steps: Int) {
    var copy = self
    for _ in 0..<steps { copy.step() }
    copy.settle()
  }

  private mutating func step() {
    let connection = (Set(limits.keys).union(connecting)).sorted { $0.number < $1.number }
      .randomElement(using: &generator)
    switch Int.random(in: 0..<10, using: &generator) {
    case 0...3:
      let timeout: Duration? =
        Bool.random(using: &generator) ? .seconds(Int.random(in: 1...60, using: &generator)) : nil
      let made = bench.request(ready: Bool.random(using: &generator), timeout: timeout)
      switch made.decision {
      case .admitted(let id): running[id, default: 0] += 1
      case .queued: waiting.insert(made.call)
      case .refused: break
      }
      apply(made.actions)
    case 4:
      if let id = connection, connecting.remove(id) != nil {
        limits[id] = Int.random(in: 1...3, using: &generator)
        apply(bench.pool.connected(id, maxCalls: limits[id] ?? 1, now: bench.now))
        if Bool.random(using: &generator) { apply(bench.pool.served(id)) }
      }
    case 5:
      if let id = connection {
        connecting.remove(id)
        limits[id] = nil
        running[id] = nil
        apply(bench.pool.closed(id, PoolStateTests.refused, now: bench.now))
      }
    case 6:
      if let id = connection, limits[id] != nil {
        apply(
          bench.pool.draining(id, PoolStateTests.goodbye, tooManyPings: Bool.random(using: &generator), now: bench.now))
      }
    case 7:
      if let call = waiting.sorted(by: { $0.number < $1.number }).randomElement(using: &generator) {
        #expect(bench.pool.cancel(call) == true)
        waiting.remove(call)
      }
    default:
      let busy = running.filter { $0.value > 0 }.keys.sorted { $0.number < $1.number }
      if let id = busy.randomElement(using: &generator) {
        running[id, default: 0] -= 1
        apply(bench.pool.ended(on: id, now: bench.now))
      }
      bench.advance(.milliseconds(Int.random(in: 0...3000, using: &generator)))
      apply(bench.pool.tick(now: bench.now))
    }
    check()
  }

  private mutating func apply(_ actions: [PoolState.Action]) {
    for action in actions {
      switch action {
      case .connect(let id): #expect(connecting.insert(id).inserted == true)
      case .admit(let call, let id):
        #expect(waiting.remove(call) != nil)
        running[id, default: 0] += 1
        #expect(running[id, default: 0] <= limits[id] ?? 0)
      case .fail(let call, _): #expect(waiting.remove(call) != nil)
      case .retire(let id): #expect(running[id, default: 0] == 0)
      case .close: break
      }
    }
  }

  private func check() {
    #expect(bench.pool.waiting.count == waiting.count)
    #expect(bench.pool.connections.filter { !$0.isDraining }.count <= 3)
    #expect(bench.pool.connections.filter { $0.isConnecting }.count <= 1)
    // Whoever waits has something to wait for: a full pool, an attempt, or a time.
    if !waiting.isEmpty {
      let isConnecting = bench.pool.connections.contains { $0.isConnecting }
      let isFull = bench.pool.connections.filter { $0.isReady }.count == 3
      #expect(isConnecting || isFull || bench.pool.nextDue != nil)
    }
  }

  /// Once the server is well, everybody who waits is served.
  private mutating func settle() {
    for _ in 0..<200 where !waiting.isEmpty {
      if let due = bench.pool.nextDue, due > bench.now { bench.now = due }
      apply(bench.pool.tick(now: bench.now))
      for id in connecting {
        connecting.remove(id)
        limits[id] = 2
        apply(bench.pool.connected(id, maxCalls: 2, now: bench.now))
      }
      for (id, count) in running where count > 0 {
        running[id, default: 0] -= 1
        apply(bench.pool.ended(on: id, now: bench.now))
      }
    }
    #expect(waiting.isEmpty)
  }
}

import MendCore
import Testing

@testable import MendExecutors

/// What the machine says of a cluster that grows and shrinks, on a clock that the test moves.
@Suite struct RayCapacityTests {
  let start = ContinuousClock().now
  let wall = Instant(milliseconds: 2_000_000_000_000)

  func machine() -> RayAttempts { RayAttempts(settings: RayAttempts.Settings(), installation: "here", at: start) }

  func node(_ cpus: Double, isAlive: Bool = true) -> RayNode {
    RayNode(id: "n\(cpus)", isAlive: isAlive, resources: ["CPU": cpus, "memory": cpus * 100, "GPU": cpus / 2])
  }

  /// CPUs that are told when the cluster answers so.
  func told(_ machine: inout RayAttempts, _ nodes: [RayNode], after seconds: Int = 0) -> [Double] {
    machine.take(.nodes(.success(nodes)), at: start + .seconds(seconds), wallClock: wall).map {
      if case .capacity(let capacity) = $0 { capacity.cpus } else { -1 }
    }
  }

  func asks(_ machine: inout RayAttempts, after seconds: Int) -> Bool {
    machine.next(at: start + .seconds(seconds), underWay: 0).calls.contains(.nodes(withStatus: false))
  }

  @Test func `what live nodes have is told at first, and again when it grows`() {
    var machine = machine()
    let news = machine.take(.nodes(.success([node(2), node(4, isAlive: false)])), at: start, wallClock: wall)
    #expect(news == [.capacity(Capacity(executor: .ray, cpus: 2, memoryBytes: 200, gpus: 1))])
    #expect(told(&machine, [node(2)]) == [])
    #expect(told(&machine, [node(2), node(4)]) == [6])
    #expect(told(&machine, [node(2), node(4)]) == [])
  }

  @Test func `less is told when it is seen twice, and soon asked for again`() {
    var machine = machine()
    #expect(asks(&machine, after: 0))
    #expect(told(&machine, [node(2), node(4)]) == [6])
    #expect(!asks(&machine, after: 59))
    #expect(asks(&machine, after: 60))
    #expect(told(&machine, [node(2)], after: 60) == [])
    #expect(!asks(&machine, after: 62))
    #expect(asks(&machine, after: 63))
    // It was only missing from one answer.
    #expect(told(&machine, [node(2), node(4)], after: 63) == [])
    #expect(told(&machine, [node(2)], after: 123) == [])
    #expect(told(&machine, [node(2)], after: 126) == [2])
    #expect(!asks(&machine, after: 185))
    #expect(asks(&machine, after: 186))
  }

  @Test func `a head without a live node, or without an answer, tells nothing`() throws {
    var machine = machine()
    let refusal = RayError.refused(status: 500, "no state API")
    for _ in 0..<3 { _ = machine.take(.nodes(.failure(refusal)), at: start, wallClock: wall) }
    #expect(machine.takeRemarks() == [.capacityUnknown(refusal)])
    #expect(told(&machine, []) == [])
    #expect(told(&machine, [node(4)]) == [4])
    for _ in 0..<3 { #expect(told(&machine, [node(4, isAlive: false)]) == []) }
    _ = machine.take(.nodes(.failure(refusal)), at: start, wallClock: wall)
    #expect(machine.takeRemarks() == [])
    #expect(machine.known.capacity?.cpus == 4)
  }

  @Test func `a cluster that comes back is asked at once`() {
    var machine = machine()
    #expect(asks(&machine, after: 0))
    #expect(told(&machine, [node(4)]) == [4])
    var now = 1
    while !machine.reach.isAway {
      _ = machine.take(.version(.failure(.unreachable("refused"))), at: start + .seconds(now), wallClock: wall)
      now += 1
    }
    #expect(!asks(&machine, after: now))
    let version = RayVersion(sessionName: "s", rayVersion: "2")
    _ = machine.take(.version(.success(version)), at: start + .seconds(now), wallClock: wall)
    #expect(asks(&machine, after: now))
  }
}

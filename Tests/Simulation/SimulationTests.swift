import Foundation
import MendCore
import MendRuntime
import MendStore
import Testing

/// The real core and the real runtime in a simulated world. `tools/test simulate --seed S` replays one run.
@Suite("The simulator")
struct SimulationTests {
  /// `MEND_SEED` is one, or with `MEND_SEEDS` the first of so many; CI's own is made from the commit.
  static let seeds: [UInt64] = {
    let environment = ProcessInfo.processInfo.environment
    func number(_ name: String) -> UInt64? { environment[name].flatMap { UInt64($0) } }
    let extra = number("MEND_EXTRA_SEED").map { [$0] } ?? []
    guard let first = number("MEND_SEED") else { return Array(1...max(1, number("MEND_SEEDS") ?? 40)) + extra }
    return Array(first..<first + max(1, number("MEND_SEEDS") ?? 1))
  }()

  @Test("Whatever goes wrong, nothing acknowledged is lost, nothing is done twice, and everything ends")
  func seeds() async {
    let threads = max(1, min(2, ProcessInfo.processInfo.activeProcessorCount))
    let totals = await withTaskGroup(of: Totals.self) { group in
      for first in 0..<threads {
        group.addTask {
          var totals = Totals()
          for place in stride(from: first, to: Self.seeds.count, by: threads) { totals.run(Self.seeds[place]) }
          return totals
        }
      }
      return await group.reduce(into: Totals()) { $0.add($1) }
    }
    for broken in totals.broken.dropFirst(20).prefix(300) { print("broken: \(broken)") }
    for broken in totals.broken.prefix(20) { Issue.record("\(broken)") }
    print("simulated: \(totals.runs) runs, \(totals.steps) steps, \(totals.writes) commits, \(totals.lives) lives")
    print(totals.coverage.account)
    if Self.seeds.count >= 1000 { #expect(totals.coverage.missing.isEmpty) }
    #expect(totals.broken.isEmpty)
    #expect(totals.runs == Self.seeds.count)
  }

  /// 6108: an executor that was away was asked twice for one attempt, and its second "I do not have it" was taken for the
  /// loss of what the first had launched.
  @Test("A seed that once found a mistake finds none any more", arguments: [6108] as [UInt64])
  func mended(_ seed: UInt64) {
    if let broken = World(seed: seed, store: .inMemory()).run() { Issue.record("seed \(seed): \(broken)") }
  }

  @Test("The same seed gives the same history", arguments: [3, 17, 42] as [UInt64])
  func replays(_ seed: UInt64) {
    let worlds = (0..<2).map { _ in World(seed: seed, store: .inMemory()) }
    for world in worlds { _ = world.run() }
    #expect(worlds[0].store.journals == worlds[1].store.journals)
    #expect(worlds[0].steps == worlds[1].steps)
    #expect(!worlds[0].store.journals.isEmpty)
  }
}

private struct Totals: @unchecked Sendable {
  var runs = 0
  var steps = 0
  var writes = 0
  var lives = 0
  var broken: [String] = []
  var coverage = Coverage()

  mutating func run(_ seed: UInt64) {
    let world = World(seed: seed, store: .inMemory(), coverage: coverage)
    if let broken = world.run() {
      self.broken.append("seed \(seed): \(broken)")
      if SimulationTests.seeds.count == 1 { print(world.account) }
      if self.broken.count <= 2, let invariant = world.brokenInvariant {
        print(Self.shrunk(seed, world.plan, invariant))
      }
    }
    runs += 1
    steps += world.steps
    writes += world.store.writes
    lives += world.life
  }

  /// The smallest that was found to break the same: what is left of the plan, and its script.
  private static func shrunk(_ seed: UInt64, _ plan: Plan, _ invariant: Invariant) -> String {
    var shrinker = Shrinker(seed: seed, plan: plan, invariant: invariant)
    shrinker.shrink()
    let world = World(seed: seed, plan: shrinker.plan, store: .inMemory())
    world.script = Script()
    let broken = world.run() ?? "nothing any more"
    return
      "shrunk: seed \(seed) in \(shrinker.runs) runs to \(shrinker.plan.batches.count) batches, which break \(broken)\n"
      + "# \(invariant.rawValue)\n\n\(world.script?.text ?? "")\n"
  }

  mutating func add(_ other: Totals) {
    runs += other.runs
    steps += other.steps
    writes += other.writes
    lives += other.lives
    broken += other.broken
    coverage.add(other.coverage)
  }
}

extension CheckedStore {
  static func inMemory() -> CheckedStore { CheckedStore(MemoryStore()) { $0 } }
}

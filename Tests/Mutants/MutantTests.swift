import Foundation
import MendCore
import Testing

/// `tools/test simulate` runs it, in a package of its own that Tests/Mutants/prepare makes.
@Suite("Mistakes that are made on purpose", .serialized)
struct MutantTests {
  /// `MEND_MUTANTS` names some, separated by commas; else all are tried.
  static let mutants: [Mutant] = {
    let names = ProcessInfo.processInfo.environment["MEND_MUTANTS"]?.split(separator: ",").map(String.init)
    return Mutant.allCases.filter { names?.contains($0.rawValue) != false }
  }()

  static let seedsAtMost: UInt64 = 600
  /// `MEND_SEED` is another first seed.
  static let firstSeed = ProcessInfo.processInfo.environment["MEND_SEED"].flatMap { UInt64($0) } ?? 1

  @Test("The simulator finds it", arguments: mutants)
  func isFound(_ mutant: Mutant) async {
    planted = mutant
    defer { planted = nil }
    var seed = Self.firstSeed
    while seed < Self.firstSeed + Self.seedsAtMost {
      // Two at a time: a mistake that is seldom seen takes hundreds.
      let next = seed + 1
      async let second = World(seed: next, store: .inMemory()).run()
      let first = World(seed: seed, store: .inMemory()).run()
      let broken = [(seed, first), (next, await second)]
      for (seed, what) in broken {
        guard let what, isMade(by: mutant, seed) else { continue }
        print("planted \(mutant.rawValue): \(seed) \(seed == 1 ? "seed" : "seeds"), \(what)")
        fflush(nil)
        return
      }
      seed += 2
    }
    Issue.record("\(mutant.rawValue) was planted, and \(Self.seedsAtMost) seeds did not show it")
  }

  /// What breaks without the mistake, too, is another's.
  private func isMade(by mutant: Mutant, _ seed: UInt64) -> Bool {
    planted = nil
    defer { planted = mutant }
    return World(seed: seed, store: .inMemory()).run() == nil
  }
}

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

  static let seedsAtMost: UInt64 = 200

  @Test("The simulator finds it", arguments: mutants)
  func isFound(_ mutant: Mutant) {
    planted = mutant
    defer { planted = nil }
    for seed in 1...Self.seedsAtMost {
      guard let broken = World(seed: seed, store: .inMemory()).run() else { continue }
      print("planted \(mutant.rawValue): seed \(seed), \(broken)")
      return
    }
    Issue.record("\(mutant.rawValue) was planted, and \(Self.seedsAtMost) seeds did not show it")
  }
}

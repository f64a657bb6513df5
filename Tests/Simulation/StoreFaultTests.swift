import Foundation
import MendCore
import MendRuntime
import MendStore
import TestSupport
import Testing

/// The real store on a disk that fails. What was acknowledged is there after any crash; what cannot be read is said, and
/// never served as if it were right; all else is served, and the server starts.
@Suite("The real store on a disk that fails", .serialized)
struct StoreFaultTests {
  private static func number(_ name: String) -> UInt64? {
    ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
  }

  /// `MEND_DISK_SEED` is one; `MEND_DISK_SEEDS` is how many.
  static let powerSeeds: [UInt64] =
    number("MEND_DISK_SEED").map { [$0] } ?? Array(1...(number("MEND_DISK_SEEDS") ?? 40))
  static let damageSeeds: [UInt64] =
    number("MEND_DISK_SEED").map { [$0] } ?? Array(1...(number("MEND_DISK_SEEDS") ?? 200))

  @Test("Power cuts, a full disk, torn writes and refused syncs lose nothing that was acknowledged")
  func power() throws {
    var account: [String: Int] = [:]
    for seed in Self.powerSeeds {
      try Self.inDirectory { directory in
        let disk = try DiskStore(directory: directory, seed: seed)
        defer { disk.end() }
        let world = World(
          seed: seed,
          store: CheckedStore(disk) { store in
            try disk.reopen()
            return store
          })
        if let broken = world.run() { Issue.record("seed \(seed): \(broken)") }
        account.merge(disk.account) { $0 + $1 }
      }
    }
    print("simulated: \(Self.powerSeeds.count) runs on a faulty disk: \(Self.words(account))")
  }

  @Test("Damage to the journal's files is said, costs what it hit, and is never served as right")
  func damage() throws {
    var account: [String: Int] = [:]
    for seed in Self.damageSeeds {
      do {
        try Self.inDirectory { directory in
          var random = Random(seed: seed)
          let damage = random.of(DamagedJournal.Damage.allCases)
          var journal = DamagedJournal(directory: directory, seed: seed)
          try journal.write(isKilled: damage == .log || random.chance(200))
          let disk = FaultyDisk(directory: directory)
          defer { disk.remove() }
          let what = journal.damage(damage, disk)
          var check = DamageCheck(journal: journal, disk: disk, what: "seed \(seed), \(what)")
          check.run()
          for broken in check.broken { Issue.record("\(broken)") }
          account["\(damage) \(check.outcome)", default: 0] += 1
        }
      } catch {
        Issue.record("seed \(seed): \(error)")
      }
    }
    print("simulated: \(Self.damageSeeds.count) damaged journals: \(Self.words(account))")
  }

  private static func words(_ account: [String: Int]) -> String {
    account.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
  }

  static func inDirectory(_ body: (String) throws -> Void) throws {
    let directory = try TemporaryDirectory()
    try body(directory.path)
  }
}

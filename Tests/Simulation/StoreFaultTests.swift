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

  @Test("A start on a full disk is refused with what to do, or the first write that finds room makes up for it")
  func startOnAFullDisk() throws {
    for writes in 0..<30 {
      try Self.inDirectory { directory in
        var random = Random(seed: UInt64(writes))
        let specification = Plan.ordinary(0, &random).specification
        func commit(_ id: String, to store: SQLiteStore) throws {
          try store.commit([
            .record(
              Record(
                batch: BatchKey(namespace: "one", batchID: id), sequence: 1, at: Instant(milliseconds: 1),
                cause: .caller,
                fact: .batchCreated(specification)))
          ])
        }
        var store = try SQLiteStore(directory: directory)
        try commit("before", to: store)
        try store.close()
        let disk = FaultyDisk(directory: directory)
        defer { disk.remove() }
        disk.plan(.full, after: writes)
        do throws(StoreError) {
          store = try SQLiteStore(directory: directory)
        } catch {
          #expect(error.message.contains("make room"), "\(error)")
          store = try SQLiteStore(directory: directory)
        }
        #expect(store.damage == nil)
        #expect(try store.recover(at: Instant(milliseconds: 1)).batches.count == 1)
        do {
          try commit("after", to: store)
        } catch let error as StoreError where error.isFull {
          try commit("after", to: store)
        }
        disk.die()
        try? store.close()
        disk.revive()
        // The database file by itself says that it is not all.
        try FileManager.default.removeItem(atPath: directory + "/journal.sqlite-wal")
        try FileManager.default.removeItem(atPath: directory + "/journal.sqlite-mark")
        let error = #expect(throws: StoreError.self) { try SQLiteStore(directory: directory) }
        #expect(error?.message.contains("was copied or kept without") == true, "\(writes): \(error as Any)")
      }
    }
  }

  private static func words(_ account: [String: Int]) -> String {
    account.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
  }

  static func inDirectory(_ body: (String) throws -> Void) throws {
    let directory = try TemporaryDirectory()
    try body(directory.path)
  }
}

import Foundation
import GRDB
import MendCore
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendStore

@Suite("Where batches have rows, and how many rows were forgotten: neither is lost without a word, nor grows for ever")
struct PlacesOfRowsTests {
  private let directory: TemporaryDirectory
  private let now = Instant(milliseconds: 5_000)

  init() throws { directory = try TemporaryDirectory() }

  private func open() throws -> SQLiteStore { try SQLiteStore(directory: directory.path) }

  private func change(_ body: (Database) throws -> Void) throws {
    let queue = try DatabaseQueue(path: directory.path + "/journal.sqlite")
    try queue.write { try body($0) }
    try queue.close()
  }

  private func key(_ id: String) -> BatchKey { BatchKey(namespace: "n", batchID: id) }

  /// `a` has rows in the first two segments, `b` in the first and the last two.
  private func fill() throws {
    for sequence in UInt64(1)...2 {
      let store = try open()
      for id in ["a", "b"] { try store.commit([Samples.write(id, sequence)]) }
      try store.close()
      try change { database in
        // As if other batches had rows in between.
        let row = Int64(sequence) * Schema.rowsPerSegment + 900
        try database.execute(
          sql: "UPDATE journal SET id = ?, checksum = NULL WHERE id = (SELECT max(id) FROM journal)", arguments: [row])
        try database.execute(sql: "INSERT INTO presence VALUES (2, ?)", arguments: [Schema.segment(of: row)])
        try JournalCounts.begin(in: database)
      }
    }
  }

  @Test(
    "a lost note of where a live batch has rows shortens no batch, is said, and is written anew",
    arguments: [
      "DELETE FROM presence WHERE batch = 1", "UPDATE presence SET segment = 2 WHERE batch = 1",
      "UPDATE batches SET segment = 2 WHERE id = 1",
    ])
  func lostPlace(_ damage: String) throws {
    try fill()
    try change { try $0.execute(sql: damage) }
    for isSaid in [true, false] {
      let store = try open()
      let recovery = try store.recover(at: now)
      #expect(recovery.batches.map(\.sequence) == [2, 2] && recovery.setAside.isEmpty, "\(recovery.setAside)")
      #expect(recovery.losses.isEmpty != isSaid, "\(recovery.losses)")
      #expect(try store.batch(key("a"))?.sequence == 2)
      #expect(try store.journal(of: key("a"), after: 0).count == 2)
      try store.close()
    }
  }

  @Test("batches come, are finished, are retried and are forgotten, and no start says that something is missing")
  func sumOfLive() throws {
    try fill()
    var (sequence, listed): ([String: UInt64], Set<String>) = (["a": 2, "b": 2], [])
    for round in 0..<12 {
      let store = try open()
      let recovery = try store.recover(at: now)
      #expect(recovery.losses.isEmpty && recovery.setAside.isEmpty, "\(round): \(recovery)")
      #expect(recovery.batches.count == sequence.count - listed.count)
      for id in ["a", "b", "c\(round)"] {
        sequence[id, default: 0] += 1
        try store.commit([Samples.write(id, sequence[id] ?? 0)])
        listed.remove(id)
      }
      for id in ["b", "c\(round)"] + (round % 3 == 0 ? ["a"] : []) {
        try store.retire(key(id), entry: Samples.listing(id))
        if round % 2 == 0 { try store.retire(key(id), entry: Samples.listing(id)) }
        listed.insert(id)
      }
      if round % 4 == 1 {
        for key in try store.prune(finishedBefore: .distantFuture, limit: 2) {
          sequence[key.batchID] = nil
          listed.remove(key.batchID)
        }
      }
      try store.lookThrough()
      #expect(store.takeLosses().isEmpty)
      try store.close()
    }
  }

  // MARK: - Forgotten rows

  @Test("segments of which nothing is left share a row, and each segment's count is right")
  func forgottenRows() throws {
    let queue = try DatabaseQueue()
    try Schema.migrator.migrate(queue)
    var generator = SystemRandomNumberGenerator()
    try queue.write { database in
      var counts = try JournalCounts(database)
      var forgotten: [Int64: Int64] = [:]
      for _ in 0..<2000 {
        let segment = Int64.random(in: 0..<40, using: &generator)
        let left = Schema.rowCount(of: segment) - forgotten[segment, default: 0]
        guard left > 0 else { continue }
        let rows = Bool.random(using: &generator) ? left : min(left, 7)
        forgotten[segment, default: 0] += rows
        try counts.forget(Int(rows), of: segment, in: database)
        for segment in Int64(0)..<40 {
          #expect(try ForgottenRows.count(of: segment, in: database) == forgotten[segment, default: 0])
        }
        let rowsOfTable = try Int64.fetchOne(database, sql: "SELECT count(*) FROM forgotten") ?? 0
        let withRows = (Int64(0)..<40).count { forgotten[$0, default: 0] < Schema.rowCount(of: $0) }
        #expect(rowsOfTable <= 2 * withRows + 1)
      }
      try counts.forgetBatches(0, lastRow: 0, lastBatch: 0, in: database)
      #expect(try Int.fetchOne(database, sql: "SELECT count(*) FROM forgotten") == 1)
      #expect(try !JournalCounts(database).isDamaged)
      try database.execute(sql: "DELETE FROM forgotten")
      #expect(try JournalCounts(database).isDamaged)
    }
  }

  // MARK: - The mark

  @Test("a damaged mark says nothing, and an earlier version's that is far ahead keeps nobody looking")
  func damagedMark() throws {
    try fill()
    let mark = directory.path + "/journal.sqlite-mark"
    let whole = try Data(contentsOf: URL(fileURLWithPath: mark))
    let row = try #require(try JournalMark.row(at: mark))
    for place in whole.indices {
      for bit in 0..<8 {
        var bytes = whole
        bytes[place] ^= 1 << UInt8(bit)
        try bytes.write(to: URL(fileURLWithPath: mark))
        let found = try JournalMark.row(at: mark)
        #expect(found == nil || found == row)
      }
    }
    try Data("   1099511627000\n".utf8).write(to: URL(fileURLWithPath: mark))
    let report = try JournalDoctor(directory: directory.path, version: "1").examine()
    #expect(report.batches == 2 && report.faults.contains { $0.contains("1099511627000 was acknowledged") })
  }

  // MARK: - A full disk

  @Test("what a start on a full disk left undone is done before the first write, and damage is found by it")
  func startOnAFullDisk() throws {
    try fill()
    let store = try open()
    try store.pool.writeWithoutTransaction { database in
      database.add(
        function: DatabaseFunction("fail", argumentCount: 0) { _ in
          throw DatabaseError(resultCode: .SQLITE_FULL, message: "database or disk is full")
        })
      try database.execute(sql: "CREATE TEMP TRIGGER filling BEFORE INSERT ON main.outbox BEGIN SELECT fail(); END")
      try database.execute(sql: "UPDATE log_state SET state = 0 WHERE id = 1")
    }
    store.preparation.withLock {
      $0 = Preparation(pool: store.pool, path: store.path, mark: store.mark, ledger: store.ledger.withLock { $0 })
    }
    #expect(try store.recover(at: now).batches.count == 2)
    for write in [{ try store.commit([Samples.write("a", 3)]) }, { try store.probe() }] {
      let error = #expect(throws: StoreError.self) { try write() }
      #expect(error?.isFull == true && error?.message.contains("make room") == true)
    }
    try store.pool.writeWithoutTransaction { try $0.execute(sql: "DROP TRIGGER temp.filling") }
    try store.probe()
    #expect(try store.pool.read { try Int.fetchOne($0, sql: "SELECT state FROM log_state") } == 2)
    try store.commit([Samples.write("a", 3)])
    try store.close()
  }
}

import Foundation
import GRDB
import MendCore
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendStore

@Suite("Older and unreadable pages of the tables beside the journal: no batch is lost, and writing goes on")
struct OlderPagesTests {
  private let directory: TemporaryDirectory
  private let now = Instant(milliseconds: 5_000)

  init() throws { directory = try TemporaryDirectory() }

  private var file: String { directory.path + "/journal.sqlite" }

  private func open() throws -> SQLiteStore { try SQLiteStore(directory: directory.path) }

  private func key(_ id: String) -> BatchKey { BatchKey(namespace: "n", batchID: id) }

  /// Three batches of four records, a commit each; `b` is finished.
  private func fill() throws {
    let store = try open()
    for sequence in 1...4 { for id in ["a", "b", "c"] { try store.commit([Samples.write(id, UInt64(sequence))]) } }
    try store.retire(key("b"), entry: Samples.listing("b"))
    try store.close()
  }

  private func change(_ sql: String) throws {
    let queue = try DatabaseQueue(path: file)
    try queue.write { try $0.execute(sql: sql) }
    try queue.close()
  }

  /// Changes the table of batches and none of its indexes, as an older page of it does.
  private func changeTableAlone(_ sql: String) throws {
    let indexes = "WHERE type = 'index' AND tbl_name = 'batches' AND sql IS NOT NULL"
    try change("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = sql || ' AND id < 0' \(indexes)")
    try change(sql)
    try change(
      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, ' AND id < 0', '') \(indexes)")
  }

  /// Overwrites a page of a table with zeros: its root, or the first leaf.
  private func lose(_ table: String, isLeaf: Bool = false) throws {
    let queue = try DatabaseQueue(path: file)
    let root = try queue.read {
      try Int.fetchOne($0, sql: "SELECT rootpage FROM sqlite_schema WHERE name = ?", arguments: [table])
    }
    try queue.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }
    try queue.close()
    var page = try #require(root)
    var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
    if isLeaf {
      let start = (page - 1) * 4096
      #expect(bytes[start] == 2, "the root is an inner page of an index")
      let cell = start + Int(bytes[start + 12]) << 8 + Int(bytes[start + 13])
      page = bytes[cell..<cell + 4].reduce(0) { $0 << 8 + Int($1) }
    }
    bytes.replaceSubrange((page - 1) * 4096..<page * 4096, with: Data(count: 4096))
    try bytes.write(to: URL(fileURLWithPath: file))
  }

  // MARK: - Places

  @Test("a batch is finished and retried though the notes of its places cannot be read", arguments: [false, true])
  func unreadablePlaces(_ recovers: Bool) throws {
    try fill()
    let values = (1...4000).map { "(1, \($0))" }.joined(separator: ", ")
    try change("INSERT INTO presence (batch, segment) VALUES \(values)")
    try lose("presence", isLeaf: true)
    let store = try open()
    #expect(store.damage == nil)
    if recovers { #expect(try store.recover(at: now).batches.count == 2) }
    try store.retire([Samples.listing("a")])
    try store.commit([Samples.write("d", 1)])
    try store.close()
    let again = try open()
    #expect(try again.recover(at: now).batches.map(\.key) == [key("c"), key("d")])
    try again.commit([Samples.write("d", 2)])
    try again.close()
  }

  // MARK: - The table of batches

  @Test("a finished batch that an older page calls live is found, and finished again", arguments: [false, true])
  func calledLive(_ looks: Bool) throws {
    try fill()
    try changeTableAlone("UPDATE batches SET retired = 0, listing = NULL, checksum = NULL WHERE batch_id = 'b'")
    var store = try open()
    #expect(try store.recover(at: now).batches.map(\.key) == [key("a"), key("c")])
    if looks {
      try store.lookThrough()
      #expect(store.takeLosses().contains { $0.contains("index") })
    } else {
      #expect(try store.retired(namespace: "n", status: nil, bucketID: nil, before: nil, limit: 9).isEmpty)
    }
    try store.close()
    store = try open()
    let recovery = try store.recover(at: now)
    #expect(recovery.batches.map(\.key) == [key("a"), key("b"), key("c")])
    #expect(!recovery.losses.contains { $0.contains("notes of where") }, "\(recovery.losses)")
    try store.retire([Samples.listing("b")])
    try store.close()
    store = try open()
    #expect(try store.recover(at: now).losses.isEmpty)
    try store.lookThrough()
    #expect(store.takeLosses().isEmpty)
    #expect(
      try store.retired(namespace: "n", status: nil, bucketID: nil, before: nil, limit: 9) == [Samples.listing("b")])
    try store.close()
  }

  @Test("a retried batch that an older page calls finished stays live, at this start and at later ones")
  func calledFinished() throws {
    try fill()
    try change("CREATE TABLE older AS SELECT * FROM batches WHERE batch_id = 'b'")
    var store = try open()
    try store.commit([Samples.write("b", 5)])
    try store.close()
    try changeTableAlone(
      """
      UPDATE batches SET (retired, listing, checksum) = (SELECT retired, listing, checksum FROM older)
      WHERE batch_id = 'b'; DROP TABLE older
      """)
    for start in 1...4 {
      store = try open()
      let recovery = try store.recover(at: now)
      #expect(recovery.batches.map(\.key) == [key("a"), key("b"), key("c")], "start \(start)")
      #expect(recovery.losses.isEmpty == (start != 2), "start \(start): \(recovery.losses)")
      #expect(!recovery.losses.contains { $0.contains("notes of where") }, "\(recovery.losses)")
      if start > 2 { try store.commit([Samples.write("b", UInt64(start + 3))]) }
      try store.lookThrough()
      #expect(store.takeLosses().isEmpty == (start != 1), "start \(start)")
      try store.close()
    }
  }

  // MARK: - Counts

  private func databaseOfSchema5() throws -> DatabaseQueue {
    let queue = try DatabaseQueue(path: file)
    try Schema.migrator.migrate(queue, upTo: "5 sums and counts")
    try queue.write { database in
      try database.execute(
        sql: """
          INSERT INTO batches (id, namespace, batch_id, segment) VALUES (1, 'n', 'a', 0);
          INSERT INTO journal (id, batch, first, count, payload) VALUES (5000, 1, 1, 1, x'00');
          DELETE FROM counts
          """)
      for (name, value) in [("first_row", 0), ("pruned_batches", 0), ("pruned.0", 4095), ("pruned.1", 904)] {
        try JournalCounts.set(name, Int64(value), in: database)
      }
    }
    return queue
  }

  @Test("an upgrade with a damaged count of forgotten rows counts anew, and takes none of them for lost")
  func upgradeWithDamagedCount() throws {
    let queue = try databaseOfSchema5()
    try queue.write { try $0.execute(sql: "UPDATE counts SET value = 905 WHERE name = 'pruned.1'") }
    try Schema.migrator.migrate(queue)
    try queue.read { database in
      let counts = try JournalCounts(database)
      #expect(!counts.isDamaged && counts.firstRow == 2 * Schema.rowsPerSegment)
      for segment in Int64(0)...1 { #expect(try counts.expected(in: segment, last: 5000, database) == nil) }
      #expect(try !counts.missesLive(database))
    }
  }

  @Test("an upgrade goes on where a page of places cannot be read")
  func upgradeWithUnreadablePlaces() throws {
    try databaseOfSchema5().close()
    try lose("presence")
    let queue = try DatabaseQueue(path: file)
    try Schema.migrate(queue)
    try queue.read { database in
      #expect(try Int.fetchOne(database, sql: "PRAGMA user_version") == Schema.version)
      let counts = try JournalCounts(database)
      #expect(!counts.isDamaged)
      #expect(try counts.missesLive(database))
    }
  }

  @Test("counting that begins anew still asks the next start to read the whole table")
  func askingOutlastsCounting() throws {
    let queue = try DatabaseQueue()
    try Schema.migrator.migrate(queue)
    try queue.write { database in
      try JournalCounts.set(JournalCounts.asksForAll, 1, in: database)
      try JournalCounts.begin(in: database)
      #expect(try JournalCounts(database).asksForAll)
    }
  }

  @Test("a start finds that the disk fails the count that each new batch changes, and changes nothing")
  func failedCount() throws {
    try fill()
    let store = try open()
    try store.pool.writeWithoutTransaction { database in
      database.add(
        function: DatabaseFunction("fail", argumentCount: 0) { _ in
          throw DatabaseError(resultCode: .SQLITE_IOERR_READ, message: "disk I/O error")
        })
      try database.execute(sql: "CREATE TEMP TRIGGER failing BEFORE INSERT ON main.counts BEGIN SELECT fail(); END")
    }
    let preparation = Preparation(
      pool: store.pool, path: store.path, mark: store.mark, ledger: store.ledger.withLock { $0 })
    #expect(throws: Preparation.Damage.self) { try preparation.run() }
    try store.close()
  }
}

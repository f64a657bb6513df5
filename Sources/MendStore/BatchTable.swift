import GRDB
import MendCore
package import MendRuntime
import Synchronization

/// Finds what is wrong with the table of batches and its indexes.
enum BatchTable {
  /// Tells whether every index has an entry for each batch in a range of batch numbers that it should have, and no other.
  static func indexesAgree(_ database: Database, _ ids: ClosedRange<Int64>) throws -> Bool {
    // A condition that a partial index implies is not looked up in the table.
    let entries = [
      ("retired_batches", "i.namespace = t.namespace AND i.batch_id = t.batch_id"),
      ("retired_newest", "i.namespace = t.namespace AND i.created_at IS t.created_at AND i.batch_id = t.batch_id"),
      ("retired_oldest", "i.completed_at IS t.completed_at"),
    ].map { index, agrees in
      "EXISTS (SELECT 1 FROM batches AS i INDEXED BY \(index) WHERE i.retired = 1 AND \(agrees) AND i.id = t.id)"
    }
    let isNamedLive = "EXISTS (SELECT 1 FROM batches AS i INDEXED BY live_batches WHERE i.retired = 0 AND i.id = t.id)"
    return try Int64.fetchOne(
      database.makeStatement(
        sql: """
          SELECT id FROM batches AS t NOT INDEXED WHERE id BETWEEN ? AND ? AND NOT CASE retired
          WHEN 1 THEN \(entries.joined(separator: " AND ")) AND NOT \(isNamedLive)
          WHEN 0 THEN \(isNamedLive) AND NOT \(entries[0])
          ELSE NOT \(isNamedLive) AND NOT \(entries[0]) END LIMIT 1
          """),
      arguments: [ids.lowerBound, ids.upperBound]) == nil
  }

  /// Reads a first entry of each index; throws if its pages cannot be read.
  static func readIndexes(_ database: Database) throws {
    for (index, retired) in [("live_batches", 0), ("retired_batches", 1), ("retired_newest", 1), ("retired_oldest", 1)]
    {
      _ = try Int64.fetchOne(
        database, sql: "SELECT id FROM batches INDEXED BY \(index) WHERE retired = \(retired) LIMIT 1")
    }
  }

  /// Finds finished batches that were forgotten and are in the table again. They have no rows in the journal, and no row is
  /// missing from the segment in which theirs began.
  ///
  /// Searches only if the table has the wrong number of batches.
  static func forgotten(
    _ database: Database, last: SQLiteStore.Ledger.Marks
  ) throws -> [(id: Int64, name: String)] {
    let counts = try JournalCounts(database)
    let count = try Int64.fetchOne(database, sql: "SELECT count(*) FROM batches") ?? 0
    guard counts.missing(ofBatches: count, last: last.lastBatch) ?? 0 != 0 else { return [] }
    let rows = try Row.fetchAll(
      database,
      sql: """
        SELECT id, namespace, batch_id, segment FROM batches NOT INDEXED
        WHERE retired = 1 AND id NOT IN (SELECT batch FROM journal)
        """)
    return try rows.compactMap { row in
      let segment = Schema.rows(of: row.integer(3))
      let count = try Int64.fetchOne(
        database, sql: "SELECT count(*) FROM journal WHERE id >= ? AND id < ?",
        arguments: [segment.lowerBound, segment.upperBound])
      guard try counts.expected(in: row.integer(3), last: last.lastRow, database) == count else { return nil }
      return (row.integer(0), "\(row.text(1))/\(row.text(2))")
    }
  }
}

extension SQLiteStore {
  private static let batchesLookedAt: Int64 = 1000

  /// Checks the listings and index entries of some finished batches, and returns the place where the next check begins. The
  /// last check counts all batches and returns nil.
  ///
  /// A start skips these checks because they take longer the more batches there are. Damage is noted; the next start
  /// repairs it.
  package func lookThrough(from place: Int64) throws(StoreError) -> Int64? {
    let last = ledger.withLock { $0.marks.lastBatch }
    guard place <= last else {
      // A start can remove batches that are back, and cannot restore those that are missing.
      if count(last: last) < 0 { try askForAll() }
      return nil
    }
    let (found, next) = try Self.access("look", path) {
      try pool.unsafeRead { try lookThrough($0, from: place, last: last) }
    }
    for loss in found { note(loss) }
    if !found.isEmpty { try askForAll() }
    return next
  }

  /// Has the next start read the whole table of batches.
  func askForAll() throws(StoreError) {
    guard damage == nil else { return }
    try writing("look") { try pool.write { try JournalCounts.set(JournalCounts.asksForAll, 1, in: $0) } }
  }

  /// Counts the batches that are missing.
  ///
  /// One transaction reads all numbers, so that a batch that is forgotten meanwhile does not count as missing. A page that
  /// cannot be read was noted before.
  private func count(last: Int64) -> Int64 {
    let missing = try? pool.read { database in
      let batches = try Row.fetchOne(database, sql: "SELECT count(*), max(id) FROM batches")
      return try JournalCounts(database).missing(
        ofBatches: batches?.integer(0) ?? 0, last: max(batches?.integerOrNil(1) ?? 0, last))
    }
    if let words = JournalCounts.words(onMissing: missing) { note(words) }
    return missing ?? 0
  }

  private func lookThrough(
    _ database: Database, from place: Int64, last: Int64
  ) throws -> (found: [String], next: Int64) {
    var found: [String] = []
    let ids = place...min(last, place + Self.batchesLookedAt - 1)
    var walk = TableWalk(
      """
      SELECT id, namespace, batch_id, checksum, created_at, completed_at, status, bucket_id, last, listing, retired
      FROM batches NOT INDEXED
      """, filter: "AND retired <> 0")
    try walk.run(database, ids) { row in
      let key = BatchKey(namespace: row.text(1), batchID: row.text(2))
      guard try row.integer(10) != 1 || !Self.isWholeListing(row, of: key, from: 3) else { return }
      found.append("the listing of \(key.namespace)/\(key.batchID) is damaged; the next start makes it anew")
    }
    for rows in walk.unreadable {
      found.append("the table of batches cannot be read from \(rows.lowerBound) on: a page of it is damaged")
    }
    do {
      if try !BatchTable.indexesAgree(database, ids) {
        found.append("an index of the table batches is damaged; the next start makes it anew")
      }
    } catch  where error.isUnreadable {
      if found.isEmpty { found.append("an index of the table batches cannot be read; the next start makes it anew") }
    }
    do {
      let next = try Int64.fetchOne(
        database.makeStatement(sql: "SELECT min(id) FROM batches WHERE id > ?"), arguments: [ids.upperBound])
      return (found, next ?? last + 1)
    } catch  where error.isUnreadable {
      return (found, ids.upperBound + 1)
    }
  }
}

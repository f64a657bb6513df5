import Foundation
import GRDB
import MendAPI
public import MendCore
import MendProtobuf
public import MendRuntime
import Synchronization

extension SQLiteStore {
  public func journal(of batch: BatchKey, after sequence: UInt64) throws(StoreError) -> [MendCore.Record] {
    // No journal is that long.
    guard let after = Int64(exactly: sequence), after < .max else { return [] }
    return try Self.access("journal", path) {
      try pool.read { try journal(of: batch, after: after, in: $0) }
    }
  }

  public func encoded(_ record: MendCore.Record) -> [UInt8] { JournalFormat.encode(record) }

  public func journal(
    of batch: BatchKey, after sequence: UInt64, limit: Int
  ) throws(StoreError) -> [MendCore.Record] {
    guard let after = Int64(exactly: sequence), after < .max, limit > 0 else { return [] }
    return try Self.access("journal", path) {
      try pool.read { try journal(of: batch, after: after, limit: limit, in: $0) }
    }
  }

  /// Forwards from where `after` is, so that a page costs what it is long.
  private func journal(
    of batch: BatchKey, after: Int64, limit: Int, in database: Database
  ) throws -> [MendCore.Record] {
    guard let id = try anyID(of: batch, in: database) else { return [] }
    let segments = try Array(segments(of: id, in: database).reversed())
    let select = try database.makeStatement(
      sql: """
        SELECT \(JournalRow.columns) FROM journal
        WHERE id >= ? AND id < ? AND batch = ? AND first + count - 1 > ? ORDER BY id
        """)
    var records: [MendCore.Record] = []
    for segment in segments[try firstSegment(of: id, beyond: after, segments, in: database)...] {
      let range = Schema.rows(of: segment)
      let rows = try Row.fetchCursor(select, arguments: [range.lowerBound, range.upperBound, id, after])
      while records.count < limit, let row = try rows.next() {
        var part: [MendCore.Record] = []
        try decoding.decode(row, of: batch, operation: "journal", into: &part)
        records += part.drop { $0.sequence <= UInt64(after) }
      }
      if records.count >= limit { break }
    }
    try decoding.checkOrder(records, of: batch, from: UInt64(after) + 1, operation: "journal")
    return Array(records.prefix(limit))
  }

  /// The place among a batch's segments, in order, of the first with a record beyond `after`.
  private func firstSegment(
    of id: Int64, beyond after: Int64, _ segments: [Int64], in database: Database
  ) throws -> Int {
    let select = try database.makeStatement(
      sql: "SELECT max(first + count - 1) FROM journal WHERE id >= ? AND id < ? AND batch = ?")
    var low = 0
    var high = segments.count
    while low < high {
      let middle = (low + high) / 2
      let range = Schema.rows(of: segments[middle])
      let last = try Int64.fetchOne(select, arguments: [range.lowerBound, range.upperBound, id])
      if let last, last > after { high = middle } else { low = middle + 1 }
    }
    return low
  }

  private func journal(of batch: BatchKey, after: Int64, in database: Database) throws -> [MendCore.Record] {
    guard let id = try anyID(of: batch, in: database) else { return [] }
    let segments = try segments(of: id, in: database)
    let select = try database.makeStatement(
      sql: """
        SELECT \(JournalRow.columns) FROM journal
        WHERE id >= ? AND id < ? AND batch = ? AND first + count - 1 > ? ORDER BY id
        """)
    // Backwards, so that the newest part of a long journal costs what it is long.
    var parts: [[MendCore.Record]] = []
    for segment in segments {
      let range = Schema.rows(of: segment)
      let rows = try Row.fetchCursor(select, arguments: [range.lowerBound, range.upperBound, id, after])
      var part: [MendCore.Record] = []
      var reachesBack = false
      while let row = try rows.next() {
        if (row[1] as Int64) <= after + 1 { reachesBack = true }
        try decoding.decode(row, of: batch, operation: "journal", into: &part)
      }
      parts.append(part)
      if reachesBack { break }
    }
    let records = parts.reversed().joined().filter { $0.sequence > UInt64(after) }
    try decoding.checkOrder(records, of: batch, from: UInt64(after) + 1, operation: "journal")
    return records
  }

  public func retired(
    namespace: String, status: MendCore.BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
  ) throws(StoreError) -> [BatchListing] {
    try Self.access("retired", path) {
      var conditions = ["retired = 1", "namespace = ?"]
      var arguments: StatementArguments = [namespace]
      if let status {
        conditions.append("status = ?")
        arguments += [Int64(status.wire.rawValue)]
      }
      if let bucketID {
        conditions.append("bucket_id = ?")
        arguments += [bucketID]
      }
      if let cursor {
        conditions.append("(created_at, batch_id) < (?, ?)")
        arguments += [cursor.createdAt.milliseconds, cursor.batchID]
      }
      arguments += [limit]
      let sql = """
        SELECT batch_id, listing FROM batches WHERE \(conditions.joined(separator: " AND "))
        ORDER BY created_at DESC, batch_id DESC LIMIT ?
        """
      return try pool.read { database in
        let rows = try Row.fetchCursor(database.cachedStatement(sql: sql), arguments: arguments)
        var listings: [BatchListing] = []
        while let row = try rows.next() {
          let key = BatchKey(namespace: namespace, batchID: row[0])
          listings.append(try row.withUnsafeData(atIndex: 1) { try decoding.decodeListing($0 ?? Data(), of: key) })
        }
        return listings
      }
    }
  }

  // MARK: - Finding a batch

  func retiredID(of key: BatchKey, in database: Database) throws -> Int64? {
    try Int64.fetchOne(database.cachedStatement(sql: Self.retiredIDQuery), arguments: [key.namespace, key.batchID])
  }

  static let retiredIDQuery = "SELECT id FROM batches WHERE namespace = ? AND batch_id = ? AND retired = 1"

  /// The segments that a batch has rows in, the newest first.
  func segments(of batch: Int64, in database: Database) throws -> [Int64] {
    try Int64.fetchAll(
      database.cachedStatement(
        sql: """
          SELECT segment FROM batches WHERE id = ?1 UNION SELECT segment FROM presence WHERE batch = ?1
          ORDER BY segment DESC
          """),
      arguments: [batch])
  }

  func anyID(of key: BatchKey, in database: Database) throws -> Int64? {
    if let id = liveIDs.withLock({ $0[key] }) { return id }
    if let id = try retiredID(of: key, in: database) { return id }
    // It came back to life between the two looks.
    return liveIDs.withLock { $0[key] }
  }
}

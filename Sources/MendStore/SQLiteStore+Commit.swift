import Foundation
import GRDB
import MendAPI
public import MendCore
import MendProtobuf
public import MendRuntime
import Synchronization

extension SQLiteStore {
  /// Makes all writes durable in one transaction, or none of them.
  ///
  /// The records of one batch share a row, but for large additions of documents, which have their own. A batch's records
  /// must follow on what is there: a gap or a repeat is refused, for it would make the journal a lie.
  public func commit(_ writes: [Write]) throws(StoreError) {
    let entries = JournalRows(writes)
    try ledger.withLock { ledger throws(StoreError) in
      var next = ledger
      let created = try Self.access("commit", path) {
        try pool.write { database in
          var created: [BatchKey: Int64] = [:]
          for row in entries.rows { try append(row, to: database, &next, &created) }
          for entry in entries.idempotency { try append(entry, to: database) }
          try clean(database, &next, entries)
          return created
        }
      }
      ledger = next
      if !created.isEmpty { liveIDs.withLock { $0.merge(created) { _, new in new } } }
    }
  }

  private func append(
    _ row: JournalRows.Row, to database: Database, _ ledger: inout Ledger, _ created: inout [BatchKey: Int64]
  ) throws {
    let key = row.records[0].batch
    var batch = try ledger.live[key] ?? admit(key, to: database, &ledger, &created)
    let last = try batch.last ?? lastSequence(of: batch.id, in: database)
    for (offset, record) in row.records.enumerated() where record.sequence != last + UInt64(offset) + 1 {
      throw StoreError(
        operation: "commit",
        message: "record \(record.sequence) of \(key.namespace)/\(key.batchID) does not follow on "
          + "\(last + UInt64(offset)); nothing of the commit was written")
    }
    var entry = JournalEntry()
    entry.writtenBy = version
    entry.records = row.records.map { JournalRecord($0) }
    ledger.lastRow += 1
    let insert = try database.cachedStatement(
      sql: "INSERT INTO journal (id, batch, first, count, payload) VALUES (?, ?, ?, ?, ?)")
    try insert.execute(
      arguments: [ledger.lastRow, batch.id, Int64(last + 1), row.records.count, Data(entry.serialized())])
    let segment = Schema.segment(of: ledger.lastRow)
    if batch.segment != segment {
      let mark = try database.cachedStatement(sql: "INSERT OR IGNORE INTO presence (batch, segment) VALUES (?, ?)")
      try mark.execute(arguments: [batch.id, segment])
      batch.segment = segment
    }
    batch.last = last + UInt64(row.records.count)
    ledger.live[key] = batch
  }

  /// A batch that is not live: retired, and live again with this commit, or new.
  private func admit(
    _ key: BatchKey, to database: Database, _ ledger: inout Ledger, _ created: inout [BatchKey: Int64]
  ) throws -> Ledger.LiveBatch {
    if let id = try retiredID(of: key, in: database) {
      try database.cachedStatement(sql: "UPDATE batches SET retired = 0 WHERE id = ?").execute(arguments: [id])
      created[key] = id
      return Ledger.LiveBatch(id: id, last: nil, segment: -1)
    }
    ledger.lastBatch += 1
    let insert = try database.cachedStatement(sql: "INSERT INTO batches (id, namespace, batch_id) VALUES (?, ?, ?)")
    try insert.execute(arguments: [ledger.lastBatch, key.namespace, key.batchID])
    created[key] = ledger.lastBatch
    return Ledger.LiveBatch(id: ledger.lastBatch, last: 0, segment: -1)
  }

  private func lastSequence(of batch: Int64, in database: Database) throws -> UInt64 {
    let newest = try Int64.fetchOne(
      database.cachedStatement(sql: "SELECT max(segment) FROM presence WHERE batch = ?"), arguments: [batch])
    guard let newest else { return 0 }
    let rows = Schema.rows(of: newest)
    let last = try Int64.fetchOne(
      database.cachedStatement(
        sql: "SELECT max(first + count - 1) FROM journal WHERE id >= ? AND id < ? AND batch = ?"),
      arguments: [rows.lowerBound, rows.upperBound, batch])
    return UInt64(last ?? 0)
  }

  private func append(_ entry: IdempotencyEntry, to database: Database) throws {
    let reply = entry.reply.map { reply in
      var message = JournalReply(reply)
      message.writtenBy = version
      return Data(message.serialized())
    }
    let insert = try database.cachedStatement(
      sql: """
        INSERT INTO idempotency (namespace, key, fingerprint, batch_id, expires, reply) VALUES (?, ?, ?, ?, ?, ?)
        """)
    try insert.execute(
      arguments: [
        entry.namespace, entry.key, Int64(bitPattern: entry.fingerprint), entry.batchID, entry.expires.milliseconds,
        reply,
      ])
  }

  /// Now and then, forgets the oldest keys: expired ones, and those beyond the limit.
  private func clean(_ database: Database, _ ledger: inout Ledger, _ entries: JournalRows) throws {
    ledger.keysSinceCleaning += entries.idempotency.count
    ledger.commitsSinceCleaning += 1
    guard let now = entries.newest,
      ledger.keysSinceCleaning >= Self.keysPerCleaning || ledger.commitsSinceCleaning >= Self.commitsPerCleaning
    else { return }
    ledger.keysSinceCleaning = 0
    ledger.commitsSinceCleaning = 0
    let newest = try Int64.fetchOne(database, sql: "SELECT max(id) FROM idempotency") ?? 0
    var cutoff = newest - Int64(idempotencyKeysLimit)
    // Keys expire in the order of their rows, nearly: the first that lives holds back the few after it.
    let oldest = try Row.fetchCursor(
      database.cachedStatement(sql: "SELECT id, expires FROM idempotency ORDER BY id LIMIT ?"),
      arguments: [Self.keysCleaned])
    while let row = try oldest.next(), (row[1] as Int64) <= now.milliseconds { cutoff = max(cutoff, row[0]) }
    let delete = try database.cachedStatement(
      sql: "DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency WHERE id <= ? ORDER BY id LIMIT ?)")
    try delete.execute(arguments: [cutoff, Self.keysCleaned])
  }

  static let keysPerCleaning = 4096
  static let commitsPerCleaning = 256
  /// In one cleaning; more than can come between two.
  static let keysCleaned = 16_384

  // MARK: - Retiring

  public func retire(_ batch: BatchKey, entry: BatchListing) throws(StoreError) {
    var entry = entry
    entry.key = batch
    try retire([entry])
  }

  public func retire(_ entries: [BatchListing]) throws(StoreError) {
    try ledger.withLock { ledger throws(StoreError) in
      try Self.access("retire", path) {
        try pool.write { database in
          let update = try database.cachedStatement(
            sql: "UPDATE batches SET retired = 1, created_at = ?, status = ?, bucket_id = ?, listing = ? WHERE id = ?")
          for entry in entries {
            guard let id = try ledger.live[entry.key]?.id ?? retiredID(of: entry.key, in: database) else {
              throw StoreError(
                operation: "retire", message: "no batch \(entry.key.namespace)/\(entry.key.batchID) in the journal")
            }
            try update.execute(
              arguments: [
                entry.createdAt.milliseconds, Int64(entry.status.wire.rawValue), entry.bucketID,
                Data(JournalListing(entry, writtenBy: version).serialized()), id,
              ])
          }
        }
      }
      for entry in entries { ledger.live[entry.key] = nil }
      liveIDs.withLock { ids in for entry in entries { ids[entry.key] = nil } }
    }
  }
}

/// A commit's writes as rows: each batch's records together, in their order.
struct JournalRows {
  struct Row {
    /// Of one batch; at least one.
    var records: [MendCore.Record]
  }

  var rows: [Row] = []
  var idempotency: [IdempotencyEntry] = []
  /// The newest record's time.
  var newest: Instant?

  /// Documents of one fact from which on it has a row of its own: a round of many large additions stays far below the
  /// billion bytes that SQLite takes in one value.
  static let documentsOfLargeFact = 1000

  init(_ writes: [Write]) {
    var open: [BatchKey: Int] = [:]
    for write in writes {
      switch write {
      case .idempotency(let entry): idempotency.append(entry)
      case .record(let record):
        newest = newest.map { max($0, record.at) } ?? record.at
        let isLarge = if case .documentsAdded(let documents) = record.fact {
          documents.count >= Self.documentsOfLargeFact
        } else {
          false
        }
        if !isLarge, let row = open[record.batch] {
          rows[row].records.append(record)
        } else {
          open[record.batch] = isLarge ? nil : rows.count
          rows.append(Row(records: [record]))
        }
      }
    }
  }
}

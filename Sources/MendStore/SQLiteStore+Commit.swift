import Foundation
import GRDB
public import MendCore
import MendJournal
public import MendRuntime
import Synchronization

extension SQLiteStore {
  /// Makes all writes durable in one transaction, or none of them.
  ///
  /// The records of one batch share a row, but for large additions of documents, which have their own. A batch's
  /// records must follow on what is there: a gap or a repeat is refused, for it would make the journal a lie.
  /// So is a commit to files of which one was removed.
  public func commit(_ writes: [Write]) throws(StoreError) {
    try check()
    let entries = JournalRows(writes)
    try ledger.withLock { ledger throws(StoreError) in
      let done = try writing("commit", isNeeded: true) {
        try pool.write { database in
          var commit = Staged(marks: ledger.marks)
          for row in entries.rows { try append(row, to: database, &commit, ledger.live) }
          commit.keys = try append(entries.idempotency, to: database)
          try keep(entries.starts, in: database)
          try append(entries.notifications, settled: entries.settled, to: database)
          try clean(database, &commit, entries, spent: ledger.keys.spent)
          return commit
        }
      }
      ledger.marks = done.marks
      mark.set(done.marks)
      ledger.keys.remove(through: done.expiredThrough, done.spent)
      if let row = done.keys {
        ledger.keys.add(row, of: entries.idempotency.lazy.map(\.namespace), limit: idempotencyKeysLimit)
      }
      ledger.live.merge(done.batches) { _, new in new }
      if !done.admitted.isEmpty { liveIDs.withLock { $0.merge(done.admitted) { _, new in new } } }
      try relieveLog(&ledger.marks)
    }
  }

  /// Writes and takes away again what a large commit has, as a row that nothing reads.
  public func probe() throws(StoreError) {
    try writing("probe") {
      try pool.write { database in
        try database.execute(
          sql: """
            INSERT OR REPLACE INTO snapshots (batch, part, sequence, row, program, checksum, payload)
            VALUES (-1, 0, 0, 0, 0, 0, randomblob(\(Self.probeBytes)))
            """)
      }
      try pool.write { try $0.execute(sql: "DELETE FROM snapshots WHERE batch = -1") }
    }
  }

  static let probeBytes = 256 << 10

  /// What a commit changes in the ledger once it is durable.
  private struct Staged {
    var marks: Ledger.Marks
    var batches: [BatchKey: Ledger.LiveBatch] = [:]
    var admitted: [BatchKey: Int64] = [:]
    /// The row of its idempotency keys.
    var keys: Int64?
    /// Rows of idempotency keys that it deleted: those up to one, and others.
    var expiredThrough: Int64?
    var spent: [Int64] = []
  }

  private func append(
    _ row: JournalRows.Row, to database: Database, _ commit: inout Staged, _ live: [BatchKey: Ledger.LiveBatch]
  ) throws {
    let key = row.records[0].batch
    var batch = try commit.batches[key] ?? live[key] ?? admit(key, to: database, &commit)
    let last = try batch.last ?? lastSequence(of: batch.id, in: database)
    for (offset, record) in row.records.enumerated() where record.sequence != last + UInt64(offset) + 1 {
      throw StoreError(
        operation: "commit",
        message: "record \(record.sequence) of \(key.namespace)/\(key.batchID) does not follow on "
          + "\(last + UInt64(offset)); nothing of the commit was written")
    }
    commit.marks.lastRow += 1
    var insert = try BoundStatement(
      "INSERT INTO journal (id, batch, first, count, payload, checksum) VALUES (?, ?, ?, ?, ?, ?)", in: database)
    let payload = FieldEncoder.encode(RecordsRow(writtenBy: version, records: row.records))
    let sum = JournalRow.checksum(
      of: key, id: commit.marks.lastRow, first: Int64(last + 1), count: Int64(row.records.count), payload)
    try insert.bind(commit.marks.lastRow)
    try insert.bind(batch.id)
    try insert.bind(Int64(last + 1))
    try insert.bind(Int64(row.records.count))
    try insert.bind(payload)
    try insert.bind(sum)
    try insert.run()
    let segment = Schema.segment(of: commit.marks.lastRow)
    if batch.segment != segment {
      let mark = try database.cachedStatement(sql: "INSERT OR IGNORE INTO presence (batch, segment) VALUES (?, ?)")
      try mark.execute(arguments: [batch.id, segment])
      batch.segment = segment
    }
    batch.last = last + UInt64(row.records.count)
    commit.batches[key] = batch
  }

  /// A batch that is not live: retired, and live again with this commit, or new; its row comes next.
  private func admit(_ key: BatchKey, to database: Database, _ commit: inout Staged) throws -> Ledger.LiveBatch {
    var look = try BoundStatement(Self.retiredIDQuery, in: database)
    try look.bind(key.namespace)
    try look.bind(key.batchID)
    if let id = try look.firstInteger() {
      try database.cachedStatement(sql: Self.reviving).execute(arguments: [id])
      commit.admitted[key] = id
      return Ledger.LiveBatch(id: id, last: nil, segment: -1)
    }
    commit.marks.lastBatch += 1
    let segment = Schema.segment(of: commit.marks.lastRow + 1)
    var insert = try BoundStatement(
      "INSERT INTO batches (id, namespace, batch_id, segment) VALUES (?, ?, ?, ?)", in: database)
    try insert.bind(commit.marks.lastBatch)
    try insert.bind(key.namespace)
    try insert.bind(key.batchID)
    try insert.bind(segment)
    try insert.run()
    commit.admitted[key] = commit.marks.lastBatch
    return Ledger.LiveBatch(id: commit.marks.lastBatch, last: 0, segment: segment)
  }

  /// What it says as a finished one holds no more; how long its journal is at least, does.
  static let reviving = "UPDATE batches SET retired = 0, listing = NULL, checksum = NULL WHERE id = ?"

  private func lastSequence(of batch: Int64, in database: Database) throws -> UInt64 {
    let newest = try segments(of: batch, in: database).first
    guard let newest else { return 0 }
    let rows = Schema.rows(of: newest)
    let last = try Int64.fetchOne(
      database.cachedStatement(
        sql: "SELECT max(first + count - 1) FROM journal WHERE id >= ? AND id < ? AND batch = ?"),
      arguments: [rows.lowerBound, rows.upperBound, batch])
    return UInt64(last ?? 0)
  }

  private func append(_ entries: [IdempotencyEntry], to database: Database) throws -> Int64? {
    guard let expires = entries.map(\.expires).max() else { return nil }
    let payload = FieldEncoder.encode(AnswersRow(writtenBy: version, answers: entries))
    let insert = try database.cachedStatement(
      sql: "INSERT INTO idempotency (keys, expires, payload, checksum) VALUES (?, ?, ?, ?)")
    try insert.execute(arguments: [
      entries.count, expires.milliseconds, Data(payload),
      RowSum.answers(payload, keys: Int64(entries.count), expires: expires.milliseconds),
    ])
    return database.lastInsertedRowID
  }

  private func keep(_ starts: [Int: StartHistory], in database: Database) throws {
    for (slot, history) in starts {
      let keep = try database.cachedStatement(
        sql: "INSERT OR REPLACE INTO starts (slot, payload, checksum) VALUES (?, ?, ?)")
      let payload = FieldEncoder.encode(history)
      try keep.execute(arguments: [slot, Data(payload), RowSum.starts(payload, slot: Int64(slot))])
    }
  }

  /// Now and then, forgets keys: expired ones, and those of a namespace beyond its limit.
  private func clean(_ database: Database, _ commit: inout Staged, _ entries: JournalRows, spent: [Int64]) throws {
    commit.marks.commitsSinceCleaning += 1
    guard let now = entries.newest, commit.marks.commitsSinceCleaning >= Self.commitsPerCleaning else { return }
    commit.marks.commitsSinceCleaning = 0
    // Keys expire in the order of their rows, nearly: the first row that lives holds back the few after it.
    let oldest = try Row.fetchCursor(
      database.cachedStatement(sql: "SELECT id, expires FROM idempotency ORDER BY id LIMIT ?"),
      arguments: [Self.rowsCleaned])
    while let row = try oldest.next(), (row.integer(1)) <= now.milliseconds { commit.expiredThrough = row.integer(0) }
    if let last = commit.expiredThrough {
      try database.cachedStatement(sql: "DELETE FROM idempotency WHERE id <= ?").execute(arguments: [last])
    }
    commit.spent = Array(spent.prefix(Self.rowsCleaned))
    let delete = try database.cachedStatement(sql: "DELETE FROM idempotency WHERE id = ?")
    for row in commit.spent { try delete.execute(arguments: [row]) }
  }

  static let commitsPerCleaning = 256
  /// In one cleaning; more than can come between two.
  static let rowsCleaned = 1024

  // MARK: - Retiring

  public func retire(_ batch: BatchKey, entry: BatchListing) throws(StoreError) {
    var entry = entry
    entry.key = batch
    try retire([entry])
  }

  public func retire(_ entries: [BatchListing]) throws(StoreError) {
    try ledger.withLock { ledger throws(StoreError) in
      try writing("retire", isNeeded: true) {
        try pool.write { database in
          for entry in entries {
            guard let id = try ledger.live[entry.key]?.id ?? retiredID(of: entry.key, in: database) else {
              throw StoreError(
                operation: "retire", message: "no batch \(entry.key.namespace)/\(entry.key.batchID) in the journal")
            }
            let last = try ledger.live[entry.key]?.last ?? lastSequence(of: id, in: database)
            try retire(id, entry, last: Int64(clamping: last), in: database)
          }
        }
      }
      for entry in entries { ledger.live[entry.key] = nil }
      liveIDs.withLock { ids in for entry in entries { ids[entry.key] = nil } }
    }
  }
}

extension SQLiteStore {
  private func retire(_ id: Int64, _ entry: BatchListing, last: Int64, in database: Database) throws {
    let payload = FieldEncoder.encode(ValueRow(writtenBy: version, value: entry))
    let retirement = RowSum.Retirement(
      createdAt: entry.createdAt.milliseconds, completedAt: (entry.completedAt ?? entry.createdAt).milliseconds,
      status: Int64(entry.status.number), bucketID: entry.bucketID, last: last)
    let update = try database.cachedStatement(
      sql: """
        UPDATE batches SET retired = 1, created_at = ?, completed_at = ?, status = ?, bucket_id = ?, listing = ?,
        last = ?, checksum = ? WHERE id = ?
        """)
    try update.execute(
      arguments: [
        retirement.createdAt, retirement.completedAt, retirement.status, retirement.bucketID, Data(payload), last,
        RowSum.listing(payload, of: entry.key, retirement), id,
      ])
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
  /// The latest of each slot.
  var starts: [Int: StartHistory] = [:]
  var notifications: [MendCore.Notification] = []
  /// Event ids that are to leave the outbox.
  var settled: [String] = []
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
      case .start(let history): starts[history.slot] = history
      case .notification(let notification): notifications.append(notification)
      case .record(let record):
        newest = newest.map { max($0, record.at) } ?? record.at
        if case .notificationSettled(let outcome) = record.fact { settled.append(outcome.eventID) }
        let isLarge =
          if case .documentsAdded(let documents) = record.fact {
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

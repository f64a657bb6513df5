import Foundation
import GRDB
package import MendCore
import MendJournal
package import MendRuntime
import Synchronization

extension SQLiteStore {
  /// Makes all writes durable in one transaction, or none of them.
  ///
  /// The records of one batch share a row; a large addition of documents has its own. A batch's records must continue its
  /// journal: a gap or a repetition is refused. So is a commit if one of the store's files was removed.
  package func commit(_ writes: [Write]) throws(StoreError) {
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
          try JournalCounts.moveLive(commit.places, in: database)
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

  /// Writes as many bytes as a large commit, in a row that nothing reads, and deletes them again.
  package func probe() throws(StoreError) {
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

  /// The changes that a commit makes to the ledger once it is durable.
  private struct Staged {
    var marks: Ledger.Marks
    var batches: [BatchKey: Ledger.LiveBatch] = [:]
    var admitted: [BatchKey: Int64] = [:]
    /// The sum over the places that live batches get.
    var places: Int64 = 0
    /// The row that holds the commit's idempotency keys.
    var keys: Int64?
    /// The commit deleted all rows of idempotency keys up to this one.
    var expiredThrough: Int64?
    /// Further rows of idempotency keys that it deleted.
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
      if try notePlace(of: batch.id, segment, in: database) { commit.places &+= RowSum.place(of: batch.id, segment) }
      batch.segment = segment
    }
    batch.last = last + UInt64(row.records.count)
    commit.batches[key] = batch
  }

  /// Makes a batch live that is finished or new.
  private func admit(_ key: BatchKey, to database: Database, _ commit: inout Staged) throws -> Ledger.LiveBatch {
    var look = try BoundStatement(Self.retiredIDQuery, in: database)
    try look.bind(key.namespace)
    try look.bind(key.batchID)
    if let id = try look.firstInteger() {
      commit.places &+= try revive(id, in: database)
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
    commit.places &+= RowSum.place(of: commit.marks.lastBatch, segment)
    commit.admitted[key] = commit.marks.lastBatch
    return Ledger.LiveBatch(id: commit.marks.lastBatch, last: 0, segment: segment)
  }

  /// Notes that a batch has rows in a segment. Returns false if that was known.
  func notePlace(of batch: Int64, _ segment: Int64, in database: Database) throws -> Bool {
    let note = try database.cachedStatement(
      sql: """
        INSERT OR IGNORE INTO presence (batch, segment)
        SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM batches WHERE id = ?1 AND segment = ?2)
        """)
    try note.execute(arguments: [batch, segment])
    return database.changesCount > 0
  }

  /// Makes a finished batch live again: its listing goes, and the least length of its journal stays. Returns the sum over
  /// its places; 0 if it was live.
  func revive(_ batch: Int64, in database: Database) throws -> Int64 {
    let update = try database.cachedStatement(
      sql: "UPDATE batches SET retired = 0, listing = NULL, checksum = NULL WHERE id = ? AND retired <> 0")
    try update.execute(arguments: [batch])
    return database.changesCount > 0 ? try places(of: batch) : 0
  }

  /// The sum over a batch's places as the last commit left them. It is 0 where a place may be missing or cannot be read:
  /// then the sum over all stays wrong, and the next start reads the whole table.
  private func places(of batch: Int64) throws -> Int64 {
    guard !missesPlaces.load(ordering: .relaxed) else { return 0 }
    do {
      // By a connection of its own: a page that cannot be read may end the transaction that reads it.
      let segments = try pool.unsafeRead { try notedSegments(of: batch, in: $0) }
      return segments.reduce(0) { $0 &+ RowSum.place(of: batch, $1) }
    } catch  where error.isUnreadable {
      return 0
    }
  }

  private func lastSequence(of batch: Int64, in database: Database) throws -> UInt64 {
    for segment in try committedSegments(of: batch, in: database) {
      let rows = Schema.rows(of: segment)
      let last = try Int64.fetchOne(
        database.cachedStatement(
          sql: "SELECT max(first + count - 1) FROM journal WHERE id >= ? AND id < ? AND batch = ?"),
        arguments: [rows.lowerBound, rows.upperBound, batch])
      if let last { return UInt64(last) }
    }
    return 0
  }

  /// The segments that may have rows of a batch, as the last commit left them, the newest first: all where its places
  /// cannot be read.
  private func committedSegments(of batch: Int64, in database: Database) throws -> [Int64] {
    do {
      return try pool.unsafeRead { try segments(of: batch, in: $0) }
    } catch  where error.isUnreadable {
      return try allSegments(database)
    }
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

  /// Deletes expired idempotency keys, and those beyond their namespace's limit, once in many commits.
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
  /// The number of rows that one cleaning deletes; more than can be added between two of them.
  static let rowsCleaned = 1024

  // MARK: - Retiring

  package func retire(_ batch: BatchKey, entry: BatchListing) throws(StoreError) {
    var entry = entry
    entry.key = batch
    try retire([entry])
  }

  package func retire(_ entries: [BatchListing]) throws(StoreError) {
    try ledger.withLock { ledger throws(StoreError) in
      try writing("retire", isNeeded: true) {
        try pool.write { database in
          var places: Int64 = 0
          for entry in entries {
            guard let id = try ledger.live[entry.key]?.id ?? retiredID(of: entry.key, in: database) else {
              throw StoreError(
                operation: "retire", message: "no batch \(entry.key.namespace)/\(entry.key.batchID) in the journal")
            }
            let last = try ledger.live[entry.key]?.last ?? lastSequence(of: id, in: database)
            places &-= try retire(id, entry, last: Int64(clamping: last), in: database)
          }
          try JournalCounts.moveLive(places, in: database)
        }
      }
      for entry in entries { ledger.live[entry.key] = nil }
      liveIDs.withLock { ids in for entry in entries { ids[entry.key] = nil } }
    }
  }
}

extension SQLiteStore {
  /// Writes a finished batch's listing. Returns the sum over its places; 0 if it was finished before.
  private func retire(_ id: Int64, _ entry: BatchListing, last: Int64, in database: Database) throws -> Int64 {
    let isLive = try Int.fetchOne(
      database.cachedStatement(sql: "SELECT retired = 0 FROM batches WHERE id = ?"), arguments: [id])
    let places = isLive == 1 ? try places(of: id) : 0
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
    return places
  }
}

/// The writes of a commit, arranged in rows: each batch's records together, in their order.
struct JournalRows {
  struct Row {
    /// Records of one batch; at least one.
    var records: [MendCore.Record]
  }

  var rows: [Row] = []
  var idempotency: [IdempotencyEntry] = []
  /// The latest history of each slot.
  var starts: [Int: StartHistory] = [:]
  var notifications: [MendCore.Notification] = []
  /// The event ids of notifications that leave the outbox.
  var settled: [String] = []
  /// The newest record's time.
  var newest: Instant?

  /// A fact with so many documents has a row of its own. A row stays far below the billion bytes that SQLite takes in one
  /// value.
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

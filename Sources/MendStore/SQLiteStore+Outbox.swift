import Foundation
import GRDB
package import MendCore
import MendJournal
package import MendRuntime
import Synchronization

// The outbox: what somebody outside is to be told, from the commit of the fact that it is about to the commit of the
// fact that it was settled.

extension SQLiteStore {
  func append(_ notifications: [MendCore.Notification], settled: [String], to database: Database) throws {
    for notification in notifications {
      let insert = try database.cachedStatement(
        sql: """
          INSERT OR IGNORE INTO outbox (event_id, namespace, batch_id, next_at, payload, checksum)
          VALUES (?, ?, ?, ?, ?, ?)
          """)
      let payload = FieldEncoder.encode(ValueRow(writtenBy: version, value: notification))
      try insert.execute(arguments: [
        notification.eventID, notification.batch.namespace, notification.batch.batchID,
        notification.at.milliseconds, Data(payload),
        RowSum.notification(
          payload, of: notification.batch, eventID: notification.eventID, attempts: 0,
          nextAt: notification.at.milliseconds),
      ])
    }
    notificationsLeft.withLock { left in
      // A batch that is forgotten gives its name back, and its notifications theirs.
      if !left.isEmpty { left.subtract(notifications.map(\.eventID)) }
    }
    for eventID in settled {
      try database.cachedStatement(sql: "DELETE FROM outbox WHERE event_id = ?").execute(arguments: [eventID])
    }
  }

  package func notifications(
    dueAt now: Instant, limit: Int, except batches: Set<BatchKey>
  ) throws(StoreError) -> [PendingNotification] {
    let (found, isDamaged) = try Self.access("outbox", path) {
      try pool.unsafeRead { try notifications($0, dueAt: now, limit, except: batches) }
    }
    if isDamaged { removeDamagedNotifications() }
    return found
  }

  private func notifications(
    _ database: Database, dueAt now: Instant, _ limit: Int, except batches: Set<BatchKey>
  ) throws -> ([PendingNotification], isDamaged: Bool) {
    var found: [(nextAt: Int64, pending: PendingNotification)] = []
    var isDamaged = false
    func take(_ row: Row) throws {
      guard batches.isEmpty || !batches.contains(BatchKey(namespace: row.text(2), batchID: row.text(3))) else { return }
      do {
        found.append((row.integer(5), try pending(row)))
      } catch let fault as JournalDecoding.ValueFault {
        if fault.kind == .damaged { isDamaged = true } else { leave(row.text(1), fault) }
      }
    }
    let conditions = try conditions(except: batches)
    do {
      // In the statement, so that those that are left out leave room within the limit.
      let rows = try Row.fetchCursor(
        database.makeStatement(
          sql: """
            SELECT \(Self.outboxColumns) FROM outbox WHERE \(conditions.sql) AND next_at <= ? ORDER BY next_at, id LIMIT ?
            """),
        arguments: conditions.arguments + [now.milliseconds, limit])
      while let row = try rows.next() { try take(row) }
    } catch  where error.isUnreadable {
      // By another way, around the page that cannot be read.
      found = []
      isDamaged = true
      var walk = TableWalk("SELECT \(Self.outboxColumns) FROM outbox", filter: "AND next_at <= \(now.milliseconds)")
      try walk.run(database, 0...Int64.max) { try take($0) }
      found = Array(found.sorted { $0.nextAt < $1.nextAt }.prefix(limit))
    }
    return (found.map(\.pending), isDamaged)
  }

  /// Leaves a notification for a version that can read it.
  private func leave(_ eventID: String, _ fault: JournalDecoding.ValueFault) {
    note(fault.message)
    notificationsLeft.withLock { _ = $0.insert(eventID) }
  }

  /// Deletes damaged notifications, so that nobody is told what may be false.
  func removeDamagedNotifications() {
    do throws(StoreError) {
      let damaged = try Self.access("outbox", path) { try pool.unsafeRead { try damagedNotifications($0) } }
      guard !damaged.isEmpty else { return }
      for (_, what) in damaged { note(what) }
      guard damage == nil else { return }
      try writing("outbox") {
        try pool.write { database in
          for (id, _) in damaged { try database.execute(sql: "DELETE FROM outbox WHERE id = ?", arguments: [id]) }
        }
      }
    } catch {
      note(error.message)
    }
  }

  private static let outboxColumns = "id, event_id, namespace, batch_id, attempts, next_at, payload, checksum"

  private func pending(_ row: Row) throws -> PendingNotification {
    let key = BatchKey(namespace: row.text(2), batchID: row.text(3))
    let payload = row.bytes(6)
    if let sum = row.integerOrNil(7) {
      let found = RowSum.notification(
        payload, of: key,
        eventID: row.text(1), attempts: row.integer(4), nextAt: row.integer(5))
      guard found == sum else {
        throw JournalDecoding.ValueFault(
          kind: .damaged, message: "a notification about \(key.namespace)/\(key.batchID) is damaged and is not sent")
      }
    }
    return PendingNotification(
      notification: try decoding.decodeNotification(Data(payload), of: key), attempts: Int(row.integer(4)))
  }

  /// The notifications that cannot be read, each with its row and what is wrong.
  func damagedNotifications(_ database: Database) throws -> [(id: Int64, what: String)] {
    var damaged: [(Int64, String)] = []
    var walk = TableWalk("SELECT \(Self.outboxColumns) FROM outbox")
    try walk.run(database, 0...Int64.max) { row in
      do {
        _ = try pending(row)
      } catch let fault as JournalDecoding.ValueFault {
        if fault.kind == .damaged {
          damaged.append((row.integer(0), fault.message))
        } else {
          leave(row.text(1), fault)
        }
      }
    }
    for rows in walk.unreadable { damaged.append((-1, "notifications from row \(rows.lowerBound) on cannot be read")) }
    return damaged
  }

  /// SQL conditions for notifications that can be read and are not about `batches`.
  private func conditions(except batches: Set<BatchKey>) throws -> (sql: String, arguments: StatementArguments) {
    var (conditions, arguments): ([String], StatementArguments) = (["true"], [])
    func leaveOut(_ names: [String], of column: String) throws {
      guard !names.isEmpty else { return }
      conditions.append("\(column) NOT IN (SELECT value FROM json_each(?))")
      arguments += [String(decoding: try JSONEncoder().encode(names), as: UTF8.self)]
    }
    try leaveOut(batches.map { "\($0.namespace)/\($0.batchID)" }, of: "namespace || '/' || batch_id")
    try leaveOut(Array(notificationsLeft.withLock { $0 }), of: "event_id")
    return (conditions.joined(separator: " AND "), arguments)
  }

  package func outboxState(except batches: Set<BatchKey>) throws(StoreError) -> OutboxState {
    try Self.access("outbox", path) {
      try pool.read { database in
        let conditions = try conditions(except: batches)
        let row = try Row.fetchOne(
          database, sql: "SELECT count(*), min(next_at) FROM outbox WHERE \(conditions.sql)",
          arguments: conditions.arguments)
        return OutboxState(
          count: row?[0] ?? 0, next: (row?[1] as Int64?).map { Instant(milliseconds: $0) })
      }
    }
  }

  package func putOff(_ eventID: String, attempts: Int, until: Instant) throws(StoreError) {
    try writing("outbox") {
      try pool.write { database in
        let found = try Row.fetchOne(
          database, sql: "SELECT namespace, batch_id, payload FROM outbox WHERE event_id = ?", arguments: [eventID])
        guard let row = found else { return }
        let payload = row.bytes(2)
        let sum = RowSum.notification(
          payload, of: BatchKey(namespace: row.text(0), batchID: row.text(1)), eventID: eventID,
          attempts: Int64(attempts),
          nextAt: until.milliseconds)
        try database.cachedStatement(
          sql: "UPDATE outbox SET attempts = ?, next_at = ?, checksum = ? WHERE event_id = ?"
        ).execute(arguments: [attempts, until.milliseconds, sum, eventID])
      }
    }
  }

  // MARK: - Retention

  package func prune(finishedBefore: Instant, limit: Int) throws(StoreError) -> [BatchKey] {
    let marks = ledger.withLock { $0.marks }
    let left = unforgettable.withLock { $0.sorted().map(String.init).joined(separator: ", ") }
    return try writing("prune") {
      try pool.write { database in
        let rows = try Row.fetchAll(
          database.makeStatement(
            sql: """
              SELECT id, namespace, batch_id, checksum, created_at, completed_at, status, bucket_id, last, listing
              FROM batches WHERE retired = 1 AND completed_at < ?
              -- Somebody is to look at these yet.
              AND id NOT IN (SELECT batch FROM set_aside) \(left.isEmpty ? "" : "AND id NOT IN (\(left))")
              -- What is still tried to be told stays: an event id is NAMESPACE.BATCH.SEQUENCE, and "/" follows ".". Where
              -- nobody tells, a row is as old as its batch, and goes with it.
              AND NOT EXISTS (
                SELECT 1 FROM outbox WHERE event_id > batches.namespace || '.' || batches.batch_id || '.'
                AND event_id < batches.namespace || '.' || batches.batch_id || '/' AND next_at >= ?)
              ORDER BY completed_at LIMIT ?
              """),
          arguments: [finishedBefore.milliseconds, finishedBefore.milliseconds, limit])
        guard !rows.isEmpty else { return [] }
        var pruned: [BatchKey] = []
        var counts = try JournalCounts(database, checksForgotten: false)
        for row in rows {
          let key = BatchKey(namespace: row.text(1), batchID: row.text(2))
          // When it was finished may be wrong.
          guard try Self.isWholeListing(row, of: key, from: 3) else {
            note("the listing of \(key.namespace)/\(key.batchID) is damaged")
            continue
          }
          let before = counts
          do {
            try database.inSavepoint {
              try forget(key, row.integer(0), &counts, in: database)
              return .commit
            }
            pruned.append(key)
          } catch  where error.isUnreadable {
            counts = before
            note("\(key.namespace)/\(key.batchID) cannot be forgotten: a page that it is on cannot be read")
            // A read that the disk failed ends the transaction, and those before it are there again: next time without it.
            if !database.isInsideTransaction {
              unforgettable.withLock { _ = $0.insert(row.integer(0)) }
              throw error
            }
          }
        }
        try counts.forgetBatches(pruned.count, lastRow: marks.lastRow, lastBatch: marks.lastBatch, in: database)
        return pruned
      }
    }
  }

  private func forget(_ key: BatchKey, _ id: Int64, _ counts: inout JournalCounts, in database: Database) throws {
    for segment in try segments(of: id, in: database) {
      let range = Schema.rows(of: segment)
      try database.execute(
        sql: "DELETE FROM journal WHERE id >= ? AND id < ? AND batch = ?",
        arguments: [range.lowerBound, range.upperBound, id])
      try counts.forget(database.changesCount, of: segment, in: database)
    }
    try database.execute(sql: "DELETE FROM presence WHERE batch = ?", arguments: [id])
    try database.execute(sql: "DELETE FROM snapshots WHERE batch = ?", arguments: [id])
    try database.execute(sql: "DELETE FROM crashes WHERE batch = ?", arguments: [id])
    try database.execute(
      sql: "DELETE FROM outbox WHERE namespace = ? AND batch_id = ?", arguments: [key.namespace, key.batchID])
    try database.execute(sql: "DELETE FROM batches WHERE id = ?", arguments: [id])
  }
}

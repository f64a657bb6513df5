import Foundation
import GRDB
import MendAPI
public import MendCore
import MendProtobuf
public import MendRuntime

// The outbox: what somebody outside is to be told, from the commit of the fact that it is about to the commit of the
// fact that it was settled.

extension SQLiteStore {
  func append(_ notifications: [MendCore.Notification], settled: [String], to database: Database) throws {
    for notification in notifications {
      let insert = try database.cachedStatement(
        sql: "INSERT OR IGNORE INTO outbox (event_id, namespace, batch_id, next_at, payload) VALUES (?, ?, ?, ?, ?)")
      try insert.execute(arguments: [
        notification.eventID, notification.batch.namespace, notification.batch.batchID,
        notification.at.milliseconds, Data(JournalNotification(notification, writtenBy: version).serialized()),
      ])
    }
    for eventID in settled {
      try database.cachedStatement(sql: "DELETE FROM outbox WHERE event_id = ?").execute(arguments: [eventID])
    }
  }

  public func notifications(dueAt now: Instant, limit: Int) throws(StoreError) -> [PendingNotification] {
    try Self.access("outbox", path) {
      try pool.read { database in
        let rows = try Row.fetchCursor(
          database.cachedStatement(
            sql: """
              SELECT namespace, batch_id, attempts, payload FROM outbox WHERE next_at <= ? ORDER BY next_at, id LIMIT ?
              """),
          arguments: [now.milliseconds, limit])
        var found: [PendingNotification] = []
        while let row = try rows.next() {
          let key = BatchKey(namespace: row[0], batchID: row[1])
          let notification = try row.withUnsafeData(atIndex: 3) {
            try decoding.decodeNotification($0 ?? Data(), of: key)
          }
          found.append(PendingNotification(notification: notification, attempts: row[2]))
        }
        return found
      }
    }
  }

  public func outboxState() throws(StoreError) -> OutboxState {
    try Self.access("outbox", path) {
      try pool.read { database in
        let row = try Row.fetchOne(database, sql: "SELECT count(*), min(next_at) FROM outbox")
        return OutboxState(
          count: row?[0] ?? 0, next: (row?[1] as Int64?).map { Instant(milliseconds: $0) })
      }
    }
  }

  public func putOff(_ eventID: String, attempts: Int, until: Instant) throws(StoreError) {
    try writing("outbox") {
      try pool.write { database in
        try database.cachedStatement(sql: "UPDATE outbox SET attempts = ?, next_at = ? WHERE event_id = ?")
          .execute(arguments: [attempts, until.milliseconds, eventID])
      }
    }
  }

  // MARK: - Retention

  public func prune(finishedBefore: Instant, limit: Int) throws(StoreError) -> [BatchKey] {
    try writing("prune") {
      try pool.write { database in
        let rows = try Row.fetchAll(
          database.cachedStatement(
            sql: """
              SELECT id, namespace, batch_id FROM batches WHERE retired = 1 AND completed_at < ?
              -- What is still tried to be told stays: an event id is NAMESPACE.BATCH.SEQUENCE, and "/" follows ".". Where
              -- nobody tells, a row is as old as its batch, and goes with it.
              AND NOT EXISTS (
                SELECT 1 FROM outbox WHERE event_id > batches.namespace || '.' || batches.batch_id || '.'
                AND event_id < batches.namespace || '.' || batches.batch_id || '/' AND next_at >= ?)
              ORDER BY completed_at LIMIT ?
              """),
          arguments: [finishedBefore.milliseconds, finishedBefore.milliseconds, limit])
        var pruned: [BatchKey] = []
        for row in rows {
          let id: Int64 = row[0]
          let key = BatchKey(namespace: row[1], batchID: row[2])
          for segment in try segments(of: id, in: database) {
            let range = Schema.rows(of: segment)
            try database.cachedStatement(sql: "DELETE FROM journal WHERE id >= ? AND id < ? AND batch = ?")
              .execute(arguments: [range.lowerBound, range.upperBound, id])
          }
          try database.execute(sql: "DELETE FROM presence WHERE batch = ?", arguments: [id])
          try database.execute(sql: "DELETE FROM snapshots WHERE batch = ?", arguments: [id])
          try database.execute(
            sql: "DELETE FROM outbox WHERE namespace = ? AND batch_id = ?", arguments: [key.namespace, key.batchID])
          try database.execute(sql: "DELETE FROM batches WHERE id = ?", arguments: [id])
          pruned.append(key)
        }
        // Before they are gone: where the mark is behind, it does no harm.
        if !pruned.isEmpty { mark.set(try Int64.fetchOne(database, sql: "SELECT max(id) FROM journal") ?? 0) }
        return pruned
      }
    }
  }
}

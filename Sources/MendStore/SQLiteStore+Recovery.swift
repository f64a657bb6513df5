import Foundation
import GRDB
import MendAPI
public import MendCore
import MendProtobuf
public import MendRuntime
import Synchronization

// Recovery: what can be read goes on; what can't costs its batch, and is said.

extension SQLiteStore {
  public func recover(at now: Instant) throws(StoreError) -> Recovery {
    try ledger.withLock { ledger throws(StoreError) in
      var live = ledger.live
      var keys = KeyRows()
      let recovery = try Self.access("recover", path) {
        try pool.read { database in
          var recovery = Recovery(batches: [], idempotency: [])
          recovery.setAside = try Self.setAside(in: database)
          try readLiveBatches(database, &live, into: &recovery)
          try readIdempotency(database, at: now, &keys, into: &recovery)
          recovery.starts = try starts(database)
          return recovery
        }
      }
      ledger.live = live
      ledger.keys = keys
      return recovery
    }
  }

  /// What stands in the table of batches that are out of the server's hands, live and retired ones.
  static func setAside(in database: Database) throws -> [SetAside] {
    let rows = try Row.fetchAll(
      database,
      sql: """
        SELECT namespace, batch_id, ground, reason FROM set_aside JOIN batches ON batches.id = set_aside.batch
        ORDER BY batch
        """)
    return rows.map { row in
      SetAside(
        batch: BatchKey(namespace: row[0], batchID: row[1]),
        ground: SetAside.Ground(rawValue: row[2]) ?? .administrator, reason: row[3])
    }
  }

  /// A live batch on its way back into memory.
  private struct Reading {
    var fold: Fold
    /// Why it can't be read.
    var fault: SetAside?
  }

  /// All live batches: their snapshots, and one pass over the segments that what came after is in. In the order of the
  /// batches' creation.
  private func readLiveBatches(
    _ database: Database, _ live: inout [BatchKey: Ledger.LiveBatch], into recovery: inout Recovery
  ) throws {
    let aside = Dictionary(recovery.setAside.map { ($0.batch, $0) }, uniquingKeysWith: { first, _ in first })
    let keys = live.sorted { $0.value.id < $1.value.id }.map(\.key)
    var places: [Int64: Int] = [:]
    var readings = keys.map { Reading(fold: Fold(key: $0), fault: aside[$0]) }
    for (place, key) in keys.enumerated() {
      guard let id = live[key]?.id else { continue }
      places[id] = place
      if readings[place].fault == nil, let kept = try? snapshot(of: id, in: database) {
        readings[place].fold.go(on: kept)
      }
    }
    let wanted = try segments(of: places, beyond: readings.map(\.fold), in: database)
    for (segment, members) in wanted.sorted(by: { $0.key < $1.key }) {
      do {
        try read(segment, places, &readings, &live, in: database)
      } catch let error as DatabaseError where error.resultCode == .SQLITE_CORRUPT {
        // Whose rows are on the page cannot be known, nor whether they are all that there were.
        for place in members where readings[place].fault == nil {
          readings[place].fault = SetAside(
            decoding.damaged(keys[place], nil, "a page of the database that it may be on cannot be read", "recover"))
        }
      }
    }
    for (place, key) in keys.enumerated() {
      let batch = readings[place].fold.batch
      live[key]?.last = batch?.sequence ?? 0
      if batch == nil, readings[place].fault == nil {
        readings[place].fault = SetAside(decoding.damaged(key, 1, "none of its records is there", "recover"))
      }
      if let fault = readings[place].fault {
        if aside[key] == nil { recovery.setAside.append(fault) }
      } else if let batch {
        recovery.batches.append(batch)
      }
    }
  }

  private func read(
    _ segment: Int64, _ places: [Int64: Int], _ readings: inout [Reading],
    _ live: inout [BatchKey: Ledger.LiveBatch], in database: Database
  ) throws {
    // Not a cached one: after an error it would say that error again to its next user.
    let select = try database.makeStatement(
      sql: "SELECT batch, \(JournalRow.columns) FROM journal WHERE id >= ? AND id < ? ORDER BY id")
    let range = Schema.rows(of: segment)
    let rows = try Row.fetchCursor(select, arguments: [range.lowerBound, range.upperBound])
    while let row = try rows.next() {
      guard let place = places[row[0]] else { continue }
      let key = readings[place].fold.key
      live[key]?.segment = segment
      let number: Int64 = row[1]
      guard readings[place].fault == nil, number > readings[place].fold.row else { continue }
      do {
        var records: [MendCore.Record] = []
        try decoding.decode(row, from: 1, of: key, operation: "recover", into: &records)
        try readings[place].fold.add(records, row: number)
      } catch let error as RecordFault {
        readings[place].fault = SetAside(decoding.refused(error, "recover"))
      } catch let error as StoreError {
        guard let fault = SetAside(error) else { throw error }
        readings[place].fault = fault
      }
    }
  }

  /// The segments that live batches have rows in beyond what is folded already, with the places of those batches; with a
  /// batch's newest one in any case, where its next rows go.
  private func segments(
    of places: [Int64: Int], beyond folds: [Fold], in database: Database
  ) throws -> [Int64: [Int]] {
    var wanted: [Int64: [Int]] = [:]
    let rows = try Row.fetchCursor(
      database,
      sql: """
        SELECT id, segment FROM batches WHERE retired = 0
        UNION SELECT batch, segment FROM presence WHERE batch IN (SELECT id FROM batches WHERE retired = 0)
        """)
    while let row = try rows.next() {
      guard let place = places[row[0]] else { continue }
      let segment: Int64 = row[1]
      if Schema.rows(of: segment).upperBound > folds[place].row { wanted[segment, default: []].append(place) }
    }
    return wanted
  }

  private func starts(_ database: Database) throws -> [StartHistory] {
    let rows = try Row.fetchCursor(database, sql: "SELECT slot, payload FROM starts ORDER BY slot")
    var histories: [StartHistory] = []
    while let row = try rows.next() {
      let payload: Data = row[1]
      // What cannot be read is learnt again: nothing that was acknowledged rests on it.
      guard let message = try? JournalStartHistory(serialized: Array(payload)) else { continue }
      histories.append(message.history(slot: row[0]))
    }
    return histories
  }

  /// An answer that can't be read is given no more; its call, said again, is carried out again.
  private func readIdempotency(
    _ database: Database, at now: Instant, _ keys: inout KeyRows, into recovery: inout Recovery
  ) throws {
    let rows = try Row.fetchCursor(
      database, sql: "SELECT payload, id FROM idempotency WHERE expires > ? ORDER BY id",
      arguments: [now.milliseconds])
    var entries: [IdempotencyEntry] = []
    while let row = try rows.next() {
      let first = entries.count
      do {
        try row.withUnsafeData(atIndex: 0) { try decoding.decode($0 ?? Data(), at: now, into: &entries) }
      } catch let error as StoreError {
        if recovery.losses.count < Self.lossesTold { recovery.losses.append(error.message) }
      }
      keys.add(row[1], of: entries[first...].lazy.map(\.namespace), limit: idempotencyKeysLimit)
    }
    // Of each namespace the newest, in their order.
    var counts: [String: Int] = [:]
    let kept = entries.reversed().filter { entry in
      counts[entry.namespace, default: 0] += 1
      return counts[entry.namespace, default: 0] <= idempotencyKeysLimit
    }
    recovery.idempotency = kept.reversed()
  }

  private static let lossesTold = 10
}

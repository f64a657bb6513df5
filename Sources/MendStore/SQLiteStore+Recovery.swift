import Foundation
import GRDB
package import MendCore
import MendJournal
package import MendRuntime
import Synchronization

// Recovery: damage to a batch's journal sets that batch aside, and is reported. All other batches are recovered.

extension SQLiteStore {
  package func recover(at now: Instant) throws(StoreError) -> Recovery {
    try ledger.withLock { ledger throws(StoreError) in
      reviveDamaged(&ledger)
      var live = ledger.live
      var keys = KeyRows()
      var found: [Int64: Set<Int64>] = [:]
      var recovery = try Self.access("recover", path) {
        // Not in a transaction, which a page that cannot be read would end; nobody commits meanwhile.
        try pool.unsafeRead { database in
          var recovery = Recovery(batches: [], idempotency: [])
          (recovery.setAside, recovery.losses) = try Self.setAside(in: database)
          found = try readLiveBatches(database, &live, last: ledger.marks.lastRow, into: &recovery)
          try readIdempotency(database, at: now, &keys, into: &recovery)
          recovery.starts = try starts(database, into: &recovery)
          return recovery
        }
      }
      notePlaces(found, ledger.marks)
      removeDamagedNotifications()
      recovery.losses = Array((takeLosses() + recovery.losses).prefix(Self.lossesTold))
      ledger.live = live
      ledger.keys = keys
      return recovery
    }
  }

  /// Makes finished batches with damaged listings live, so that they are retired again.
  private func reviveDamaged(_ ledger: inout Ledger) {
    let revived = ledger.revived
    guard !revived.isEmpty, damage == nil else { return }
    do throws(StoreError) {
      try writing("recover") {
        try pool.write { database in
          let places = try revived.reduce(0) { try $0 &+ revive($1, in: database) }
          try JournalCounts.moveLive(places, in: database)
        }
      }
      ledger.revived = []
    } catch {
      note(error.message)
    }
  }

  /// Notes again where live batches have rows, if such a note was lost.
  private func notePlaces(_ found: [Int64: Set<Int64>], _ marks: Ledger.Marks) {
    guard missesPlaces.load(ordering: .relaxed), damage == nil else { return }
    do throws(StoreError) {
      try writing("recover") {
        try pool.write { database in
          for (batch, segments) in found {
            for segment in segments { _ = try notePlace(of: batch, segment, in: database) }
          }
          if try JournalCounts(database).isDamaged {
            try JournalCounts.begin(in: database, pastRow: marks.lastRow, pastBatch: marks.lastBatch)
          } else {
            try JournalCounts.sumLive(in: database)
          }
        }
      }
      missesPlaces.store(false, ordering: .relaxed)
    } catch {
      note(error.message)
    }
  }

  /// Reads which batches are set aside, live and finished ones, and what of that is damaged.
  static func setAside(in database: Database) throws -> ([SetAside], losses: [String]) {
    let hasSums = try database.columns(in: "set_aside").contains { $0.name == "checksum" }
    var (found, losses): ([SetAside], [String]) = ([], [])
    var rows: [Row] = []
    var walk = TableWalk(
      """
      SELECT * FROM (SELECT batch AS id, ground, reason, \(hasSums ? "checksum" : "NULL") FROM set_aside)
      """)
    try walk.run(database, 0...Int64.max) { rows.append($0.copy()) }
    if !walk.unreadable.isEmpty { losses.append("which batches were set aside cannot be read") }
    for row in rows {
      let id = row.integer(0)
      let (ground, reason) = (row.text(1), row.text(2))
      if let sum = row.integerOrNil(3), sum != RowSum.setAside(batch: id, ground: ground, reason: reason) {
        losses.append("a note that a batch was set aside is damaged; see with mend doctor which ones are")
      }
      let name = try? Row.fetchOne(
        database.makeStatement(sql: "SELECT namespace, batch_id FROM batches WHERE id = ?"), arguments: [id])
      guard let name else {
        losses.append("a batch that was set aside is not there: number \(id)")
        continue
      }
      found.append(
        SetAside(
          batch: BatchKey(namespace: name.text(0), batchID: name.text(1)),
          ground: SetAside.Ground(rawValue: ground) ?? .administrator, reason: reason))
    }
    return (found, losses)
  }

  static func keepAside(
    _ id: Int64, _ ground: SetAside.Ground, _ why: String, at now: Instant, in database: Database
  ) throws {
    // SQLite would end it there, and its check sum be another.
    let reason = why.replacing("\0", with: "")
    try database.execute(
      sql: "INSERT OR REPLACE INTO set_aside (batch, at, ground, reason, checksum) VALUES (?, ?, ?, ?, ?)",
      arguments: [
        id, now.milliseconds, ground.rawValue, reason,
        RowSum.setAside(batch: id, ground: ground.rawValue, reason: reason),
      ])
  }

  /// A live batch that is being recovered.
  private struct Reading {
    var fold: Fold
    /// Why its journal cannot be read.
    var fault: SetAside?
  }

  /// Reads all live batches in the order of their creation: their snapshots, and in one pass the segments with later rows.
  /// Returns the segments in which each batch has rows.
  private func readLiveBatches(
    _ database: Database, _ live: inout [BatchKey: Ledger.LiveBatch], last: Int64, into recovery: inout Recovery
  ) throws -> [Int64: Set<Int64>] {
    let aside = Dictionary(recovery.setAside.map { ($0.batch, $0) }, uniquingKeysWith: { first, _ in first })
    let keys = live.sorted { $0.value.id < $1.value.id }.map(\.key)
    var places: [Int64: Int] = [:]
    let note = crashNote
    var readings = keys.map { Reading(fold: Fold(key: $0, note: note), fault: aside[$0]) }
    for (place, key) in keys.enumerated() {
      guard let id = live[key]?.id else { continue }
      places[id] = place
      guard readings[place].fault == nil else { continue }
      let kept = try? note.holding(key) { try snapshot(of: id, in: database) }
      if let kept, kept.batch.key == key { readings[place].fold.go(on: kept) }
    }
    let counts = try JournalCounts(database)
    let wanted = try segments(of: places, beyond: readings.map(\.fold), last: last, counts, in: database)
    var found: [Int64: Set<Int64>] = [:]
    var newest: [Int: Int64] = [:]
    for (segment, members) in wanted { for place in members { newest[place] = max(newest[place] ?? 0, segment) } }
    let ends = Set(newest.values)
    var missing: [(members: [Int], row: Int64)] = []
    for (segment, members) in wanted.sorted(by: { $0.key < $1.key }) {
      var reader = try SegmentReader(segment, counts, last: last, decoding, database)
      let isEnd = ends.contains(segment) || segment == Schema.segment(of: last)
      try reader.run(database, asksWhose: isEnd, keys) { batch, row in
        guard let place = places[batch] else { return }
        found[batch, default: []].insert(segment)
        try add(row, to: &readings[place], segment, &live)
      }
      if let row = reader.lastMissing { missing.append((members, row)) }
    }
    // What is missing of a batch in the middle leaves a gap; at its end, nothing.
    for (members, row) in missing {
      for place in members where readings[place].fault == nil && readings[place].fold.row < row {
        readings[place].fault = SetAside(decoding.mayMissItsEnd(keys[place], row, "recover"))
      }
    }
    for (place, key) in keys.enumerated() {
      let batch = readings[place].fold.batch
      live[key]?.last = batch?.sequence ?? 0
      if readings[place].fault == nil {
        if batch == nil {
          readings[place].fault = SetAside(decoding.damaged(key, 1, "none of its records is there", "recover"))
        } else if let batch, batch.sequence < live[key]?.least ?? 0 {
          readings[place].fault = SetAside(decoding.endsEarly(key, batch.sequence, "recover"))
        }
      }
      if let fault = readings[place].fault {
        if aside[key] == nil { recovery.setAside.append(fault) }
      } else if let batch {
        recovery.batches.append(batch)
      }
    }
    return found
  }

  private func add(
    _ row: Row, to reading: inout Reading, _ segment: Int64, _ live: inout [BatchKey: Ledger.LiveBatch]
  ) throws {
    let key = reading.fold.key
    live[key]?.segment = segment
    let number = row.integer(1)
    guard reading.fault == nil, number > reading.fold.row else { return }
    do {
      var records: [MendCore.Record] = []
      try decoding.decode(row, from: 1, of: key, operation: "recover", into: &records)
      try reading.fold.add(records, row: number)
    } catch let error as RecordFault {
      reading.fault = SetAside(decoding.refused(error, "recover"))
    } catch let error as StoreError {
      guard let fault = SetAside(error) else { throw error }
      reading.fault = fault
    }
  }

  /// The segments that have later rows of live batches, each with the batches' positions. A batch's newest segment is among
  /// them in any case, for its next rows go there.
  private func segments(
    of places: [Int64: Int], beyond folds: [Fold], last: Int64, _ counts: JournalCounts, in database: Database
  ) throws -> [Int64: [Int]] {
    let newest = Schema.segment(of: last)
    var wanted: [Int64: [Int]] = [newest: []]
    if try counts.missesLive(database) {
      note("notes of where live batches have rows are missing; the whole journal is read")
      missesPlaces.store(true, ordering: .relaxed)
      for segment in 0...max(0, newest) { wanted[segment] = Array(folds.indices) }
      return wanted
    }
    var found: [Int64: [Int64]] = [:]
    let rows = try Row.fetchCursor(database.makeStatement(sql: JournalCounts.livePlaces))
    while let row = try rows.next() { found[row.integer(0), default: []].append(row.integer(1)) }
    for (id, place) in places {
      // One that is live for once may stand in the table as a finished one.
      for segment in found[id] ?? (try? segments(of: id, in: database)) ?? []
      where Schema.rows(of: segment).upperBound > folds[place].row {
        wanted[segment, default: []].append(place)
      }
    }
    return wanted
  }

  /// Reads how long starts took. What cannot be read is learnt again.
  private func starts(_ database: Database, into recovery: inout Recovery) throws -> [StartHistory] {
    var histories: [StartHistory] = []
    do {
      let rows = try Row.fetchCursor(
        database.makeStatement(sql: "SELECT slot, payload, checksum FROM starts ORDER BY slot"))
      while let row = try rows.next() {
        let payload = row.bytes(1)
        if let sum = row.integerOrNil(2), sum != RowSum.starts(payload, slot: row.integer(0)) { continue }
        var history = StartHistory.blank
        guard (try? FieldDecoder.read(&history, from: payload)) != nil else { continue }
        history.slot = Int(row.integer(0))
        histories.append(history)
      }
    } catch  where error.isUnreadable {
      recovery.losses.append("how long starts took cannot be read; the server learns it again")
    }
    return histories
  }

  /// Reads the remembered answers. If one cannot be read, its call is carried out again when it is repeated.
  private func readIdempotency(
    _ database: Database, at now: Instant, _ keys: inout KeyRows, into recovery: inout Recovery
  ) throws {
    var entries: [IdempotencyEntry] = []
    var walk = TableWalk("SELECT id, keys, expires, checksum, payload FROM idempotency")
    try walk.run(database, 0...Int64.max) { row in
      guard row.integerOrNil(2) ?? .max > now.milliseconds else { return }
      let first = entries.count
      do {
        let payload = row.bytes(4)
        if let sum = row.integerOrNil(3),
          sum != RowSum.answers(payload, keys: row.integerOrNil(1) ?? 0, expires: row.integerOrNil(2) ?? 0)
        {
          throw decoding.damagedAnswers("their check sum is another")
        }
        try decoding.decode(Data(payload), at: now, into: &entries)
      } catch let error as StoreError {
        if recovery.losses.count < Self.lossesTold { recovery.losses.append(error.message) }
      }
      keys.add(row.integer(0), of: entries[first...].lazy.map(\.namespace), limit: idempotencyKeysLimit)
    }
    for _ in walk.unreadable { recovery.losses.append(decoding.damagedAnswers("a page cannot be read").message) }
    // Of each namespace the newest, in their order.
    var counts: [String: Int] = [:]
    let kept = entries.reversed().filter { entry in
      counts[entry.namespace, default: 0] += 1
      return counts[entry.namespace, default: 0] <= idempotencyKeysLimit
    }
    recovery.idempotency = kept.reversed()
  }
}

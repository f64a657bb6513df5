import Foundation
import GRDB
import MendCore
import MendRuntime

/// Reads a whole journal as far as it can be read, and finds what is damaged or missing.
struct JournalInspection {
  private(set) var batches = 0
  private(set) var records = 0
  private(set) var damaged: [SetAside] = []
  private(set) var setAside: [SetAside] = []
  private(set) var faults: [String] = []
  /// Is passed each row that can be read, with the number of its batch.
  var onRow: (Int64, Row) throws -> Void = { _, _ in }

  private let decoding: JournalDecoding
  /// Batches that an earlier run of the program crashed over, with the signal. They are not read.
  private let crashedOver: [BatchKey: Int32]
  private let path: String
  private var readings: [Int64: Reading] = [:]

  private static let faultsTold = 40

  /// A batch whose journal is being read.
  private struct Reading {
    var fold: SQLiteStore.Fold
    var fault: SetAside?
    /// The number of its last row; nil if it has none.
    var last: Int64?
    /// The least number of its records; nil if that is unknown.
    var least: Int64?
    /// Whether `least` is all of them, because the batch is finished.
    var endsThere = false
    /// The segments that have rows of it.
    var segments: Set<Int64> = []
    /// Whether all of it was read; its state is then released.
    var isWhole = false
  }

  init(_ decoding: JournalDecoding, path: String, crashedOver: [BatchKey: Int32]) {
    self.decoding = decoding
    self.crashedOver = crashedOver
    self.path = path
  }

  /// The numbers of all batches.
  var numbers: Set<Int64> { Set(readings.keys) }

  mutating func run(_ database: Database) throws {
    let counts = try JournalCounts(database)
    let isCounted = try has("counts", database)
    if isCounted, counts.isDamaged { fault("the counts of rows cannot be read, so missing rows may go unnoticed") }
    try readBatches(database, counts)
    if try has("set_aside", database) {
      do {
        let (found, losses) = try SQLiteStore.setAside(in: database)
        setAside = found
        for loss in losses { fault(loss) }
      } catch  where error.isUnreadable {
        fault("which batches were set aside cannot be read")
      }
    }
    try readJournal(database, counts)
    try readOthers(database)
    finish()
  }

  private mutating func fault(_ what: String) {
    if faults.count < Self.faultsTold { faults.append(what) }
  }

  private func has(_ table: String, _ database: Database) throws -> Bool { try database.tableExists(table) }

  private func has(_ column: String, of table: String, _ database: Database) throws -> Bool {
    try database.columns(in: table).contains { $0.name == column }
  }

  private mutating func readBatches(_ database: Database, _ counts: JournalCounts) throws {
    let hasSums = try has("last", of: "batches", database)
    let sums =
      hasSums ? "checksum, created_at, completed_at, status, bucket_id, last, listing" : "NULL, 0, 0, 0, '', NULL, x''"
    var walk = TableWalk("SELECT id, namespace, batch_id, retired, \(sums) FROM batches NOT INDEXED")
    var found: [Int64: Reading] = [:]
    var bad: [String] = []
    try walk.run(database, 0...Int64.max) { row in
      let key = BatchKey(namespace: row.text(1), batchID: row.text(2))
      var reading = Reading(fold: SQLiteStore.Fold(key: key, note: decoding.note), least: row.integerOrNil(9))
      if let signal = crashedOver[key] {
        reading.fault = SetAside(
          batch: key, ground: .crash, reason: "this command crashed as it read its journal, by signal \(signal)")
      }
      let isWhole = try SQLiteStore.isWholeListing(row, of: key, from: 4)
      // One that was retried has the end that it had before.
      reading.endsThere = row.integer(3) == 1 && isWhole
      found[row.integer(0)] = reading
      if row.integer(3) != 0 && !isWhole {
        bad.append("the listing of \(key.namespace)/\(key.batchID) is damaged; a server makes it anew from its journal")
      }
    }
    readings = found
    batches = found.count
    for bad in bad { fault(bad) }
    for rows in walk.unreadable { fault("the table of batches cannot be read from \(rows.lowerBound) on") }
    let acknowledged = try JournalMark.batch(at: path + JournalMark.suffix) ?? 0
    let last = max(found.keys.max() ?? 0, counts.lastBatch, acknowledged)
    let missing = counts.missing(ofBatches: Int64(found.count), last: last)
    if let words = JournalCounts.words(onMissing: missing) { fault(words) }
  }

  private mutating func readJournal(_ database: Database, _ counts: JournalCounts) throws {
    do {
      let ends = try Row.fetchCursor(database, sql: "SELECT batch, max(id) FROM journal GROUP BY batch")
      while let row = try ends.next() { readings[row.integer(0)]?.last = row.integerOrNil(1) }
    } catch  where error.isUnreadable {
      // Then no batch can be let go before the end; what is on the page is found below.
      for id in readings.keys { readings[id]?.last = nil }
    }
    let columns =
      try has("checksum", of: "journal", database)
      ? JournalRow.columns : JournalRow.columns.replacing("checksum", with: "NULL")
    let mark = try JournalMark.row(at: path + JournalMark.suffix)
    let newest = try SQLiteStore.Ledger.lastRow(database, acknowledged: mark)
    let end = max(newest, counts.lastRow)
    let last = max(end, mark ?? 0)
    let keys = readings.values.map(\.fold.key)
    var missing: [(segments: ClosedRange<Int64>, row: Int64)] = []
    for segment in 0...Schema.segment(of: end) {
      var reader = try SegmentReader(segment, counts, last: last, decoding, database)
      var (count, strays, faults): (Int, [Int64], [Int64: SetAside]) = (0, [], [:])
      var readings = readings
      self.readings = [:]
      try reader.run(database, asksWhose: true, keys, columns: columns) { batch, row in
        guard let reading = readings[batch] else {
          strays.append(row.integer(1))
          return
        }
        try onRow(batch, row)
        readings[batch]?.segments.insert(segment)
        guard reading.fault == nil, !reading.isWhole else { return }
        do {
          var part: [MendCore.Record] = []
          try decoding.decode(row, from: 1, of: reading.fold.key, operation: "examine", into: &part)
          count += part.count
          try readings[batch]?.fold.add(part, row: row.integer(1))
          guard reading.last == row.integerOrNil(1), (readings[batch]?.fold.batch?.sequence ?? 0) >= reading.least ?? 0
          else { return }
          readings[batch]?.isWhole = true
          readings[batch]?.fold = SQLiteStore.Fold(key: reading.fold.key, note: decoding.note)
        } catch let error as RecordFault {
          faults[batch] = SetAside(decoding.refused(error, "examine"))
          readings[batch]?.fault = faults[batch]
        } catch let error as StoreError {
          readings[batch]?.fault = SetAside(error)
        }
      }
      self.readings = readings
      records += count
      for row in strays { fault("row \(row) of the journal belongs to no batch") }
      if let row = reader.lastMissing { missing.append((segment...segment, row)) }
    }
    // Only the mark knows of these rows, so no segment is searched for them.
    let segments = (Schema.segment(of: end), Schema.segment(of: last))
    if segments.0 < segments.1 { missing.append((segments.0 + 1...segments.1, last)) }
    try findThoseThatMissTheirEnd(missing, database)
  }

  private mutating func findThoseThatMissTheirEnd(
    _ missing: [(segments: ClosedRange<Int64>, row: Int64)], _ database: Database
  ) throws {
    for (segments, row) in missing {
      fault("rows of the journal up to \(row) cannot be read or are missing")
      let members: [Int64]
      do {
        members = try Int64.fetchAll(
          database,
          sql: """
            SELECT id FROM batches WHERE segment BETWEEN ?1 AND ?2
            UNION SELECT batch FROM presence WHERE segment BETWEEN ?1 AND ?2
            """,
          arguments: [segments.lowerBound, segments.upperBound])
      } catch  where error.isUnreadable {
        members = Array(readings.keys)
      }
      for id in members {
        guard let reading = readings[id], reading.fault == nil else { continue }
        // How long it is, is known of a finished one.
        if reading.endsThere, let least = reading.least, reading.isWhole || (reading.fold.batch?.sequence ?? 0) >= least
        {
          continue
        }
        let end = reading.isWhole ? reading.last ?? 0 : reading.fold.row
        guard end < row else { continue }
        let fault = SetAside(decoding.mayMissItsEnd(reading.fold.key, row, "examine"))
        readings[id]?.fault = fault
      }
    }
  }

  private mutating func readOthers(_ database: Database) throws {
    var presence: Set<[Int64]>?
    do {
      let rows = try Row.fetchAll(
        database, sql: "SELECT id, segment FROM batches UNION SELECT batch, segment FROM presence")
      presence = Set(rows.map { [$0.integer(0), $0.integer(1)] })
    } catch  where error.isUnreadable {
      fault("the notes of where batches have rows cannot be read")
    }
    if let presence {
      let lost = readings.reduce(0) { sum, entry in
        sum + entry.value.segments.count { !presence.contains([entry.key, $0]) }
      }
      if lost > 0 { fault("\(lost) notes of where batches have rows are missing") }
    }
    guard try has("checksum", of: "outbox", database) else { return }
    try check(database, "idempotency", "keys, expires") { row, payload in
      RowSum.answers(payload, keys: row.integerOrNil(2) ?? 0, expires: row.integerOrNil(3) ?? 0)
    }
    try check(database, "outbox", "event_id, namespace, batch_id, attempts, next_at") { row, payload in
      RowSum.notification(
        payload, of: BatchKey(namespace: row.text(3), batchID: row.text(4)), eventID: row.text(2),
        attempts: row.integer(5), nextAt: row.integer(6))
    }
  }

  private mutating func check(
    _ database: Database, _ table: String, _ columns: String, _ sum: (Row, [UInt8]) -> Int64
  ) throws {
    let place = columns.split(separator: ",").count + 2
    var walk = TableWalk("SELECT id, checksum, \(columns), payload FROM \(table)")
    var bad = 0
    try walk.run(database, 0...Int64.max) { row in
      guard let expected = row.integerOrNil(1) else { return }
      let payload = row.bytes(place)
      if sum(row, payload) != expected { bad += 1 }
    }
    if bad > 0 { fault("\(bad) rows of the table \(table) are damaged; a server leaves them out") }
    for rows in walk.unreadable { fault("the table \(table) cannot be read from row \(rows.lowerBound) on") }
  }

  private mutating func finish() {
    for (_, reading) in readings.sorted(by: { $0.key < $1.key }) {
      if let fault = reading.fault {
        damaged.append(fault)
      } else if !reading.isWhole {
        let key = reading.fold.key
        guard let batch = reading.fold.batch else {
          if let fault = SetAside(decoding.damaged(key, 1, "none of its records is there", "examine")) {
            damaged.append(fault)
          }
          continue
        }
        if let least = reading.least, batch.sequence < UInt64(clamping: least),
          let fault = SetAside(decoding.endsEarly(key, batch.sequence, "examine"))
        {
          damaged.append(fault)
        }
      }
    }
  }
}

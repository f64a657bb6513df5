import Foundation
import GRDB
public import MendCore
public import MendRuntime

/// A data directory's journal as it lies there, looked at while no server has it.
///
/// `examine` changes nothing of it. The directory is locked for as long as this lives, so no server starts meanwhile.
public final class JournalDoctor {
  /// What an examination found.
  public struct Report: Sendable, Hashable {
    public var path: String
    public var batches = 0
    public var records = 0
    /// Batches whose journals can't be folded; each with its first record at fault, where one is known.
    public var damaged: [SetAside] = []
    /// Batches that a server leaves alone because it was told to, or crashed over them.
    public var setAside: [SetAside] = []
    /// What else is wrong with the file, each in a sentence.
    public var faults: [String] = []

    public var isWell: Bool { damaged.isEmpty && faults.isEmpty && crashedOver.isEmpty }

    /// Batches that a server set aside by itself, and whose journals are whole: nobody asked for it.
    public var crashedOver: [SetAside] { setAside.filter { $0.ground != .administrator } }
  }

  private let lock: DirectoryLock
  private let path: String
  private let file: JournalFile
  private let past: JournalPast
  private let decoding: JournalDecoding

  /// - Throws: where there is no journal, or a server has it.
  public init(directory: String, version: String) throws(StoreError) {
    path = directory + "/journal.sqlite"
    guard FileManager.default.fileExists(atPath: path) else {
      throw StoreError(
        operation: "open", message: "\(path) is not there: no server has served with this data directory")
    }
    lock = try DirectoryLock(reading: directory)
    file = JournalFile(path: path)
    past = JournalPast(file, lock)
    decoding = JournalDecoding(path: path, version: version)
  }

  // MARK: - Looking

  /// Reads every record of every batch.
  public func examine() throws(StoreError) -> Report {
    var report = Report(path: path)
    do throws(StoreError) {
      try file.check(wasMade: lock.journalWasMade)
    } catch {
      report.faults.append(error.message)
      return report
    }
    // A reader makes these where they are missing; they go again.
    let debris = ["-shm", "-wal"].map { path + $0 }.filter { !FileManager.default.fileExists(atPath: $0) }
    defer { for path in debris { try? FileManager.default.removeItem(atPath: path) } }
    return try SQLiteStore.access("examine", path) {
      var configuration = Configuration()
      configuration.readonly = true
      configuration.busyMode = .timeout(5)
      let queue = try DatabaseQueue(path: path, configuration: configuration)
      try queue.read { database in
        do {
          try Schema.check(database, path: path, mayBeNew: past.mayBeNew)
          try past.check(database)
        } catch let error as StoreError {
          report.faults.append(error.message)
        }
        guard try database.tableExists("journal") else { return }
        report.faults += try Self.pages(database)
        try examineBatches(database, &report)
      }
      try queue.close()
      return report
    }
  }

  private static func pages(_ database: Database) throws -> [String] {
    do {
      return try String.fetchAll(database, sql: "PRAGMA quick_check(20)").filter { $0 != "ok" }
    } catch let error as DatabaseError {
      return ["\(error.message ?? "no message") (SQLite \(error.extendedResultCode.rawValue))"]
    }
  }

  private static let faultsTold = 40

  /// A batch on its way through its journal.
  private struct Reading {
    var fold: SQLiteStore.Fold
    var fault: SetAside?
    /// Its last row of the journal; nil where there is none.
    var last: Int64?
    /// All of it was read, and let go again.
    var isWhole = false
  }

  private func examineBatches(_ database: Database, _ report: inout Report) throws {
    if try database.tableExists("set_aside") {
      report.setAside = try SQLiteStore.setAside(in: database)
    }
    var readings: [Int64: Reading] = [:]
    let rows = try Row.fetchCursor(database, sql: "SELECT id, namespace, batch_id FROM batches")
    while let row = try rows.next() {
      readings[row[0]] = Reading(fold: SQLiteStore.Fold(key: BatchKey(namespace: row[1], batchID: row[2])))
    }
    report.batches = readings.count
    do {
      let ends = try Row.fetchCursor(database, sql: "SELECT batch, max(id) FROM journal GROUP BY batch")
      while let row = try ends.next() { readings[row[0]]?.last = row[1] }
    } catch let error as DatabaseError where error.resultCode == .SQLITE_CORRUPT {
      // Then no batch can be let go before the end; what is on the page is found below.
    }
    let segments = try Int64.fetchAll(
      database, sql: "SELECT segment FROM batches UNION SELECT segment FROM presence ORDER BY segment")
    for segment in segments {
      do {
        try read(segment, &readings, &report, in: database)
      } catch let error as DatabaseError where error.resultCode == .SQLITE_CORRUPT {
        let members = try Int64.fetchAll(
          database,
          sql: "SELECT id FROM batches WHERE segment = ?1 UNION SELECT batch FROM presence WHERE segment = ?1",
          arguments: [segment])
        for id in members where readings[id]?.fault == nil {
          guard let key = readings[id]?.fold.key else { continue }
          readings[id]?.fault = SetAside(
            decoding.damaged(key, nil, "a page of the database that it may be on cannot be read", "examine"))
        }
      }
    }
    for (_, reading) in readings.sorted(by: { $0.key < $1.key }) {
      if let fault = reading.fault {
        report.damaged.append(fault)
      } else if !reading.isWhole, reading.fold.batch == nil {
        if let fault = SetAside(decoding.damaged(reading.fold.key, 1, "none of its records is there", "examine")) {
          report.damaged.append(fault)
        }
      }
    }
  }

  private func read(
    _ segment: Int64, _ readings: inout [Int64: Reading], _ report: inout Report, in database: Database
  ) throws {
    let hasSums = try database.columns(in: "journal").contains { $0.name == "checksum" }
    let columns = hasSums ? JournalRow.columns : JournalRow.columns.replacing("checksum", with: "NULL")
    let range = Schema.rows(of: segment)
    let rows = try Row.fetchCursor(
      database, sql: "SELECT batch, \(columns) FROM journal WHERE id >= ? AND id < ? ORDER BY id",
      arguments: [range.lowerBound, range.upperBound])
    while let row = try rows.next() {
      let id: Int64 = row[0]
      guard let reading = readings[id] else {
        if report.faults.count < Self.faultsTold {
          report.faults.append("row \(row[1] as Int64) of the journal is of no batch that there is")
        }
        continue
      }
      guard reading.fault == nil else { continue }
      do {
        var records: [MendCore.Record] = []
        try decoding.decode(row, from: 1, of: reading.fold.key, operation: "examine", into: &records)
        report.records += records.count
        try readings[id]?.fold.add(records, row: row[1])
        guard reading.last == row[1] as Int64? else { continue }
        readings[id]?.isWhole = true
        readings[id]?.fold = SQLiteStore.Fold(key: reading.fold.key)
      } catch let error as RecordFault {
        readings[id]?.fault = SetAside(decoding.refused(error, "examine"))
      } catch let error as StoreError {
        readings[id]?.fault = SetAside(error)
      }
    }
  }

  // MARK: - Changing

  /// From now on a server leaves the batch alone. False where there is no such batch.
  public func setAside(_ key: BatchKey, at now: Instant, reason: String) throws(StoreError) -> Bool {
    try changing { database in
      guard let id = try Self.id(of: key, in: database) else { return false }
      try database.execute(
        sql: "INSERT OR REPLACE INTO set_aside (batch, at, ground, reason) VALUES (?, ?, ?, ?)",
        arguments: [id, now.milliseconds, SetAside.Ground.administrator.rawValue, reason])
      return true
    }
  }

  /// The next server tries the batch again. False where it was not set aside.
  public func bringBack(_ key: BatchKey) throws(StoreError) -> Bool {
    try changing { database in
      guard let id = try Self.id(of: key, in: database) else { return false }
      try database.execute(sql: "DELETE FROM crashes WHERE batch = ?", arguments: [id])
      try database.execute(sql: "DELETE FROM set_aside WHERE batch = ?", arguments: [id])
      return database.changesCount > 0
    }
  }

  /// Goes on with what the file has: what is missing of it is missing for good.
  public func acceptLoss() throws(StoreError) {
    let mark = path + JournalMark.suffix
    if FileManager.default.fileExists(atPath: mark) {
      do {
        try FileManager.default.removeItem(atPath: mark)
      } catch {
        throw StoreError(operation: "accept", message: "\(mark) cannot be removed: \(error)")
      }
    }
    try changing { database in
      try database.execute(sql: "UPDATE log_state SET state = 2 WHERE id = 1")
      return true
    }
  }

  /// Two of one id may be there: one that is retired, and a live one that came after it; the live one is meant.
  static func id(of key: BatchKey, in database: Database) throws -> Int64? {
    try Int64.fetchOne(
      database, sql: "SELECT id FROM batches WHERE namespace = ? AND batch_id = ? ORDER BY retired, id DESC",
      arguments: [key.namespace, key.batchID])
  }

  @discardableResult
  private func changing(_ body: (Database) throws -> Bool) throws(StoreError) -> Bool {
    try SQLiteStore.access("change", path) {
      var configuration = Configuration()
      configuration.busyMode = .timeout(5)
      configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = FULL") }
      let queue = try DatabaseQueue(path: path, configuration: configuration)
      try Schema.migrator.migrate(queue)
      let done = try queue.write { try body($0) }
      try queue.close()
      return done
    }
  }
}

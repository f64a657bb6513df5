import Foundation
import GRDB
package import MendCore
package import MendRuntime

/// Examines and repairs a data directory's journal while no server uses it.
///
/// `examine` changes nothing. The directory stays locked as long as this object lives, so no server can start meanwhile.
package final class JournalDoctor {
  /// The result of an examination.
  package struct Report: Sendable, Hashable {
    package var path: String
    package var batches = 0
    package var records = 0
    /// Batches whose journals cannot be read; each with the first wrong record, if it is known.
    package var damaged: [SetAside] = []
    /// Batches that a server leaves alone because an administrator said so, or because it crashed over them.
    package var setAside: [SetAside] = []
    /// All other damage, one sentence each.
    package var faults: [String] = []

    package var isWell: Bool { damaged.isEmpty && faults.isEmpty && crashedOver.isEmpty }

    /// Batches that no administrator set aside.
    package var crashedOver: [SetAside] { setAside.filter { $0.ground != .administrator } }

    mutating func take(_ inspection: JournalInspection) {
      batches = inspection.batches
      records = inspection.records
      damaged = inspection.damaged
      setAside = inspection.setAside
      faults += inspection.faults
    }
  }

  private let lock: DirectoryLock
  let path: String
  let file: JournalFile
  let past: JournalPast
  let decoding: JournalDecoding
  let crashedOver: [BatchKey: Int32]

  /// - Parameters:
  ///   - note: told whose journal is being read.
  ///   - crashedOver: batches that an earlier examination crashed over, and by which signal: they are not read.
  /// - Throws: where there is no journal, or a server has it.
  package init(
    directory: String, version: String, note: (any CrashNote)? = nil, crashedOver: [BatchKey: Int32] = [:]
  ) throws(StoreError) {
    self.crashedOver = crashedOver
    path = directory + "/journal.sqlite"
    guard unsafe access(path, F_OK) == 0 else {
      let isMissing = errno == ENOENT || errno == ENOTDIR
      throw StoreError(
        operation: "open",
        message: isMissing
          ? "\(path) is not there: no server has served with this data directory"
          : "\(path) cannot be looked at: \(SystemFault.words(errno))")
    }
    lock = try DirectoryLock(reading: directory)
    file = JournalFile(path: path)
    past = try JournalPast(file, lock)
    decoding = JournalDecoding(path: path, version: version, note: note)
  }

  // MARK: - Looking

  /// Reads every record of every batch, and every other row that has a check sum. Changes nothing.
  package func examine() throws(StoreError) -> Report {
    var report = Report(path: path)
    do throws(StoreError) {
      try file.check(wasMade: lock.journalWasMade)
    } catch {
      report.faults.append(error.message)
      return report
    }
    if let note = DamageNote(journal: path).text {
      let words = note.split(separator: "\n").first ?? ""
      report.faults.append("a server could not change a page of the database: \(words)")
    }
    return try reading("examine") { database in
      do {
        try Schema.check(database, path: path, mayBeNew: past.mayBeNew)
        try past.check(database)
      } catch let error as StoreError {
        report.faults.append(error.message)
      }
      guard try database.tableExists("journal") else { return report }
      report.faults += try Self.pages(database)
      var inspection = JournalInspection(decoding, path: path, crashedOver: crashedOver)
      try inspection.run(database)
      report.take(inspection)
      return report
    }
  }

  /// Opens the journal for reading only.
  func reading<Value>(_ operation: String, _ body: (Database) throws -> Value) throws(StoreError) -> Value {
    // SQLite makes these files if they are missing; they are removed again.
    let debris = ["-shm", "-wal"].map { path + $0 }.filter { !FileManager.default.fileExists(atPath: $0) }
    defer { for path in debris { try? FileManager.default.removeItem(atPath: path) } }
    return try SQLiteStore.access(operation, path) {
      var configuration = Configuration()
      configuration.readonly = true
      configuration.busyMode = .timeout(5)
      let queue = try DatabaseQueue(path: path, configuration: configuration)
      // Not in a transaction, which a page that cannot be read would end.
      let value = try queue.unsafeRead { try body($0) }
      try queue.close()
      return value
    }
  }

  private static func pages(_ database: Database) throws -> [String] {
    do {
      return try String.fetchAll(database, sql: "PRAGMA integrity_check(20)").filter { $0 != "ok" }
    } catch let error as DatabaseError {
      return [SQLiteStore.words(error)]
    }
  }

  // MARK: - Changing

  /// Sets a batch aside: servers leave it alone from now on. Returns false if there is no such batch.
  package func setAside(_ key: BatchKey, at now: Instant, reason: String) throws(StoreError) -> Bool {
    try checkBeforeChanging()
    return try changing { database in
      guard let id = try Self.id(of: key, in: database) else { return false }
      try SQLiteStore.keepAside(id, .administrator, reason, at: now, in: database)
      return true
    }
  }

  /// Lets the next server try a batch again. Returns false if it was not set aside.
  package func bringBack(_ key: BatchKey) throws(StoreError) -> Bool {
    try checkBeforeChanging()
    return try changing { database in
      guard let id = try Self.id(of: key, in: database) else { return false }
      try database.execute(sql: "DELETE FROM crashes WHERE batch = ?", arguments: [id])
      try database.execute(sql: "DELETE FROM set_aside WHERE batch = ?", arguments: [id])
      return database.changesCount > 0
    }
  }

  /// Throws if a server would refuse the journal: SQLite discards a log that it cannot read.
  private func checkBeforeChanging() throws(StoreError) {
    try file.takeBackRebuilding()
    try file.check(wasMade: lock.journalWasMade)
    try reading("change") { database in
      try Schema.check(database, path: path, mayBeNew: past.mayBeNew)
      try past.check(database)
    }
  }

  /// Lets the next server continue with what the file has. Whatever is missing is lost for good.
  package func acceptLoss() throws(StoreError) {
    try file.takeBackRebuilding()
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

  /// The number of a batch. If a finished and a live batch have the same id, it is the live one's.
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

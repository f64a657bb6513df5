import Foundation
import GRDB
package import MendCore
package import MendRuntime

extension JournalDoctor {
  /// The result of rebuilding a damaged journal.
  package struct Rebuilding: Sendable, Hashable {
    package var batches = 0
    package var rows = 0
    /// Batches with incomplete journals, which servers leave alone.
    package var setAside: [SetAside] = []
    package var faults: [String] = []
    /// The directory that holds the damaged files now.
    package var kept = ""
  }

  /// Makes a new journal of all that can be read, and puts it in place of the damaged one. The damaged files are kept.
  package func rebuild(at now: Instant) throws(StoreError) -> Rebuilding {
    try file.takeBackRebuilding()
    let new = path + "-rebuilt"
    remove(new)
    defer { remove(new) }
    try make(new)
    var rebuilding = Rebuilding()
    try reading("rebuild") { database in
      guard try database.tableExists("journal"), try database.tableExists("batches") else {
        throw StoreError(operation: "rebuild", message: "\(path) has no journal that could be read")
      }
      var configuration = Configuration()
      configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = FULL") }
      configuration.foreignKeysEnabled = false
      let target = try DatabaseQueue(path: new, configuration: configuration)
      try Schema.migrator.migrate(target)
      try target.write { try copy(database, to: $0, at: now, &rebuilding) }
      try target.close()
    }
    rebuilding.kept = try put(new, at: now)
    return rebuilding
  }

  private func remove(_ path: String) {
    for part in ["", "-journal", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + part) }
  }

  /// Makes an empty file that belongs to the old journal's owner, and that nobody else can read.
  private func make(_ new: String) throws(StoreError) {
    var status = stat()
    let descriptor = unsafe open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    let code = errno
    defer { if descriptor >= 0 { close(descriptor) } }
    guard descriptor >= 0, unsafe stat(path, &status) == 0 else {
      throw StoreError(
        operation: "rebuild", message: "\(new) cannot be made: \(SystemFault.words(descriptor < 0 ? code : errno))")
    }
    guard fchown(descriptor, status.st_uid, status.st_gid) == 0 || status.st_uid == geteuid() else {
      throw StoreError(
        operation: "rebuild",
        message: "\(new) cannot be given to the owner of \(path): \(SystemFault.words(errno)); run this as that user")
    }
  }

  private func copy(
    _ source: Database, to target: Database, at now: Instant, _ rebuilding: inout Rebuilding
  ) throws {
    try copyRows(of: "batches", id: "id", source, target)
    var inspection = JournalInspection(decoding, path: path, crashedOver: crashedOver)
    var rows = 0
    inspection.onRow = { batch, row in
      // A row without a number that it must have is left out, and its batch is damaged.
      try target.execute(
        sql: "INSERT OR IGNORE INTO journal (id, batch, first, count, checksum, payload) VALUES (?, ?, ?, ?, ?, ?)",
        arguments: [
          row.integer(1), batch, row.integerOrNil(2), row.integerOrNil(3), row.integerOrNil(4), Data(row.bytes(5)),
        ])
      guard target.changesCount > 0 else { return }
      rows += 1
      try target.execute(
        sql: "INSERT OR IGNORE INTO presence (batch, segment) VALUES (?, ?)",
        arguments: [batch, Schema.segment(of: row.integer(1))])
    }
    try inspection.run(source)
    for (table, id) in [
      ("idempotency", "id"), ("outbox", "id"), ("starts", "slot"), ("set_aside", "batch"), ("crashes", "batch"),
    ] {
      try copyRows(of: table, id: id, source, target)
    }
    // A later batch could get the number of a lost one.
    for table in ["set_aside", "crashes"] {
      try target.execute(sql: "DELETE FROM \(table) WHERE batch NOT IN (SELECT id FROM batches)")
    }
    let made = try String.fetchOne(source, sql: "SELECT sql FROM sqlite_schema WHERE name = 'data_directory'")
    if let made {
      try target.execute(sql: made)
      try copyRows(of: "data_directory", id: "only", source, target)
      if try Int.fetchOne(target, sql: "SELECT count(*) FROM data_directory") == 0 {
        rebuilding.faults = [
          "what directory this is cannot be read, so the next server takes it for a copy; if it is none, serve it with "
            + "--adopt-copy once"
        ]
      }
    }
    let counts = try JournalCounts(source)
    let last = max(try Int64.fetchOne(target, sql: "SELECT max(id) FROM journal") ?? 0, counts.lastRow)
    for aside in inspection.damaged {
      guard let id = try Self.id(of: aside.batch, in: target) else { continue }
      try SQLiteStore.keepAside(id, .journal, aside.reason, at: now, in: target)
    }
    if let acknowledged = past.acknowledged, acknowledged > last {
      rebuilding.faults.append(
        "it ends at row \(last), and row \(acknowledged) was acknowledged: \(acknowledged - last) rows are missing, and it "
          + "is not known of which batches. Batches that may lack their end are set aside: bring back those that may "
          + "continue from where they are")
    }
    // No number is used twice. The mark's row has a check sum only if the mark names a batch, too.
    let markedRow = past.acknowledgedBatch == nil ? 0 : past.acknowledged ?? 0
    try JournalCounts.begin(
      in: target, pastRow: max(last, markedRow), pastBatch: max(counts.lastBatch, past.acknowledgedBatch ?? 0))
    rebuilding.batches = inspection.batches
    rebuilding.rows = rows
    rebuilding.setAside = inspection.damaged
    rebuilding.faults += inspection.faults
  }

  /// Copies all rows of a table that can be read, with the columns that both databases have.
  private func copyRows(of table: String, id: String, _ source: Database, _ target: Database) throws {
    guard try source.tableExists(table) else { return }
    let known = Set(try target.columns(in: table).map(\.name))
    let columns = try source.columns(in: table).map(\.name).filter(known.contains)
    let names = columns.joined(separator: ", ")
    let places = Array(repeating: "?", count: columns.count).joined(separator: ", ")
    let named = columns.map { "\($0) AS of_\($0)" }.joined(separator: ", ")
    var walk = TableWalk("SELECT * FROM (SELECT \(id) AS id, \(named) FROM \(table))")
    try walk.run(source, 0...Int64.max) { row in
      let values = (1...columns.count).map { row[$0] as DatabaseValue }
      try target.execute(
        sql: "INSERT OR IGNORE INTO \(table) (\(names)) VALUES (\(places))", arguments: StatementArguments(values))
    }
  }

  /// Moves the damaged files to a directory of their own, and the new journal to their place. If this is interrupted, a
  /// server finds the new journal, or takes the rebuilding back.
  private func put(_ new: String, at now: Instant) throws(StoreError) -> String {
    let kept = "\(path)\(JournalFile.keptSuffix)\(now.milliseconds)"
    do {
      let manager = FileManager.default
      try manager.createDirectory(
        atPath: kept, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      let parts = ["", "-wal", JournalMark.suffix, DamageNote.suffix].filter { manager.fileExists(atPath: path + $0) }
      for part in parts { try manager.linkItem(atPath: path + part, toPath: "\(kept)/journal.sqlite\(part)") }
      SmallFile.syncDirectory(of: "\(kept)/journal.sqlite")
      SmallFile.syncDirectory(of: path)
      // Until the new one is in place the mark says how far the old one went, so that it is not served without its log.
      for part in ["-wal", "-shm"] where manager.fileExists(atPath: path + part) {
        try manager.removeItem(atPath: path + part)
      }
    } catch {
      try? file.linkLog(from: kept)
      throw StoreError(operation: "rebuild", message: "the damaged files cannot be kept in \(kept): \(error)")
    }
    guard unsafe rename(new, path) == 0 else {
      let code = errno
      try? file.linkLog(from: kept)
      throw StoreError(
        operation: "rebuild",
        message: "\(new) cannot be put in place: \(SystemFault.words(code)); what was is in \(kept)")
    }
    for part in [JournalMark.suffix, DamageNote.suffix] { try? FileManager.default.removeItem(atPath: path + part) }
    SmallFile.syncDirectory(of: path)
    return kept
  }
}

import GRDB
import MendRuntime

/// The work that a start does before anything is added to the journal. If the disk is full, it is done before the first
/// write that finds room.
struct Preparation: Sendable {
  /// Nothing can be added, because a page that has to be changed cannot be read.
  struct Damage: Error {
    var error: StoreError
  }

  private let pool: DatabasePool
  private let path: String
  private let mark: JournalMark
  private let marks: SQLiteStore.Ledger.Marks
  /// The number of live batches in the table; nil if a part of the table was not read.
  private let liveRows: Int64?
  /// Live batches that an older page of the table calls finished.
  private let calledFinished: [Int64]

  init(pool: DatabasePool, path: String, mark: JournalMark, ledger: SQLiteStore.Ledger) {
    self.pool = pool
    self.path = path
    self.mark = mark
    marks = ledger.marks
    liveRows = ledger.isThorough ? ledger.liveRows : nil
    calledFinished = ledger.calledFinished
  }

  /// Does the work, and returns what was damaged and is repaired. May run again after an error.
  func run() throws -> [String] {
    let note = DamageNote(journal: path)
    if note.text != nil {
      // Files that were brought back from a copy are whole.
      let isWhole = (try? pool.read { try String.fetchAll($0, sql: "PRAGMA quick_check(1)") }) == ["ok"]
      guard isWhole else { throw cannotBeChanged(note.text ?? "") }
      note.remove()
    }
    do {
      var mended = try mendIndexes()
      if liveRows != nil { mended += try removeForgotten() }
      // The mark comes before the state of the log: a start that is interrupted here is not taken for a lost log.
      if mark.row == nil, !mark.keep(marks.lastRow, batch: marks.lastBatch) {
        throw DatabaseError(resultCode: .SQLITE_FULL, message: "\(mark.path) cannot be written")
      }
      try takeOver()
      try tryToAdd()
      return mended
    } catch  where error.isUnreadable {
      throw cannotBeChanged(SQLiteStore.words(error))
    } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
      // The table has a row beyond its known end.
      throw cannotBeChanged(SQLiteStore.words(error))
    }
  }

  private func cannotBeChanged(_ words: String) -> Damage {
    Damage(
      error: StoreError(
        operation: "open",
        message:
          "\(path): \(words.split(separator: "\n").first ?? ""); a page that has to be changed cannot be read, so "
          + "what can be read is served, and nothing is changed, run or ended. Stop the server; then mend doctor --data "
          + "DIR --rebuild makes a whole journal of what can be read, or bring all files that begin with its name back "
          + "from a copy"))
  }

  /// Rebuilds indexes that lost an entry, and so hide rows of their table.
  private func mendIndexes() throws -> [String] {
    let tables = try pool.unsafeRead { database -> [String] in
      var tables: [String] = []
      if let liveRows {
        let isWhole = try Self.unlessUnreadable {
          let live = try Int64.fetchOne(
            database, sql: "SELECT count(*) FROM batches INDEXED BY live_batches WHERE retired = 0")
          return try live == liveRows && BatchTable.indexesAgree(database, 0...Int64.max)
        }
        if isWhole != true || !calledFinished.isEmpty { tables.append("batches") }
      } else if try Self.unlessUnreadable({ try BatchTable.readIndexes(database) }) == nil {
        // Commits look names up there.
        tables.append("batches")
      }
      let outbox = try Self.unlessUnreadable { try String.fetchAll(database, sql: "PRAGMA integrity_check('outbox')") }
      if outbox != ["ok"] { tables.append("outbox") }
      return tables
    }
    guard !tables.isEmpty else { return [] }
    // Nobody writes meanwhile.
    let isSumRight = try pool.unsafeRead { try !JournalCounts($0).missesLive($0) }
    for table in tables { try pool.write { try mendIndexes(of: table, isSumRight: isSumRight, in: $0) } }
    return tables.map { "an index of the table \($0) was damaged; it is made anew" }
  }

  private func mendIndexes(of table: String, isSumRight: Bool, in database: Database) throws {
    try database.execute(sql: "REINDEX \(table)")
    guard table == "batches" else { return }
    // In the same transaction: without its entry among the live ones nothing would tell that the batch is live.
    for batch in calledFinished {
      try database.execute(
        sql: "UPDATE batches SET retired = 0, listing = NULL, checksum = NULL WHERE id = ?", arguments: [batch])
    }
    if isSumRight { try JournalCounts.sumLive(in: database) }
  }

  /// Removes forgotten batches that an older page of the table brought back.
  private func removeForgotten() throws -> [String] {
    // Not in a transaction, which a page that cannot be read would end. With such a page nothing is removed.
    let (forgotten, asksForAll) = try pool.unsafeRead { database in
      let forgotten = try Self.unlessUnreadable { try BatchTable.forgotten(database, last: marks) }
      return (forgotten ?? [], try JournalCounts(database).asksForAll)
    }
    guard !forgotten.isEmpty || asksForAll else { return [] }
    try pool.write { database in
      for batch in forgotten {
        for table in ["presence", "snapshots", "crashes"] {
          try database.execute(sql: "DELETE FROM \(table) WHERE batch = ?", arguments: [batch.id])
        }
        try database.execute(sql: "DELETE FROM batches WHERE id = ?", arguments: [batch.id])
      }
      try JournalCounts.set(JournalCounts.asksForAll, 0, in: database)
    }
    return forgotten.map { "\($0.name) was forgotten, and an older page of the database had it again; it is removed" }
  }

  private static func unlessUnreadable<Value>(_ body: () throws -> Value) throws -> Value? {
    do {
      return try body()
    } catch  where error.isUnreadable {
      return nil
    }
  }

  /// Moves the log to the database file, and notes in the file that it is not the whole journal.
  ///
  /// After a failed sync the system takes the pages for written, and a later sync does not report them. So everything in
  /// the log is written once more before anything is added.
  private func takeOver() throws {
    try pool.writeWithoutTransaction { _ = try SQLiteStore.empty($0, .truncate) }
  }

  /// Adds a row to each table that commits add to, and rolls that back.
  private func tryToAdd() throws {
    try pool.writeWithoutTransaction { database in
      try database.inTransaction(.immediate) {
        try database.execute(
          sql: "INSERT INTO journal (id, batch, first, count, payload) VALUES (?, 0, 0, 0, x'00')",
          arguments: [marks.lastRow + 1])
        try database.execute(
          sql: "INSERT INTO batches (id, namespace, batch_id, segment) VALUES (?, '', '', 0)",
          arguments: [marks.lastBatch + 1])
        try database.execute(
          sql: "INSERT OR IGNORE INTO presence (batch, segment) VALUES (?, 0)", arguments: [marks.lastBatch + 1])
        try database.execute(sql: "INSERT OR IGNORE INTO starts (slot, payload) VALUES (-1, x'00')")
        try database.execute(sql: "INSERT INTO idempotency (keys, expires, payload) VALUES (0, 0, x'00')")
        try database.execute(
          sql: "INSERT INTO outbox (event_id, namespace, batch_id, next_at, payload) VALUES ('', '', '', 0, x'00')")
        try JournalCounts.set(JournalCounts.live, 0, in: database)
        _ = try Int.fetchOne(database, sql: "SELECT count(reason) FROM set_aside")
        if try database.tableExists("data_directory") {
          _ = try Int.fetchOne(database, sql: "SELECT count(path) FROM data_directory")
        }
        return .rollback
      }
    }
  }
}

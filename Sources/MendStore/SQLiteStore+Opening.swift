import Foundation
import GRDB
import MendCore
import MendRuntime

/// A journal on its way to being served: as much of it as can be read.
struct Opened {
  let pool: DatabasePool
  let frames: LogFrames
  private(set) var ledger: SQLiteStore.Ledger
  /// What is damaged beside batches' own records, each in a sentence.
  private(set) var losses: [String] = []
  /// Why nothing can be added.
  private(set) var damage: StoreError?
  let mark: JournalMark

  init(_ path: String, _ past: JournalPast) throws(StoreError) {
    let frames = LogFrames()
    let (pool, ledger) = try SQLiteStore.access("open", path) {
      do {
        let pool = try Self.pool(path, past)
        pool.writeWithoutTransaction { frames.follow($0) }
        try Self.migrate(pool)
        let ledger = try pool.unsafeRead { try SQLiteStore.Ledger($0, past) }
        return (pool, ledger)
      } catch  where error.isUnreadable {
        throw Self.nothingCanBeTrusted(path, error)
      }
    }
    self.pool = pool
    self.frames = frames
    self.ledger = ledger
    mark = JournalMark(journal: path)
    losses = ledger.losses
    self.ledger.losses = []
    damage = try SQLiteStore.access("open", path) { try makeReady(path) }
  }

  /// Where a page is damaged that says what all others are.
  private static func nothingCanBeTrusted(_ path: String, _ error: any Error) -> StoreError {
    StoreError(
      operation: "open",
      message:
        "\(path): \(SQLiteStore.words(error)); pages are damaged that say what stands where, so nothing of it is "
        + "served; bring all files that begin with its name back from a copy, as they were at one moment. Without one: "
        + "mend doctor --data DIR --rebuild makes a journal of what can still be read, and keeps these files; or move "
        + "them away and start with an empty journal, which knows nothing of what runs")
  }

  private static func pool(_ path: String, _ past: JournalPast) throws -> DatabasePool {
    var configuration = Configuration()
    configuration.label = "journal"
    configuration.maximumReaderCount = 4
    configuration.busyMode = .timeout(SQLiteStore.busyPatience.inSeconds)
    // There are no foreign keys to check.
    configuration.foreignKeysEnabled = false
    if FileManager.default.fileExists(atPath: path) {
      // Looked at before anything is written: opening a pool changes the journal mode of whose file it ever is.
      var reading = configuration
      reading.readonly = true
      do {
        try look(path, past, reading)
      } catch let error as DatabaseError where error.extendedResultCode == .SQLITE_READONLY_ROLLBACK {
        // A first start was cut off before the file had a log: SQLite takes back what was begun, which is a change.
        reading.readonly = false
        try look(path, past, reading)
      }
    }
    let pool = try DatabasePool(path: path, configuration: configuration)
    // DatabasePool sets NORMAL on its writer as it opens: an acknowledged commit would not survive a power cut.
    try pool.writeWithoutTransaction { database in
      try database.execute(sql: "PRAGMA synchronous = FULL")
      let synchronous = try Int.fetchOne(database, sql: "PRAGMA synchronous")
      guard synchronous == 2 else {
        throw StoreError(
          operation: "open", message: "\(path): synchronous is \(synchronous ?? -1), not FULL; commits are not durable")
      }
      // What a burst made of the write-ahead log is given back.
      try database.execute(sql: "PRAGMA journal_size_limit = \(SQLiteStore.logBytesBound)")
    }
    return pool
  }

  private static func look(_ path: String, _ past: JournalPast, _ configuration: Configuration) throws {
    let database = try DatabaseQueue(path: path, configuration: configuration)
    try database.unsafeRead { database in
      try Schema.check(database, path: path, mayBeNew: past.mayBeNew)
      try past.check(database)
    }
    try database.close()
  }

  /// A database of today's form is left as it is, so a damaged page of the migrator's own table stops nothing.
  private static func migrate(_ pool: DatabasePool) throws {
    let found = try pool.read { try Int.fetchOne($0, sql: "PRAGMA user_version") ?? 0 }
    if found < Schema.version { try Schema.migrator.migrate(pool) }
  }

  // MARK: - Before anything is added

  /// Gives why nothing can be.
  private mutating func makeReady(_ path: String) throws -> StoreError? {
    let note = DamageNote(journal: path)
    if note.text != nil {
      // Files that were brought back from a copy are whole.
      let isWhole = (try? pool.read { try String.fetchAll($0, sql: "PRAGMA quick_check(1)") }) == ["ok"]
      guard isWhole else { return Self.cannotBeChanged(path, note.text ?? "") }
      note.remove()
    }
    do {
      try mendIndexes()
      // On the disk before the file says that it is not all: a start that is cut off from here on is no loss of the log.
      if mark.row == nil { mark.keep(ledger.marks.lastRow, batch: ledger.marks.lastBatch) }
      try takeOver()
      try tryToAdd()
      return nil
    } catch  where error.isUnreadable {
      return Self.cannotBeChanged(path, SQLiteStore.words(error))
    } catch let error as DatabaseError where SQLiteStore.isFull(error) {
      // Nothing is added to it, until there is room.
      return nil
    } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
      // A row stands beyond what the table's end is.
      return Self.cannotBeChanged(path, SQLiteStore.words(error))
    }
  }

  private static func cannotBeChanged(_ path: String, _ words: String) -> StoreError {
    StoreError(
      operation: "open",
      message: "\(path): \(words.split(separator: "\n").first ?? ""); a page that has to be changed cannot be read, so "
        + "what can be read is served, and nothing is changed, run or ended. Stop the server; then mend doctor --data DIR "
        + "--rebuild makes a whole journal of what can be read, or bring all files that begin with its name back from a "
        + "copy")
  }

  /// An index that lost an entry hides what the table has.
  private mutating func mendIndexes() throws {
    let (retired, live) = ledger.rows
    let tables = try pool.unsafeRead { database -> [String] in
      var tables: [String] = []
      let counts = try Self.unlessUnreadable {
        [
          try Self.entries(database, "retired_batches", "t.namespace = i.namespace AND t.batch_id = i.batch_id"),
          try Self.entries(database, "retired_newest", "t.namespace = i.namespace AND t.created_at IS i.created_at"),
          try Self.entries(database, "retired_oldest", "t.completed_at IS i.completed_at"),
          try Int64.fetchOne(
            database, sql: "SELECT count(*) FROM batches INDEXED BY live_batches WHERE retired = 0"),
        ]
      }
      if counts != [retired, retired, retired, live] { tables.append("batches") }
      let outbox = try Self.unlessUnreadable { try String.fetchAll(database, sql: "PRAGMA integrity_check('outbox')") }
      if outbox != ["ok"] { tables.append("outbox") }
      return tables
    }
    for table in tables {
      losses.append("an index of the table \(table) was damaged; it is made anew")
      try pool.write { try $0.execute(sql: "REINDEX \(table)") }
    }
  }

  /// Entries of an index that say what their rows say.
  private static func entries(_ database: Database, _ index: String, _ agrees: String) throws -> Int64? {
    try Int64.fetchOne(
      database,
      sql: """
        SELECT count(*) FROM batches AS i INDEXED BY \(index) CROSS JOIN batches AS t NOT INDEXED ON t.id = i.id
        WHERE i.retired = 1 AND t.retired = 1 AND \(agrees)
        """)
  }

  private static func unlessUnreadable<Value>(_ body: () throws -> Value) throws -> Value? {
    do {
      return try body()
    } catch  where error.isUnreadable {
      return nil
    }
  }

  /// What was acknowledged is on the disk in truth, and the database file says that it is not all of the journal.
  ///
  /// After a sync that failed, the system takes its pages for written, and a later sync of the same file says nothing of
  /// them: so all that the log has is written once more, into the database file, before anything is added to it.
  private func takeOver() throws {
    try pool.writeWithoutTransaction { _ = try SQLiteStore.empty($0, .truncate) }
  }

  /// Adds a row to each table that commits add to, and takes it back.
  private func tryToAdd() throws {
    let marks = ledger.marks
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
        _ = try Int.fetchOne(database, sql: "SELECT count(reason) FROM set_aside")
        if try database.tableExists("data_directory") {
          _ = try Int.fetchOne(database, sql: "SELECT count(path) FROM data_directory")
        }
        return .rollback
      }
    }
  }
}

extension SQLiteStore.Ledger {
  /// Reads the table of batches, and says what is wrong with it.
  ///
  fileprivate init(_ database: Database, _ past: JournalPast) throws {
    let counts = try JournalCounts(database)
    if counts.isDamaged { losses.append("how many rows there ought to be cannot be read; that is not looked at") }
    let lastRow = try Self.lastRow(database, acknowledged: past.acknowledged)
    let lastBatch = try Self.last(of: "batches", upTo: Self.rowsLimit, database) ?? 0
    marks = Marks(
      lastBatch: max(lastBatch, counts.lastBatch, past.acknowledgedBatch ?? 0), lastRow: max(lastRow, counts.lastRow))
    var walk = TableWalk(
      """
      SELECT id, namespace, batch_id, retired, checksum, created_at, completed_at, status, bucket_id, last, listing
      FROM batches NOT INDEXED
      """)
    var (count, revived): (Int64, Int) = (0, 0)
    try walk.run(database, 0...Int64.max) { row in
      count += 1
      let key = BatchKey(namespace: row.text(1), batchID: row.text(2))
      let state = row.integer(3)
      if state == 0 { rows.live += 1 }
      if state == 1 { rows.retired += 1 }
      if state != 0 {
        guard try state != 1 || !SQLiteStore.isWholeListing(row, of: key, from: 4) else { return }
        // Its listing is made anew from its journal, as any final batch's is.
        revived += 1
        self.revived.append(row.integer(0))
        if revived <= SQLiteStore.lossesTold {
          losses.append("the listing of \(key.namespace)/\(key.batchID) is damaged; it is made anew from its journal")
        }
      }
      let least = row.integerOrNil(9) ?? 0
      live[key] = LiveBatch(id: row.integer(0), last: nil, segment: -1, least: UInt64(clamping: least))
    }
    for rows in walk.unreadable {
      losses.append("the table of batches cannot be read from \(rows.lowerBound) on: a page of it is damaged")
    }
    if let expected = counts.expectedBatches(last: marks.lastBatch), expected != count {
      losses.append(
        "\(expected - count) batches are missing: a page of the database that they were on was lost, or is an older one"
      )
    }
  }

  /// The newest row. A number far beyond what was acknowledged is a damaged one. Where the table's end cannot be read, and
  /// nobody else knows it, it is the last that could be on that page, so that rows are missed rather than forgotten.
  static func lastRow(_ database: Database, acknowledged: Int64?) throws -> Int64 {
    let limit = min(acknowledged ?? .max, Self.rowsLimit) + Self.rowsUnmarked
    if let last = try last(of: "journal", upTo: limit, database) { return last }
    var last: Int64 = 0
    var walk = TableWalk("SELECT id FROM journal")
    try walk.run(database, 0...limit) { last = $0.integer(0) }
    return acknowledged.map { max($0, last) } ?? Schema.rows(of: Schema.segment(of: last + 1)).upperBound - 1
  }

  /// As many rows as no journal has, and as there may be that the mark beside it does not know of.
  static let rowsLimit: Int64 = 1 << 40
  private static let rowsUnmarked: Int64 = 1 << 24

  private static func last(of table: String, upTo limit: Int64, _ database: Database) throws -> Int64? {
    do {
      return try Int64.fetchOne(
        database.makeStatement(sql: "SELECT max(id) FROM \(table) WHERE id <= ?"), arguments: [limit]) ?? 0
    } catch  where error.isUnreadable {
      return nil
    }
  }
}

extension SQLiteStore {
  /// Whether what retiring a batch set is as it was set; rows of earlier versions have no check sum.
  ///
  /// - Parameter row: from `column` on checksum, created_at, completed_at, status, bucket_id, last, listing.
  static func isWholeListing(_ row: Row, of key: BatchKey, from column: Int) throws -> Bool {
    guard let sum = row.integerOrNil(column) else { return !row.hasNull(atIndex: column + 6) }
    guard let createdAt = row.integerOrNil(column + 1), let completedAt = row.integerOrNil(column + 2),
      let status = row.integerOrNil(column + 3), let bucketID = row.textOrNil(column + 4),
      let last = row.integerOrNil(column + 5)
    else { return false }
    let payload = row.bytes(column + 6)
    let retirement = RowSum.Retirement(
      createdAt: createdAt, completedAt: completedAt, status: status, bucketID: bucketID, last: last)
    return RowSum.listing(payload, of: key, retirement) == sum
  }
}

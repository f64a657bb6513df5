import Foundation
import GRDB
import MendCore
import MendRuntime

/// An opened journal, as far as it can be read.
struct Opened {
  let pool: DatabasePool
  let frames: LogFrames
  private(set) var ledger: SQLiteStore.Ledger
  /// All damage outside the batches' records, one sentence each.
  private(set) var losses: [String] = []
  /// Why nothing can be added to the journal; nil if it can.
  private(set) var damage: StoreError?
  /// The work that must come before any write and for which the disk had no room; nil if it is done.
  private(set) var preparation: Preparation?
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
    let preparation = Preparation(pool: pool, path: path, mark: mark, ledger: self.ledger)
    try SQLiteStore.access("open", path) {
      do {
        losses += try preparation.run()
      } catch let error as DatabaseError where SQLiteStore.isFull(error) {
        self.preparation = preparation
      } catch let fault as Preparation.Damage {
        damage = fault.error
      }
    }
  }

  /// The error for damage to a page that says what the other pages are.
  private static func nothingCanBeTrusted(_ path: String, _ error: any Error) -> StoreError {
    StoreError(
      operation: "open",
      message:
        "\(path): \(SQLiteStore.words(error)); damaged pages say where all others are, so nothing is served; "
        + "bring all files that begin with its name back from a copy, as they were at one moment. Without one: "
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

  /// Brings an older database to the present form. A present one is not touched, so a damaged page of the migrator's own
  /// table stops nothing.
  private static func migrate(_ pool: DatabasePool) throws {
    let found = try pool.read { try Int.fetchOne($0, sql: "PRAGMA user_version") ?? 0 }
    guard found < Schema.version else { return }
    // A new database has no tables yet.
    if found == 0 { try Schema.migrator.migrate(pool) } else { try Schema.migrate(pool) }
  }
}

extension SQLiteStore.Ledger {
  /// Reads the live batches. Reads the whole table of batches only if a live one may be missing, or the server before this
  /// one found damage.
  fileprivate init(_ database: Database, _ past: JournalPast) throws {
    let counts = try JournalCounts(database)
    if counts.isDamaged { losses.append("the counts of rows cannot be read, so missing rows may go unnoticed") }
    let lastRow = try Self.lastRow(database, acknowledged: past.acknowledged)
    let lastBatch = try Self.last(of: "batches", upTo: Self.rowsLimit, database) ?? 0
    marks = Marks(
      lastBatch: max(lastBatch, counts.lastBatch, past.acknowledgedBatch ?? 0), lastRow: max(lastRow, counts.lastRow))
    isThorough = try counts.asksForAll || counts.missesLive(database)
    if isThorough { try readAll(database, counts) } else { try readLive(database) }
  }

  private mutating func readLive(_ database: Database) throws {
    let rows = try Row.fetchCursor(
      database, sql: "SELECT id, namespace, batch_id, last FROM batches INDEXED BY live_batches WHERE retired = 0")
    while let row = try rows.next() {
      live[BatchKey(namespace: row.text(1), batchID: row.text(2))] = LiveBatch(
        id: row.integer(0), last: nil, segment: -1, least: UInt64(clamping: row.integerOrNil(3) ?? 0))
    }
  }

  private mutating func readAll(_ database: Database, _ counts: JournalCounts) throws {
    var walk = TableWalk(
      """
      SELECT id, namespace, batch_id, retired, checksum, created_at, completed_at, status, bucket_id, last, listing
      FROM batches NOT INDEXED
      """)
    var (count, revived): (Int64, Int) = (0, 0)
    let named = try Self.namedLive(database)
    try walk.run(database, 0...Int64.max) { row in
      count += 1
      let key = BatchKey(namespace: row.text(1), batchID: row.text(2))
      let state = row.integer(3)
      if state == 0 { liveRows += 1 }
      if state == 1, named.contains(row.integer(0)) {
        // It was retried, and the row is from before that; or the index is the older one, and it is finished once more.
        calledFinished.append(row.integer(0))
        if calledFinished.count <= SQLiteStore.lossesTold {
          losses.append("\(key.namespace)/\(key.batchID) is live, and an older page of the database calls it finished")
        }
      } else if state != 0 {
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
    let missing = counts.missing(ofBatches: count, last: marks.lastBatch)
    if let words = JournalCounts.words(onMissing: missing) { losses.append(words) }
  }

  /// The batches that the index of live batches names; none where it cannot be read.
  private static func namedLive(_ database: Database) throws -> Set<Int64> {
    do {
      return try Int64.fetchSet(
        database.makeStatement(sql: "SELECT id FROM batches INDEXED BY live_batches WHERE retired = 0"))
    } catch  where error.isUnreadable {
      return []
    }
  }

  /// The number of the newest row. A number far beyond the acknowledged one is taken for damage. If the table's end cannot
  /// be read and there is no mark, it is the last number that could be on that page, so that rows count as missing.
  static func lastRow(_ database: Database, acknowledged: Int64?) throws -> Int64 {
    let limit = min(acknowledged ?? .max, Self.rowsLimit) + Self.rowsUnmarked
    if let last = try last(of: "journal", upTo: limit, database) { return last }
    var last: Int64 = 0
    var walk = TableWalk("SELECT id FROM journal")
    try walk.run(database, 0...limit) { last = $0.integer(0) }
    return acknowledged.map { max($0, last) } ?? Schema.rows(of: Schema.segment(of: last + 1)).upperBound - 1
  }

  /// No journal has so many rows.
  static let rowsLimit: Int64 = 1 << 40
  /// The mark may be so many rows behind the journal.
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
  /// Tells whether the columns that retiring a batch set match their check sum. Rows of earlier versions have none.
  ///
  /// - Parameter row: has from `column` on checksum, created_at, completed_at, status, bucket_id, last, listing.
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

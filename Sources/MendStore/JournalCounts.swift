import GRDB

/// The numbers of rows that the journal and the table of batches must have, and a sum over the places of live batches.
///
/// If the disk loses a page, or returns an older one, rows disappear and SQLite does not notice. Row numbers are used once
/// and without gaps, and forgotten rows are counted. So existing and forgotten rows add up to the number of the last row.
struct JournalCounts {
  /// The first row that is counted; earlier ones were written by versions that did not count.
  private(set) var firstRow: Int64 = 0
  /// The newest row at the time when batches were last forgotten.
  private(set) var lastRow: Int64 = 0
  /// The newest batch at that time.
  private(set) var lastBatch: Int64 = 0
  /// The number of forgotten batches.
  private var prunedBatches: Int64 = 0
  /// The sum that the table of forgotten rows must have.
  private var forgotten: Int64 = 0
  /// The sum that the places of live batches must have; nil if it is unknown.
  private(set) var live: Int64?
  /// Whether the next start must read the whole table of batches.
  private(set) var asksForAll = false
  /// Whether a count cannot be read, so that none of them is used.
  private(set) var isDamaged = false
  /// False for a database of an earlier version, whose forgotten rows are not counted in this form.
  private var countsRows = true

  static let firstRow = "first_row"
  private static let lastRow = "last_row"
  private static let lastBatch = "last_batch"
  private static let prunedBatches = "pruned_batches"
  private static let forgotten = "forgotten"
  static let live = "live"
  static let asksForAll = "asks_for_all"
  /// The beginning of the names under which schema 5 counted forgotten rows; the segment follows.
  private static let prunedIn = "pruned."

  /// Reads the counts; without the table they are damaged.
  ///
  /// - Parameter checksForgotten: whether to read the whole table of forgotten rows and compare its sum.
  init(_ database: Database, checksForgotten: Bool = true) throws {
    do {
      guard try database.tableExists("counts") else {
        isDamaged = true
        return
      }
      let rows = try Row.fetchCursor(database, sql: "SELECT name, value, checksum FROM counts")
      while let row = try rows.next() {
        guard let name = row.textOrNil(0), let value = row.integerOrNil(1),
          RowSum.count(name, value) == row.integerOrNil(2)
        else {
          isDamaged = true
          continue
        }
        take(name, value)
      }
      countsRows = try database.tableExists("forgotten")
      if checksForgotten && countsRows, try ForgottenRows.sum(in: database) != forgotten { isDamaged = true }
    } catch  where error.isUnreadable {
      isDamaged = true
    }
  }

  private mutating func take(_ name: String, _ value: Int64) {
    switch name {
    case Self.firstRow: firstRow = value
    case Self.lastRow: lastRow = value
    case Self.lastBatch: lastBatch = value
    case Self.prunedBatches: prunedBatches = value
    case Self.forgotten: forgotten = value
    case Self.live: live = value
    case Self.asksForAll: asksForAll = value != 0
    default: break
    }
  }

  static func set(_ name: String, _ value: Int64, in database: Database) throws {
    try database.cachedStatement(sql: "INSERT OR REPLACE INTO counts (name, value, checksum) VALUES (?, ?, ?)")
      .execute(arguments: [name, value, RowSum.count(name, value)])
  }

  // MARK: - Forgetting

  /// Counts forgotten rows of a segment.
  mutating func forget(_ rows: Int, of segment: Int64, in database: Database) throws {
    guard rows > 0, !isDamaged, Schema.rows(of: segment).lowerBound >= firstRow else { return }
    guard let change = try ForgottenRows.add(Int64(rows), of: segment, in: database) else {
      isDamaged = true
      return
    }
    forgotten &+= change
  }

  /// Counts forgotten batches, and notes the newest row and batch. If a count is damaged, counting begins anew.
  mutating func forgetBatches(_ count: Int, lastRow: Int64, lastBatch: Int64, in database: Database) throws {
    guard !isDamaged else { return try Self.begin(in: database, pastRow: lastRow, pastBatch: lastBatch) }
    try Self.set(Self.prunedBatches, prunedBatches + Int64(count), in: database)
    try Self.set(Self.forgotten, forgotten, in: database)
    try Self.set(Self.lastRow, max(self.lastRow, lastRow), in: database)
    try Self.set(Self.lastBatch, max(self.lastBatch, lastBatch), in: database)
  }

  /// Begins to count: takes the present numbers for right.
  ///
  /// - Parameters:
  ///   - pastRow: the highest row number known to be used, even if that row is gone.
  ///   - pastBatch: the highest batch number known to be used.
  ///   - sumsLive: whether to sum over the places of live batches, too; otherwise that sum is unknown.
  static func begin(
    in database: Database, pastRow: Int64 = 0, pastBatch: Int64 = 0, sumsLive: Bool = true
  ) throws {
    let lastRow = max(try Int64.fetchOne(database, sql: "SELECT max(id) FROM journal") ?? 0, pastRow)
    let lastBatch = max(try Int64.fetchOne(database, sql: "SELECT max(id) FROM batches") ?? 0, pastBatch)
    let batches = try Int64.fetchOne(database, sql: "SELECT count(*) FROM batches") ?? 0
    let asksForAll = try JournalCounts(database, checksForgotten: false).asksForAll
    // Only whole segments are counted.
    let first = lastRow == 0 ? 0 : Schema.rows(of: Schema.segment(of: lastRow)).upperBound
    try database.execute(sql: "DELETE FROM counts")
    if try database.tableExists("forgotten") { try database.execute(sql: "DELETE FROM forgotten") }
    try set(firstRow, first, in: database)
    try set(prunedBatches, lastBatch - batches, in: database)
    if pastRow > 0 { try set(Self.lastRow, pastRow, in: database) }
    if pastBatch > 0 { try set(Self.lastBatch, pastBatch, in: database) }
    if asksForAll { try set(Self.asksForAll, 1, in: database) }
    if sumsLive { try sumLive(in: database) }
  }

  /// What a migration can read of what it counts. SQLite refuses all further writes of a transaction that met a page which
  /// cannot be read, so this is found out before.
  struct Readable {
    var counts = true
    /// The numbers of batches and the last row, with which counting begins.
    var ends = true
    var places = true

    init() {}

    /// - Parameter database: not in a transaction.
    init(_ database: Database) throws {
      counts = try Self.isReadable {
        if try database.tableExists("counts") {
          _ = try Row.fetchAll(database, sql: "SELECT name, value, checksum FROM counts")
        }
      }
      ends = try Self.isReadable {
        _ = try Int64.fetchOne(database, sql: "SELECT max(id) FROM journal")
        _ = try Row.fetchOne(database, sql: "SELECT count(*), max(id) FROM batches")
      }
      places = try Self.isReadable { _ = try JournalCounts.sumOfLive(database) }
    }

    private static func isReadable(_ body: () throws -> Void) throws -> Bool {
      do {
        try body()
        return true
      } catch  where error.isUnreadable {
        return false
      }
    }
  }

  /// Makes the counts of a new table damaged, so that nobody uses them.
  static func spoil(in database: Database) throws {
    try database.execute(
      sql: "INSERT INTO counts (name, value, checksum) VALUES (?, 0, ?)",
      arguments: [firstRow, ~RowSum.count(firstRow, 0)])
  }

  /// Moves the counts of schema 5 to the table of forgotten rows. If one is damaged, counting begins anew.
  static func moveForgotten(in database: Database, _ readable: Readable) throws {
    var counts = try JournalCounts(database)
    guard !counts.isDamaged else {
      guard readable.ends else { return }
      return try begin(in: database, pastRow: counts.lastRow, pastBatch: counts.lastBatch, sumsLive: false)
    }
    let rows = try Row.fetchAll(database, sql: "SELECT name, value FROM counts WHERE name LIKE '\(prunedIn)%'")
    for row in rows {
      guard let segment = Int64(row.text(0).dropFirst(prunedIn.count)) else { continue }
      try counts.forget(Int(row.integer(1)), of: segment, in: database)
    }
    try database.execute(sql: "DELETE FROM counts WHERE name LIKE '\(prunedIn)%'")
    try set(forgotten, counts.forgotten, in: database)
  }

  /// The number of rows that a segment must have; nil if it is unknown.
  func expected(in segment: Int64, last: Int64, _ database: Database) throws -> Int64? {
    let rows = Schema.rows(of: segment)
    guard !isDamaged, countsRows, rows.lowerBound >= firstRow,
      let forgotten = try ForgottenRows.count(of: segment, in: database)
    else { return nil }
    return max(0, min(rows.upperBound, last + 1) - max(rows.lowerBound, 1)) - forgotten
  }

  /// The number of batches that are missing from the table; negative if forgotten ones are in it again, nil if unknown.
  func missing(ofBatches count: Int64, last: Int64) -> Int64? { isDamaged ? nil : last - prunedBatches - count }

  /// Describes a wrong number of batches; nil if it is right.
  static func words(onMissing batches: Int64?) -> String? {
    guard let batches, batches != 0 else { return nil }
    return batches > 0
      ? "\(batches) batches are missing: a page of the database that they were on was lost, or is an older one"
      : "\(-batches) batches are there that were forgotten: a page of the database is an older one"
  }

  // MARK: - Live batches

  /// A query for the places of live batches: pairs of a batch and a segment that has rows of it.
  static let livePlaces = """
    SELECT id, segment FROM batches INDEXED BY live_batches WHERE retired = 0
    UNION SELECT batch, presence.segment FROM batches INDEXED BY live_batches
    CROSS JOIN presence ON batch = id WHERE retired = 0
    """

  /// Tells whether a live batch, or one of its places, may be missing from the tables.
  func missesLive(_ database: Database) throws -> Bool {
    guard !isDamaged, let live else { return true }
    do {
      return try Self.sumOfLive(database) != live
    } catch  where error.isUnreadable {
      return true
    }
  }

  private static func sumOfLive(_ database: Database) throws -> Int64 {
    var sum: Int64 = 0
    // Not a cached statement: after an error it would report that error to its next user.
    let places = try Row.fetchCursor(database.makeStatement(sql: livePlaces))
    while let row = try places.next() { sum &+= RowSum.place(of: row.integer(0), row.integer(1)) }
    return sum
  }

  /// Takes the present places of live batches for right.
  static func sumLive(in database: Database) throws { try set(live, sumOfLive(database), in: database) }

  /// Adds to the sum over the places of live batches what was added to or taken from these places.
  static func moveLive(_ change: Int64, in database: Database) throws {
    guard change != 0 else { return }
    do {
      let select = try database.makeStatement(sql: "SELECT value, checksum FROM counts WHERE name = ?")
      let row = try Row.fetchOne(select, arguments: [live])
      // Where the sum is damaged, the next start reads the whole table.
      guard let row, let sum = row.integerOrNil(0), RowSum.count(live, sum) == row.integerOrNil(1) else { return }
      try set(live, sum &+ change, in: database)
    } catch  where error.isUnreadable && database.isInsideTransaction {
      // The next start cannot read it, either.
    }
  }
}

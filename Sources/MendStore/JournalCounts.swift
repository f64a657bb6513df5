import GRDB

/// How many rows the journal and the table of batches must have: a page that the disk lost, or took an older one for,
/// hides rows, and SQLite finds nothing wrong with that.
///
/// Row numbers are given out once and without gaps, and what is forgotten is counted: so what is there, and what was
/// forgotten, come to the number of the last one.
struct JournalCounts {
  /// Rows before this one were written before they were counted.
  private(set) var firstRow: Int64 = 0
  /// The newest row, and the newest batch, when something was forgotten last.
  private(set) var lastRow: Int64 = 0
  private(set) var lastBatch: Int64 = 0
  /// Batches that were forgotten.
  private(set) var prunedBatches: Int64 = 0
  /// Rows that were forgotten, by segment.
  private var pruned: [Int64: Int64] = [:]
  /// Something of it cannot be read, so nothing is held against it.
  private(set) var isDamaged = false

  static let firstRow = "first_row"
  private static let lastRow = "last_row"
  private static let lastBatch = "last_batch"
  private static let prunedBatches = "pruned_batches"
  private static let prunedIn = "pruned."

  /// Where there is no such table, nothing is counted.
  init(_ database: Database) throws {
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
    } catch  where error.isUnreadable {
      isDamaged = true
    }
  }

  /// Those that can be added to: where something cannot be read, all is counted from now on, in the same transaction.
  static func toBeChanged(in database: Database, pastRow: Int64, pastBatch: Int64) throws -> JournalCounts {
    let counts = try JournalCounts(database)
    guard counts.isDamaged else { return counts }
    try begin(in: database, pastRow: pastRow, pastBatch: pastBatch)
    return try JournalCounts(database)
  }

  private mutating func take(_ name: String, _ value: Int64) {
    switch name {
    case Self.firstRow: firstRow = value
    case Self.lastRow: lastRow = value
    case Self.lastBatch: lastBatch = value
    case Self.prunedBatches: prunedBatches = value
    default:
      guard name.hasPrefix(Self.prunedIn), let segment = Int64(name.dropFirst(Self.prunedIn.count)) else { return }
      pruned[segment] = value
    }
  }

  static func set(_ name: String, _ value: Int64, in database: Database) throws {
    try database.cachedStatement(sql: "INSERT OR REPLACE INTO counts (name, value, checksum) VALUES (?, ?, ?)")
      .execute(arguments: [name, value, RowSum.count(name, value)])
  }

  /// These many rows of a segment are forgotten.
  mutating func forget(_ rows: Int, of segment: Int64, in database: Database) throws {
    guard rows > 0 else { return }
    pruned[segment, default: 0] += Int64(rows)
    try Self.set(Self.prunedIn + String(segment), pruned[segment, default: 0], in: database)
  }

  /// So many batches are, and these were the newest row and batch.
  mutating func forgetBatches(_ count: Int, lastRow: Int64, lastBatch: Int64, in database: Database) throws {
    prunedBatches += Int64(count)
    self.lastRow = max(self.lastRow, lastRow)
    self.lastBatch = max(self.lastBatch, lastBatch)
    try Self.set(Self.prunedBatches, prunedBatches, in: database)
    try Self.set(Self.lastRow, self.lastRow, in: database)
    try Self.set(Self.lastBatch, self.lastBatch, in: database)
  }

  /// From now on all is counted: what is there now is as many as there ought to be.
  ///
  /// - Parameters:
  ///   - pastRow: a row that was given out, and may be there no more; so are those before it.
  ///   - pastBatch: a batch's number that was.
  static func begin(in database: Database, pastRow: Int64 = 0, pastBatch: Int64 = 0) throws {
    let lastRow = max(try Int64.fetchOne(database, sql: "SELECT max(id) FROM journal") ?? 0, pastRow)
    let lastBatch = max(try Int64.fetchOne(database, sql: "SELECT max(id) FROM batches") ?? 0, pastBatch)
    let batches = try Int64.fetchOne(database, sql: "SELECT count(*) FROM batches") ?? 0
    // A segment is counted as a whole.
    let first = lastRow == 0 ? 0 : Schema.rows(of: Schema.segment(of: lastRow)).upperBound
    try database.execute(sql: "DELETE FROM counts")
    try set(firstRow, first, in: database)
    try set(prunedBatches, lastBatch - batches, in: database)
    if pastRow > 0 { try set(Self.lastRow, pastRow, in: database) }
    if pastBatch > 0 { try set(Self.lastBatch, pastBatch, in: database) }
  }

  /// Rows that a segment has to have; nil where that is not known.
  func expected(in segment: Int64, last: Int64) -> Int64? {
    let rows = Schema.rows(of: segment)
    guard !isDamaged, rows.lowerBound >= firstRow else { return nil }
    return max(0, min(rows.upperBound, last + 1) - max(rows.lowerBound, 1)) - pruned[segment, default: 0]
  }

  /// Batches that there have to be; nil where that is not known.
  func expectedBatches(last: Int64) -> Int64? { isDamaged ? nil : last - prunedBatches }
}

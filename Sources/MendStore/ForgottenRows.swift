import GRDB

/// The number of forgotten rows of a segment, or of a run of segments that have no rows left.
///
/// A run takes one row of the table, so the table grows only with the segments that still have rows.
struct ForgottenRows {
  private var segments: ClosedRange<Int64>
  private var count: Int64

  private var isAll: Bool { count >= segments.reduce(0) { $0 + Schema.rowCount(of: $1) } }
  private var checksum: Int64 {
    RowSum.forgotten(segments.lowerBound, through: segments.upperBound, rows: count)
  }

  /// Reads what the table says about a segment; nil if that cannot be read.
  private init?(of segment: Int64, in database: Database) throws {
    self.init(segments: segment...segment, count: 0)
    do {
      // Not a cached statement: after an error it would report that error to its next user.
      let select = try database.makeStatement(
        sql: "SELECT segment, last, rows, checksum FROM forgotten WHERE segment <= ? ORDER BY segment DESC LIMIT 1")
      guard let row = try Row.fetchOne(select, arguments: [segment]) else { return }
      let (first, last, rows) = (row.integer(0), row.integer(1), row.integer(2))
      guard first <= last, RowSum.forgotten(first, through: last, rows: rows) == row.integerOrNil(3) else { return nil }
      if last >= segment { self.init(segments: first...last, count: rows) }
    } catch  where error.isUnreadable {
      return nil
    }
  }

  private init(segments: ClosedRange<Int64>, count: Int64) {
    self.segments = segments
    self.count = count
  }

  /// The number of forgotten rows of one segment; nil if it cannot be read.
  static func count(of segment: Int64, in database: Database) throws -> Int64? {
    guard let known = try ForgottenRows(of: segment, in: database) else { return nil }
    return known.segments.count > 1 ? Schema.rowCount(of: segment) : known.count
  }

  /// Adds to the forgotten rows of one segment. Returns by how much the table's sum changes; nil if the table cannot be read.
  static func add(_ rows: Int64, of segment: Int64, in database: Database) throws -> Int64? {
    guard var line = try ForgottenRows(of: segment, in: database) else { return nil }
    guard line.segments.count == 1 else { return 0 }
    var change: Int64 = 0
    func replace(_ old: ForgottenRows) throws {
      guard old.count > 0 else { return }
      change &-= old.checksum
      try database.execute(sql: "DELETE FROM forgotten WHERE segment = ?", arguments: [old.segments.lowerBound])
    }
    try replace(line)
    line.count += rows
    if line.isAll {
      for neighbour in [segment - 1, segment + 1] where neighbour >= 0 {
        guard let other = try ForgottenRows(of: neighbour, in: database) else { return nil }
        guard other.count > 0, other.isAll else { continue }
        try replace(other)
        line.segments =
          min(
            line.segments.lowerBound, other.segments.lowerBound)...max(
            line.segments.upperBound, other.segments.upperBound)
        line.count += other.count
      }
    }
    try database.execute(
      sql: "INSERT INTO forgotten (segment, last, rows, checksum) VALUES (?, ?, ?, ?)",
      arguments: [line.segments.lowerBound, line.segments.upperBound, line.count, line.checksum])
    return change &+ line.checksum
  }

  /// The sum of all check sums in the table, which shows whether a row was lost.
  static func sum(in database: Database) throws -> Int64 {
    var sum: Int64 = 0
    let sums = try Row.fetchCursor(database, sql: "SELECT checksum FROM forgotten")
    while let row = try sums.next() { sum &+= row.integer(0) }
    return sum
  }
}

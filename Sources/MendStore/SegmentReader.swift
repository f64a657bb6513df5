import GRDB
import MendCore
import MendRuntime

/// Reads one segment of the journal as far as it can be read, and finds missing rows.
struct SegmentReader {
  private let rows: Range<Int64>
  /// The newest row of the journal.
  private let last: Int64
  /// The number of rows that the segment must have; nil if that is unknown.
  private let expected: Int64?
  private let decoding: JournalDecoding
  /// The newest row that is lost; nil if there is none.
  private(set) var lastMissing: Int64?

  init(
    _ segment: Int64, _ counts: JournalCounts, last: Int64, _ decoding: JournalDecoding, _ database: Database
  ) throws {
    rows = Schema.rows(of: segment)
    self.last = last
    expected = try counts.expected(in: segment, last: last, database)
    self.decoding = decoding
  }

  /// Passes each row with the number of its batch, which may differ from the number in the row.
  ///
  /// - Parameters:
  ///   - asksWhose: whether to check each row's batch, because a damaged number could hide a batch's newest row.
  ///   - keys: the keys of the batches that are looked for.
  ///   - columns: `JournalRow.columns`, or their replacement in an older schema.
  mutating func run(
    _ database: Database, asksWhose: Bool, _ keys: [BatchKey], columns: String = JournalRow.columns,
    _ body: (Int64, Row) throws -> Void
  ) throws {
    var walk = TableWalk("SELECT batch, \(columns) FROM journal")
    var gaps: [ClosedRange<Int64>] = []
    var next = max(rows.lowerBound, 1)
    var count: Int64 = 0
    var names = Names(keys)
    try walk.run(database, rows.lowerBound...rows.upperBound - 1, id: 1) { row in
      let number = row.integer(1)
      if number > next { gaps.append(next...number - 1) }
      next = number + 1
      guard let owner = names.owner(of: row, asksWhose: asksWhose, database) else {
        // It belongs to no batch, so it does not count.
        gaps.append(number...number)
        return try body(row.integer(0), row)
      }
      count += 1
      try body(owner, row)
    }
    let end = min(rows.upperBound - 1, last)
    if next <= end { gaps.append(next...end) }
    lastMissing = Self.lastMissing(gaps, walk.unreadable, missing: expected.map { $0 - count })
  }

  private static func lastMissing(
    _ gaps: [ClosedRange<Int64>], _ unreadable: [ClosedRange<Int64>], missing: Int64?
  ) -> Int64? {
    if let missing, missing <= 0 { return nil }
    // Rows that were forgotten leave gaps, too: only those that cannot be read count, if they are as many as are missing.
    let lost = gaps.flatMap { gap in
      unreadable.filter { $0.overlaps(gap) }.map { gap.clamped(to: $0) }
    }
    let count = lost.reduce(0) { $0 + $1.upperBound - $1.lowerBound + 1 }
    guard let missing else { return lost.last?.upperBound }
    return count >= missing ? lost.last?.upperBound : gaps.last?.upperBound
  }

  /// Finds the names of batches by their numbers.
  private struct Names {
    private let keys: [BatchKey]
    private var byNumber: [Int64: BatchKey?] = [:]
    private var select: Statement?

    init(_ keys: [BatchKey]) { self.keys = keys }

    /// The number of a row's batch. If the row's number is damaged, its check sum matches under the right batch's name. Nil
    /// if the row belongs to no batch.
    mutating func owner(of row: Row, asksWhose: Bool, _ database: Database) -> Int64? {
      let number = row.integer(0)
      guard asksWhose else { return number }
      let key = name(number, database)
      guard !row.hasNull(atIndex: 4) else { return key == nil ? nil : number }
      if let key, JournalRow.isWhole(row, of: key, from: 1) { return number }
      for key in keys where JournalRow.isWhole(row, of: key, from: 1) {
        return (try? JournalDoctor.id(of: key, in: database)) ?? number
      }
      return key == nil ? nil : number
    }

    private mutating func name(_ number: Int64, _ database: Database) -> BatchKey? {
      if let known = byNumber[number] { return known }
      var key: BatchKey?
      do {
        let statement =
          try select ?? database.makeStatement(sql: "SELECT namespace, batch_id FROM batches WHERE id = ?")
        select = statement
        key = try Row.fetchOne(statement, arguments: [number]).map {
          BatchKey(namespace: $0.text(0), batchID: $0.text(1))
        }
      } catch {
        // After an error it would say that error again.
        select = nil
      }
      byNumber[number] = .some(key)
      return key
    }
  }
}

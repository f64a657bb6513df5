import Foundation
import GRDB

extension Error {
  /// Whether the error means that a page of the file cannot be read. Other pages may be whole.
  var isUnreadable: Bool {
    guard let error = self as? DatabaseError else { return self is RowDecodingError }
    switch error.resultCode {
    case .SQLITE_CORRUPT, .SQLITE_NOTADB: return true
    // SQLITE_IOERR_READ, _SHORT_READ, _CORRUPTFS and _DATA.
    case .SQLITE_IOERR: return [266, 522, 8458, 8202].contains(error.extendedResultCode.rawValue)
    default: return false
    }
  }
}

/// Reads columns of rows that may be damaged. GRDB itself ends the process if a value has another type than expected.
extension Row {
  /// The integer in a column; -1 if there is none.
  func integer(_ place: Int) -> Int64 { integerOrNil(place) ?? -1 }

  func integerOrNil(_ place: Int) -> Int64? {
    guard case .int64(let value) = (self[place] as DatabaseValue).storage else { return nil }
    return value
  }

  /// The text in a column; empty if there is none.
  func text(_ place: Int) -> String { textOrNil(place) ?? "" }

  func textOrNil(_ place: Int) -> String? {
    guard case .string(let value) = (self[place] as DatabaseValue).storage else { return nil }
    return value
  }

  func bytes(_ place: Int) -> [UInt8] {
    switch (self[place] as DatabaseValue).storage {
    case .blob(let data): [UInt8](data)
    case .string(let text): Array(text.utf8)
    default: []
    }
  }
}

/// Reads a table in the order of its row numbers, and skips pages that cannot be read.
struct TableWalk {
  /// The beginning of the query, up to the table's name. Its column `id` is the row number.
  let select: String
  /// Further conditions, which begin with `AND`.
  private let filter: String
  private let limit: Int
  /// Row numbers on pages that cannot be read, whether there were such rows or not.
  private(set) var unreadable: [ClosedRange<Int64>] = []

  init(_ select: String, filter: String = "", limit: Int = .max) {
    self.select = select
    self.filter = filter
    self.limit = limit
  }

  /// Passes each row that can be read, in order.
  ///
  /// - Parameter id: the place of the row number among the columns.
  mutating func run(
    _ database: Database, _ rows: ClosedRange<Int64>, id: Int = 0, _ body: (Row) throws -> Void
  ) throws {
    var next = rows.lowerBound
    var attempts = 0
    while next <= rows.upperBound {
      do {
        // Not a cached one: after an error it would say that error again to its next user.
        let statement = try database.makeStatement(
          sql: select + " WHERE id >= ? AND id <= ? \(filter) ORDER BY id LIMIT ?")
        let cursor = try Row.fetchCursor(statement, arguments: [next, rows.upperBound, limit])
        while let row = try cursor.next() {
          let number = row.integer(id)
          // A page that is another's leads back; what is behind it comes all the same.
          guard number >= next else { continue }
          try body(row)
          guard number < rows.upperBound else { return }
          next = number + 1
        }
        return
      } catch  where error.isUnreadable {
        attempts += 1
        // Those that the filter left out can be read.
        guard let bad = try firstUnreadable(database, from: next, rows.upperBound, id) else {
          // Now it can be read, or never this way.
          if attempts < 3 { continue }
          unreadable.append(next...rows.upperBound)
          return
        }
        attempts = 0
        let readable = try firstReadable(database, after: bad, rows.upperBound)
        unreadable.append(bad...(readable.map { $0 - 1 } ?? rows.upperBound))
        guard let readable else { return }
        next = readable
      }
    }
  }

  /// The first number on a page that cannot be read.
  private func firstUnreadable(_ database: Database, from first: Int64, _ last: Int64, _ id: Int) throws -> Int64? {
    var next = first
    do {
      let statement = try database.makeStatement(sql: select + " WHERE id >= ? AND id <= ? ORDER BY id")
      let cursor = try Row.fetchCursor(statement, arguments: [first, last])
      while let row = try cursor.next() {
        let number = row.integer(id)
        guard number >= next else { continue }
        guard number < last else { return nil }
        next = number + 1
      }
      return nil
    } catch  where error.isUnreadable {
      return next
    }
  }

  /// The first number behind a page that cannot be read.
  private func firstReadable(_ database: Database, after bad: Int64, _ last: Int64) throws -> Int64? {
    var fails = bad
    var step: Int64 = 1
    var works: Int64?
    while works == nil {
      let place = step > last - bad ? last : bad + step
      if try isReadable(database, from: place, last) {
        works = place
      } else {
        guard place < last else { return nil }
        fails = place
      }
      step = step > .max / 2 ? .max : step * 2
    }
    guard var works else { return nil }
    while works - fails > 1 {
      let middle = fails + (works - fails) / 2
      if try isReadable(database, from: middle, last) { works = middle } else { fails = middle }
    }
    return works
  }

  private func isReadable(_ database: Database, from id: Int64, _ last: Int64) throws -> Bool {
    do {
      let statement = try database.makeStatement(sql: select + " WHERE id >= ? AND id <= ? ORDER BY id LIMIT 1")
      _ = try Row.fetchOne(statement, arguments: [id, last])
      return true
    } catch  where error.isUnreadable {
      return false
    }
  }
}

import Foundation
import GRDB
import MendCore
import MendRuntime

/// One row of the journal's table: a batch's records from `first` on, with a check sum.
enum JournalRow {
  /// The columns that are selected of a row, in this order.
  static let columns = "id, first, count, checksum, payload"
  static let columnCount = 5

  /// The check sum over a row's payload, its numbers and its batch's name, so that a row of another batch does not match.
  static func checksum(of key: BatchKey, id: Int64, first: Int64, count: Int64, _ payload: [UInt8]) -> Int64 {
    unsafe payload.withUnsafeBytes { unsafe checksum(of: key, id: id, first: first, count: count, $0) }
  }

  private static func checksum(
    of key: BatchKey, id: Int64, first: Int64, count: Int64, _ payload: UnsafeRawBufferPointer
  ) -> Int64 {
    var sum = unsafe RowSum(payload)
    sum.mix(id)
    sum.mix(first)
    sum.mix(count)
    sum.mix(key)
    return sum.value
  }

  /// Tells whether a row matches its check sum. Rows of earlier versions have none.
  static func isWhole(_ row: Row, of key: BatchKey, from column: Int) -> Bool {
    guard let sum = row.integerOrNil(column + 3) else { return true }
    let payload = row.bytes(column + 4)
    return checksum(
      of: key, id: row.integer(column), first: row.integer(column + 1), count: row.integer(column + 2), payload) == sum
  }
}

import Foundation
import GRDB
import MendCore
import MendRuntime

/// One row of the journal's table: a batch's records from `first` on, and a check sum that finds a flipped bit.
enum JournalRow {
  /// What is selected of a row, in this order.
  static let columns = "id, first, count, checksum, payload"
  static let columnCount = 5

  /// Over the payload, the row's place, and the batch's name: a row that another batch claims is found, too.
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

  /// Whether the row is as it was written; rows of earlier versions have no check sum.
  static func isWhole(_ row: Row, of key: BatchKey, from column: Int) -> Bool {
    guard let sum = row.integerOrNil(column + 3) else { return true }
    let payload = row.bytes(column + 4)
    return checksum(
      of: key, id: row.integer(column), first: row.integer(column + 1), count: row.integer(column + 2), payload) == sum
  }
}

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
    var sum = unsafe ProgramFingerprint.checksum(payload)
    func mix(_ value: UInt64) {
      sum = (sum ^ value) &* 0x9FB2_1C65_1E98_DF25
      sum ^= sum >> 32
    }
    mix(UInt64(bitPattern: id))
    mix(UInt64(bitPattern: first))
    mix(UInt64(bitPattern: count))
    for byte in key.namespace.utf8 { mix(UInt64(byte)) }
    // Ends the namespace.
    mix(0x100)
    for byte in key.batchID.utf8 { mix(UInt64(byte)) }
    return Int64(bitPattern: sum)
  }

  /// Whether the row is as it was written; rows of earlier versions have no check sum.
  static func isWhole(_ row: Row, of key: BatchKey, from column: Int) throws -> Bool {
    guard let sum = row[column + 3] as Int64? else { return true }
    return try row.withUnsafeData(atIndex: column + 4) { payload in
      unsafe (payload ?? Data()).withUnsafeBytes { bytes in
        unsafe checksum(of: key, id: row[column], first: row[column + 1], count: row[column + 2], bytes) == sum
      }
    }
  }
}

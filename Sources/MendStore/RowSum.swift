import MendCore
import MendRuntime

/// A check sum over a row of the store. A row with a changed bit has another sum, except by a chance of 1 in 2^64.
struct RowSum {
  private var sum: UInt64

  init(_ payload: UnsafeRawBufferPointer) { sum = unsafe ProgramFingerprint.checksum(payload) }

  init(_ payload: [UInt8]) {
    self = unsafe payload.withUnsafeBytes { unsafe RowSum($0) }
  }

  mutating func mix(_ value: UInt64) {
    sum = (sum ^ value) &* 0x9FB2_1C65_1E98_DF25
    sum ^= sum >> 32
  }

  mutating func mix(_ value: Int64) { mix(UInt64(bitPattern: value)) }

  mutating func mix(_ text: String) {
    for byte in text.utf8 { mix(UInt64(byte)) }
    endText()
  }

  mutating func mix(_ key: BatchKey) {
    mix(key.namespace)
    for byte in key.batchID.utf8 { mix(UInt64(byte)) }
  }

  /// Mixes in a value that no byte has, so that two texts do not run into each other.
  mutating func endText() { mix(UInt64(0x100)) }

  var value: Int64 { Int64(bitPattern: sum) }
}

/// The check sums of the tables beside the journal's.
extension RowSum {
  /// The columns that retiring a batch sets.
  struct Retirement {
    var createdAt: Int64
    var completedAt: Int64
    var status: Int64
    var bucketID: String
    /// The sequence of its newest record.
    var last: Int64
  }

  static func listing(_ payload: [UInt8], of key: BatchKey, _ retirement: Retirement) -> Int64 {
    var sum = RowSum(payload)
    sum.mix(key)
    sum.endText()
    sum.mix(retirement.createdAt)
    sum.mix(retirement.completedAt)
    sum.mix(retirement.status)
    sum.mix(retirement.last)
    sum.mix(retirement.bucketID)
    return sum.value
  }

  static func answers(_ payload: [UInt8], keys: Int64, expires: Int64) -> Int64 {
    var sum = RowSum(payload)
    sum.mix(keys)
    sum.mix(expires)
    return sum.value
  }

  static func notification(
    _ payload: [UInt8], of key: BatchKey, eventID: String, attempts: Int64, nextAt: Int64
  ) -> Int64 {
    var sum = RowSum(payload)
    sum.mix(key)
    sum.endText()
    sum.mix(eventID)
    sum.mix(attempts)
    sum.mix(nextAt)
    return sum.value
  }

  static func starts(_ payload: [UInt8], slot: Int64) -> Int64 {
    var sum = RowSum(payload)
    sum.mix(slot)
    return sum.value
  }

  static func setAside(batch: Int64, ground: String, reason: String) -> Int64 {
    var sum = RowSum(Array(reason.utf8))
    sum.mix(batch)
    sum.mix(ground)
    return sum.value
  }

  /// The sum for a place: a batch has rows in a segment.
  static func place(of batch: Int64, _ segment: Int64) -> Int64 {
    var sum = RowSum([])
    sum.mix(batch)
    sum.mix(segment)
    return sum.value
  }

  static func forgotten(_ segment: Int64, through last: Int64, rows: Int64) -> Int64 {
    var sum = RowSum([])
    for value in [segment, last, rows] { sum.mix(value) }
    return sum.value
  }

  static func count(_ name: String, _ value: Int64) -> Int64 {
    var sum = RowSum([])
    sum.mix(name)
    sum.mix(value)
    return sum.value
  }
}

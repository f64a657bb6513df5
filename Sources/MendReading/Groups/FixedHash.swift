/// A 64-bit hash that is the same in every process and on every machine (FNV-1a, mixed once more at the end).
struct FixedHash {
  private var value: UInt64 = 0xCBF2_9CE4_8422_2325

  static func of(_ text: String) -> UInt64 {
    var hash = FixedHash()
    hash.add(text)
    return hash.finished
  }

  /// A part, told apart from the next one: "ab", "c" is another hash than "a", "bc".
  mutating func add(_ part: String) {
    for byte in part.utf8 { add(byte) }
    add(0xFF)
  }

  private mutating func add(_ byte: UInt8) {
    value ^= UInt64(byte)
    value &*= 0x100_0000_01B3
  }

  var finished: UInt64 {
    var mixed = value
    mixed = (mixed ^ (mixed >> 33)) &* 0xFF51_AFD7_ED55_8CCD
    mixed = (mixed ^ (mixed >> 33)) &* 0xC4CE_B9FE_1A85_EC53
    return mixed ^ (mixed >> 33)
  }
}

extension UInt64 {
  /// Sixteen digits.
  var hexadecimal: String {
    let digits = String(self, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

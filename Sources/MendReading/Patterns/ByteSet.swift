/// A set of bytes, as a class of a pattern names it.
struct ByteSet: Sendable, Hashable {
  private var bits = SIMD4<UInt64>()

  static let any = ByteSet(0...255)
  static let digits = ByteSet(UInt8(ascii: "0")...UInt8(ascii: "9"))
  static let letters = ByteSet(UInt8(ascii: "a")...UInt8(ascii: "z")).union(
    ByteSet(UInt8(ascii: "A")...UInt8(ascii: "Z")))
  /// Letters, digits and `_`.
  static let wordBytes = letters.union(digits).union(ByteSet(UInt8(ascii: "_")...UInt8(ascii: "_")))
  static let blanks = ByteSet(9...13).union(ByteSet(32...32))

  init() {}

  init(_ range: ClosedRange<UInt8>) { for byte in range { insert(byte) } }

  mutating func insert(_ byte: UInt8) { bits[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

  func contains(_ byte: UInt8) -> Bool { bits[Int(byte >> 6)] & (1 << UInt64(byte & 63)) != 0 }

  func union(_ other: ByteSet) -> ByteSet {
    var union = self
    union.bits |= other.bits
    return union
  }

  var inverted: ByteSet {
    var inverted = self
    inverted.bits = ~bits
    return inverted
  }

  /// With the other case of each ASCII letter.
  var ignoringCase: ByteSet {
    var both = self
    for byte in UInt8(ascii: "a")...UInt8(ascii: "z") where contains(byte) || contains(byte - 32) {
      both.insert(byte)
      both.insert(byte - 32)
    }
    return both
  }

  /// The one byte that it has, letters in lower case; nil where it has none, or several that differ in more than case.
  var onlyByte: UInt8? {
    var only: UInt8?
    for byte in UInt8.min...UInt8.max where contains(byte) {
      if let only, only != byte.lowercased { return nil }
      only = byte.lowercased
    }
    return only
  }
}

extension UInt8 {
  /// The lower-case letter of an ASCII letter; any other byte as it is.
  var lowercased: UInt8 { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) ? self + 32 : self }

  var isWordByte: Bool { ByteSet.wordBytes.contains(self) }
}

/// How a status message is written into a header: UTF-8, with everything but printable ASCII as `%XX`; a blank at
/// either end, too, for a header's value may not begin or end with one (RFC 9113, 8.2.1).
enum PercentEncoding {
  private static let digits = Array("0123456789ABCDEF".utf8)

  static func encode(_ bytes: some Collection<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count)
    for (index, byte) in bytes.enumerated() {
      let isBlankAtEnd = byte == 0x20 && (index == 0 || index == bytes.count - 1)
      if byte >= 0x20, byte < 0x7f, byte != UInt8(ascii: "%"), !isBlankAtEnd {
        out.append(byte)
      } else {
        out.append(UInt8(ascii: "%"))
        out.append(digits[Int(byte >> 4)])
        out.append(digits[Int(byte & 15)])
      }
    }
    return out
  }

  /// Never fails: what is no escape stays as it is.
  static func decode(_ text: ArraySlice<UInt8>) -> String {
    var out: [UInt8] = []
    out.reserveCapacity(text.count)
    var index = text.startIndex
    while index < text.endIndex {
      if text[index] == UInt8(ascii: "%"), text.endIndex - index >= 3,
        let high = hex(text[index + 1]), let low = hex(text[index + 2])
      {
        out.append(high << 4 | low)
        index += 3
      } else {
        out.append(text[index])
        index += 1
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static func hex(_ character: UInt8) -> UInt8? {
    switch character {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}

/// The `grpc-timeout` header: at most eight digits and a unit.
enum TimeoutText {
  private static let units: [(suffix: UInt8, nanoseconds: Int64)] = [
    (UInt8(ascii: "n"), 1), (UInt8(ascii: "u"), 1_000), (UInt8(ascii: "m"), 1_000_000),
    (UInt8(ascii: "S"), 1_000_000_000), (UInt8(ascii: "M"), 60_000_000_000), (UInt8(ascii: "H"), 3_600_000_000_000),
  ]
  /// A hundred years: longer timeouts are as good as none, and would overflow sums.
  private static let longest: Int64 = 100 * 365 * 24 * 3_600_000_000_000

  /// Nanoseconds, or nil for what is not a timeout.
  static func parse(_ text: ArraySlice<UInt8>) -> Int64? {
    guard let last = text.last, text.count >= 2, text.count <= 9,
      let unit = units.first(where: { $0.suffix == last })
    else { return nil }
    var value: Int64 = 0
    for digit in text.dropLast() {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
      value = value * 10 + Int64(digit - UInt8(ascii: "0"))
    }
    let (nanoseconds, overflow) = value.multipliedReportingOverflow(by: unit.nanoseconds)
    return overflow ? longest : min(nanoseconds, longest)
  }

  /// The finest unit that holds the value in eight digits, rounded up.
  static func format(nanoseconds: Int64) -> String {
    let value = max(0, nanoseconds)
    for unit in units {
      let count = value / unit.nanoseconds + (value % unit.nanoseconds == 0 ? 0 : 1)
      if count < 100_000_000 { return "\(count)\(Character(UnicodeScalar(unit.suffix)))" }
    }
    return "99999999H"
  }
}

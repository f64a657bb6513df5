/// One way to fill a field that nobody sane would choose.
struct ExtremeValue {
  var name: String
  var values: [WireMessage.Value]

  /// For a field that has `usual` in a request that is right.
  static func all(for field: DescribedSchema.Field, usual: [WireMessage.Value]) -> [ExtremeValue] {
    var all = single(field.type).map { ExtremeValue(name: $0.0, values: [$0.1]) }
    all.append(ExtremeValue(name: "nothing", values: []))
    if field.isRepeated, let element = usual.first ?? all.first?.values.first {
      all.append(ExtremeValue(name: "3000 of them", values: Array(repeating: element, count: 3000)))
    }
    return all
  }

  private static func single(_ kind: DescribedSchema.FieldKind) -> [(String, WireMessage.Value)] {
    switch kind {
    // Of 32 bits, too: what is wider on the wire is cut by who reads it.
    case .int32, .int64, .uint32, .uint64, .sint32, .sint64, .enum:
      integers.map { ("\($0)", .varint(UInt64(bitPattern: $0))) }
    case .fixed64, .sfixed64: integers.map { ("\($0)", .fixed64(UInt64(bitPattern: $0))) }
    case .fixed32, .sfixed32: integers.map { ("\($0)", .fixed32(UInt32(truncatingIfNeeded: $0))) }
    case .bool: [("0", .varint(0)), ("1", .varint(1)), ("2^64 - 1", .varint(.max))]
    case .double: fractions.map { ("\($0)", .fixed64($0.bitPattern)) }
    case .float: fractions.map { ("\($0)", .fixed32(Float($0).bitPattern)) }
    case .string, .bytes: texts.map { ($0.0, .bytes($0.1)) }
    case .message, .group: [("an empty message", .bytes([]))]
    }
  }

  private static let integers: [Int64] = [
    0, 1, -1, 1 << 31, (1 << 31) - 1, -(1 << 31), 1 << 32, 1 << 53, (1 << 53) + 1, 1 << 56, .max, .max - 1, .min,
  ]

  private static let fractions: [Double] = [
    0, -0.0, 1, -1, 0x1p53, 3.2e9, 1e15, 1e300, .greatestFiniteMagnitude, -.greatestFiniteMagnitude,
    .leastNonzeroMagnitude,
    .infinity, -.infinity, .nan,
  ]

  private static let texts: [(String, [UInt8])] =
    [
      ("", ""), ("a blank", " "), ("dots", "../.."), ("a number", "9223372036854775807"), ("no number", "nan"),
      ("70 kB", String(repeating: "x", count: 70_000)), ("70 kB of é", String(repeating: "é", count: 35_000)),
      ("control characters", "a\u{0}b\nc\u{1B}]0;x\u{7}\u{9B}2J\u{202E}d\u{2066}"), ("line feeds", "a\n\nb"),
      ("many marks", "e" + String(repeating: "\u{301}", count: 2000)),
      ("a job far out", "t9223372036854775807-j9223372036854775807"), ("a job below", "t-1-j-1"),
      // What a page token is, with places that nobody was given.
      ("a token of document 2^63 - 1", "ZC5tYWluLjkyMjMzNzIwMzY4NTQ3NzU4MDc"),
      ("a token of document 2^63 - 2", "ZC5tYWluLjkyMjMzNzIwMzY4NTQ3NzU4MDY"),
      ("a token of time -2^63", "Yi5tYWluLi05MjIzMzcyMDM2ODU0Nzc1ODA4"),
      ("a token of time 2^63 - 1", "Yi5tYWluLjkyMjMzNzIwMzY4NTQ3NzU4MDc"),
    ].map { ($0.0, Array($0.1.utf8)) } + [("no UTF-8", [0xFF, 0xFE, 0x80])]
}

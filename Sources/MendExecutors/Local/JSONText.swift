/// Writes JSON objects member by member: for what is written once an attempt and more, where `JSONEncoder` is most of what
/// a launch costs. Nothing is read with it.
struct JSONText {
  private(set) var bytes: [UInt8] = []
  private var isFirst = true

  init() {
    bytes.reserveCapacity(1024)
    bytes.append(UInt8(ascii: "{"))
  }

  /// The object, whole.
  static func object(_ write: (inout JSONText) -> Void) -> [UInt8] {
    var text = JSONText()
    write(&text)
    text.bytes.append(UInt8(ascii: "}"))
    return text.bytes
  }

  // nil is left out.

  mutating func add(_ name: some CodingKey, _ value: String?) {
    guard let value else { return }
    begin(name)
    Self.quote(value, to: &bytes)
  }

  mutating func add(_ name: some CodingKey, _ value: (some BinaryInteger)?) {
    guard let value else { return }
    begin(name)
    bytes += value.description.utf8
  }

  /// JSON has no infinite numbers: they are left out.
  mutating func add(_ name: some CodingKey, _ value: Double?) {
    guard let value, value.isFinite else { return }
    begin(name)
    bytes += value.description.utf8
  }

  mutating func add(_ name: some CodingKey, _ value: Bool?) {
    guard let value else { return }
    begin(name)
    bytes += (value ? "true" : "false").utf8
  }

  mutating func add(_ name: some CodingKey, _ values: [String]) {
    begin(name)
    bytes.append(UInt8(ascii: "["))
    for (index, value) in values.enumerated() {
      if index > 0 { bytes.append(UInt8(ascii: ",")) }
      Self.quote(value, to: &bytes)
    }
    bytes.append(UInt8(ascii: "]"))
  }

  mutating func add(_ name: some CodingKey, _ values: [String: String]) {
    begin(name)
    bytes.append(UInt8(ascii: "{"))
    for (index, entry) in values.sorted(by: { $0.key < $1.key }).enumerated() {
      if index > 0 { bytes.append(UInt8(ascii: ",")) }
      Self.quote(entry.key, to: &bytes)
      bytes.append(UInt8(ascii: ":"))
      Self.quote(entry.value, to: &bytes)
    }
    bytes.append(UInt8(ascii: "}"))
  }

  mutating func add(_ name: some CodingKey, _ write: ((inout JSONText) -> Void)?) {
    guard let write else { return }
    begin(name)
    bytes += Self.object(write)
  }

  private mutating func begin(_ name: some CodingKey) {
    if !isFirst { bytes.append(UInt8(ascii: ",")) }
    isFirst = false
    Self.quote(name.stringValue, to: &bytes)
    bytes.append(UInt8(ascii: ":"))
  }

  /// RFC 8259, section 7: quotes, backslashes and controls are escaped.
  static func quote(_ text: String, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case 0..<0x20:
        let hexadecimal = String(byte, radix: 16)
        bytes.append(contentsOf: (byte < 0x10 ? "\\u000\(hexadecimal)" : "\\u00\(hexadecimal)").utf8)
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}

/// What writes itself as `JSONEncoder` would, member for member.
protocol JSONWritable {
  func write(to text: inout JSONText)
}

package import MendCore

/// Writes described values as protobuf messages, field after field.
///
/// The bytes are those that a protobuf library writes of the same message: fields by number, what is absent or zero left
/// out, lists of numbers packed, maps by key (protobuf.dev/programming-guides/encoding).
package struct FieldEncoder: ~Copyable, FieldVisitor {
  package private(set) var bytes: [UInt8] = []

  package init() { bytes.reserveCapacity(256) }

  package var reads: Bool { false }
  package var assigns: Bool { false }
  package var goesByNumber: Bool { false }

  /// The value's bytes.
  package static func encode<D: Described>(_ value: D) -> [UInt8] {
    var encoder = FieldEncoder()
    encoder.write(value)
    return encoder.bytes
  }

  private mutating func write<D: Described>(_ value: D) {
    var value = value
    do throws(FormatFault) {
      try value.describe(&self)
    } catch {
      preconditionFailure("\(D.schemaName) cannot be written: \(error.found)")
    }
  }

  package mutating func number(
    _ number: UInt32, _ name: String, _ form: NumberForm, _ value: inout Int64?, isOptional: Bool
  ) throws(FormatFault) {
    guard let value, isOptional || value != 0 else { return }
    if form == .fixed64 {
      tag(number, 1)
      fixed(UInt64(bitPattern: value))
    } else {
      tag(number, 0)
      varint(UInt64(bitPattern: value))
    }
  }

  package mutating func real(
    _ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool
  ) throws(FormatFault) {
    guard let value, isOptional || value.bitPattern != 0 else { return }
    tag(number, 1)
    fixed(value.bitPattern)
  }

  package mutating func flag(
    _ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool
  ) throws(FormatFault) {
    guard let value, isOptional || value else { return }
    tag(number, 0)
    bytes.append(value ? 1 : 0)
  }

  package mutating func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    guard let value, isOptional || !value.isEmpty else { return }
    text(number, value)
  }

  package mutating func choice<E: SchemaEnum>(
    _ number: UInt32, _ name: String, _ value: inout E?
  ) throws(FormatFault) {
    guard let value else { return }
    tag(number, 0)
    varint(UInt64(value.number))
  }

  package mutating func message<D: Described>(
    _ number: UInt32, _ name: String, _ value: inout D?
  ) throws(FormatFault) {
    guard let value else { return }
    nested(number, value)
  }

  package mutating func messages<D: Described>(
    _ number: UInt32, _ name: String, _ values: inout [D]
  ) throws(FormatFault) {
    for value in values { nested(number, value) }
  }

  package mutating func group(
    _ number: UInt32, _ name: String, _ isThere: inout Bool, _ fields: (inout Self) throws(FormatFault) -> Void
  ) throws(FormatFault) {
    guard isThere else { return }
    let start = begin(number)
    try fields(&self)
    close(start)
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {
    guard let start = begin(number, isEmpty: values.isEmpty) else { return }
    for value in values { varint(UInt64(value)) }
    close(start)
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {
    guard let start = begin(number, isEmpty: values.isEmpty) else { return }
    for value in values { varint(UInt64(bitPattern: Int64(value))) }
    close(start)
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {
    guard let start = begin(number, isEmpty: values.isEmpty) else { return }
    for value in values { varint(UInt64(bitPattern: value)) }
    close(start)
  }

  package mutating func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    guard !values.isEmpty else { return }
    for (key, value) in values.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      let start = begin(number)
      text(1, key)
      text(2, value)
      close(start)
    }
  }

  // MARK: The wire

  private mutating func tag(_ number: UInt32, _ wireType: UInt32) { varint(UInt64(number << 3 | wireType)) }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  private mutating func fixed(_ value: UInt64) {
    for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  private mutating func text(_ number: UInt32, _ text: String) {
    tag(number, 2)
    varint(UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  private mutating func nested<D: Described>(_ number: UInt32, _ value: D) {
    let start = begin(number)
    write(value)
    close(start)
  }

  private mutating func begin(_ number: UInt32, isEmpty: Bool) -> Int? { isEmpty ? nil : begin(number) }

  /// A length goes in front of what it is about, and is known after it: one byte is kept for it, which most need.
  private mutating func begin(_ number: UInt32) -> Int {
    tag(number, 2)
    bytes.append(0)
    return bytes.count
  }

  private mutating func close(_ start: Int) {
    let length = bytes.count - start
    if length < 0x80 {
      bytes[start - 1] = UInt8(truncatingIfNeeded: length)
    } else {
      lengthen(start, length)
    }
  }

  private mutating func lengthen(_ start: Int, _ length: Int) {
    var prefix: [UInt8] = []
    var rest = length
    while rest >= 0x80 {
      prefix.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    prefix.append(UInt8(truncatingIfNeeded: rest))
    bytes.replaceSubrange(start - 1..<start, with: prefix)
  }
}

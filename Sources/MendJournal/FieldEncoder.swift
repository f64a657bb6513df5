package import MendCore

/// Writes described values as protobuf messages, field after field.
///
/// The bytes are those that a protobuf library writes of the same message: fields by number, what is absent or zero left
/// out, lists of numbers packed, maps by key (protobuf.dev/programming-guides/encoding).
package final class FieldEncoder: FieldVisitor {
  // Nothing is handed out of this class while a method of it runs: a check of each access would be a third of its time.
  @exclusivity(unchecked) package private(set) var bytes: [UInt8] = []

  /// Where the messages that are open begin.
  @exclusivity(unchecked) private var open: [Int] = []

  package init() {
    super.init(reads: false, assigns: false, goesByNumber: true)
    bytes.reserveCapacity(256)
  }

  /// The value's bytes.
  package static func encode<D: Described>(_ value: D) -> [UInt8] {
    let encoder = FieldEncoder()
    var value = value
    do throws(FormatFault) {
      try value.describe(encoder)
    } catch {
      preconditionFailure("\(D.schemaName) cannot be written: \(error.found)")
    }
    return encoder.bytes
  }

  package override func number(
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

  package override func real(
    _ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool
  ) throws(FormatFault) {
    guard let value, isOptional || value.bitPattern != 0 else { return }
    tag(number, 1)
    fixed(value.bitPattern)
  }

  package override func flag(
    _ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool
  ) throws(FormatFault) {
    guard let value, isOptional || value else { return }
    tag(number, 0)
    bytes.append(value ? 1 : 0)
  }

  package override func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    guard let value, isOptional || !value.isEmpty else { return }
    text(number, value)
  }

  package override func choice(
    _ number: UInt32, _ name: String, _ value: inout Int32?, of names: any SchemaEnum.Type
  ) throws(FormatFault) {
    guard let value else { return }
    tag(number, 0)
    varint(UInt64(value))
  }

  package override func enter(
    _ number: UInt32, _ name: String, _ type: any Described.Type, element: Int?
  ) throws(FormatFault) -> Bool {
    open.append(begin(number))
    return true
  }

  package override func leave() throws(FormatFault) {
    if let start = open.popLast() { close(start) }
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {
    packed(number, values) { UInt64($0) }
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {
    packed(number, values) { UInt64(bitPattern: Int64($0)) }
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {
    packed(number, values) { UInt64(bitPattern: $0) }
  }

  private func packed<Value>(_ number: UInt32, _ values: [Value], _ whole: (Value) -> UInt64) {
    guard !values.isEmpty else { return }
    let start = begin(number)
    // Taken out, so that the loop is about an array alone.
    var bytes = bytes
    self.bytes = []
    for value in values { Self.append(whole(value), to: &bytes) }
    self.bytes = bytes
    close(start)
  }

  package override func texts(
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

  private func tag(_ number: UInt32, _ wireType: UInt32) { varint(UInt64(number << 3 | wireType)) }

  private func varint(_ value: UInt64) { Self.append(value, to: &bytes) }

  private static func append(_ value: UInt64, to bytes: inout [UInt8]) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  private func fixed(_ value: UInt64) {
    for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  private func text(_ number: UInt32, _ text: String) {
    tag(number, 2)
    varint(UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  /// A length goes in front of what it is about, and is known after it: one byte is kept for it, which most need.
  private func begin(_ number: UInt32) -> Int {
    tag(number, 2)
    bytes.append(0)
    return bytes.count
  }

  private func close(_ start: Int) {
    let length = bytes.count - start
    if length < 0x80 {
      bytes[start - 1] = UInt8(truncatingIfNeeded: length)
    } else {
      lengthen(start, length)
    }
  }

  private func lengthen(_ start: Int, _ length: Int) {
    var prefix: [UInt8] = []
    Self.append(UInt64(length), to: &prefix)
    bytes.replaceSubrange(start - 1..<start, with: prefix)
  }
}

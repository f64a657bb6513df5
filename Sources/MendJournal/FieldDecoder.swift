package import MendCore

/// Reads described values from protobuf messages.
///
/// A message's fields are looked for by ascending number, as they were written, so that each is found where the last one
/// ended; a message in another order is put in order first. Unknown fields are skipped. Of a field that stands twice the
/// later one counts, messages are merged, lists grow (protobuf.dev/programming-guides/encoding). Nothing is allocated for
/// lengths that the bytes do not hold.
package final class FieldDecoder: FieldVisitor {
  // Nothing is handed out of this class while a method of it runs: a check of each access would be a third of its time.
  @exclusivity(unchecked) private var bytes: [UInt8]
  @exclusivity(unchecked) private var position = 0
  /// Of the message at hand.
  @exclusivity(unchecked) private var end: Int
  /// Of the field that comes next; 0 at the message's end.
  @exclusivity(unchecked) private var tag: UInt32 = 0
  /// Its number; `.max` at the message's end.
  @exclusivity(unchecked) private var next: UInt32 = .max
  @exclusivity(unchecked) private var outer: [Outer] = []

  /// Of the field before, in this message.
  @exclusivity(unchecked) private var last: UInt32 = 0
  /// Puts each message in order before it is read. Nobody writes such messages, so that it is not looked for at first.
  private var ordersFields = false

  /// A message that one was entered in.
  private struct Outer {
    var end: Int
    var last: UInt32
    /// Behind the message that was entered.
    var position: Int
    /// Nil while the same bytes are read.
    var bytes: [UInt8]?
  }

  private init(_ bytes: [UInt8]) {
    self.bytes = bytes
    end = bytes.count
    super.init(reads: true, assigns: true, goesByNumber: true)
  }

  /// Reads a blank value's fields. After an error the value holds those before the fault.
  ///
  /// - Throws: `FormatFault` for bytes that are no message, for what is missing, and for what this version does not know.
  package static func read<D: Described>(_ value: inout D, from bytes: [UInt8]) throws(FormatFault) {
    let decoder = FieldDecoder(bytes)
    do throws(FormatFault) {
      try decoder.read(&value)
    } catch {
      // What is missed may stand elsewhere.
      let patient = FieldDecoder(bytes)
      patient.ordersFields = true
      try patient.read(&value)
    }
  }

  private func read<D: Described>(_ value: inout D) throws(FormatFault) {
    try begin()
    try value.describe(self)
    try finish()
  }

  package override func isPast(_ number: UInt32) -> Bool { next > number }

  // MARK: Messages

  package override func enter(
    _ number: UInt32, _ name: String, _ type: any Described.Type, element: Int?
  ) throws(FormatFault) -> Bool { try enter(number) }

  private func enter(_ number: UInt32) throws(FormatFault) -> Bool {
    guard try find(number, .lengthDelimited) else { return false }
    let length = try readLength()
    outer.append(Outer(end: end, last: last, position: position + length))
    end = position + length
    try begin()
    return true
  }

  package override func leave() throws(FormatFault) {
    try finish()
    guard let message = outer.popLast() else { return }
    if let bytes = message.bytes { self.bytes = bytes }
    position = message.position
    end = message.end
    last = message.last
    try advance()
  }

  private func begin() throws(FormatFault) {
    last = 0
    if ordersFields, try !isInOrder() {
      let ordered = try fieldsInOrder()
      if outer.isEmpty {
        bytes = ordered
      } else {
        outer[outer.count - 1].bytes = bytes
        bytes = ordered
      }
      position = 0
      end = ordered.count
    }
    try advance()
  }

  /// Skips what is left of the message.
  private func finish() throws(FormatFault) {
    while next != .max { try skip() }
  }

  private func isInOrder() throws(FormatFault) -> Bool {
    let start = position
    defer { position = start }
    var last: UInt32 = 0
    while position < end {
      let tag = try readTag()
      if tag >> 3 < last { return false }
      last = tag >> 3
      try skipPayload(tag)
    }
    return true
  }

  private func fieldsInOrder() throws(FormatFault) -> [UInt8] {
    var fields: [(number: UInt32, range: Range<Int>)] = []
    while position < end {
      let start = position
      let tag = try readTag()
      try skipPayload(tag)
      fields.append((tag >> 3, start..<position))
    }
    // A stable sort: of a field that stands twice the later one counts.
    let order = fields.indices.sorted { (fields[$0].number, $0) < (fields[$1].number, $1) }
    return order.flatMap { bytes[fields[$0].range] }
  }

  // MARK: Fields

  /// Goes on to the field; answers whether it is there.
  private func find(_ number: UInt32, _ wireType: WireType) throws(FormatFault) -> Bool {
    while next <= number {
      if next == number, tag & 7 == wireType.rawValue { return true }
      try skip()
    }
    return false
  }

  private func skip() throws(FormatFault) {
    try skipPayload(tag)
    try advance()
  }

  private func advance() throws(FormatFault) {
    guard position < end else {
      (tag, next) = (0, .max)
      return
    }
    tag = try readTag()
    let number = tag >> 3
    if number < last { throw damage("a field out of order", position) }
    last = number
    next = number
  }

  package override func number(
    _ number: UInt32, _ name: String, _ form: NumberForm, _ value: inout Int64?, isOptional: Bool
  ) throws(FormatFault) {
    value = nil
    while try find(number, form == .fixed64 ? .fixed64 : .varint) {
      switch form {
      case .fixed64: value = Int64(bitPattern: try readFixed64())
      case .int32: value = Int64(Int32(truncatingIfNeeded: try readVarint()))
      case .uint32: value = Int64(UInt32(truncatingIfNeeded: try readVarint()))
      case .int64, .uint64: value = Int64(bitPattern: try readVarint())
      }
      try advance()
    }
  }

  package override func real(
    _ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool
  ) throws(FormatFault) {
    value = nil
    while try find(number, .fixed64) {
      value = Double(bitPattern: try readFixed64())
      try advance()
    }
  }

  package override func flag(
    _ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool
  ) throws(FormatFault) {
    value = nil
    while try find(number, .varint) {
      value = try readVarint() != 0
      try advance()
    }
  }

  package override func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    value = nil
    while try find(number, .lengthDelimited) {
      value = try readString()
      try advance()
    }
  }

  package override func choice(
    _ number: UInt32, _ name: String, _ value: inout Int32?, of names: any SchemaEnum.Type
  ) throws(FormatFault) {
    value = nil
    while try find(number, .varint) {
      let whole = Int32(truncatingIfNeeded: try readVarint())
      value = whole == 0 ? nil : whole
      try advance()
    }
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {
    values = try packed(number) { UInt32(truncatingIfNeeded: $0) }
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {
    values = try packed(number) { Int32(truncatingIfNeeded: $0) }
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {
    values = try packed(number) { Int64(bitPattern: $0) }
  }

  /// Packed or one by one: writers may do either.
  private func packed<Value>(_ number: UInt32, _ value: (UInt64) -> Value) throws(FormatFault) -> [Value] {
    var values: [Value] = []
    while next <= number {
      if next == number, tag & 7 == WireType.lengthDelimited.rawValue {
        let end = try readLength() + position
        // The first run alone: room made for each of many short runs would copy the whole list as often.
        if values.isEmpty { values.reserveCapacity(end - position) }
        while position < end { values.append(value(try readVarint(before: end))) }
        try advance()
      } else if next == number, tag & 7 == WireType.varint.rawValue {
        values.append(value(try readVarint()))
        try advance()
      } else {
        try skip()
      }
    }
    return values
  }

  package override func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    values = [:]
    while try enter(number) {
      var (key, value): (String?, String?) = (nil, nil)
      try text(1, "key", .plain, &key, isOptional: false)
      try text(2, "value", role, &value, isOptional: false)
      try leave()
      values[key ?? ""] = value ?? ""
    }
  }

  // MARK: The wire

  private enum WireType: UInt32 {
    case varint = 0, fixed64, lengthDelimited
    case fixed32 = 5
  }

  private func readTag() throws(FormatFault) -> UInt32 {
    let start = position
    guard let tag = UInt32(exactly: try readVarint()), tag >= 8 else { throw damage("a tag that is none", start) }
    return tag
  }

  private func readVarint() throws(FormatFault) -> UInt64 { try readVarint(before: end) }

  private func readVarint(before end: Int) throws(FormatFault) -> UInt64 {
    let start = position
    if start < end {
      let byte = bytes[start]
      if byte < 0x80 {
        position = start + 1
        return UInt64(byte)
      }
    }
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end {
      let byte = bytes[position]
      position += 1
      // The tenth byte has room for one bit.
      if shift == 63, byte > 1 { break }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw damage("a number without an end", start)
  }

  private func readFixed64() throws(FormatFault) -> UInt64 {
    guard end - position >= 8 else { throw damage("a number without an end", position) }
    var value: UInt64 = 0
    for index in 0..<8 { value |= UInt64(bytes[position + index]) << UInt64(8 * index) }
    position += 8
    return value
  }

  private func readLength() throws(FormatFault) -> Int {
    let start = position
    let length = try readVarint()
    guard length <= UInt64(end - position) else { throw damage("a length of \(length)", start) }
    return Int(length)
  }

  private func readString() throws(FormatFault) -> String {
    let length = try readLength()
    let range = position..<position + length
    position = range.upperBound
    if length == 0 { return "" }
    let bytes = bytes
    let text = bytes.span.extracting(range)
    do {
      return String(copying: try UTF8Span(validating: text))
    } catch {
      throw damage("a text that is no UTF-8", range.lowerBound)
    }
  }

  private func skipPayload(_ tag: UInt32) throws(FormatFault) {
    switch WireType(rawValue: tag & 7) {
    case .varint: _ = try readVarint()
    case .fixed64: try skip(8)
    case .fixed32: try skip(4)
    case .lengthDelimited: try skip(try readLength())
    case nil: throw damage("a field of an unknown form", position)
    }
  }

  private func skip(_ count: Int) throws(FormatFault) {
    guard end - position >= count else { throw damage("a field without an end", position) }
    position += count
  }

  private func damage(_ what: String, _ position: Int) -> FormatFault {
    FormatFault(.damaged, "\(what) at byte \(position)")
  }
}

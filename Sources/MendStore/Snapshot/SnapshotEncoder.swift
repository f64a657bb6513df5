/// Writes a value in the form of snapshots: tagged values, containers with their length in front, and each key's text
/// once.
///
/// For Swift's synthesized conformances: a container is written to as long as it is the newest one, and never again.
/// Only the program that wrote the bytes reads them, so there are no versions.
///
/// The descriptions of journaled values do not replace this codec. Some 150 fields of a batch's state are in no record, and
/// each would need a line, a number and a blank value beside its declaration: as many lines as this codec has.
enum SnapshotEncoder {
  static func encode(_ value: some Encodable) throws -> [UInt8] {
    let writer = SnapshotWriter()
    try writer.write(value)
    return writer.finished()
  }
}

enum SnapshotTag: UInt8 {
  case null, no, yes
  /// Zigzag, seven bits a byte.
  case integer
  /// 64 bits, as are.
  case double
  case text
  case object, list
  /// Arrays of whole numbers as they lie in memory.
  case bytes, words32, words64
}

final class SnapshotWriter {
  private var bytes: [UInt8] = []
  private var keys: [String: UInt64] = [:]
  private var keysInOrder: [String] = []
  /// Where the lengths of open containers are to be filled in.
  private var openings: [Int] = []

  func finished() -> [UInt8] {
    close(to: 0)
    let body = bytes
    bytes = []
    append(UInt64(keysInOrder.count))
    for key in keysInOrder { append(text: key) }
    return bytes + body
  }

  // MARK: Values

  func write<Value: Encodable>(_ value: Value) throws {
    if Value.self == [UInt8].self, let array = value as? [UInt8] { return write(raw: array, .bytes) }
    if Value.self == [UInt32].self, let array = value as? [UInt32] { return write(raw: array, .words32) }
    if Value.self == [UInt64].self, let array = value as? [UInt64] { return write(raw: array, .words64) }
    let depth = openings.count
    try value.encode(to: ValueEncoder(writer: self))
    close(to: depth)
  }

  func write(_ tag: SnapshotTag) { bytes.append(tag.rawValue) }

  func write(integer: Int64) {
    write(.integer)
    append(UInt64(bitPattern: integer << 1 ^ integer >> 63))
  }

  func write(_ double: Double) {
    write(.double)
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: double.bitPattern >> shift))
    }
  }

  func write(_ text: String) {
    write(.text)
    append(text: text)
  }

  private func write<Word: FixedWidthInteger>(raw array: [Word], _ tag: SnapshotTag) {
    write(tag)
    append(UInt64(array.count))
    unsafe array.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
  }

  /// Whole numbers stand as they are, texts by their place in the table of keys.
  func write(key: any CodingKey) {
    if let number = key.intValue {
      append(UInt64(bitPattern: Int64(number) << 1 ^ Int64(number) >> 63) << 1 | 1)
      return
    }
    let text = key.stringValue
    let place: UInt64
    if let known = keys[text] {
      place = known
    } else {
      place = UInt64(keysInOrder.count)
      keys[text] = place
      keysInOrder.append(text)
    }
    append(place << 1)
  }

  // MARK: Containers

  func open(_ tag: SnapshotTag) {
    write(tag)
    openings.append(bytes.count)
    bytes.append(contentsOf: [0, 0, 0, 0])
  }

  private func close(to depth: Int) {
    while openings.count > depth {
      let place = openings.removeLast()
      let length = UInt32(bytes.count - place - 4)
      for byte in 0..<4 { bytes[place + byte] = UInt8(truncatingIfNeeded: length >> UInt32(8 * byte)) }
    }
  }

  private func append(text: String) {
    append(UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  private func append(_ number: UInt64) {
    var rest = number
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}

/// One value's encoder: whatever it is asked for is written on at once.
private struct ValueEncoder: Encoder, SingleValueEncodingContainer {
  let writer: SnapshotWriter
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    writer.open(.object)
    return KeyedEncodingContainer(ObjectEncoder(writer: writer))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    writer.open(.list)
    return ListEncoder(writer: writer)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer { self }

  func encodeNil() { writer.write(.null) }
  func encode(_ value: Bool) { writer.write(value ? .yes : .no) }
  func encode(_ value: String) { writer.write(value) }
  func encode(_ value: Double) { writer.write(value) }
  func encode(_ value: Float) { writer.write(Double(value)) }
  func encode<Value: Encodable>(_ value: Value) throws {
    if let number = value as? any FixedWidthInteger {
      writer.write(integer: Int64(truncatingIfNeeded: number))
    } else {
      try writer.write(value)
    }
  }
}

private struct ObjectEncoder<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let writer: SnapshotWriter
  var codingPath: [any CodingKey] { [] }

  func encodeNil(forKey key: Key) {
    writer.write(key: key)
    writer.write(.null)
  }

  func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
    writer.write(key: key)
    try writer.write(value)
  }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) -> KeyedEncodingContainer<Nested> {
    writer.write(key: key)
    writer.open(.object)
    return KeyedEncodingContainer<Nested>(ObjectEncoder<Nested>(writer: writer))
  }

  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    writer.write(key: key)
    writer.open(.list)
    return ListEncoder(writer: writer)
  }

  func superEncoder() -> any Encoder { ValueEncoder(writer: writer) }
  func superEncoder(forKey key: Key) -> any Encoder {
    writer.write(key: key)
    return ValueEncoder(writer: writer)
  }
}

private struct ListEncoder: UnkeyedEncodingContainer {
  let writer: SnapshotWriter
  var codingPath: [any CodingKey] { [] }
  var count = 0

  mutating func encodeNil() { writer.write(.null) }
  mutating func encode<Value: Encodable>(_ value: Value) throws { try writer.write(value) }

  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
    writer.open(.object)
    return KeyedEncodingContainer(ObjectEncoder<Nested>(writer: writer))
  }

  mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
    writer.open(.list)
    return ListEncoder(writer: writer)
  }

  mutating func superEncoder() -> any Encoder { ValueEncoder(writer: writer) }
}

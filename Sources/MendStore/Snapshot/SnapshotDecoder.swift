/// Reads what `SnapshotEncoder` wrote; throws `DecodingError` for bytes that are none of its.
enum SnapshotDecoder {
  static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
    let reader = try SnapshotReader(bytes)
    return try reader.value(type, at: reader.start)
  }
}

final class SnapshotReader {
  private let bytes: [UInt8]
  private var keys: [String] = []
  private(set) var start = 0

  init(_ bytes: [UInt8]) throws {
    self.bytes = bytes
    var offset = 0
    let count = try number(&offset)
    for _ in 0..<count { keys.append(try text(&offset)) }
    start = offset
  }

  static func damage(_ what: String) -> DecodingError {
    .dataCorrupted(DecodingError.Context(codingPath: [], debugDescription: "snapshot: \(what)"))
  }

  // MARK: Values

  func value<Value: Decodable>(_ type: Value.Type, at offset: Int) throws -> Value {
    if type == [UInt8].self, let array = try array(UInt8.self, .bytes, at: offset) as? Value { return array }
    if type == [UInt32].self, let array = try array(UInt32.self, .words32, at: offset) as? Value { return array }
    if type == [UInt64].self, let array = try array(UInt64.self, .words64, at: offset) as? Value { return array }
    return try Value(from: ValueDecoder(reader: self, offset: offset))
  }

  func tag(at offset: Int) throws -> SnapshotTag {
    guard offset < bytes.count, let tag = SnapshotTag(rawValue: bytes[offset]) else {
      throw Self.damage("no value at \(offset)")
    }
    return tag
  }

  func integer(at offset: Int) throws -> Int64 {
    guard try tag(at: offset) == .integer else { throw Self.damage("no integer at \(offset)") }
    var place = offset + 1
    return Self.signed(try number(&place))
  }

  func double(at offset: Int) throws -> Double {
    guard try tag(at: offset) == .double, offset + 9 <= bytes.count else { throw Self.damage("no double at \(offset)") }
    var pattern: UInt64 = 0
    for byte in 0..<8 { pattern |= UInt64(bytes[offset + 1 + byte]) << UInt64(8 * byte) }
    return Double(bitPattern: pattern)
  }

  func text(at offset: Int) throws -> String {
    guard try tag(at: offset) == .text else { throw Self.damage("no text at \(offset)") }
    var place = offset + 1
    return try text(&place)
  }

  private func array<Word: FixedWidthInteger>(_ type: Word.Type, _ wanted: SnapshotTag, at offset: Int) throws -> [Word]
  {
    guard try tag(at: offset) == wanted else { throw Self.damage("no array of numbers at \(offset)") }
    var place = offset + 1
    let count = try count(&place, of: MemoryLayout<Word>.size)
    // Made with room for none, an array would write its count to the empty one that all threads share.
    guard count > 0 else { return [] }
    return unsafe [Word](unsafeUninitializedCapacity: count) { buffer, used in
      unsafe bytes[place..<place + count * MemoryLayout<Word>.size].withUnsafeBytes {
        unsafe UnsafeMutableRawBufferPointer(buffer).copyMemory(from: $0)
      }
      used = count
    }
  }

  // MARK: Containers

  /// Where the values of an object are, by their keys, in the order of writing.
  func entries(at offset: Int) throws -> [(key: SnapshotKey, offset: Int)] {
    var (place, end) = try extent(of: .object, at: offset)
    var entries: [(key: SnapshotKey, offset: Int)] = []
    while place < end {
      let token = try number(&place)
      let key: SnapshotKey
      if token & 1 == 1 {
        key = .number(Int(Self.signed(token >> 1)))
      } else {
        guard token >> 1 < UInt64(keys.count) else { throw Self.damage("an unknown key at \(place)") }
        key = .text(keys[Int(token >> 1)])
      }
      entries.append((key, place))
      place = try self.end(of: place)
    }
    return entries
  }

  /// Where the values of a list are.
  func elements(at offset: Int) throws -> [Int] {
    var (place, end) = try extent(of: .list, at: offset)
    var elements: [Int] = []
    while place < end {
      elements.append(place)
      place = try self.end(of: place)
    }
    return elements
  }

  private func extent(of tag: SnapshotTag, at offset: Int) throws -> (Int, Int) {
    guard try self.tag(at: offset) == tag, offset + 5 <= bytes.count else {
      throw Self.damage("no container at \(offset)")
    }
    let length = (0..<4).reduce(0) { $0 | Int(bytes[offset + 1 + $1]) << (8 * $1) }
    guard offset + 5 + length <= bytes.count else { throw Self.damage("a container that ends beyond the end") }
    return (offset + 5, offset + 5 + length)
  }

  private func end(of offset: Int) throws -> Int {
    var place = offset + 1
    switch try tag(at: offset) {
    case .null, .no, .yes: return place
    case .integer:
      _ = try number(&place)
      return place
    case .double: return place + 8
    case .text, .bytes: return try count(&place, of: 1) + place
    case .words32: return try count(&place, of: 4) * 4 + place
    case .words64: return try count(&place, of: 8) * 8 + place
    case .object: return try extent(of: .object, at: offset).1
    case .list: return try extent(of: .list, at: offset).1
    }
  }

  // MARK: Parts

  /// How many items of `size` bytes follow; they are all there.
  private func count(_ place: inout Int, of size: Int) throws -> Int {
    let count = try number(&place)
    guard count <= UInt64(bytes.count - place) / UInt64(size) else { throw Self.damage("a length beyond the end") }
    return Int(count)
  }

  private func text(_ place: inout Int) throws -> String {
    let length = try count(&place, of: 1)
    defer { place += length }
    return String(decoding: bytes[place..<place + length], as: UTF8.self)
  }

  private func number(_ place: inout Int) throws -> UInt64 {
    var number: UInt64 = 0
    var shift: UInt64 = 0
    while place < bytes.count, shift < 70 {
      let byte = bytes[place]
      place += 1
      number |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return number }
      shift += 7
    }
    throw Self.damage("a number without an end")
  }

  private static func signed(_ number: UInt64) -> Int64 {
    Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1)
  }
}

enum SnapshotKey {
  case text(String)
  case number(Int)

  func isKey(_ key: any CodingKey) -> Bool {
    switch self {
    case .text(let text): text == key.stringValue
    case .number(let number): number == key.intValue
    }
  }
}

private struct ValueDecoder: Decoder, SingleValueDecodingContainer {
  let reader: SnapshotReader
  let offset: Int
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    KeyedDecodingContainer(ObjectDecoder(reader: reader, entries: try reader.entries(at: offset)))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    ListDecoder(reader: reader, elements: try reader.elements(at: offset))
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { self }

  func decodeNil() -> Bool { (try? reader.tag(at: offset)) == .null }

  func decode(_ type: Bool.Type) throws -> Bool {
    switch try reader.tag(at: offset) {
    case .yes: true
    case .no: false
    default: throw SnapshotReader.damage("no truth value at \(offset)")
    }
  }

  func decode(_ type: String.Type) throws -> String { try reader.text(at: offset) }
  func decode(_ type: Double.Type) throws -> Double { try reader.double(at: offset) }
  func decode(_ type: Float.Type) throws -> Float { Float(try reader.double(at: offset)) }
  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    guard let number = type as? any FixedWidthInteger.Type else { return try reader.value(type, at: offset) }
    guard let value = number.init(truncatingIfNeeded: try reader.integer(at: offset)) as? Value else {
      throw SnapshotReader.damage("no number at \(offset)")
    }
    return value
  }
}

private final class ObjectDecoder<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let reader: SnapshotReader
  let entries: [(key: SnapshotKey, offset: Int)]
  /// Values are asked for in the order of writing, nearly always.
  private var next = 0
  var codingPath: [any CodingKey] { [] }

  init(reader: SnapshotReader, entries: [(key: SnapshotKey, offset: Int)]) {
    self.reader = reader
    self.entries = entries
  }

  var allKeys: [Key] {
    entries.compactMap { entry in
      switch entry.key {
      case .text(let text): Key(stringValue: text)
      case .number(let number): Key(intValue: number)
      }
    }
  }

  private func find(_ key: Key) -> Int? {
    for step in entries.indices {
      let place = (next + step) % entries.count
      guard entries[place].key.isKey(key) else { continue }
      next = place + 1
      return entries[place].offset
    }
    return nil
  }

  private func offset(of key: Key) throws -> Int {
    guard let offset = find(key) else { throw SnapshotReader.damage("no value for \(key.stringValue)") }
    return offset
  }

  func contains(_ key: Key) -> Bool {
    guard find(key) != nil else { return false }
    next -= 1
    return true
  }

  func decodeNil(forKey key: Key) throws -> Bool {
    let isNull = try reader.tag(at: offset(of: key)) == .null
    if !isNull { next -= 1 }
    return isNull
  }

  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
    try reader.value(type, at: offset(of: key))
  }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> {
    KeyedDecodingContainer(
      ObjectDecoder<Nested>(reader: reader, entries: try reader.entries(at: offset(of: key))))
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    ListDecoder(reader: reader, elements: try reader.elements(at: offset(of: key)))
  }

  func superDecoder() throws -> any Decoder { throw SnapshotReader.damage("classes are not written") }
  func superDecoder(forKey key: Key) throws -> any Decoder { ValueDecoder(reader: reader, offset: try offset(of: key)) }
}

private struct ListDecoder: UnkeyedDecodingContainer {
  let reader: SnapshotReader
  let elements: [Int]
  var currentIndex = 0
  var codingPath: [any CodingKey] { [] }
  var count: Int? { elements.count }
  var isAtEnd: Bool { currentIndex >= elements.count }

  init(reader: SnapshotReader, elements: [Int]) {
    self.reader = reader
    self.elements = elements
  }

  private mutating func nextOffset() throws -> Int {
    guard !isAtEnd else { throw SnapshotReader.damage("a list that ends early") }
    defer { currentIndex += 1 }
    return elements[currentIndex]
  }

  mutating func decodeNil() throws -> Bool {
    guard !isAtEnd, try reader.tag(at: elements[currentIndex]) == .null else { return false }
    currentIndex += 1
    return true
  }

  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    try reader.value(type, at: try nextOffset())
  }

  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
    KeyedDecodingContainer(
      ObjectDecoder<Nested>(reader: reader, entries: try reader.entries(at: try nextOffset())))
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    ListDecoder(reader: reader, elements: try reader.elements(at: try nextOffset()))
  }

  mutating func superDecoder() throws -> any Decoder { ValueDecoder(reader: reader, offset: try nextOffset()) }
}

/// Writes a message from its last byte to its first into one buffer.
///
/// A nested message's length is known once its bytes stand, and goes in front of them: nothing is measured before it is
/// written, and nothing is moved but when the buffer grows. Callers therefore write payload, then length, then tag, and
/// the fields in descending order.
@safe
public struct Writer: ~Copyable {
  // The one place with raw memory: it is freed by deinit, and no pointer leaves a method.
  @usableFromInline var base: UnsafeMutablePointer<UInt8>
  @usableFromInline var capacity: Int
  /// The bytes from this index to `capacity` are written.
  @usableFromInline var start: Int

  /// - Parameter capacity: bytes to begin with; it doubles when they are full.
  public init(capacity: Int = 256) {
    self.capacity = max(capacity, 16)
    unsafe base = .allocate(capacity: self.capacity)
    start = self.capacity
  }

  deinit { unsafe base.deallocate() }

  /// Bytes written so far.
  @inlinable public var count: Int { capacity - start }

  /// A copy of what is written.
  public func bytes() -> [UInt8] {
    unsafe Array(UnsafeBufferPointer(start: base + start, count: count))
  }

  public func append(to buffer: inout [UInt8]) {
    unsafe buffer.append(contentsOf: UnsafeBufferPointer(start: base + start, count: count))
  }

  @inlinable
  public mutating func writeVarint(_ value: UInt64) {
    if value < 0x80 {
      makeRoom(1)
      start -= 1
      unsafe base[start] = UInt8(truncatingIfNeeded: value)
    } else {
      writeLongVarint(value)
    }
  }

  @usableFromInline
  mutating func writeLongVarint(_ value: UInt64) {
    let size = Self.varintSize(value)
    makeRoom(size)
    start -= size
    var rest = value
    var index = start
    while rest >= 0x80 {
      unsafe base[index] = UInt8(truncatingIfNeeded: rest) | 0x80
      rest >>= 7
      index += 1
    }
    unsafe base[index] = UInt8(truncatingIfNeeded: rest)
  }

  @inlinable
  public mutating func writeTag(_ tag: UInt32) { writeVarint(UInt64(tag)) }

  @inlinable
  public mutating func writeFixed32(_ value: UInt32) {
    makeRoom(4)
    start -= 4
    unsafe UnsafeMutableRawPointer(base + start).storeBytes(of: value.littleEndian, as: UInt32.self)
  }

  @inlinable
  public mutating func writeFixed64(_ value: UInt64) {
    makeRoom(8)
    start -= 8
    unsafe UnsafeMutableRawPointer(base + start).storeBytes(of: value.littleEndian, as: UInt64.self)
  }

  /// Bytes as they are, without a length.
  public mutating func writeRaw(_ bytes: [UInt8]) {
    makeRoom(bytes.count)
    start -= bytes.count
    unsafe bytes.withUnsafeBufferPointer { source in
      if let address = source.baseAddress { unsafe (base + start).update(from: address, count: source.count) }
    }
  }

  /// The string's UTF-8, without a length.
  public mutating func writeRaw(_ string: String) {
    var string = string
    string.withUTF8 { source in
      makeRoom(source.count)
      start -= source.count
      if let address = source.baseAddress { unsafe (base + start).update(from: address, count: source.count) }
    }
  }

  @inlinable
  mutating func makeRoom(_ size: Int) {
    if start < size { grow(size) }
  }

  @usableFromInline @inline(never)
  mutating func grow(_ size: Int) {
    let written = count
    let newCapacity = max(capacity * 2, written + size)
    let newBase = UnsafeMutablePointer<UInt8>.allocate(capacity: newCapacity)
    unsafe (newBase + newCapacity - written).update(from: base + start, count: written)
    unsafe base.deallocate()
    unsafe base = newBase
    capacity = newCapacity
    start = newCapacity - written
  }

  /// Bytes of a varint: one for every seven bits begun.
  @inlinable
  static func varintSize(_ value: UInt64) -> Int {
    (64 - (value | 1).leadingZeroBitCount + 6) / 7
  }
}

extension Writer {
  /// A field without presence: left out at its default.
  @inlinable
  public mutating func implicit<F: FieldType>(_ type: F.Type, _ value: F.Value, tag: UInt32) {
    guard !F.isZero(value) else { return }
    F.write(value, to: &self)
    writeTag(tag)
  }

  /// A field with presence: written when it is set, whatever its value.
  @inlinable
  public mutating func optional<F: FieldType>(_ type: F.Type, _ value: F.Value?, tag: UInt32) {
    guard let value else { return }
    F.write(value, to: &self)
    writeTag(tag)
  }

  /// A repeated field, a tag an element.
  @inlinable
  public mutating func repeated<F: FieldType>(_ type: F.Type, _ list: [F.Value], tag: UInt32) {
    for value in list.reversed() {
      F.write(value, to: &self)
      writeTag(tag)
    }
  }

  /// A repeated field, all elements behind one tag and length.
  @inlinable
  public mutating func packed<F: FieldType>(_ type: F.Type, _ list: [F.Value], tag: UInt32) {
    guard !list.isEmpty else { return }
    let before = count
    for value in list.reversed() { F.write(value, to: &self) }
    writeVarint(UInt64(count - before))
    writeTag(tag)
  }

  /// A map, its entries by key, so that equal maps are equal bytes.
  @inlinable
  public mutating func map<K: MapKeyType, V: FieldType>(
    _ key: K.Type, _ value: V.Type, _ map: [K.Value: V.Value], tag: UInt32
  ) {
    guard !map.isEmpty else { return }
    for (entryKey, entryValue) in map.sorted(by: { K.precedes($1.key, $0.key) }) {
      let before = count
      V.write(entryValue, to: &self)
      writeTag(2 << 3 | V.wireType.rawValue)
      K.write(entryKey, to: &self)
      writeTag(1 << 3 | K.wireType.rawValue)
      writeVarint(UInt64(count - before))
      writeTag(tag)
    }
  }

  /// Written first, so it comes last.
  @inlinable
  public mutating func unknown(_ fields: UnknownFields) {
    if !fields.isEmpty { writeRaw(fields.bytes) }
  }
}

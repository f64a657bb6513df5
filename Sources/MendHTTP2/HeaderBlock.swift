internal import Glibc

/// A header list: names and values in one array of bytes, in order.
///
/// Names are lower case. Only what HTTP/2 requires is checked and decoded.
package struct HeaderBlock: Sendable {
  package struct Field: Sendable {
    @usableFromInline var start: Int32
    @usableFromInline var nameCount: Int32
    @usableFromInline var valueCount: Int32

    @inlinable @inline(__always) package var nameLength: Int { Int(nameCount) }

    @inlinable package var name: Range<Int> {
      unsafe Range(uncheckedBounds: (Int(start), Int(start) &+ Int(nameCount)))
    }

    @inlinable package var value: Range<Int> {
      let start = Int(start) &+ Int(nameCount)
      return unsafe Range(uncheckedBounds: (start, start &+ Int(valueCount)))
    }
  }

  /// Each name followed by its value, then unused memory; `fields` says which bytes are used.
  @usableFromInline package private(set) var bytes: [UInt8] = []
  /// The used fields, then unused ones: resetting a count is cheaper than emptying an array.
  @usableFromInline var places: [Field] = []
  /// The number of fields.
  @usableFromInline package private(set) var count = 0
  private var used = 0

  package init() {}

  @inlinable package var isEmpty: Bool { count == 0 }

  /// The list's size as RFC 9113 6.5.2 counts it: name, value and 32 for each field.
  package var listBytes: Int { used + 32 * count }

  package var fields: ArraySlice<Field> { places[..<count] }

  @inlinable @inline(__always) package subscript(index: Int) -> Field { places[index] }

  package mutating func append(_ name: String, _ value: String) {
    append(name.utf8, value.utf8)
  }

  package mutating func append(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) {
    let (nameCount, valueCount) = (name.count, value.count)
    makeRoom(bytes: nameCount + valueCount, fields: 1)
    bytes.replaceSubrange(used..<(used + nameCount), with: name)
    bytes.replaceSubrange((used + nameCount)..<(used + nameCount + valueCount), with: value)
    places[count] = Field(
      start: Int32(truncatingIfNeeded: used), nameCount: Int32(truncatingIfNeeded: nameCount),
      valueCount: Int32(truncatingIfNeeded: valueCount))
    count += 1
    used += nameCount + valueCount
  }

  /// Forgets the fields and keeps the memory, for the next stream.
  @inlinable package mutating func removeAll() {
    clear()
  }

  @usableFromInline mutating func clear() {
    used = 0
    count = 0
  }

  /// Forgets the fields, and gives large memory back: one long header list must not cost memory for ever.
  mutating func recycle(keeping kept: Int) {
    if isLarger(than: kept) { self = HeaderBlock() } else { clear() }
  }

  /// Whether its memory is larger than this, whatever its list is now.
  package func isLarger(than kept: Int) -> Bool {
    bytes.count &+ places.count &* MemoryLayout<Field>.stride > kept
  }

  @inline(__always)
  private mutating func makeRoom(bytes: Int, fields: Int) {
    if used &+ bytes > self.bytes.count || count &+ fields > places.count { grow(bytes, fields) }
  }

  @inline(never)
  private mutating func grow(_ bytesNeeded: Int, _ fieldsNeeded: Int) {
    if used + bytesNeeded > bytes.count {
      let size = max(256, bytes.count * 2, used + bytesNeeded)
      bytes += [UInt8](repeating: 0, count: size - bytes.count)
    }
    if count + fieldsNeeded > places.count {
      let size = max(12, places.count * 2, count + fieldsNeeded)
      let none = Field(start: 0, nameCount: 0, valueCount: 0)
      places += [Field](repeating: none, count: size - places.count)
    }
  }

  /// Whether the bytes in `range` begin with `prefix`.
  package func hasPrefix(_ range: Range<Int>, _ prefix: StaticString) -> Bool {
    guard range.count >= prefix.utf8CodeUnitCount else { return false }
    return isEqual(range.lowerBound, prefix)
  }

  package func hasSuffix(_ range: Range<Int>, _ suffix: StaticString) -> Bool {
    guard range.count >= suffix.utf8CodeUnitCount else { return false }
    return isEqual(range.upperBound - suffix.utf8CodeUnitCount, suffix)
  }

  /// The first field of this name.
  @inlinable @inline(__always) package func first(_ name: StaticString) -> Field? {
    for index in 0..<count {
      let field = places[index]
      if isName(field, name) { return field }
    }
    return nil
  }

  @inlinable @inline(__always) package func isName(_ field: Field, _ name: StaticString) -> Bool {
    Int(field.nameCount) == name.utf8CodeUnitCount && isEqual(Int(field.start), name)
  }

  @inlinable @inline(__always) package func isValue(_ field: Field, _ value: StaticString) -> Bool {
    Int(field.valueCount) == value.utf8CodeUnitCount && isEqual(Int(field.start) &+ Int(field.nameCount), value)
  }

  /// The last byte of a name; 0 for an empty one.
  @inlinable @inline(__always) package func lastOfName(_ field: Field) -> UInt8 {
    field.nameCount > 0 ? bytes[Int(field.start) &+ Int(field.nameCount) &- 1] : 0
  }

  /// Whether the bytes from `start` are those of `text`; the caller checks the count.
  @usableFromInline
  func isEqual(_ start: Int, _ text: StaticString) -> Bool {
    unsafe bytes.withUnsafeBufferPointer { all in
      guard let base = all.baseAddress else { return text.utf8CodeUnitCount == 0 }
      return unsafe memcmp(base + start, text.utf8Start, text.utf8CodeUnitCount) == 0
    }
  }

  /// A name or a value as text; invalid UTF-8 is replaced.
  package func text(_ range: Range<Int>) -> String {
    String(decoding: bytes[range], as: UTF8.self)
  }

  /// Copies the collected fields.
  mutating func take(_ collected: borrowing HeaderCollector) {
    clear()
    makeRoom(bytes: collected.used, fields: collected.count)
    unsafe bytes.withUnsafeMutableBytes { unsafe collected.copyBytes(to: $0) }
    unsafe places.withUnsafeMutableBufferPointer { unsafe collected.copyFields(to: $0) }
    used = collected.used
    count = collected.count
  }
}

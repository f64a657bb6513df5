internal import Glibc

/// A header list as it came off the wire: names and values in one array of bytes, in order.
///
/// Names are lower case. Nothing is checked or decoded beyond what HTTP/2 requires.
package struct HeaderBlock: Sendable {
  package struct Field: Sendable {
    fileprivate(set) var start: Int32
    fileprivate(set) var nameCount: Int32
    fileprivate(set) var valueCount: Int32

    package var name: Range<Int> { Int(start)..<Int(start &+ nameCount) }
    package var value: Range<Int> { Int(start &+ nameCount)..<Int(start &+ nameCount &+ valueCount) }
  }

  /// Every name, followed by its value; then room. Only the fields say what is used.
  package private(set) var bytes: [UInt8] = []
  package private(set) var fields: [Field] = []
  private var used = 0

  package init() {}

  package var isEmpty: Bool { fields.isEmpty }

  package mutating func append(_ name: String, _ value: String) {
    append(name.utf8, value.utf8)
  }

  package mutating func append(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) {
    let (nameCount, valueCount) = (name.count, value.count)
    makeRoom(nameCount + valueCount)
    bytes.replaceSubrange(used..<(used + nameCount), with: name)
    bytes.replaceSubrange((used + nameCount)..<(used + nameCount + valueCount), with: value)
    note(nameCount, valueCount)
  }

  /// Forgets the fields and keeps the memory, for the next stream.
  package mutating func removeAll() {
    used = 0
    if !fields.isEmpty { fields.removeAll(keepingCapacity: true) }
  }

  @inline(__always)
  private mutating func note(_ nameCount: Int, _ valueCount: Int) {
    fields.append(
      Field(
        start: Int32(truncatingIfNeeded: used), nameCount: Int32(truncatingIfNeeded: nameCount),
        valueCount: Int32(truncatingIfNeeded: valueCount)))
    used &+= nameCount &+ valueCount
  }

  @inline(__always)
  private mutating func makeRoom(_ count: Int) {
    if used &+ count > bytes.count { grow(count) }
  }

  @inline(never)
  private mutating func grow(_ count: Int) {
    let size = max(512, bytes.count * 2, used + count)
    bytes.append(contentsOf: repeatElement(0, count: size - bytes.count))
    fields.reserveCapacity(16)
  }

  /// The bytes in `range` begin with `prefix`.
  package func hasPrefix(_ range: Range<Int>, _ prefix: StaticString) -> Bool {
    guard range.count >= prefix.utf8CodeUnitCount, !range.isEmpty else { return false }
    return unsafe bytes.withUnsafeBufferPointer { all in
      unsafe equalBytes(all.baseAddress! + range.lowerBound, prefix.utf8Start, prefix.utf8CodeUnitCount)
    }
  }

  package func hasSuffix(_ range: Range<Int>, _ suffix: StaticString) -> Bool {
    guard range.count >= suffix.utf8CodeUnitCount, !range.isEmpty else { return false }
    return hasPrefix((range.upperBound - suffix.utf8CodeUnitCount)..<range.upperBound, suffix)
  }

  /// The first field of this name.
  package func first(_ name: StaticString) -> Field? {
    for field in fields where isName(field, name) { return field }
    return nil
  }

  package func isName(_ field: Field, _ name: StaticString) -> Bool {
    guard field.name.count == name.utf8CodeUnitCount else { return false }
    return unsafe bytes.withUnsafeBufferPointer { all in
      unsafe equalBytes(all.baseAddress! + field.name.lowerBound, name.utf8Start, name.utf8CodeUnitCount)
    }
  }

  package func isValue(_ field: Field, _ value: StaticString) -> Bool {
    guard field.value.count == value.utf8CodeUnitCount else { return false }
    guard !field.value.isEmpty else { return true }
    return unsafe bytes.withUnsafeBufferPointer { all in
      unsafe equalBytes(all.baseAddress! + field.value.lowerBound, value.utf8Start, value.utf8CodeUnitCount)
    }
  }

  /// The bytes of a name or a value as text; what isn't UTF-8 is repaired.
  package func text(_ range: Range<Int>) -> String {
    String(decoding: bytes[range], as: UTF8.self)
  }

  @unsafe
  mutating func append(
    name: UnsafePointer<UInt8>, _ nameCount: Int, value: UnsafePointer<UInt8>, _ valueCount: Int
  ) {
    makeRoom(nameCount &+ valueCount)
    unsafe bytes.withUnsafeMutableBufferPointer { room in
      guard let start = room.baseAddress else { return }
      unsafe memcpy(start + used, name, nameCount)
      unsafe memcpy(start + used + nameCount, value, valueCount)
    }
    note(nameCount, valueCount)
  }
}

@unsafe @inline(__always)
private func equalBytes(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  for i in 0..<count where unsafe a[i] != b[i] { return false }
  return true
}

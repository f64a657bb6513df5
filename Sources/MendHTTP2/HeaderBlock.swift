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

  /// Every name, followed by its value.
  package private(set) var bytes: [UInt8] = []
  package private(set) var fields: [Field] = []

  package init() {}

  package var isEmpty: Bool { fields.isEmpty }

  package mutating func append(_ name: String, _ value: String) {
    append(name.utf8, value.utf8)
  }

  package mutating func append(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) {
    let start = bytes.count
    bytes.append(contentsOf: name)
    let end = bytes.count
    bytes.append(contentsOf: value)
    fields.append(Field(start: Int32(start), nameCount: Int32(end - start), valueCount: Int32(bytes.count - end)))
  }

  /// Forgets the fields and keeps the memory, for the next stream.
  package mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    fields.removeAll(keepingCapacity: true)
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
    let start = bytes.count
    unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: name, count: nameCount))
    unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: value, count: valueCount))
    fields.append(Field(start: Int32(start), nameCount: Int32(nameCount), valueCount: Int32(valueCount)))
  }
}

@unsafe @inline(__always)
private func equalBytes(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  for i in 0..<count where unsafe a[i] != b[i] { return false }
  return true
}

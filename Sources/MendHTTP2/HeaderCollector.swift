internal import Glibc

/// The header list that a session is receiving: lists don't interleave, so there is one at a time (RFC 9113 4.3).
///
/// Raw memory instead of arrays, which would check at each field of each call whether they are shared.
@safe struct HeaderCollector: ~Copyable {
  private var bytes: UnsafeMutableRawPointer
  private var byteCapacity = 256
  private(set) var used = 0
  private var fields: UnsafeMutablePointer<HeaderBlock.Field>
  private var fieldCapacity = 12
  private(set) var count = 0

  /// The list's size as RFC 9113 6.5.2 counts it, also beyond the limit: name, value and 32 for each field.
  private(set) var listBytes = 0
  /// The largest size of a list whose fields are kept.
  private let limit: Int
  private static let fieldOverhead = 32

  init(limit: Int) {
    self.limit = limit
    unsafe bytes = .allocate(byteCount: byteCapacity, alignment: 16)
    unsafe fields = .allocate(capacity: fieldCapacity)
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe fields.deallocate()
  }

  mutating func begin() {
    used = 0
    count = 0
    listBytes = 0
  }

  @unsafe @inline(__always)
  mutating func add(
    _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int
  ) {
    guard listBytes <= limit else { return }
    let total = used &+ nameCount &+ valueCount
    if total > byteCapacity || count == fieldCapacity { grow(total) }
    unsafe memcpy(bytes + used, name, nameCount)
    unsafe memcpy(bytes + (used &+ nameCount), value, valueCount)
    unsafe (fields + count).initialize(
      to: HeaderBlock.Field(
        start: Int32(truncatingIfNeeded: used), nameCount: Int32(truncatingIfNeeded: nameCount),
        valueCount: Int32(truncatingIfNeeded: valueCount)))
    used = total
    count &+= 1
  }

  /// Adds a field. It counts in full, whether it is kept or not.
  @inline(__always)
  mutating func count(_ nameCount: Int, _ valueCount: Int) {
    listBytes &+= nameCount &+ valueCount &+ Self.fieldOverhead
  }

  func copyBytes(to room: UnsafeMutableRawBufferPointer) {
    guard used > 0, let start = room.baseAddress else { return }
    unsafe memcpy(start, bytes, used)
  }

  func copyFields(to room: UnsafeMutableBufferPointer<HeaderBlock.Field>) {
    guard count > 0, let start = room.baseAddress else { return }
    unsafe start.update(from: fields, count: count)
  }

  @inline(never)
  private mutating func grow(_ total: Int) {
    if total > byteCapacity {
      byteCapacity = max(byteCapacity * 2, total)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: byteCapacity, alignment: 16)
      unsafe memcpy(larger, bytes, used)
      unsafe bytes.deallocate()
      unsafe bytes = larger
    }
    if count == fieldCapacity {
      fieldCapacity *= 2
      let larger = UnsafeMutablePointer<HeaderBlock.Field>.allocate(capacity: fieldCapacity)
      unsafe larger.initialize(from: fields, count: count)
      unsafe fields.deallocate()
      unsafe fields = larger
    }
  }
}

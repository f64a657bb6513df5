/// A line that is being written, with both its ends if it is too long.
struct LongLine: Sendable {
  private let half: Int
  private var head: [UInt8] = []
  private var tail: [UInt8] = []
  private var isCut = false
  private(set) var isBlank = true

  init(limit: Int) { half = limit / 2 }

  mutating func append(_ byte: UInt8) {
    if byte > 0x20 { isBlank = false }
    guard head.count == half else {
      head.append(byte)
      return
    }
    tail.append(byte)
    guard tail.count >= half * 2 else { return }
    tail.removeFirst(half)
    isCut = true
  }

  mutating func removeLast() {
    if tail.popLast() == nil, !isCut { _ = head.popLast() }
  }

  mutating func removeAll() {
    head.removeAll(keepingCapacity: true)
    tail.removeAll(keepingCapacity: true)
    isCut = false
    isBlank = true
  }

  /// Whole characters of UTF-8 at the cut.
  var bytes: [UInt8] {
    guard isCut || tail.count > half else { return head + tail }
    let start = head.dropLast(Self.partialCharacter(at: head))
    let end = tail.suffix(half).drop { $0 & 0xC0 == 0x80 }
    return start + Array(OutputTail.gap.utf8) + end
  }

  /// How many bytes at the end begin a character whose rest is missing.
  private static func partialCharacter(at bytes: [UInt8]) -> Int {
    let continued = bytes.reversed().prefix(3).prefix { $0 & 0xC0 == 0x80 }.count
    guard continued < bytes.count else { return 0 }
    let length = (~bytes[bytes.count - 1 - continued]).leadingZeroBitCount
    return length > continued + 1 ? continued + 1 : 0
  }
}

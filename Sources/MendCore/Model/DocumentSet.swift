/// A set of document positions (0 ..< the batch's documents), one bit each, with its size kept.
///
/// A million documents are 125 KB. Copies share storage until one of them changes.
public struct DocumentSet: Hashable, Sendable {
  private var words: [UInt64] = []
  public private(set) var count = 0

  public init() {}

  public init(_ positions: some Sequence<Int>) {
    for position in positions { insert(position) }
  }

  /// Every position below `count`.
  public init(all count: Int) {
    words = Array(repeating: .max, count: count / 64)
    if count % 64 != 0 { words.append((1 << UInt64(count % 64)) - 1) }
    self.count = count
  }

  public var isEmpty: Bool { count == 0 }

  public func contains(_ position: Int) -> Bool {
    let index = position >> 6
    return index < words.count && words[index] & (1 << UInt64(position & 63)) != 0
  }

  /// True when it was not there before.
  @discardableResult
  public mutating func insert(_ position: Int) -> Bool {
    let index = position >> 6
    let bit: UInt64 = 1 << UInt64(position & 63)
    if index >= words.count { words.append(contentsOf: repeatElement(0, count: index + 1 - words.count)) }
    guard words[index] & bit == 0 else { return false }
    words[index] |= bit
    count += 1
    return true
  }

  /// True when it was there.
  @discardableResult
  public mutating func remove(_ position: Int) -> Bool {
    let index = position >> 6
    let bit: UInt64 = 1 << UInt64(position & 63)
    guard index < words.count, words[index] & bit != 0 else { return false }
    words[index] &= ~bit
    count -= 1
    return true
  }

  public mutating func formUnion(_ other: DocumentSet) {
    combine(other) { $0 | $1 }
  }

  public mutating func subtract(_ other: DocumentSet) {
    combine(other) { $0 & ~$1 }
  }

  public mutating func formIntersection(_ other: DocumentSet) {
    if words.count > other.words.count { words.removeLast(words.count - other.words.count) }
    combine(other) { $0 & $1 }
  }

  private mutating func combine(_ other: DocumentSet, _ operation: (UInt64, UInt64) -> UInt64) {
    if words.count < other.words.count {
      words.append(contentsOf: repeatElement(0, count: other.words.count - words.count))
    }
    var total = 0
    for index in words.indices {
      if index < other.words.count { words[index] = operation(words[index], other.words[index]) }
      total += words[index].nonzeroBitCount
    }
    count = total
  }

  public func union(_ other: DocumentSet) -> DocumentSet {
    var result = self
    result.formUnion(other)
    return result
  }

  public func subtracting(_ other: DocumentSet) -> DocumentSet {
    var result = self
    result.subtract(other)
    return result
  }

  public func intersection(_ other: DocumentSet) -> DocumentSet {
    var result = self
    result.formIntersection(other)
    return result
  }

  /// The first position at or after `start` that is in this set, or nil.
  public func next(from start: Int) -> Int? {
    var index = start >> 6
    guard index < words.count else { return nil }
    var word = words[index] & (UInt64.max << UInt64(start & 63))
    while true {
      if word != 0 { return (index << 6) + word.trailingZeroBitCount }
      index += 1
      guard index < words.count else { return nil }
      word = words[index]
    }
  }

  /// Runs of neighbouring positions in order: how a set is written down.
  public var ranges: [Range<Int>] {
    var result: [Range<Int>] = []
    for position in self {
      if let last = result.last, last.upperBound == position {
        result[result.count - 1] = last.lowerBound..<position + 1
      } else {
        result.append(position..<position + 1)
      }
    }
    return result
  }

  public init(ranges: [Range<Int>]) {
    for range in ranges { for position in range { insert(position) } }
  }

  public static func == (left: DocumentSet, right: DocumentSet) -> Bool {
    guard left.count == right.count else { return false }
    return left.elementsEqual(right)
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(count) }
}

extension DocumentSet: Sequence {
  public struct Iterator: IteratorProtocol {
    fileprivate var set: DocumentSet
    fileprivate var position = 0
    public mutating func next() -> Int? {
      guard let found = set.next(from: position) else { return nil }
      position = found + 1
      return found
    }
  }

  /// In ascending order.
  public func makeIterator() -> Iterator { Iterator(set: self) }
  public var underestimatedCount: Int { count }
}

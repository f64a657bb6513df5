/// A set of document positions (0 ..< the batch's documents), one bit each, with its size kept.
///
/// A million documents are 125 KB, and ten neighbours anywhere among them are one or two words: only the span between
/// the first and the last word in use is stored. Copies share storage until one of them changes.
package struct DocumentSet: Hashable, Codable, Sendable {
  private var words: [UInt64] = []
  /// The word index that `words[0]` stands for.
  private var base = 0
  package private(set) var count = 0

  package init() {}

  package init(_ positions: some Sequence<Int>) {
    for position in positions { insert(position) }
  }

  /// Every position below `count`.
  package init(all count: Int) {
    words = Array(repeating: .max, count: count / 64)
    if count % 64 != 0 { words.append((1 << UInt64(count % 64)) - 1) }
    self.count = count
  }

  package var isEmpty: Bool { count == 0 }

  package func contains(_ position: Int) -> Bool {
    let index = (position >> 6) - base
    return index >= 0 && index < words.count && words[index] & (1 << UInt64(position & 63)) != 0
  }

  /// True when it was not there before.
  @discardableResult
  package mutating func insert(_ position: Int) -> Bool {
    let bit: UInt64 = 1 << UInt64(position & 63)
    cover(from: position >> 6, through: position >> 6)
    let index = (position >> 6) - base
    guard words[index] & bit == 0 else { return false }
    words[index] |= bit
    count += 1
    return true
  }

  /// True when it was there.
  @discardableResult
  package mutating func remove(_ position: Int) -> Bool {
    let index = (position >> 6) - base
    let bit: UInt64 = 1 << UInt64(position & 63)
    guard index >= 0, index < words.count, words[index] & bit != 0 else { return false }
    words[index] &= ~bit
    count -= 1
    return true
  }

  /// Costs the other set's span.
  package mutating func formUnion(_ other: DocumentSet) {
    guard !other.words.isEmpty else { return }
    cover(from: other.base, through: other.base + other.words.count - 1)
    combine(other) { $0 | $1 }
  }

  /// Costs the other set's span.
  package mutating func subtract(_ other: DocumentSet) {
    combine(other) { $0 & ~$1 }
  }

  package mutating func formIntersection(_ other: DocumentSet) {
    var total = 0
    for index in words.indices {
      let place = index + base - other.base
      words[index] &= place >= 0 && place < other.words.count ? other.words[place] : 0
      total += words[index].nonzeroBitCount
    }
    count = total
  }

  private mutating func combine(_ other: DocumentSet, _ operation: (UInt64, UInt64) -> UInt64) {
    let first = Swift.max(base, other.base)
    let end = Swift.min(base + words.count, other.base + other.words.count)
    guard first < end else { return }
    for word in first..<end {
      let combined = operation(words[word - base], other.words[word - other.base])
      count += combined.nonzeroBitCount - words[word - base].nonzeroBitCount
      words[word - base] = combined
    }
  }

  /// Makes room for the words `first ... last`.
  private mutating func cover(from first: Int, through last: Int) {
    if words.isEmpty {
      base = first
      words.append(contentsOf: repeatElement(0, count: last - first + 1))
      return
    }
    if first < base {
      words.insert(contentsOf: repeatElement(0, count: base - first), at: 0)
      base = first
    }
    let missing = last - base + 1 - words.count
    if missing > 0 { words.append(contentsOf: repeatElement(0, count: missing)) }
  }

  package func union(_ other: DocumentSet) -> DocumentSet {
    var result = self
    result.formUnion(other)
    return result
  }

  package func subtracting(_ other: DocumentSet) -> DocumentSet {
    var result = self
    result.subtract(other)
    return result
  }

  package func intersection(_ other: DocumentSet) -> DocumentSet {
    var result = self
    result.formIntersection(other)
    return result
  }

  /// The highest position, or nil.
  var last: Int? {
    guard let index = words.lastIndex(where: { $0 != 0 }) else { return nil }
    return ((index + base) << 6) + 63 - words[index].leadingZeroBitCount
  }

  /// The first position at or after `start` that is in this set, or nil.
  package func next(from start: Int) -> Int? {
    var index = Swift.max(0, (start >> 6) - base)
    guard index < words.count else { return nil }
    var word = words[index]
    if index + base == start >> 6 { word &= UInt64.max << UInt64(start & 63) }
    while true {
      if word != 0 { return ((index + base) << 6) + word.trailingZeroBitCount }
      index += 1
      guard index < words.count else { return nil }
      word = words[index]
    }
  }

  /// The first positions from `start` on that are here and in none of the others, at most `limit`, in order.
  ///
  /// Goes word by word: a million documents are looked through in microseconds.
  package func positions(
    from start: Int, limit: Int, excluding first: DocumentSet, _ second: DocumentSet, _ third: DocumentSet
  ) -> [Int] {
    var found: [Int] = []
    var place = Swift.max(base, start >> 6)
    while place < base + words.count, found.count < limit {
      var word = words[place - base] & ~(first.word(place) | second.word(place) | third.word(place))
      if place == start >> 6 { word &= UInt64.max << UInt64(start & 63) }
      while word != 0, found.count < limit {
        found.append((place << 6) + word.trailingZeroBitCount)
        word &= word - 1
      }
      place += 1
    }
    return found
  }

  private func word(_ place: Int) -> UInt64 {
    place >= base && place < base + words.count ? words[place - base] : 0
  }

  /// Runs of neighbouring positions in order: how a set is written down.
  package var ranges: [Range<Int>] {
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

  package init(ranges: [Range<Int>]) {
    for range in ranges { for position in range { insert(position) } }
  }

  package static func == (left: DocumentSet, right: DocumentSet) -> Bool {
    guard left.count == right.count else { return false }
    return left.elementsEqual(right)
  }

  package func hash(into hasher: inout Hasher) { hasher.combine(count) }
}

extension DocumentSet: Sequence {
  package struct Iterator: IteratorProtocol {
    fileprivate var set: DocumentSet
    fileprivate var position = 0
    package mutating func next() -> Int? {
      guard let found = set.next(from: position) else { return nil }
      position = found + 1
      return found
    }
  }

  /// In ascending order.
  package func makeIterator() -> Iterator { Iterator(set: self) }
  package var underestimatedCount: Int { count }
}

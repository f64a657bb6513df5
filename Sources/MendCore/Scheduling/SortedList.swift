/// Elements in order, in chunks: whatever its size, a change moves one chunk, and a copy shares all the others.
///
/// Holds each element once. 10,000 waiting batches are forty chunks.
package struct SortedList<Element: Comparable & Sendable>: Sendable {
  /// A chunk is split beyond it.
  static var chunkLimit: Int { 256 }

  /// None of them is empty.
  private var chunks: [[Element]] = []
  package private(set) var count = 0

  package init() {}

  package var isEmpty: Bool { count == 0 }
  package var first: Element? { chunks.first?.first }

  /// Adds an element; false if it is there already.
  @discardableResult
  package mutating func insert(_ element: Element) -> Bool {
    guard !chunks.isEmpty else {
      chunks.append([element])
      count = 1
      return true
    }
    let chunk = Swift.min(chunkIndex(of: element), chunks.count - 1)
    let place = Self.index(of: element, in: chunks[chunk])
    if place < chunks[chunk].count, chunks[chunk][place] == element { return false }
    chunks[chunk].insert(element, at: place)
    count += 1
    if chunks[chunk].count > Self.chunkLimit {
      let half = chunks[chunk].count / 2
      chunks.insert(Array(chunks[chunk][half...]), at: chunk + 1)
      chunks[chunk].removeSubrange(half...)
    }
    return true
  }

  /// Removes an element; false if it is not there.
  @discardableResult
  package mutating func remove(_ element: Element) -> Bool {
    let chunk = chunkIndex(of: element)
    guard chunk < chunks.count else { return false }
    let place = Self.index(of: element, in: chunks[chunk])
    guard place < chunks[chunk].count, chunks[chunk][place] == element else { return false }
    chunks[chunk].remove(at: place)
    if chunks[chunk].isEmpty { chunks.remove(at: chunk) }
    count -= 1
    return true
  }

  /// The first element that is not before this one.
  package func first(notBefore element: Element) -> Element? {
    let chunk = chunkIndex(of: element)
    return chunk < chunks.count ? chunks[chunk][Self.index(of: element, in: chunks[chunk])] : nil
  }

  /// The first element that is after this one.
  package func first(after element: Element) -> Element? {
    var chunk = chunkIndex(of: element)
    guard chunk < chunks.count else { return nil }
    var place = Self.index(of: element, in: chunks[chunk])
    if chunks[chunk][place] == element { place += 1 }
    if place == chunks[chunk].count { (chunk, place) = (chunk + 1, 0) }
    return chunk < chunks.count ? chunks[chunk][place] : nil
  }

  /// How many elements stand before it, whether it is there or not.
  package func position(of element: Element) -> Int {
    let chunk = chunkIndex(of: element)
    var before = 0
    for index in 0..<chunk { before += chunks[index].count }
    return chunk < chunks.count ? before + Self.index(of: element, in: chunks[chunk]) : before
  }

  /// The first chunk whose last element is not before it; the number of chunks when there is none.
  private func chunkIndex(of element: Element) -> Int {
    var low = 0
    var high = chunks.count
    while low < high {
      let middle = (low + high) / 2
      if let last = chunks[middle].last, last < element { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private static func index(of element: Element, in chunk: [Element]) -> Int {
    var low = 0
    var high = chunk.count
    while low < high {
      let middle = (low + high) / 2
      if chunk[middle] < element { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

extension SortedList: Sequence {
  package func makeIterator() -> FlattenSequence<[[Element]]>.Iterator { chunks.joined().makeIterator() }
  package var underestimatedCount: Int { count }
}

extension SortedList: Equatable where Element: Equatable {
  package static func == (left: SortedList, right: SortedList) -> Bool {
    left.count == right.count && left.elementsEqual(right)
  }
}

/// A number for each document, 0 where there is none: four bytes for each of the documents near one that has any.
///
/// In chunks: while a reader holds a copy, a change costs one chunk, not the batch.
package struct DocumentNumbers: Hashable, Codable, Sendable {
  private static let size = 1024
  private var chunks: [[UInt32]] = []

  package init() {}

  package subscript(position: Int) -> UInt32 {
    get {
      let chunk = position / Self.size
      return chunk < chunks.count && !chunks[chunk].isEmpty ? chunks[chunk][position % Self.size] : 0
    }
    set {
      let chunk = position / Self.size
      if chunk >= chunks.count || chunks[chunk].isEmpty {
        if newValue == 0 { return }
        if chunk >= chunks.count { chunks.append(contentsOf: repeatElement([], count: chunk + 1 - chunks.count)) }
        chunks[chunk] = Array(repeating: 0, count: Self.size)
      }
      chunks[chunk][position % Self.size] = newValue
    }
  }

  /// Every document that has one, in order.
  func forEach(_ body: (_ position: Int, _ number: UInt32) -> Void) {
    for (number, chunk) in chunks.enumerated() {
      for (offset, value) in chunk.enumerated() where value != 0 { body(number * Self.size + offset, value) }
    }
  }
}

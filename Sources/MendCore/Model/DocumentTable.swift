/// A batch's documents in the order they were added: packed text, so that a million are one buffer, and an index by id.
///
/// Append-only. Copies share storage until one of them changes, and a submitted batch's table never changes again.
public struct DocumentTable: Hashable, Sendable {
  private var text: [UInt8] = []
  /// Where each document's text ends, three ends a document: id, uri, media type.
  private var ends: [UInt32] = []
  private var sizes: [Int64] = []
  private var positions: [String: Int32] = [:]

  public init() {}

  public var count: Int { sizes.count }

  /// Bytes of text that it holds; less than 4 GiB, which `Limits.documentTextPerBatch` sees to.
  public var textBytes: Int { text.count }

  /// False, and no change, when the id is there already.
  @discardableResult
  public mutating func append(_ document: Document) -> Bool {
    let position = Int32(count)
    guard positions[document.id] == nil else { return false }
    positions[document.id] = position
    for part in [document.id, document.uri, document.mediaType] {
      text.append(contentsOf: part.utf8)
      ends.append(UInt32(text.count))
    }
    sizes.append(document.size)
    return true
  }

  public func position(of id: String) -> Int? { positions[id].map(Int.init) }

  public func contains(_ id: String) -> Bool { positions[id] != nil }

  public subscript(position: Int) -> Document {
    Document(
      id: part(position, 0), uri: part(position, 1), mediaType: part(position, 2), size: sizes[position])
  }

  public func id(at position: Int) -> String { part(position, 0) }
  public func uri(at position: Int) -> String { part(position, 1) }

  private func part(_ position: Int, _ index: Int) -> String {
    let slot = position * 3 + index
    let start = slot == 0 ? 0 : Int(ends[slot - 1])
    return String(decoding: text[start..<Int(ends[slot])], as: UTF8.self)
  }
}

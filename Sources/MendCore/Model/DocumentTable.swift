/// A batch's documents in the order they were added, packed: a million with ordinary names are some 20 MB.
///
/// Documents stand in blocks of `documentsPerBlock`. Within a block each part (id, uri, media type) says only what
/// differs from the document before, and a uri that holds the document's id says where. Reading one costs what stands
/// before it in its block.
///
/// Append-only. Copies share storage until one of them changes, and a submitted batch's table never changes again.
package struct DocumentTable: Sendable {
  static let documentsPerBlock = 16

  package private(set) var count = 0
  /// Bytes of ids, uris and media types as they were given; less than 4 GiB, which `Limits.documentTextPerBatch` sees
  /// to.
  package private(set) var textBytes = 0
  private var packed: [UInt8] = []
  /// Bytes that ids, uris and media types take in memory.
  var packedBytes: Int { packed.count }
  /// Where each block begins in `packed`.
  private var blocks: [UInt32] = []
  /// The newest document's parts, as the next one's are compared with them.
  private var last = PackedParts()
  private var index = DocumentIndex()

  package init() {}

  /// False, and no change, when the id is there already.
  @discardableResult
  package mutating func append(_ document: Document) -> Bool {
    let id = Array(document.id.utf8)
    let hash = DocumentIndex.hash(id)
    guard position(of: id, hash) == nil else { return false }
    if count.isMultiple(of: Self.documentsPerBlock) {
      blocks.append(UInt32(packed.count))
      last = PackedParts()
    }
    last.append(document, id: id, to: &packed)
    textBytes += id.count + document.uri.utf8.count + document.mediaType.utf8.count
    if index.isFull { index = largerIndex() }
    index.place(count, hash)
    count += 1
    return true
  }

  package func position(of id: String) -> Int? {
    let bytes = Array(id.utf8)
    return position(of: bytes, DocumentIndex.hash(bytes))
  }

  private func position(of id: [UInt8], _ hash: UInt) -> Int? {
    index.find(hash) { parts(at: $0).id == id }
  }

  package func contains(_ id: String) -> Bool { position(of: id) != nil }

  package subscript(position: Int) -> Document { parts(at: position).document }

  package func id(at position: Int) -> String { String(decoding: parts(at: position).id, as: UTF8.self) }

  package func uri(at position: Int) -> String { String(decoding: parts(at: position).wholeURI, as: UTF8.self) }

  private func parts(at position: Int) -> PackedParts {
    var parts = PackedParts()
    var offset = Int(blocks[position / Self.documentsPerBlock])
    for _ in 0...position % Self.documentsPerBlock { parts.read(packed, &offset) }
    return parts
  }

  /// All documents' ids, and room for half as many more. One pass.
  private func largerIndex() -> DocumentIndex {
    var index = DocumentIndex(for: count)
    var parts = PackedParts()
    var offset = 0
    // The newest one may be packed and not counted yet.
    for position in 0..<count {
      if position.isMultiple(of: Self.documentsPerBlock) { parts = PackedParts() }
      parts.read(packed, &offset)
      index.place(position, DocumentIndex.hash(parts.id))
    }
    return index
  }
}

extension DocumentTable: Hashable {
  package static func == (left: DocumentTable, right: DocumentTable) -> Bool {
    left.count == right.count && left.packed == right.packed
  }

  package func hash(into hasher: inout Hasher) { hasher.combine(count) }
}

extension DocumentTable: Codable {
  private enum CodingKeys: CodingKey { case count, textBytes, packed, blocks }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(count, forKey: .count)
    try container.encode(textBytes, forKey: .textBytes)
    try container.encode(packed, forKey: .packed)
    try container.encode(blocks, forKey: .blocks)
  }

  /// The index is made anew: its hashes are this process's own.
  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    count = try container.decode(Int.self, forKey: .count)
    textBytes = try container.decode(Int.self, forKey: .textBytes)
    packed = try container.decode([UInt8].self, forKey: .packed)
    blocks = try container.decode([UInt32].self, forKey: .blocks)
    guard blocks.count == (count + Self.documentsPerBlock - 1) / Self.documentsPerBlock, packed.isEmpty == (count == 0)
    else {
      throw DecodingError.dataCorrupted(
        DecodingError.Context(codingPath: container.codingPath, debugDescription: "a table of other documents"))
    }
    if count > 0 { last = parts(at: count - 1) }
    index = largerIndex()
  }
}

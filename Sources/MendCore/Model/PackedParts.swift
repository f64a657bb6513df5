/// One document's parts as they are packed: each says how many bytes it shares with the same part of the document
/// before, and which follow.
struct PackedParts: Sendable {
  var id: [UInt8] = []
  /// With one zero byte where the id stands, if `uriHoldsID`.
  private var uri: [UInt8] = []
  private var uriHoldsID = false
  private var mediaType: [UInt8] = []
  private var size: Int64 = -1

  var document: Document {
    Document(
      id: String(decoding: id, as: UTF8.self), uri: String(decoding: wholeURI, as: UTF8.self),
      mediaType: String(decoding: mediaType, as: UTF8.self), size: size)
  }

  var wholeURI: [UInt8] {
    guard uriHoldsID, let mark = uri.firstIndex(of: 0) else { return uri }
    return uri[..<mark] + id + uri[(mark + 1)...]
  }

  // MARK: - Packing

  /// Becomes `document`, and appends what differs.
  mutating func append(_ document: Document, id newID: [UInt8], to packed: inout [UInt8]) {
    Self.append(newID, after: id, flag: nil, to: &packed)
    id = newID
    let (newURI, holdsID) = Self.marked(Array(document.uri.utf8), id: newID)
    Self.append(newURI, after: uri, flag: holdsID, to: &packed)
    uri = newURI
    uriHoldsID = holdsID
    let newType = Array(document.mediaType.utf8)
    Self.append(newType, after: mediaType, flag: nil, to: &packed)
    mediaType = newType
    size = max(-1, document.size)
    Self.append(UInt64(bitPattern: size) &+ 1, to: &packed)
  }

  private static func append(_ part: [UInt8], after before: [UInt8], flag: Bool?, to packed: inout [UInt8]) {
    var shared = 0
    while shared < part.count, shared < before.count, part[shared] == before[shared] { shared += 1 }
    let count = UInt64(shared)
    append(flag.map { count << 1 | ($0 ? 1 : 0) } ?? count, to: &packed)
    append(UInt64(part.count - shared), to: &packed)
    packed.append(contentsOf: part[shared...])
  }

  /// Seven bits a byte, the lowest first; the high bit says that more follow.
  private static func append(_ number: UInt64, to packed: inout [UInt8]) {
    var rest = number
    while rest >= 0x80 {
      packed.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    packed.append(UInt8(rest))
  }

  /// Puts a zero byte in the place of the id, where the uri holds it and no zero byte of its own.
  private static func marked(_ uri: [UInt8], id: [UInt8]) -> ([UInt8], Bool) {
    guard id.count >= 2, id.count <= uri.count, !uri.contains(0) else { return (uri, false) }
    // From the end: a name stands there, and a folder may hold it as well.
    var start = uri.count - id.count
    while start >= 0 {
      if uri[start] == id[0], uri[start..<start + id.count].elementsEqual(id) {
        return (uri[..<start] + [0] + uri[(start + id.count)...], true)
      }
      start -= 1
    }
    return (uri, false)
  }

  // MARK: - Reading

  /// Becomes the next document of a block.
  mutating func read(_ packed: [UInt8], _ offset: inout Int) {
    Self.read(Int(Self.number(packed, &offset)), &id, packed, &offset)
    let flagged = Self.number(packed, &offset)
    uriHoldsID = flagged & 1 == 1
    Self.read(Int(flagged >> 1), &uri, packed, &offset)
    Self.read(Int(Self.number(packed, &offset)), &mediaType, packed, &offset)
    size = Int64(bitPattern: Self.number(packed, &offset) &- 1)
  }

  private static func read(_ shared: Int, _ part: inout [UInt8], _ packed: [UInt8], _ offset: inout Int) {
    let more = Int(number(packed, &offset))
    part.removeLast(part.count - shared)
    part.append(contentsOf: packed[offset..<offset + more])
    offset += more
  }

  private static func number(_ packed: [UInt8], _ offset: inout Int) -> UInt64 {
    var number: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let byte = packed[offset]
      offset += 1
      number |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return number }
      shift += 7
    }
  }
}

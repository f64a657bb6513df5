/// One object of a batch.
package struct Document: Hashable, Sendable {
  package var id: String
  /// `file:///...` or any other scheme the extractor understands.
  package var uri: String
  package var mediaType: String
  /// Bytes; -1 is unknown.
  package var size: Int64

  package init(id: String, uri: String, mediaType: String = "", size: Int64 = -1) {
    self.id = id
    self.uri = uri
    self.mediaType = mediaType
    self.size = size
  }
}

extension Document: Described {
  package static let schemaName = "Document"
  package static var blank: Document { Document(id: "", uri: "") }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "document_id", &id)
    try v.string(2, "uri", &uri)
    try v.string(3, "media_type", &mediaType)
    var known = size < 0 ? nil : size
    try v.number(4, "size_bytes", .int64, &known, isOptional: true)
    if v.reads { size = known ?? -1 }
  }
}

extension Document {
  /// What a program may call it in what it says: its id, its place as the uri has it and decoded, its file's name.
  var names: [String] {
    let place = uri.firstRange(of: "://").map { String(uri[$0.upperBound...]) } ?? uri
    let decoded = Self.decoded(place)
    let file = decoded.split(separator: "/").last.map(String.init) ?? decoded
    return [id, place, decoded, file].filter { !$0.isEmpty }
  }

  /// With `%20` and the like as what they stand for; as it is where that is no text.
  private static func decoded(_ text: String) -> String {
    guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
    var bytes: [UInt8] = []
    var rest = Substring(text).utf8
    while let byte = rest.popFirst() {
      let digits = rest.prefix(2).compactMap { Character(UnicodeScalar($0)).hexDigitValue }
      if byte == UInt8(ascii: "%"), digits.count == 2 {
        bytes.append(UInt8(digits[0] << 4 | digits[1]))
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self) ?? text
  }
}

import MendCore
import Testing

/// A batch's documents, packed: what goes in comes out, whatever it looks like.
@Suite struct DocumentTableTests {
  static let shapes: [(String, [Document])] = [
    (
      "numbered", (0..<1000).map { Document(id: "d\($0)", uri: "file:///srv/in/d\($0).pdf", mediaType: "pdf", size: 7) }
    ),
    ("without anything in common", (0..<100).map { Document(id: "\($0 &* 7919 % 104_729)-x", uri: "\($0)s3") }),
    ("the id twice in the uri", (0..<40).map { Document(id: "ab\($0)", uri: "x/ab\($0)/ab\($0)/y", size: Int64.max) }),
    ("zero bytes in the uri", (0..<40).map { Document(id: "ab\($0)", uri: "\u{0}ab\($0)\u{0}", size: 0) }),
    ("nothing but ids", (0..<40).map { Document(id: "i\($0)", uri: "") }),
    ("wide characters", (0..<40).map { Document(id: "ü\($0)", uri: "file:///日本/ü\($0)", mediaType: "文") }),
    ("growing and shrinking", (1..<60).map { Document(id: "g\($0)", uri: String(repeating: "a", count: $0 % 13)) }),
  ]

  @Test("documents come out as they went in", arguments: shapes.indices)
  func roundTrip(_ shape: Int) {
    let (name, documents) = Self.shapes[shape]
    var table = DocumentTable()
    for document in documents {
      let isNew = table.append(document)
      #expect(isNew)
    }
    #expect(table.count == documents.count)
    #expect((0..<table.count).map { table[$0] } == documents, "\(name)")
    for (position, document) in documents.enumerated() {
      #expect(table.position(of: document.id) == position)
      #expect(table.id(at: position) == document.id)
      #expect(table.uri(at: position) == document.uri)
      let isNew = table.append(document)
      #expect(!isNew)
    }
    #expect(table.position(of: "missing") == nil)
    #expect(table.position(of: "") == nil)
    let bytes = documents.reduce(0) { $0 + $1.id.utf8.count + $1.uri.utf8.count + $1.mediaType.utf8.count }
    #expect(table.textBytes == bytes)
  }

  @Test("a copy goes on by itself, and equal tables are equal")
  func copies() {
    var first = DocumentTable()
    var second = DocumentTable()
    for number in 0..<50 {
      first.append(Document(id: "d\(number)", uri: "u\(number)"))
      second.append(Document(id: "d\(number)", uri: "u\(number)"))
    }
    #expect(first == second)
    var copy = first
    copy.append(Document(id: "more", uri: "u"))
    #expect(copy != first && first == second)
    #expect(first.position(of: "more") == nil && copy.position(of: "more") == 50)
  }
}

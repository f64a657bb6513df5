import Testing

@testable import mend

@Suite("Documents from files")
struct FileDocumentsTests {
  @Test(
    "An id has letters, digits and hyphens of the file's name",
    arguments: [
      ("q4.pdf", "q4-pdf"), ("a b  c.txt", "a-b-c-txt"), ("$(rm -rf)", "rm-rf"), ("été.md", "t-md"),
      ("...", "document"),
      ("-x-", "x"),
    ])
  func ids(_ name: String, _ id: String) {
    #expect(FileDocuments.id(fromName: name) == id)
  }

  @Test("Ids are unique, at most 64 long, and the same for the same files")
  func unique() {
    let long = String(repeating: "x", count: 100)
    let files = ["a/r.txt", "b/r.txt", "c/r-txt", "r-txt-2", long, "d/\(long)"]
    let ids = FileDocuments.ids(of: files)
    #expect(ids[..<4] == ["r-txt", "r-txt-3", "r-txt-4", "r-txt-2"])
    #expect(Set(ids).count == files.count)
    #expect(ids.allSatisfy { (1...64).contains($0.count) })
    #expect(FileDocuments.ids(of: files) == ids)
  }

  @Test(
    "A path becomes a URI and comes back byte for byte",
    arguments: ["/a/b.txt", "/a b/100%/ü?#.txt", "/it's $HOME"])
  func uris(_ path: String) {
    let uri = FileDocuments.uri(of: path)
    #expect(uri.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") })
    #expect(FileDocuments.path(of: uri) == Array(path.utf8))
  }

  @Test("Only file URIs and absolute paths have a path")
  func otherURIs() {
    #expect(FileDocuments.path(of: "s3://bucket/key") == nil)
    #expect(FileDocuments.path(of: "file:///a%2") == nil)
    #expect(FileDocuments.path(of: "file:///a%00b") == nil)
    #expect(FileDocuments.path(of: "file://localhost/a") == Array("/a".utf8))
    #expect(FileDocuments.path(of: "/a%20b") == Array("/a%20b".utf8))
  }

  @Test("Paths are made absolute without dots")
  func absolute() {
    #expect(FileDocuments.absolutePath("../x/./y", in: "/home/me") == "/home/x/y")
    #expect(FileDocuments.absolutePath("/../a//b", in: "/home") == "/a/b")
  }
}

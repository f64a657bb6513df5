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

  @Test("A name that is not UTF-8 keeps its bytes")
  func bytes() throws {
    let latin: [UInt8] = Array("caf".utf8) + [0xE9] + Array(".txt".utf8)
    let other: [UInt8] = Array("caf".utf8) + [0xE8] + Array(".txt".utf8)
    let text = String(decoding: latin, as: UTF8.self)
    let given = [Array("submit".utf8), latin, Array("plain.txt".utf8), other]
    let files = FileArgument.all(of: [text, "plain.txt", text], in: given)
    #expect(files.map(\.bytes) == [latin, Array("plain.txt".utf8), other])
    #expect(FileDocuments.ids(of: files.map(\.text)) == ["caf-txt", "plain-txt", "caf-txt-2"])
  }

  @Test("Paths are made absolute without dots")
  func absolute() {
    #expect(FileDocuments.absolutePath("../x/./y", in: "/home/me") == "/home/x/y")
    #expect(FileDocuments.absolutePath("/../a//b", in: "/home") == "/a/b")
  }
}

import MendCore
import Testing

@Suite("Files' URIs")
struct FileURITests {
  @Test(
    "A path becomes a URI of plain characters and comes back byte for byte",
    arguments: [
      Array("/a/b.txt".utf8), Array("/a b/100%/ü?#.txt".utf8), Array("/it's $HOME".utf8), [0x2F, 0xE9, 0xFF],
    ])
  func roundTrip(_ path: [UInt8]) {
    let uri = FileURI.uri(ofPath: path)
    #expect(uri.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") })
    #expect(FileURI.path(of: uri) == path)
  }

  @Test(
    "Every spelling of a local file has its path",
    arguments: [
      ("file:///srv/a%20b.pdf", "/srv/a b.pdf"), ("file://localhost/srv/a", "/srv/a"), ("/srv/plain", "/srv/plain"),
      ("file:/srv/a", "/srv/a"), ("FILE:///srv/a", "/srv/a"), ("file://LocalHost/a", "/a"), ("file:///%C3%A9", "/é"),
      ("/a%20b", "/a%20b"), ("file:////a", "//a"), ("file:///a?b#c", "/a?b#c"), ("file:/", "/"),
    ])
  func local(uri: String, path: String) {
    #expect(FileURI.path(of: uri) == Array(path.utf8))
  }

  @Test(
    "What is no local file has no path",
    arguments: [
      "s3://bucket/a", "file://host/a", "file://otherhost/etc/hostname", "file://localhost", "file://", "file:a",
      "file:",
      "relative", "", "file:///srv/100%", "file:///a%2", "file:///a%+1", "file:///a%00b", "/a\u{0}b",
      "file://localhosts/a",
    ])
  func notLocal(uri: String) {
    #expect(FileURI.path(of: uri) == nil)
  }
}

import MendCore
import Testing

@testable import MendExecutors

@Suite struct ManifestTests {
  @Test(
    "a file's path is taken from its uri",
    arguments: [
      ("file:///srv/a%20b.pdf", "/srv/a b.pdf"), ("file://localhost/srv/a", "/srv/a"), ("/srv/plain", "/srv/plain"),
      ("file:/srv/a", "/srv/a"), ("file:///%C3%A9", "/é"),
    ])
  func path(uri: String, path: String) {
    #expect(Manifest.filePath(of: uri) == path)
  }

  @Test(
    "what is not a local file has no path",
    arguments: ["s3://bucket/a", "file://host/a", "relative", "", "file:///srv/100%", "file:///a%+1"])
  func noPath(uri: String) {
    #expect(Manifest.filePath(of: uri) == nil)
  }
}

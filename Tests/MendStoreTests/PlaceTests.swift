import Testing

@testable import MendStore

struct PlaceTests {
  struct Case: CustomTestStringConvertible {
    let testDescription: String
    let earlier: Place
    let now: Place
    let isSame: Bool
    /// What its device, its inode and its path alone would say.
    let isSameByNumbers: Bool

    init(
      _ description: String, _ fileSystem: String, isSame: Bool, byNumbers: Bool, _ change: (inout Place) -> Void
    ) {
      testDescription = description
      earlier = Place(path: "/data", device: 41, inode: 2, boot: "a", fileSystem: fileSystem)
      var place = earlier
      change(&place)
      now = place
      self.isSame = isSame
      isSameByNumbers = byNumbers
    }
  }

  static let cases = [
    // With an id.
    Case("nothing is different", "id-1", isSame: true, byNumbers: true) { _ in },
    Case("renamed", "id-1", isSame: true, byNumbers: true) { $0.path = "/moved" },
    Case("renamed, and the machine started anew", "id-1", isSame: true, byNumbers: true) {
      ($0.path, $0.boot) = ("/moved", "b")
    },
    Case("mounted again, by another device", "id-1", isSame: true, byNumbers: false) { $0.device = 42 },
    Case("the machine started anew, and numbered its devices anew", "id-1", isSame: true, byNumbers: true) {
      ($0.device, $0.boot) = (42, "b")
    },
    Case("a block clone that is mounted beside it", "id-1", isSame: false, byNumbers: false) {
      ($0.path, $0.device) = ("/clone", 42)
    },
    Case("a snapshot that has its device number after a restart", "id-1", isSame: false, byNumbers: true) {
      ($0.path, $0.boot, $0.fileSystem) = ("/snapshot", "b", "id-2")
    },
    Case("a snapshot that is mounted in its place after a restart", "id-1", isSame: false, byNumbers: true) {
      ($0.boot, $0.fileSystem) = ("b", "id-2")
    },
    Case("a snapshot that is mounted in its place", "id-1", isSame: false, byNumbers: true) { $0.fileSystem = "id-2" },
    Case("copied to another machine's volume at another path", "id-1", isSame: false, byNumbers: true) {
      ($0.path, $0.boot, $0.fileSystem) = ("/other", "b", "id-2")
    },
    Case("copied to another machine's volume at the same path", "id-1", isSame: false, byNumbers: true) {
      ($0.device, $0.boot, $0.fileSystem) = (42, "b", "id-2")
    },
    Case("copied to a file system of another kind at the same path", "id-1", isSame: false, byNumbers: true) {
      ($0.device, $0.boot, $0.fileSystem) = (42, "b", "handle-1")
    },
    Case("copied to another directory", "id-1", isSame: false, byNumbers: false) { $0.inode = 3 },
    // Without one.
    Case("an overlay that earlier journals say has an id", "id-1", isSame: true, byNumbers: true) {
      ($0.boot, $0.fileSystem) = ("b", "mount-2")
    },
    Case("XFS that earlier journals know by its handle", "handle-1", isSame: true, byNumbers: true) {
      ($0.boot, $0.fileSystem) = ("b", "id-1")
    },
    Case("NFS, renamed", "handle-1", isSame: true, byNumbers: true) { $0.path = "/moved" },
    Case("NFS, mounted again", "handle-1", isSame: true, byNumbers: false) { $0.device = 42 },
    Case("another NFS, mounted in its place", "handle-1", isSame: false, byNumbers: false) {
      ($0.device, $0.fileSystem) = (42, "handle-2")
    },
    Case("NFS, after a restart", "handle-1", isSame: true, byNumbers: true) { ($0.device, $0.boot) = (42, "b") },
    Case("NFS at another path after a restart", "handle-1", isSame: false, byNumbers: true) {
      ($0.path, $0.boot) = ("/other", "b")
    },
    Case("nothing tells the file system, and its device is another", "", isSame: false, byNumbers: false) {
      $0.device = 42
    },
    Case("nothing tells the file system, after a restart", "", isSame: true, byNumbers: true) {
      ($0.device, $0.boot) = (42, "b")
    },
  ]

  @Test(arguments: cases) func `whether a place is the same`(_ example: Case) {
    let (earlier, now) = (example.earlier, example.now)
    #expect(earlier.isSame(as: now) == example.isSame)
    let isAtItsPathLater = earlier.path == now.path && earlier.boot != now.boot
    let byNumbers = earlier.inode == now.inode && (earlier.device == now.device || isAtItsPathLater)
    #expect(byNumbers == example.isSameByNumbers)
  }
}

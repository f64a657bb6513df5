import Glibc
import MendRuntime
import TestSupport
import Testing

@testable import MendStore

struct DirectoryLockTests {
  @Test func `a lock that another has and one that cannot be taken are told apart`() throws {
    let place = try TemporaryDirectory()
    func refusal(_ flags: CInt, of path: String) throws -> String {
      let descriptor = unsafe open(path, flags | O_CLOEXEC)
      defer { close(descriptor) }
      return try #require(
        throws: StoreError.self, performing: { try DirectoryLock.lock(descriptor, path, of: place.path) }
      ).message
    }
    let held = try DirectoryLock(directory: place.path)
    let path = place.path + "/lock"
    #expect(try refusal(O_RDONLY, of: path).hasPrefix("\(place.path) is in use by another server (pid \(getpid())); "))
    // As NFS answers where the descriptor is for reading: here it is for nothing.
    let onlyPath: CInt = 0o10_000_000  // O_PATH
    #expect(try refusal(onlyPath, of: path) == "\(path) cannot be locked: Bad file descriptor")
    withExtendedLifetime(held) {}
  }
}

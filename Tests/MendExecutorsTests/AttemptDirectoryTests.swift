import Glibc
import MendCore
import TestSupport
import Testing

@testable import MendExecutors

struct AttemptDirectoryTests {
  let data: TemporaryDirectory
  init() throws { data = try TemporaryDirectory() }

  @Test func `attempts are spread over directories, and all are found again`() async throws {
    let keys = (1...200).map { makeKey($0) }
    FileSystem.spread(below: data.path)
    // As the executor's threads do.
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for key in keys {
        let directory = AttemptDirectory(of: key, below: data.path)
        group.addTask { try directory.create() }
      }
      for try await isNew in group { #expect(isNew) }
    }
    let found = try AttemptDirectory.all(below: data.path)
    #expect(Set(found.map(\.key)) == Set(keys))
    for (key, directory) in found {
      #expect(directory == AttemptDirectory(of: key, below: data.path))
      #expect(exists(directory.path))
      #expect(try !directory.create())
    }
    #expect(names(in: data.path).count > 16)
  }

  @Test func `what is no attempt is passed over`() throws {
    try FileSystem.write([], to: "a file", in: data.path)
    _ = try FileSystem.createDirectory("\(data.path)/7")
    _ = try FileSystem.createDirectory("\(data.path)/7/garbage")
    #expect(try AttemptDirectory.all(below: data.path).isEmpty)
  }

  @Test func `where nothing can be made it says so`() {
    let directory = AttemptDirectory(of: makeKey(), below: "\(data.path)/gone/attempts")
    #expect(throws: SystemError.self) { try directory.create() }
  }
}

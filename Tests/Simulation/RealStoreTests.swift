import MendRuntime
import MendStore
import TestSupport
import Testing

@Suite("The simulator on the real store")
struct RealStoreTests {
  @Test("The real store goes the same way", arguments: [5, 6, 7, 8] as [UInt64])
  func realStore(_ seed: UInt64) throws {
    let directory = try TemporaryDirectory()
    let world = World(seed: seed, store: try .onDisk(directory.path))
    if let broken = world.run() { Issue.record("seed \(seed): \(broken)") }
    let same = World(seed: seed, store: .inMemory())
    _ = same.run()
    #expect(world.store.journals == same.store.journals)
    #expect(try world.store.base.recover(at: world.now).batches.count <= world.store.journals.count)
    try (world.store.base as? SQLiteStore)?.close()
  }
}

extension CheckedStore {
  static func onDisk(_ directory: String) throws -> CheckedStore {
    CheckedStore(try SQLiteStore(directory: directory)) { store in
      try (store as? SQLiteStore)?.close()
      return try SQLiteStore(directory: directory)
    }
  }
}

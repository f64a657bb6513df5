import MendCore
import MendRuntime
import Testing

/// What is read from the disk for callers.
@Suite struct RuntimeReadTests {
  @Test("an unknown batch and another namespace's are looked for in the same place, and are not there")
  func unknown() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      _ = await harness.create("b")
      #expect(try await harness.hasView("b"))
      let before = harness.runtime.statistics.reads
      #expect(try await !harness.hasView("c"))
      let foreign = try await harness.runtime.loadedView(of: BatchKey(namespace: "m", batchID: "b"))
      #expect(foreign == nil)
      #expect(harness.runtime.statistics.reads == before + 2)
    }
  }

  @Test("a journal that cannot be read is an error, not an unknown batch")
  func unreadable() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      _ = await harness.create("b")
      harness.store.failReads()
      let expected = ReadError.store(StoreError(operation: "journal", message: "the disk is gone"))
      await #expect(throws: expected) { try await harness.runtime.loadedView(of: harness.key("c")) }
      await #expect(throws: expected) { try await harness.runtime.journal(of: harness.key("b"), after: 0) }
      await #expect(throws: expected) {
        try await harness.runtime.view(of: harness.key("c"), after: 0, until: .distantFuture)
      }
      // What is in memory needs no disk.
      let isThere = try await harness.hasView("b")
      #expect(isThere)
    }
  }

  @Test("so many reads run, so many wait, and one more is refused")
  func limits() async throws {
    var settings = RuntimeSettings()
    settings.readersLimit = 2
    settings.readsLimit = 3
    let harness = try Harness(settings: settings)
    try await harness.run { harness in
      _ = await harness.create("b")
      harness.store.holdReads()
      try await withThrowingTaskGroup(of: BatchView?.self) { group in
        for index in 0..<5 {
          group.addTask { try await harness.runtime.loadedView(of: harness.key("c\(index)")) }
        }
        try await eventually("two read and three wait") {
          harness.store.heldReads == 2 && harness.runtime.statistics.readsWaiting == 3
        }
        await #expect(throws: ReadError.exhausted(limit: 3)) {
          try await harness.runtime.loadedView(of: harness.key("d"))
        }
        #expect(harness.runtime.statistics.readsRefused == 1)
        harness.store.releaseReads()
        for try await view in group { #expect(view == nil) }
      }
      #expect(harness.runtime.statistics.readsWaiting == 0)
      #expect(try await !harness.hasView("d"))
    }
  }
}

extension Harness {
  fileprivate func hasView(_ id: String) async throws -> Bool { try await runtime.loadedView(of: key(id)) != nil }
}

import MendCore
import MendRuntime
import Testing

/// Views, and who waits for them.
struct RuntimeViewTests {
  @Test("readers get the published view while a commit is under way")
  func readersDoNotWait() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      _ = await harness.create("b")
      harness.store.hold()
      async let submitted = harness.send(.submitBatch(batchID: "b"))
      try await eventually("the commit begins") { harness.store.isCommitting }
      #expect(harness.runtime.view(of: harness.key("b"))?.batch.status == .created)
      #expect(try await harness.runtime.journal(of: harness.key("b"), after: 0).count == 2)
      harness.store.release()
      _ = await submitted
      #expect(harness.runtime.view(of: harness.key("b"))?.batch.status == .running)
    }
  }

  @Test("a view is the fold of its journal")
  func viewIsFold() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      _ = await harness.create("b", documents: 100)
      _ = await harness.send(.submitBatch(batchID: "b"))
      let view = try #require(harness.runtime.view(of: harness.key("b")))
      let records = try await harness.runtime.journal(of: harness.key("b"), after: 0)
      #expect(records.last?.sequence == view.batch.sequence)
      #expect(try Batch.folding(records) == view.batch)
    }
  }

  @Test("a watcher is woken by the next change")
  func watcherIsWoken() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      _ = await harness.create("b")
      let seen = try #require(harness.runtime.view(of: harness.key("b"))?.batch.sequence)
      async let newer = harness.runtime.view(of: harness.key("b"), after: seen, until: .distantFuture)
      try await eventually("it waits") { harness.runtime.statistics.watchers == 1 }
      _ = await harness.create("other")
      #expect(harness.runtime.statistics.watchers == 1)
      _ = await harness.send(.submitBatch(batchID: "b"))
      #expect(try await newer?.batch.status == .running)
      #expect(harness.runtime.statistics.watchers == 0)
      // What is newer already is given at once.
      let known = try await harness.runtime.view(of: harness.key("b"), after: 0, until: .distantFuture)
      #expect(known != nil)
    }
  }

  @Test("a watcher returns at its deadline with what there is")
  func watcherDeadline() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      _ = await harness.create("b")
      let deadline = harness.clock.now() + .milliseconds(300)
      async let same = harness.runtime.view(of: harness.key("b"), after: 2, until: deadline)
      try await eventually("it waits") {
        harness.runtime.statistics.watchers == 1 && harness.clock.sleepers.contains(deadline)
      }
      harness.clock.advance(by: .milliseconds(299))
      #expect(harness.runtime.statistics.watchers == 1)
      harness.clock.advance(by: .milliseconds(1))
      #expect(try await same?.batch.sequence == 2)
      #expect(harness.runtime.statistics.watchers == 0)
    }
  }

  @Test("a cancelled watcher is gone")
  func watcherCancelled() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      _ = await harness.create("b")
      try await withThrowingTaskGroup(of: BatchView?.self) { group in
        for _ in 0..<10 {
          group.addTask { try await harness.runtime.view(of: harness.key("b"), after: 2, until: .distantFuture) }
        }
        try? await eventually("they wait") { harness.runtime.statistics.watchers == 10 }
        group.cancelAll()
        for try await view in group { #expect(view?.batch.sequence == 2) }
      }
      #expect(harness.runtime.statistics.watchers == 0)
    }
  }

  @Test("a watcher beyond the bound looks once an interval instead of being woken")
  func watchersLimit() async throws {
    var settings = RuntimeSettings()
    settings.watchersLimit = 1
    settings.tickInterval = .seconds(3600)
    let harness = try Harness(settings: settings)
    try await harness.run { harness in
      _ = await harness.create("b")
      let key = harness.key("b")
      async let first = harness.runtime.view(of: key, after: 2, until: .distantFuture)
      try await eventually("one waits") { harness.runtime.statistics.watchers == 1 }
      let poll = harness.clock.now() + settings.pollInterval
      async let second = harness.runtime.view(of: key, after: 2, until: .distantFuture)
      try await eventually("the other looks") { harness.clock.sleepers.contains(poll) }
      #expect(harness.runtime.statistics.watchers == 1)
      _ = await harness.send(.submitBatch(batchID: "b"))
      #expect(try await first?.batch.status == .running)
      harness.clock.advance(by: settings.pollInterval)
      #expect(try await second?.batch.status == .running)
    }
  }

  @Test("an unknown batch has no view, and nobody waits for it")
  func unknownBatch() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      _ = await harness.create("b")
      #expect(harness.runtime.view(of: harness.key("c")) == nil)
      #expect(harness.runtime.view(of: BatchKey(namespace: "m", batchID: "b")) == nil)
      let unknown = try await harness.runtime.view(of: harness.key("c"), after: 0, until: .distantFuture)
      #expect(unknown == nil)
    }
  }

  @Test("live and retired batches are listed together, newest first, in pages")
  func listing() async throws {
    var limits = Limits()
    limits.retireAfter = .seconds(60)
    let harness = try Harness(limits: limits)
    try await harness.run { harness in
      for index in 0..<12 {
        _ = await harness.create("b\(10 + index)", bucketID: index % 2 == 0 ? "even" : "odd")
        if index % 3 == 0 { _ = await harness.send(.cancel(batchID: "b\(10 + index)", .batch, grace: .zero)) }
        harness.clock.advance(by: .milliseconds(10))
      }
      harness.clock.advance(by: .seconds(60))
      try await eventually("four are retired") { harness.runtime.statistics.batchesRetired == 4 }
      #expect(harness.runtime.statistics.liveBatches == 8)

      func pages(_ status: BatchStatus?, _ bucketID: String?) async throws -> [String] {
        var all: [String] = []
        var cursor: ListCursor?
        while true {
          let page = try await harness.runtime.list(
            namespace: "n", status: status, bucketID: bucketID, before: cursor, limit: 5)
          all += page.map(\.key.batchID)
          guard let last = page.last else { return all }
          cursor = ListCursor(createdAt: last.createdAt, batchID: last.key.batchID)
        }
      }
      let names = (0..<12).reversed().map { "b\(10 + $0)" }
      #expect(try await pages(nil, nil) == names)
      #expect(try await pages(.cancelled, nil) == ["b19", "b16", "b13", "b10"])
      #expect(try await pages(nil, "even") == ["b20", "b18", "b16", "b14", "b12", "b10"])
      #expect(try await pages(.created, "odd") == ["b21", "b17", "b15", "b11"])
      #expect(try await harness.runtime.list(namespace: "m", status: nil, bucketID: nil, before: nil, limit: 5).isEmpty)
    }
  }
}

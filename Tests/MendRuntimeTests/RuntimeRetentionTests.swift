import MendCore
import MendRuntime
import TestSupport
import Testing

/// What is finished leaves memory, and in the end the disk.
@Suite struct RuntimeRetentionTests {
  @Test("a finished batch is forgotten when its time is over, with what its attempts left")
  func forgotten() async throws {
    var limits = Limits()
    limits.retireAfter = .seconds(60)
    var settings = RuntimeSettings()
    settings.keepFinished = .seconds(3600)
    let harness = try Harness(settings: settings, limits: limits)
    try await harness.run { harness in
      _ = await harness.create("a")
      _ = await harness.send(.cancel(batchID: "a", .batch, grace: .zero))
      _ = await harness.create("b")
      harness.clock.advance(by: .seconds(60))
      try await eventually("it is retired") { harness.runtime.statistics.batchesRetired == 1 }
      let there = try await harness.runtime.loadedView(of: harness.key("a"))
      #expect(there != nil)
      #expect(!harness.trace.all.contains("forgot a"))
      harness.clock.advance(by: .seconds(3600))
      try await eventually("it is forgotten") { harness.trace.all.contains("forgot a") }
      let gone = try await harness.runtime.loadedView(of: harness.key("a"))
      #expect(gone == nil)
      #expect(try await harness.runtime.journal(of: harness.key("a"), after: 0).isEmpty)
      #expect(harness.runtime.view(of: harness.key("b")) != nil)
      // The name may be used again.
      guard case .success = await harness.create("a") else {
        Issue.record("the name is not free")
        return
      }
    }
  }

  @Test("the documents of final batches are bounded too, and what left by itself is not counted")
  func finalDocumentsLimit() async throws {
    var settings = RuntimeSettings()
    settings.finalDocumentsLimit = 10
    var limits = Limits()
    limits.retireAfter = .seconds(60)
    let harness = try Harness(settings: settings, limits: limits)
    try await harness.run { harness in
      func end(_ id: String, documents: Int) async {
        _ = await harness.create(id, documents: documents)
        _ = await harness.send(.cancel(batchID: id, .batch, grace: .zero))
      }
      func retired() -> [String] { harness.store.retires.flatMap { $0.map(\.key.batchID) } }
      for id in ["a", "b", "c"] { await end(id, documents: 4) }
      try await eventually("two are left") { harness.runtime.statistics.liveBatches == 2 }
      #expect(retired() == ["a"])
      harness.clock.advance(by: .seconds(60))
      try await eventually("none is left") { harness.runtime.statistics.liveBatches == 0 }
      for id in ["d", "e"] { await end(id, documents: 5) }
      try await eventually("both are there") { harness.runtime.statistics.liveBatches == 2 }
      #expect(retired().sorted() == ["a", "b", "c"])
      // Larger than the bound: it leaves at once, and the others before it.
      await end("f", documents: 11)
      try await eventually("all are gone") { harness.runtime.statistics.liveBatches == 0 }
      #expect(retired().suffix(3) == ["d", "e", "f"])
    }
  }

  @Test("beyond the bound the oldest final batch leaves memory before its time, and is still there")
  func finalBatchesLimit() async throws {
    var settings = RuntimeSettings()
    settings.finalBatchesLimit = 2
    let harness = try Harness(settings: settings)
    try await harness.run { harness in
      for id in ["a", "b", "c", "d"] {
        _ = await harness.create(id)
        _ = await harness.send(.cancel(batchID: id, .batch, grace: .zero))
      }
      try await eventually("two are left") { harness.runtime.statistics.liveBatches == 2 }
      #expect(harness.store.retires.flatMap { $0.map(\.key.batchID) } == ["a", "b"])
      for id in ["a", "b", "c", "d"] {
        let view = try await harness.runtime.loadedView(of: harness.key(id))
        #expect(view?.batch.status == .cancelled)
      }
    }
  }
}

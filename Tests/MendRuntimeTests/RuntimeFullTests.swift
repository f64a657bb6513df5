import MendCore
import MendRuntime
import TestSupport
import Testing

/// A disk without room: changes are refused, what is durable stays, and all goes on once there is room.
@Suite struct RuntimeFullTests {
  private func isRefused(_ answer: Result<Reply, Refusal>) -> Bool {
    if case .failure(.exhausted(limit: .disk, _, let retryAfter)) = answer { retryAfter != nil } else { false }
  }

  @Test("without room changes are refused and nothing of them is done; with room all goes on")
  func full() async throws {
    let harness = try Harness()
    let outcome = try await harness.run { harness in
      _ = await harness.create("b")
      _ = await harness.send(.submitBatch(batchID: "b"))
      let before = try #require(harness.runtime.view(of: harness.key("b")))
      harness.store.setFull(true)
      #expect(isRefused(await harness.create("c", key: "k")))
      #expect(isRefused(await harness.send(.pauseBatch(batchID: "b"))))
      // It is told: to who asks for the batch, and to who watches the server.
      let outage = try #require(harness.runtime.storeOutage)
      #expect(outage.message == "no room" && harness.runtime.statistics.isStoreFull)
      let diagnosis = harness.runtime.diagnosis(of: before.batch, at: harness.clock.now())
      #expect(diagnosis.health == .stuck && diagnosis.healthReason == .storeFull)
      #expect(diagnosis.findings.first?.cause == .health(.storeFull))
      let listed = try await harness.runtime.list(
        namespace: harness.key("b").namespace, status: nil, bucketID: nil, before: nil, limit: 10)
      #expect(listed.map(\.health) == [.stuck])
      #expect(diagnosis.findings.first?.evidence.first?.observed == "no room")
      #expect(diagnosis.findings.first?.remedy?.description.contains("Make room") == true)
      #expect(diagnosis.estimatedCompletion == nil && diagnosis.estimate?.p90 == nil)
      // What is there can be read all the same.
      #expect(harness.runtime.view(of: harness.key("b"))?.batch == before.batch)
      let unknown = try await harness.runtime.loadedView(of: harness.key("c"))
      #expect(unknown == nil)
      // Asked at intervals, and still full.
      let probes = harness.store.probes
      harness.clock.advance(by: harness.runtime.settings.fullInterval)
      try await eventually("it is probed") { harness.store.probes > probes }
      #expect(isRefused(await harness.create("c", key: "k")))

      harness.store.setFull(false)
      harness.clock.advance(by: harness.runtime.settings.fullInterval)
      try await eventually("there is room") {
        if case .success = await harness.create("c", key: "k") { true } else { false }
      }
      #expect(harness.runtime.view(of: harness.key("b"))?.batch.status == .running)
      #expect(harness.runtime.storeOutage == nil && !harness.runtime.statistics.isStoreFull)
      #expect(harness.runtime.health(of: before.batch, at: harness.clock.now()).reason != .storeFull)
      // The attempts are asked after again: what was said of them meanwhile was dropped.
      #expect(harness.trace.all.contains { $0.hasPrefix("adopt") })
      guard case .success = await harness.send(.pauseBatch(batchID: "b")) else {
        Issue.record("the batch that was there takes no command")
        return
      }
    }
    #expect(outcome == nil)
  }
}

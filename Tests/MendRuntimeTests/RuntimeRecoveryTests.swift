@testable import MendCore
import MendRuntime
import Testing

/// Restarts, retirement, time.
struct RuntimeRecoveryTests {
  @Test("after a restart batches are what they were, keys are answered the same, attempts are handed over")
  func recovery() async throws {
    let clock = ManualClock()
    let first = try Harness(clock: clock, answersAtOnce: true)
    var before: [String: Batch] = [:]
    try await first.run { harness in
      _ = await harness.create("quiet", documents: 3, key: "k")
      _ = await harness.create("busy", documents: 4)
      _ = await harness.send(.submitBatch(batchID: "busy"))
      try await eventually("both jobs run") {
        harness.runtime.view(of: harness.key("busy"))?.batch.tiers[0].jobs.allSatisfy { $0.status == .running } == true
      }
      for id in ["quiet", "busy"] { before[id] = harness.runtime.view(of: harness.key(id))?.batch }
    }
    clock.advance(by: .seconds(5))
    let second = try Harness(directory: first.directory, clock: clock)
    try await second.run { harness in
      let repeated = await harness.create("quiet", documents: 3, key: "k")
      #expect(repeated == .success(.created(.init(batchID: "quiet", status: .created, totalObjects: 3))))
      #expect(harness.runtime.view(of: harness.key("quiet"))?.batch == before["quiet"])
      let busy = try #require(harness.runtime.view(of: harness.key("busy"))?.batch)
      let was = try #require(before["busy"])
      #expect(busy.documents == was.documents && busy.status == was.status)
      #expect(busy.tiers[0].jobs.map(\.assigned) == was.tiers[0].jobs.map(\.assigned))
      #expect(busy.tiers[0].jobs.map { $0.attempts.map(\.token) } == was.tiers[0].jobs.map { $0.attempts.map(\.token) })
      #expect(harness.runtime.statistics.runningAttempts == 2)
      try await eventually("both are adopted") { harness.executor.adopted.count == 2 }
      #expect(harness.executor.launched.isEmpty)
    }
  }

  /// Two attempts run in it.
  private func journal(of server: ServerIdentity, _ clock: ManualClock) async throws -> Harness {
    let harness = try Harness(clock: clock, server: server, answersAtOnce: true)
    try await harness.run { harness in
      _ = await harness.create("b", documents: 4)
      _ = await harness.send(.submitBatch(batchID: "b"))
      try await eventually("both jobs run") {
        harness.runtime.view(of: harness.key("b"))?.batch.tiers[0].jobs.allSatisfy { $0.status == .running } == true
      }
    }
    return harness
  }

  @Test(
    "attempts of the data directory that this one is a copy of are touched by nobody, and run again here",
    arguments: ["original", ""])
  func copyAdopted(original: String) async throws {
    let clock = ManualClock()
    let first = try await journal(of: ServerIdentity(id: original, ownsNameless: true), clock)
    let server = ServerIdentity(id: "copy", ownsNameless: false)
    let second = try Harness(directory: first.directory, clock: clock, server: server, answersAtOnce: true)
    try await second.run { harness in
      try await eventually("both are over") {
        harness.runtime.view(of: harness.key("b"))?.batch.tiers[0].jobs.allSatisfy {
          $0.attempts.count == 1 && $0.current == nil
        }
          == true
      }
      let end = harness.runtime.view(of: harness.key("b"))?.batch.tiers[0].jobs[0].attempts[0].end
      #expect(end?.cause == .orphaned)
      clock.advance(by: .seconds(600))
      try await eventually("both run again") { harness.executor.launched.count == 2 }
      #expect(harness.executor.launched.allSatisfy { $0.attempt.number == 2 && $0.launch.parameters.server == "copy" })
      #expect(harness.executor.adopted.isEmpty)
      #expect(harness.executor.ended.isEmpty)
    }
    // What was begun here is this one's to carry on with.
    let third = try Harness(directory: first.directory, clock: clock, server: server)
    try await third.run { harness in
      try await eventually("both are adopted") { harness.executor.adopted.count == 2 }
    }
  }

  @Test("where changes are refused everything can be looked at, and nothing is decided or run")
  func lookedAt() async throws {
    let clock = ManualClock()
    let first = try await journal(of: .none, clock)
    var settings = RuntimeSettings()
    let refusal = Refusal.precondition("a copy", todo: "something else")
    settings.refusal = refusal
    let second = try Harness(directory: first.directory, clock: clock, settings: settings)
    try await second.run { harness in
      #expect(await harness.send(.pauseBatch(batchID: "b")) == .failure(refusal))
      #expect(await harness.create("new") == .failure(refusal))
      #expect(await harness.runtime.worker(WorkerRequest(token: "", operation: .start)) == .failure(refusal))
      let batch = try #require(harness.runtime.view(of: harness.key("b"))?.batch)
      #expect(batch.tiers[0].jobs.allSatisfy { $0.status == .running })
      clock.advance(by: .seconds(100_000))
      #expect(await harness.send(.pauseBatch(batchID: "b")) == .failure(refusal))
      #expect(harness.runtime.view(of: harness.key("b"))?.batch == batch)
      #expect(harness.store.commits.isEmpty)
      #expect(!harness.executor.isRunning && harness.executor.adopted.isEmpty && harness.executor.ended.isEmpty)
    }
  }

  @Test("calls wait for recovery")
  func callsWaitForRecovery() async throws {
    let harness = try Harness()
    // Sent before `run()`.
    async let early = harness.create("b")
    try await eventually("it waits") { harness.runtime.statistics.mailboxDepth == 1 }
    try await harness.run { harness in
      try await eventually("it is answered") { harness.runtime.statistics.unansweredCalls == 0 }
    }
    #expect(await early == .success(.created(.init(batchID: "b", status: .created, totalObjects: 2))))
  }

  @Test("a final batch is retired: out of memory, still seen, listed, read, and back for a Retry")
  func retirement() async throws {
    var limits = Limits()
    limits.retireAfter = .seconds(60)
    let harness = try Harness(limits: limits, answersAtOnce: true)
    try await harness.run { harness in
      let key = harness.key("b")
      _ = await harness.create("b", documents: 2)
      _ = await harness.send(.submitBatch(batchID: "b"))
      try await eventually("both jobs are launched") { harness.executor.launched.count == 2 }
      for launched in harness.executor.launched {
        harness.executor.say(
          .ended(
            launched.attempt, ExitRecord(termination: .exited(3), at: harness.clock.now()),
            EndReceipt(processes: 1, how: "exited")))
      }
      try await eventually("it failed") { harness.runtime.view(of: key)?.batch.status == .failed }
      let final = harness.runtime.view(of: key)?.batch
      harness.clock.advance(by: .seconds(60))
      try await eventually("it is retired") { harness.runtime.statistics.liveBatches == 0 }
      #expect(harness.store.retires.map { $0.map(\.key) } == [[key]])
      #expect(harness.runtime.view(of: key)?.batch == final)
      #expect(try await harness.runtime.journal(of: key, after: 0).count == final.map { Int($0.sequence) })

      // A command that changes nothing leaves it retired.
      guard case .failure(.precondition) = await harness.send(.submitBatch(batchID: "b")) else {
        Issue.record("a final batch was submitted")
        return
      }
      guard case .failure(.alreadyExists) = await harness.create("b") else {
        Issue.record("its id was taken again")
        return
      }
      #expect(harness.runtime.statistics.liveBatches == 0)
      #expect(harness.store.retires.count == 1)

      let retry = await harness.send(.retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(), .failed))
      guard case .success(.retried) = retry else {
        Issue.record("\(retry)")
        return
      }
      #expect(harness.runtime.view(of: key)?.batch.status == .running)
      #expect(
        try await harness.runtime.list(namespace: "n", status: .failed, bucketID: nil, before: nil, limit: 5).isEmpty)
      #expect(harness.runtime.statistics.liveBatches == 1)
    }
  }

  @Test("after a restart a retired batch is folded from its journal")
  func retiredAfterRestart() async throws {
    var limits = Limits()
    limits.retireAfter = .seconds(60)
    let clock = ManualClock()
    let first = try Harness(clock: clock, limits: limits)
    var final: Batch?
    try await first.run { harness in
      _ = await harness.create("b")
      _ = await harness.send(.cancel(batchID: "b", .batch, grace: .zero))
      final = harness.runtime.view(of: harness.key("b"))?.batch
      clock.advance(by: .seconds(60))
      try await eventually("it is retired") { harness.runtime.statistics.batchesRetired == 1 }
    }
    let second = try Harness(directory: first.directory, clock: clock, limits: limits)
    try await second.run { harness in
      _ = await harness.create("c")
      #expect(harness.runtime.view(of: harness.key("b")) == nil)
      let loaded = try #require(try await harness.runtime.loadedView(of: harness.key("b")))
      #expect(loaded.batch == final)
      #expect(harness.runtime.statistics.liveBatches == 1)
      let listed = try await harness.runtime.list(namespace: "n", status: nil, bucketID: nil, before: nil, limit: 5)
      #expect(listed.map(\.key.batchID) == ["c", "b"])
    }
  }

  @Test("ticks come when the core asks for them, at least once an interval, and not at all without batches")
  func ticks() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      try await eventually("it is recovered") { harness.runtime.statistics.rounds == 1 }
      #expect(harness.clock.sleepers.isEmpty)
      _ = await harness.create("b")
      for tick in 1...3 {
        try await eventually("the next one is slept for") {
          harness.clock.sleepers == [harness.clock.now() + .seconds(1)]
        }
        let rounds = harness.runtime.statistics.rounds
        harness.clock.advance(by: .seconds(1))
        try await eventually("tick \(tick)") { harness.runtime.statistics.rounds == rounds + 1 }
      }
    }
  }
}

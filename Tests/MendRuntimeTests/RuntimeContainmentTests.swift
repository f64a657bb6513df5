import MendCore
import MendRuntime
import Testing

@Suite("One batch that cannot be gone on with stops nothing else")
struct RuntimeContainmentTests {
  private func isSetAside(_ answer: Result<Reply, Refusal>) -> Bool {
    if case .failure(.setAside(batchID: "bad", _)) = answer { true } else { false }
  }

  @Test("a batch whose journal cannot be read is set aside at the start, and the others go on")
  func damagedAtStart() async throws {
    let clock = ManualClock()
    let first = try Harness(clock: clock, answersAtOnce: true)
    var token = ""
    try await first.run { harness in
      for id in ["bad", "good"] {
        _ = await harness.create(id)
        _ = await harness.send(.submitBatch(batchID: id))
      }
      token = harness.runtime.view(of: harness.key("bad"))?.batch.tiers[0].jobs[0].attempts.first?.token ?? ""
    }
    let second = try Harness(directory: first.directory, clock: clock)
    second.store.damage(second.key("bad"))
    let outcome = try await second.run { [token] harness in
      #expect(await harness.runtime.recovered())
      #expect(harness.runtime.setAside.map(\.batch) == [harness.key("bad")])
      #expect(harness.runtime.statistics.batchesSetAside == 1)
      #expect(harness.runtime.view(of: harness.key("good"))?.batch.status == .running)
      await #expect(throws: ReadError.self) { try await harness.runtime.loadedView(of: harness.key("bad")) }
      do throws(ReadError) {
        _ = try await harness.runtime.loadedView(of: harness.key("bad"))
      } catch {
        guard case .setAside(let aside) = error else {
          Issue.record(error)
          return
        }
        #expect(aside.sequence == 2 && aside.ground == .journal)
      }
      #expect(isSetAside(await harness.send(.pauseBatch(batchID: "bad"))))
      #expect(isSetAside(await harness.create("bad")))
      // Its workers are not told that they are nobody's.
      let worker = await harness.runtime.worker(WorkerRequest(token: token, operation: .start))
      guard case .failure(.unavailable) = worker else {
        Issue.record("\(worker)")
        return
      }
      guard case .success = await harness.send(.pauseBatch(batchID: "good")) else {
        Issue.record("the other batch does not go on")
        return
      }
      #expect(harness.executor.adopted.allSatisfy { $0.batch.batchID == "good" })
    }
    #expect(outcome == nil)
  }

  @Test("a retired batch that cannot be read is found by who asks for it, and ends no server")
  func damagedLater() async throws {
    let harness = try Harness()
    let outcome = try await harness.run { harness in
      _ = await harness.create("other")
      for id in ["bad", "worse"] { harness.store.damage(harness.key(id)) }
      #expect(isSetAside(await harness.send(.pauseBatch(batchID: "bad"))))
      await #expect(throws: ReadError.self) { try await harness.runtime.loadedView(of: harness.key("worse")) }
      #expect(harness.runtime.setAside.map(\.batch.batchID) == ["bad", "worse"])
      guard case .success = await harness.create("new") else {
        Issue.record("the server does not go on")
        return
      }
    }
    #expect(outcome == nil)
  }

  @Test("recovered is said once all is in memory, and never by a runtime whose recovery failed")
  func recovered() async throws {
    let harness = try Harness()
    harness.store.failRecovery()
    async let recovered = harness.runtime.recovered()
    let outcome = try await harness.run { harness in #expect(await harness.runtime.recovered() == false) }
    #expect(outcome != nil)
    #expect(await recovered == false)
    #expect(await harness.runtime.recovered() == false)
  }

  @Test("after a suspension attempts are held to their windows anew")
  func suspension() async throws {
    let harness = try Harness(answersAtOnce: true)
    try await harness.run { harness in
      _ = await harness.create("b")
      _ = await harness.send(.submitBatch(batchID: "b"))
      for _ in 0..<3 {
        try await eventually("a tick is slept for") { !harness.clock.sleepers.isEmpty }
        let rounds = harness.runtime.statistics.rounds
        harness.clock.advance(by: .seconds(2))
        try await eventually("the tick comes") { harness.runtime.statistics.rounds > rounds }
        #expect(harness.adoptedAt == nil, "a tick that comes a little late is no suspension")
      }
      try await eventually("a tick is slept for") { !harness.clock.sleepers.isEmpty }
      harness.clock.advance(by: .seconds(45))
      try await eventually("it is known") { harness.adoptedAt == harness.clock.now() }
    }
  }

  @Test("a slow disk is no suspension: attempts are held to what they did not do meanwhile")
  func slowDisk() async throws {
    let harness = try Harness(answersAtOnce: true)
    try await harness.run { harness in
      _ = await harness.create("b")
      _ = await harness.send(.submitBatch(batchID: "b"))
      for _ in 0..<3 {
        let rounds = harness.runtime.statistics.rounds
        harness.store.hold()
        async let created = harness.create("slow-\(rounds)")
        try await eventually("a commit waits") { harness.store.isCommitting }
        harness.clock.advance(by: .seconds(45))
        harness.store.release()
        _ = await created
        try await eventually("the next round is over") { harness.runtime.statistics.rounds > rounds + 1 }
        #expect(harness.adoptedAt == nil)
      }
    }
  }

  @Test("the store is asked whether it is well while nothing is committed")
  func check() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      _ = await harness.create("b")
      try await eventually("a tick is slept for") { !harness.clock.sleepers.isEmpty }
      harness.clock.advance(by: .seconds(1))
      try await eventually("it is asked") { harness.store.checks > 0 }
    }
  }
}

extension Harness {
  /// Since when the attempt of `b` is held to its windows anew.
  fileprivate var adoptedAt: Instant? {
    runtime.view(of: key("b"))?.batch.tiers[0].jobs[0].attempts.first?.adoptedAt
  }
}

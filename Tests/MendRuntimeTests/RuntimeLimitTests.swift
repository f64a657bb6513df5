@testable import MendCore
import MendRuntime
import Testing

/// Bounds, cancellation, the end.
struct RuntimeLimitTests {
  /// One call is being committed, and so many wait behind it as there are places for callers.
  private func fill(_ harness: Harness, _ group: inout TaskGroup<Bool>, places: Int) async {
    harness.store.hold()
    group.addTask { if case .success = await harness.create("first") { true } else { false } }
    try? await eventually("the commit begins") { harness.store.isCommitting }
    for caller in 0..<places {
      group.addTask { if case .success = await harness.create("b\(caller)") { true } else { false } }
    }
    try? await eventually("the callers' places are taken") { harness.runtime.statistics.mailboxDepth == places }
  }

  @Test("a full mailbox refuses the next call by the limit's name, and observations pass")
  func mailboxLimit() async throws {
    var settings = RuntimeSettings()
    settings.mailboxLimit = 3
    let harness = try Harness(settings: settings)
    try await harness.run { harness in
      await withTaskGroup(of: Bool.self) { group in
        await fill(harness, &group, places: 3)
        guard case .failure(.exhausted(limit: .mailbox, _, retryAfter: .some)) = await harness.create("late") else {
          Issue.record("it was taken")
          return
        }
        harness.executor.say(.reachable(.local))
        #expect(harness.runtime.statistics.mailboxDepth == 4)
        #expect(harness.runtime.statistics.callsRefused == 1)
        harness.store.release()
        for await succeeded in group { #expect(succeeded) }
      }
      #expect(harness.runtime.view(of: harness.key("late")) == nil)
      guard case .success = await harness.create("late") else {
        Issue.record("there is room again")
        return
      }
    }
  }

  @Test("calls that wait for their answers are bounded too")
  func unansweredLimit() async throws {
    var settings = RuntimeSettings()
    settings.unansweredCallsLimit = 1
    let harness = try Harness(settings: settings)
    try await harness.run { harness in
      harness.store.hold()
      async let first = harness.create("first")
      try await eventually("the commit begins") { harness.store.isCommitting }
      guard case .failure(.exhausted(limit: .unansweredCalls, _, _)) = await harness.create("second") else {
        Issue.record("it was taken")
        return
      }
      harness.store.release()
      _ = await first
    }
  }

  @Test("observations never hold their sender up: beyond their reserve the same said again is one, and nothing is lost")
  func observationReserve() async throws {
    var settings = RuntimeSettings()
    settings.observationReserve = 2
    let harness = try Harness(settings: settings)
    try await harness.run { harness in
      try await eventually("the executor runs") { harness.executor.isRunning }
      try await eventually("it has recovered") { harness.runtime.statistics.rounds > 0 }
      harness.store.hold()
      async let first = harness.create("first")
      try await eventually("the commit begins") { harness.store.isCommitting }
      let events = harness.runtime.statistics.events
      let attempt = AttemptKey(batch: harness.key("x"), job: JobID(tier: 0, index: 0), number: 1)
      // Two fill the reserve; of what is the same one more of each goes in, and what turned is kept in its order.
      for _ in 0..<1000 { harness.executor.say(.reachable(.local)) }
      for _ in 0..<1000 { harness.executor.say(.started(attempt)) }
      #expect(harness.runtime.statistics.mailboxDepth == 4)
      harness.executor.say(.unreachable(.local, message: "m"))
      harness.executor.say(.reachable(.local))
      #expect(harness.runtime.statistics.mailboxDepth == 6)
      harness.store.release()
      _ = await first
      try await eventually("all were taken") { harness.runtime.statistics.events >= events + 7 }
    }
  }

  @Test("workers have places of their own, which no flood of callers takes, and a bound of their own")
  func workerReserve() async throws {
    var settings = RuntimeSettings()
    settings.mailboxLimit = 2
    settings.workerMailboxLimit = 3
    settings.unansweredCallsLimit = 3
    let harness = try Harness(settings: settings)
    try await harness.run { harness in
      await withTaskGroup(of: Bool.self) { group in
        await fill(harness, &group, places: 2)
        guard case .failure(.exhausted) = await harness.create("late") else {
          Issue.record("it was taken")
          return
        }
        for _ in 0..<3 {
          group.addTask {
            let answer = await harness.runtime.worker(WorkerRequest(token: "t", operation: .start))
            return if case .failure(.unknownToken) = answer { true } else { false }
          }
        }
        try? await eventually("workers are taken all the same") { harness.runtime.statistics.mailboxDepth == 5 }
        let beyond = await harness.runtime.worker(WorkerRequest(token: "t", operation: .start))
        guard case .failure(.exhausted(limit: .mailbox, _, retryAfter: .some)) = beyond else {
          Issue.record("\(beyond)")
          return
        }
        harness.store.release()
        for await succeeded in group { #expect(succeeded) }
      }
    }
  }

  @Test("a round takes no more events than its bound")
  func eventsPerRound() async throws {
    var settings = RuntimeSettings()
    settings.eventsPerRound = 4
    let harness = try Harness(settings: settings)
    try await harness.run { harness in
      harness.store.hold()
      await withTaskGroup(of: Void.self) { group in
        group.addTask { _ = await harness.create("first") }
        try? await eventually("the commit begins") { harness.store.isCommitting }
        for caller in 0..<10 { group.addTask { _ = await harness.create("b\(caller)") } }
        try? await eventually("all of them wait") { harness.runtime.statistics.mailboxDepth == 10 }
        harness.store.release()
      }
      #expect(harness.store.commits.map(\.count) == [2, 8, 8, 4])
    }
  }

  @Test("a cancelled call gives up its answer, and what it asked for is done")
  func cancelledCall() async throws {
    let harness = try Harness()
    try await harness.run { harness in
      harness.store.hold()
      await withTaskGroup(of: Result<Reply, Refusal>.self) { group in
        group.addTask { await harness.create("b", key: "once") }
        try? await eventually("the commit begins") { harness.store.isCommitting }
        group.cancelAll()
        guard case .failure(.aborted(let message, _))? = await group.next() else {
          Issue.record("it waited")
          return
        }
        #expect(message.contains("gave up"))
      }
      #expect(harness.runtime.statistics.unansweredCalls == 0)
      harness.store.release()
      try await eventually("it is done") { harness.runtime.view(of: harness.key("b")) != nil }
      // Views come before answers.
      try await eventually("its answer is nobody's") { harness.runtime.statistics.answersUnclaimed == 1 }
      #expect(
        await harness.create("b", key: "once")
          == .success(.created(.init(batchID: "b", status: .created, totalObjects: 2))))
    }
  }

  @Test("when it is to end it answers what it has, and refuses what comes later")
  func shutdown() async throws {
    let harness = try Harness()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await harness.runtime.run() }
      _ = await harness.create("zero")
      harness.store.hold()
      try await withThrowingTaskGroup(of: Result<Reply, Refusal>.self) { calls in
        calls.addTask { await harness.create("first") }
        try await eventually("the commit begins") { harness.store.isCommitting }
        for caller in 0..<5 { calls.addTask { await harness.create("b\(caller)") } }
        try await eventually("they wait") { harness.runtime.statistics.mailboxDepth == 5 }
        group.cancelAll()
        try await eventually("it takes no more") {
          if case .failure(.unavailable) = await harness.create("late") { true } else { false }
        }
        harness.store.release()
        for try await reply in calls {
          guard case .success = reply else {
            Issue.record("\(reply)")
            continue
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(harness.runtime.statistics.batchesCreated == 7)
  }

  @Test("a cancel that waits for processes is told to ask again when the runtime ends; its attempts stay")
  func shutdownWithWaitingCancel() async throws {
    let harness = try Harness(answersAtOnce: true)
    let cancel = try await withThrowingTaskGroup(of: Result<Reply, Refusal>?.self) { group in
      group.addTask {
        try await harness.runtime.run()
        return nil
      }
      _ = await harness.create("b")
      _ = await harness.send(.submitBatch(batchID: "b"))
      try await eventually("they run") { harness.executor.launched.count == 2 }
      async let cancel = harness.send(.cancel(batchID: "b", .batch, grace: .seconds(5)))
      try await eventually("both are to end") { harness.executor.ended.count == 2 }
      group.cancelAll()
      try await group.waitForAll()
      return await cancel
    }
    guard case .failure(.unavailable(let message)) = cancel else {
      Issue.record("\(cancel)")
      return
    }
    #expect(message.contains("same idempotency_key"))
  }
}

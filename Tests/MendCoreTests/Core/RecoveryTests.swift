import Testing

@testable import MendCore

@Suite("Recovery")
struct RecoveryTests {
  @Test("A restart hands live attempts to the executor, ends what was ending, and carries on")
  func recovers() {
    var harness = Harness(cpus: 3)
    harness.submit([tier(extractor("a"), extractor("b"), extractor("c"), extractor("d"))])
    harness.run(0, 0)
    harness.run(0, 1)
    _ = harness.claim(1, 0, 0)
    _ = harness.ask(.cancel(batchID: "b", .job(JobID(tier: 0, index: 1)), grace: .zero), key: "k")
    var restarted = harness.restarted()
    restarted.advance(30)
    restarted.step(.recovered)
    let adopted = restarted.output.afterCommit.compactMap { effect -> AttemptKey? in
      if case .adopt(let attempt, _, _) = effect { attempt } else { nil }
    }
    #expect(adopted.map(\.job.index) == [0, 2])
    #expect(restarted.ends.map(\.job.index) == [1])
    #expect(restarted.launches.isEmpty)
    #expect(restarted.job(0, 0).attempts[0].lastHeartbeatAt == restarted.now)
    // The worker goes on with its token; what is free is started.
    #expect(restarted.report(["d0"], 0, 0).isSuccess)
    _ = restarted.ask(.cancel(batchID: "b", .job(JobID(tier: 0, index: 1)), grace: .zero), key: "k")
    let call = CallID(restarted.callCount)
    restarted.end(.signalled(15), 0, 1, receipt: EndReceipt(processes: 1, how: "SIGTERM"))
    #expect(restarted.answer(to: call).isSuccess)
    #expect(restarted.launches.map(\.job.index) == [3])
  }

  @Test("An intent whose launch never came through is launched; one that ran is found")
  func doubtfulLaunch() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    var restarted = harness.restarted()
    restarted.step(.recovered)
    restarted.see(.lost(restarted.attempt(), message: "unknown"))
    #expect(restarted.launches == [restarted.attempt()])
    #expect(restarted.job().attempts.count == 1)
    restarted.see(.lost(restarted.attempt(), message: "unknown"))
    #expect(restarted.job().attempts[0].end?.cause == .orphaned)

    restarted = harness.restarted()
    restarted.step(.recovered)
    restarted.see(.taken(restarted.attempt(), ExecutorHandle(node: "n", reference: "r")))
    restarted.see(.started(restarted.attempt()))
    #expect(restarted.job().status == .running)
  }

  @Test("Backoffs, timeouts and the queue survive a restart")
  func timersSurvive() {
    var harness = Harness(cpus: 1)
    harness.submit([tier(extractor())], timeout: .seconds(100))
    harness.run()
    harness.see(.lost(harness.attempt(), message: "gone"))
    harness.submit([tier(extractor(cpus: 1))], id: "x")
    harness.submit([tier(extractor())], id: "y")
    var restarted = harness.restarted()
    restarted.step(.recovered)
    restarted.finish(batch: "x")
    #expect(restarted.launches.map(\.batch.batchID) == ["y"])
    restarted.tick(after: 1)
    #expect(restarted.job().status == .pending)
    restarted.finish(batch: "y")
    #expect(restarted.launches.map(\.batch.batchID) == ["b"])
    restarted.tick(after: 100)
    #expect(restarted.ends == [restarted.attempt()])
  }

  @Test("A final batch leaves memory when it is asked to, and comes back for a retry")
  func retires() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    let token = harness.token()
    harness.run()
    harness.end(.exited(1))
    harness.tick(after: 599)
    #expect(!harness.output.afterCommit.contains(.retire(harness.key)))
    harness.tick(after: 1)
    #expect(harness.output.afterCommit.contains(.retire(harness.key)))
    let isGone = harness.core.retire(harness.key)
    #expect(isGone)
    #expect(harness.core.batches.isEmpty)
    #expect(harness.say(token, .start) == .failure(.unknownToken))
    harness.core.restore(whole: harness.journal[harness.key]!)
    #expect(harness.ask(.retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(), .failed)).isSuccess)
    let isGoneAgain = harness.core.retire(harness.key)
    #expect(!isGoneAgain)
    harness.finish()
    #expect(harness.batch.status == .completed)
    #expect(harness.batch == Batch.folded(harness.journal[harness.key]!))
  }

  @Test("The journal folds to the same batch, and its changes are kept within their bound")
  func folds() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [RetryRule(action: .retry, maxAttempts: 1000, backoff: .zero)]))])
    for _ in 0..<600 {
      harness.run()
      harness.end(.exited(1))
    }
    #expect(harness.batch.recentChanges.count <= Batch.recentChangesLimit)
    #expect(harness.batch.changesDroppedThrough > 0)
    #expect(harness.batch.changesDroppedThrough < harness.batch.recentChanges[0].sequence)
    #expect(harness.job().attempts.count == 601)
    #expect(harness.job().attempts[200].end?.evidence.isEmpty == true)
    #expect(harness.job().attempts[0].end?.evidence.isEmpty == false)
    #expect(harness.batch.durable == Batch.folded(harness.journal[harness.key]!)?.durable)
  }

  @Test("Of an attempt that is one of many, what its last words mean is kept")
  func keepsSignatures() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [RetryRule(action: .retry, maxAttempts: 1000, backoff: .zero)]))])
    for _ in 0..<120 {
      harness.run()
      let exit = ExitRecord(termination: .exited(1), at: harness.now, lastStderrLine: "MemoryError")
      harness.see(.ended(harness.attempt(), exit, nil))
    }
    let end = harness.job().attempts[15].end
    #expect(end?.evidence.count == 1 && end?.oomSignature?.name == "memory")
  }

  @Test("The same events with the same seed give the same writes and effects")
  func deterministic() {
    func walk() -> [Output] {
      var harness = Harness(seed: 5)
      var outputs: [Output] = []
      harness.submit([tier(extractor("a"), extractor("b")), tier(extractor())])
      outputs.append(harness.output)
      for (tier, index) in [(0, 0), (0, 1), (1, 0)] {
        harness.finish(tier, index)
        outputs.append(harness.output)
      }
      return outputs
    }
    #expect(walk() == walk())
  }
}

extension Harness {
  /// Another core, from what this one made durable.
  func restarted() -> Harness {
    // Another seed each time: tokens are never given out twice.
    let seed = 77 + journal.values.reduce(0) { $0 + UInt64($1.count) }
    var other = Harness(cpus: core.capacity.cpus, memory: core.capacity.memoryBytes, seed: seed, limits: core.limits)
    other.now = now
    other.journal = journal
    for key in journal.keys.sorted() { other.core.restore(whole: journal[key] ?? []) }
    for entry in keys { other.core.restore(entry) }
    return other
  }
}

import Testing

@testable import MendCore

@Suite("Deadlines that are kept")
struct DeadlineTests {
  private static let retried = [RetryRule(action: .retry, maxAttempts: 5, backoff: .milliseconds(100))]

  @Test("The batch's time that is over while an attempt is being ended is over: nothing is run again")
  func whileEnding() {
    for restarts in [false, true] {
      var harness = Harness()
      harness.submit([tier(extractor(timers: Timers(run: .seconds(4)), retry: Self.retried))], timeout: .seconds(8))
      harness.run()
      _ = harness.claim(1)
      harness.tick(after: 4)
      #expect(harness.job().attempts[0].state == .ending(.runTimeout, since: harness.now))
      harness.tick(after: 5)
      if restarts { harness = harness.afterRestart() }
      harness.end(.signalled(9))
      harness.tick(after: 1)
      #expect(harness.batch.status == .failed && harness.job().attempts.count == 1)
      #expect(harness.job().failure?.cause == .batchTimeout)
    }
  }

  @Test("So it is where a heal, an outage or a pause was ending it")
  func otherEnds() {
    var harness = Harness()
    harness.submit([tier(extractor())], timeout: .seconds(100))
    harness.run()
    _ = harness.claim(1)
    harness.tick(after: 61)
    harness.tick(after: 3)
    _ = harness.ask(.heal(batchID: "b", tier: nil, .detectStuck, dryRun: false, generation: 0))
    #expect(harness.ends.count == 1)
    harness.tick(after: 50)
    harness.end(.signalled(9))
    #expect(harness.batch.status == .failed && harness.job().failure?.cause == .batchTimeout)
    var limits = Limits()
    limits.unreachableGrace = .seconds(10)
    harness = Harness(limits: limits)
    harness.submit([tier(extractor())], timeout: .seconds(15))
    harness.run()
    harness.see(.unreachable(.simulated, message: "away"))
    harness.tick(after: 10)
    harness.tick(after: 6)
    harness.see(.reachable(.simulated))
    harness.see(.lost(harness.attempt(), message: "gone"))
    #expect(harness.batch.status == .failed && harness.job().failure?.cause == .batchTimeout)
  }

  @Test("So it is where the last job of its tier is cancelled by hand: no later tier starts")
  func nextTier() {
    for restarts in [false, true] {
      var harness = Harness()
      let tiers = [tier(extractor("a"), extractor("h")), tier(extractor("b"))]
      harness.submit(tiers, timeout: .seconds(6))
      harness.finish(0, 0)
      harness.run(0, 1)
      harness.tick(after: 2)
      _ = harness.ask(.cancel(batchID: "b", .job(JobID(tier: 0, index: 1)), grace: .seconds(8)))
      harness.tick(after: 5)
      if restarts { harness = harness.afterRestart() }
      harness.tick(after: 3)
      harness.end(.signalled(9), 0, 1)
      #expect(harness.launches.isEmpty)
      harness.tick(after: 1)
      #expect(harness.batch.status == .failed && harness.job(1).attempts.isEmpty)
      #expect(harness.job(1).failure?.cause == .batchTimeout)
    }
  }

  @Test("A rule that ignores how an attempt ended does not ignore that the batch's time was over then")
  func ignoring() {
    var harness = Harness()
    let rule = RetryRule(cause: .runTimeout, action: .ignore)
    harness.submit([tier(extractor(timers: Timers(run: .seconds(4)), retry: [rule]))], timeout: .seconds(5))
    harness.run()
    _ = harness.claim(1)
    harness.tick(after: 4)
    harness.tick(after: 8)
    harness.end(.signalled(9))
    harness.tick(after: 1)
    #expect(harness.batch.status == .failed && harness.job().failure?.cause == .batchTimeout)
  }

  @Test("A suspension moves the time of what waits, and the grace of an executor that could not be asked")
  func suspended() {
    var harness = Harness(cpus: 1)
    harness.submit([tier(extractor())], id: "first")
    harness.submit([tier(extractor())], timeout: .seconds(60))
    #expect(harness.batch.status == .queued)
    harness.run(batch: "first")
    harness.see(.unreachable(.simulated, message: "no network"))
    harness.advance(600)
    harness.step(.resumed(after: .seconds(600)))
    func isEnding() -> Bool { harness.core.state(of: harness.attempt(batch: "first"))?.isEnding == true }
    #expect(harness.batch.status == .queued && harness.ends.isEmpty && !isEnding())
    // Both go on from where they stood.
    harness.tick(after: 50)
    #expect(harness.batch.status == .queued && !isEnding())
    harness.tick(after: 11)
    #expect(harness.batch.status == .failed)
    harness.tick(after: 240)
    #expect(isEnding())
  }

  @Test("What a batch retries by itself gives it no more time, and a retry by a caller does")
  func autoHeal() {
    var harness = Harness(memory: 1 << 30)
    let specification = BatchSpecification(
      timeout: .seconds(100), executor: .simulated,
      tiers: [tier(extractor(memory: 1 << 20, opaque: true))],
      autoHeal: AutoHeal(maxHeals: 3))
    _ = harness.ask(.createBatch(batchID: "b", specification, documents: Harness.documents(1)))
    _ = harness.ask(.submitBatch(batchID: "b"))
    let submitted = harness.now
    harness.see(.started(harness.attempt()))
    harness.advance(60)
    harness.end(.signalled(9), peak: 2 << 20, limit: 1 << 20, exceeded: true)
    harness.tick(after: 1)
    #expect(harness.batch.status == .running && harness.batch.autoHeals == 1)
    #expect(harness.batch.timeoutAt == submitted + .seconds(100))
    harness.see(.started(harness.attempt()))
    harness.tick(after: 40)
    #expect(harness.job().attempts.last?.state == .ending(.batchTimeout, since: harness.now))
    harness.end(.signalled(15))
    harness.tick(after: 1)
    #expect(harness.batch.status == .failed && harness.batch.autoHeals == 1)
    _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], .init(), .failed))
    #expect(harness.batch.timeoutAt == harness.now + .seconds(100))
  }

  private func graces(_ harness: Harness) -> [Duration] {
    harness.output.afterCommit.compactMap { if case .end(_, _, let grace, _) = $0 { grace } else { nil } }
  }

  @Test("A cancel's grace is kept over a restart, an outage and a launch that is taken late")
  func grace() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(60)))
    #expect(graces(harness) == [.seconds(60)])
    harness.see(.taken(harness.attempt(), ExecutorHandle(node: "n", pid: 7, reference: "r")))
    #expect(graces(harness) == [.seconds(60)])
    harness.see(.unreachable(.simulated, message: "away"))
    harness.see(.reachable(.simulated))
    #expect(graces(harness) == [.seconds(60)])
    harness = harness.afterRestart()
    #expect(graces(harness) == [.seconds(60)])
    // Within its grace and the time to prove it nothing is overdue.
    harness.tick(after: 110)
    #expect(harness.diagnosis(of: "b").health != .stuck)
    harness.tick(after: 11)
    #expect(harness.diagnosis(of: "b").health == .stuck)
  }

  @Test("Less grace is durable as well, and more changes nothing")
  func shorterGrace() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(60)))
    _ = harness.ask(.cancel(batchID: "b", .job(JobID(tier: 0, index: 0)), grace: .seconds(90)))
    #expect(graces(harness) == [.seconds(60)])
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(5)))
    #expect(graces(harness) == [.seconds(5)])
    harness = harness.afterRestart()
    #expect(graces(harness) == [.seconds(5)])
  }
}

@testable import MendCore
import Testing

extension Harness {
  /// Nobody cancelled it, and it says so everywhere.
  fileprivate func isEndedByThePause(_ sourceLocation: SourceLocation = #_sourceLocation) {
    for batch in [batch, Batch.folded(journal[key] ?? [])] {
      let end = batch?.tiers[0].jobs[0].attempts[0].end
      #expect(end?.endedFor == .paused && end?.askedBy == "pause", sourceLocation: sourceLocation)
      #expect(
        end?.evidence.contains { $0.observed.hasPrefix("the batch was paused") } == true, sourceLocation: sourceLocation
      )
      let change = batch?.recentChanges.last { $0.subject == .attempt(JobID(tier: 0, index: 0), 1) }
      #expect(change?.to == "ended" && change?.reason == "paused", sourceLocation: sourceLocation)
    }
  }
}

@Suite("Pauses")
struct PauseTests {
  private func pausedWithDocument(_ harness: inout Harness, timeout: Duration? = nil, run: Duration? = nil) {
    harness.submit([tier(extractor(timers: Timers(run: run)))], timeout: timeout)
    harness.run()
    #expect(harness.claim(1) == ["d0"])
    harness.advance(2)
    _ = harness.ask(.pauseBatch(batchID: "b"))
  }

  @Test("An attempt that has nothing in process gives its room up, and another takes what is left after the pause")
  func givesUp() {
    var harness = Harness(cpus: 1)
    pausedWithDocument(&harness)
    harness.submit([tier(extractor())], id: "urgent")
    #expect(harness.claim(1).isEmpty && harness.ends.isEmpty, "it has a document in process")
    harness.report(["d0"])
    #expect(harness.claim(1).isEmpty)
    #expect(harness.ends == [harness.attempt()])
    harness.end(.signalled(15))
    #expect(harness.job().status == .pending && harness.launches.map(\.batch.batchID) == ["urgent"])
    #expect(harness.batch.status == .paused && harness.job().attempts[0].end?.verdict == .cancelled)
    harness.isEndedByThePause()
    harness.finish(batch: "urgent")
    #expect(harness.launches.isEmpty)
    _ = harness.ask(.resumeBatch(batchID: "b"))
    #expect(harness.launches.map(\.number) == [2])
    harness.finish()
    #expect(harness.batch.status == .completed && harness.job().failed.isEmpty)
  }

  @Test("What was not started yet gives its room up at once; an entrypoint that does its documents by itself works on")
  func startsAndEntrypoints() {
    var harness = Harness(cpus: 2)
    harness.submit([tier(extractor())])
    _ = harness.ask(.pauseBatch(batchID: "b"))
    #expect(harness.ends == [harness.attempt()])
    harness.see(.lost(harness.attempt(), message: "it was not launched"))
    #expect(harness.job().status == .pending)
    harness.submit([tier(extractor(opaque: true))], id: "opaque")
    _ = harness.ask(.pauseBatch(batchID: "opaque"))
    #expect(harness.ends.isEmpty)
  }

  @Test("A pause that ends a retry does not make a success of what nobody saw end well")
  func disputed() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [RetryRule(action: .fail)]))], documents: 1)
    harness.run()
    #expect(harness.claim(1) == ["d0"])
    harness.report(["d0"])
    harness.end(.exited(3))
    #expect(harness.batch.status == .failed && harness.job().committed.count == 1)
    _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], .init(), .failed))
    #expect(harness.job().attempts.count == 2)
    _ = harness.ask(.pauseBatch(batchID: "b"))
    harness.end(.signalled(15))
    #expect(harness.job().status == .pending && harness.batch.status == .paused)
    _ = harness.ask(.resumeBatch(batchID: "b"))
    #expect(harness.job().attempts.count == 3)
    harness.run()
    harness.end(.exited(0))
    #expect(harness.batch.status == .completed)
  }

  @Test("An attempt that exits 0 while it is ended by the pause leaves its documents to the next")
  func exitsByItself() {
    var harness = Harness(cpus: 1)
    pausedWithDocument(&harness)
    harness.report(["d0"])
    _ = harness.claim(1)
    harness.end(.exited(0))
    #expect(harness.job().status == .pending && harness.job().pendingCount == 2)
  }

  @Test("The clocks of run and batch stand still in a pause, over a restart too")
  func clocks() {
    var harness = Harness()
    pausedWithDocument(&harness, timeout: .seconds(8), run: .seconds(6))
    for _ in 0..<20 { harness.tick(after: 5) }
    #expect(harness.batch.status == .paused && harness.ends.isEmpty)
    harness = harness.afterRestart()
    harness.tick(after: 5)
    #expect(harness.batch.status == .paused)
    _ = harness.ask(.resumeBatch(batchID: "b"))
    harness.tick(after: 3)
    #expect(harness.ends.isEmpty, "two seconds before, three after")
    harness.tick(after: 1)
    #expect(harness.job().attempts[0].state == .ending(.runTimeout, since: harness.now))
    harness.end(.signalled(15))
    #expect(harness.batch.status == .failed)
  }

  @Test("The batch's own time is as long as without the pause")
  func batchClock() {
    var harness = Harness()
    pausedWithDocument(&harness, timeout: .seconds(8))
    harness.tick(after: 100)
    _ = harness.ask(.resumeBatch(batchID: "b"))
    harness.tick(after: 5)
    #expect(harness.ends.isEmpty)
    harness.tick(after: 1)
    #expect(harness.job().attempts[0].state == .ending(.batchTimeout, since: harness.now))
    #expect(Batch.folded(harness.journal[harness.key]!)?.durable == harness.batch.durable)
  }

  @Test("Who paused it, and since when, is told")
  func told() {
    var harness = Harness()
    pausedWithDocument(&harness)
    harness.advance(60)
    let diagnosis = harness.diagnosis(of: "b")
    #expect(diagnosis.health == .ok && diagnosis.healthReason == .paused)
    #expect(diagnosis.blockedReason == "paused by tester 60 s ago; 1 document is still in process")
    #expect(diagnosis.nextActions == [Advice("", .resume)])
    _ = harness.ask(.resumeBatch(batchID: "b"))
    #expect(harness.diagnosis(of: "b").blockedReason == nil)
  }
}

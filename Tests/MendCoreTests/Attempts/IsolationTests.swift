import MendCore
import Testing

@Suite("Documents that kill their attempts")
struct IsolationTests {
  static let rule = RetryRule(category: .pipeline, action: .retry, maxAttempts: 2, backoff: .zero)

  /// Runs a job until it is over, with `atOnce` documents in process; every attempt that has a poisoned one dies.
  static func run(
    _ harness: inout Harness, poisoned: Set<String>, atOnce: Int, restartEachTime: Bool = false
  ) -> (attempts: Int, alone: [String]) {
    var alone: [String] = []
    while !harness.job().status.isFinal {
      harness.tick(after: 1)
      if harness.job().status.isFinal { break }
      harness.run()
      while true {
        let claimed = harness.claim(atOnce)
        if claimed.isEmpty { break }
        if claimed.contains(where: poisoned.contains) {
          if claimed.count == 1 { alone += claimed }
          break
        }
        harness.report(claimed)
      }
      let died = !harness.job().processing.isEmpty
      harness.end(died ? .signalled(11) : .exited(0))
      if restartEachTime {
        harness = harness.afterRestart()
      }
    }
    return (harness.job().attempts.count, alone)
  }

  @Test(
    "One of eight in process is found in halves and quarantined, and all others complete", arguments: [false, true])
  func bisected(_ restartEachTime: Bool) {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [Self.rule]))], documents: 20)
    let (attempts, alone) = Self.run(&harness, poisoned: ["d5"], atOnce: 8, restartEachTime: restartEachTime)
    #expect(harness.job().status == .succeeded && harness.batch.status == .completed)
    #expect(harness.job().committed.count == 19 && Array(harness.job().failed) == [5])
    // Two die with all eight, then one with two of them and one with it alone; the last goes on with the rest.
    #expect(attempts == 5 && alone == ["d5"])
    let error = harness.job().errors[5]!
    #expect(error.quarantined && error.code == "signal")
    let finding = harness.diagnosis(of: "b").findings.first { $0.message.contains("quarantined") }
    #expect(finding?.documents == [5] && finding?.confidence == .high && finding?.cause == .failure(.signal))
    #expect(finding?.evidence.first?.values["attempts_ended"] == "4")
    #expect(finding?.remedy?.call == .retry(tier: 0, jobs: [], .init(), .failed))
  }

  @Test(
    "What is ended from outside makes no document a suspect",
    arguments: [.signalled(15), .signalled(2), .signalled(1), .exited(143)] as [ExitRecord.Termination])
  func endedFromOutside(_ termination: ExitRecord.Termination) {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [Self.rule]))], documents: 6)
    for _ in 0..<3 {
      harness.tick(after: 1)
      harness.run()
      _ = harness.claim(1)
      harness.end(termination)
    }
    #expect(harness.job().attempts.count == 3 && harness.job().suspects.isEmpty && harness.job().quarantined.isEmpty)
    #expect(harness.diagnosis(of: "b").findings.allSatisfy { !$0.message.contains("suspected") })
    #expect(harness.batch.durable == Batch.folded(harness.journal[harness.key] ?? [])?.durable)
  }

  @Test("A claim whose answer was lost does not hold suspects back for ever: it is made again")
  func lostClaimBesideSuspects() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [Self.rule]))], documents: 6)
    for _ in 0..<2 {
      harness.run()
      _ = harness.claim(1)
      harness.end(.signalled(11))
      harness.tick(after: 1)
    }
    harness.run()
    // d0 is held back; the answer with the next ones is lost, and asked for again.
    #expect(harness.claim(2, id: "w-0") == ["d1", "d2"])
    #expect(harness.claim(2, id: "w-0") == ["d1", "d2"])
    harness.report(["d1", "d2"])
    #expect(harness.claim(10, id: "w-1") == ["d3", "d4", "d5"])
    harness.report(["d3", "d4", "d5"])
    #expect(harness.claim(10, id: "w-2") == ["d0"])
  }

  @Test("Several are found one after the other, beyond the rule's budget, which other deaths still have")
  func several() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [Self.rule]))], documents: 30)
    let (_, alone) = Self.run(&harness, poisoned: ["d1", "d2", "d17", "d29"], atOnce: 4)
    #expect(harness.job().status == .succeeded)
    #expect(Array(harness.job().failed) == [1, 2, 17, 29])
    #expect(Set(alone) == ["d1", "d2", "d17", "d29"] && alone.count == 4)
  }

  @Test("A retry by a caller takes a quarantined document in again, last and alone")
  func retriedAlone() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [Self.rule]))], documents: 6)
    _ = Self.run(&harness, poisoned: ["d0", "d3"], atOnce: 6)
    #expect(Array(harness.job().failed) == [0, 3])
    _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], .init(), .all))
    harness.run()
    #expect(harness.claim(10) == ["d1", "d2", "d4", "d5"])
    // The others are still in process: it waits for them.
    #expect(harness.claim(10).isEmpty)
    harness.report(["d1", "d2", "d4", "d5"])
    #expect(harness.claim(10) == ["d0"])
    #expect(harness.claim(10).isEmpty)
    harness.report(["d0"])
    #expect(harness.claim(10) == ["d3"])
    harness.report(["d3"])
    harness.end(.exited(0))
    #expect(harness.batch.status == .completed && !harness.batch.hasFailures)
    #expect(harness.job().quarantined.isEmpty && harness.job().suspects.isEmpty)
  }

  @Test("A machine that goes down says nothing of the documents on it")
  func preemption() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 4)
    for _ in 0..<3 {
      harness.run()
      #expect(harness.claim(4).count == 4)
      harness.see(
        .ended(
          harness.attempt(),
          ExitRecord(
            termination: .signalled(9), at: harness.now,
            finding: .init(cause: .preemption, confidence: .medium, text: "spot instance taken")), nil))
      harness.tick(after: 10)
    }
    #expect(harness.job().suspects.isEmpty)
    harness.run()
    #expect(harness.claim(4).count == 4)
  }

  @Test("What a rule does not retry is not isolated, and what no rule allows is not retried for it")
  func withoutRules() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 4)
    harness.run()
    _ = harness.claim(4)
    harness.end(.signalled(11))
    #expect(harness.job().status == .failed && harness.job().attempts.count == 1)
  }

  @Test("Isolation has an end, whatever dies")
  func bounded() {
    var limits = Limits()
    limits.isolationAttempts = 5
    var harness = Harness(limits: limits)
    harness.submit([tier(extractor(retry: [Self.rule]))], documents: 100)
    let all = Set((0..<100).map { "d\($0)" })
    let (attempts, _) = Self.run(&harness, poisoned: all, atOnce: 100)
    #expect(harness.job().status == .failed && attempts <= 12)
  }
}

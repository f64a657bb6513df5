import MendCore
import Testing

@Suite("Diagnosis as a table: every cause with its category, evidence, confidence and a remedy that is taken as it is")
struct DiagnosisTableTests {
  static let giveUp = [RetryRule(action: .fail)]

  /// Makes a batch `b` fail of a cause.
  static func bringAbout(_ cause: FailureCause, _ harness: inout Harness) {
    var timers = Timers()
    if cause == .runTimeout { timers.run = .seconds(10) }
    harness.submit(
      [tier(extractor(memory: 256 << 20, timers: timers, retry: giveUp))],
      timeout: cause == .batchTimeout ? .seconds(10) : nil)
    if cause == .startTimeout {
      harness.tick(after: 1200)
      healStuck(&harness)
      return
    }
    harness.run()
    _ = harness.claim(1)
    switch cause {
    case .oom: harness.end(.signalled(9), peak: 300 << 20, limit: 256 << 20, exceeded: true)
    case .preemption, .nodeFailure, .engineFault, .throttled, .serviceUnavailable, .credentials, .contention, .gpuFault,
      .documentTimeout:
      let finding = ExitRecord.Finding(cause: cause, confidence: .medium, text: "the executor's own field")
      harness.see(
        .ended(harness.attempt(), ExitRecord(termination: .unknown("gone"), at: harness.now, finding: finding), nil))
    case .environmentSetup: harness.end(.notStarted("the package cannot be unpacked"))
    case .heartbeatTimeout:
      harness.tick(after: 61)
      healStuck(&harness)
      harness.finish()
    case .progressTimeout:
      for _ in 0..<11 {
        harness.tick(after: 30)
        harness.report([])
      }
      healStuck(&harness)
      harness.finish()
    case .runTimeout:
      harness.tick(after: 10)
      harness.end(.signalled(15))
    case .batchTimeout:
      harness.tick(after: 10)
      harness.end(.signalled(15))
    case .orphaned: harness.see(.lost(harness.attempt(), message: "the executor does not know it"))
    case .exitCode: harness.end(.exited(3))
    case .signal: harness.end(.signalled(11))
    case .documentErrors: harness.end(.exited(0))
    case .entrypointNotFound: harness.end(.exited(127))
    case .badInput:
      harness.report(failed: ["d0"])
      harness.finish()
    case .resourceLimit:
      let finding = ExitRecord.Finding(
        cause: cause, confidence: .high, text: "21 processes ran at once, beyond its limit of 20")
      harness.see(
        .ended(harness.attempt(), ExitRecord(termination: .signalled(9), at: harness.now, finding: finding), nil))
    case .startTimeout: break
    }
  }

  private static func healStuck(_ harness: inout Harness) {
    // The second look.
    harness.tick(after: 2.5)
    _ = harness.ask(.heal(batchID: "b", tier: nil, .detectStuck, dryRun: false, generation: 0))
    harness.end(.signalled(15))
  }

  @Test("Every cause is named", arguments: FailureCause.allCases)
  func named(_ cause: FailureCause) throws {
    var harness = Harness(memory: 4 << 30)
    Self.bringAbout(cause, &harness)
    let diagnosis = harness.diagnosis(of: "b")
    let finding = try #require(diagnosis.findings.first { $0.cause == .failure(cause) }, "\(diagnosis.findings)")
    #expect(finding.category == cause.category)
    #expect(!finding.evidence.isEmpty && finding.evidence.allSatisfy { !$0.observed.isEmpty })
    #expect(finding.message.count > 20)
    let sure: Confidence =
      switch cause {
      case .preemption, .nodeFailure, .engineFault, .orphaned, .entrypointNotFound, .throttled, .serviceUnavailable,
        .credentials, .contention, .gpuFault, .documentTimeout:
        .medium
      default: .high
      }
    #expect(finding.confidence == sure)
    if cause.category != .pipeline { #expect(diagnosis.infrastructureEvents.contains { $0.cause == cause }) }
    #expect(diagnosis.failureCategory == (cause == .documentErrors || cause == .badInput ? .pipeline : cause.category))
    let call = try #require(finding.remedy?.call)
    #expect(diagnosis.nextActions.contains(Advice("", .call(call))))
    switch call {
    case .retry(let tier, let jobs, let overrides, let scope):
      let answer = harness.ask(.retry(batchID: "b", tier: tier, jobs: jobs, overrides, scope))
      #expect(answer.isSuccess, "\(String(describing: answer))")
    case .heal(let action, let tier):
      let answer = harness.ask(.heal(batchID: "b", tier: tier, action, dryRun: false, generation: 0))
      guard case .success(.healed(let healed)) = answer else {
        Issue.record("\(String(describing: answer))")
        return
      }
      #expect(!healed.steps.isEmpty && healed.steps.allSatisfy { !$0.outcome.hasPrefix("refused") })
    case .cancel: Issue.record("\(cause) has no remedy that could be taken")
    }
    #expect(harness.batch.status == .running)
  }

  @Test("Reasons of health win in one order")
  func order() {
    #expect(
      HealthReason.allCases.map(\.rawValue) == [
        "none", "copy", "store_full", "misconfigured", "never_schedulable", "quota", "executor_not_configured",
        "executor_unreachable", "disputed", "paused",
        "waiting_for_capacity", "cold_start", "no_heartbeat", "no_progress", "partial_failures",
      ])
  }

  @Test("A suspicion is no alarm: the second look confirms it, and a sign of life between the two takes it back")
  func twoLooks() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.claim(1)
    harness.tick(after: 60)
    #expect(harness.job().attempts[0].suspectedSince != nil)
    #expect(harness.diagnosis(of: "b").health == .ok)
    harness.advance(1)
    harness.report([])
    harness.tick(after: 2)
    #expect(harness.job().attempts[0].suspectedSince == nil)
    #expect(harness.diagnosis(of: "b").health == .ok)
    harness.tick(after: 60)
    harness.tick(after: 2)
    #expect(harness.diagnosis(of: "b").health == .stuck)
  }

  @Test("A slow, a cold and a paused job are never called stuck, with restarts and outages between")
  func neverStuck() {
    var harness = Harness()
    var generator = SplitMix(state: 11)
    harness.submit([tier(extractor())], documents: 40)
    // 19 minutes of cold start.
    for _ in 0..<38 {
      harness.tick(after: 30)
      #expect(harness.diagnosis(of: "b").health == .scaling)
    }
    harness.run()
    for number in 0..<40 {
      let claimed = harness.claim(1)
      // A document takes almost five minutes, with a beat in each.
      for minute in 0..<5 {
        harness.tick(after: 55)
        if minute == 2, generator.next() % 4 == 0 {
          harness = harness.afterRestart()
          harness.tick(after: 2)
        }
        if minute == 3, generator.next() % 4 == 0 {
          harness.see(.unreachable(.simulated, message: "no route"))
          harness.tick(after: 1)
          harness.see(.reachable(.simulated))
        }
        _ = harness.report([])
        #expect(harness.diagnosis(of: "b").health == .ok, "document \(number), minute \(minute)")
      }
      harness.report(claimed)
      if number == 20 {
        _ = harness.ask(.pauseBatch(batchID: "b"))
        for _ in 0..<60 {
          harness.tick(after: 60)
          #expect(harness.diagnosis(of: "b").health == .ok)
        }
        _ = harness.report([])
        _ = harness.ask(.resumeBatch(batchID: "b"))
        harness.tick(after: 3)
        #expect(harness.diagnosis(of: "b").health == .ok)
      }
    }
  }
}

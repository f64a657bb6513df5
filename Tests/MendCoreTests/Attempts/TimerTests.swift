import Testing

@testable import MendCore

@Suite("Timers and heal")
struct TimerTests {
  private let timers = Timers(start: .seconds(30), heartbeat: .seconds(10), progress: .seconds(60))

  @Test("The run timer ends an attempt, with its own cause")
  func runTimeout() {
    var harness = Harness()
    harness.submit([tier(extractor(timers: Timers(run: .seconds(20))))])
    harness.run()
    _ = harness.claim(1)
    #expect(harness.core.nextDeadline <= harness.now + .seconds(20))
    harness.tick(after: 20)
    #expect(harness.ends == [harness.attempt()])
    #expect(harness.job().status == .running)
    harness.end(.signalled(15), receipt: EndReceipt(processes: 1, how: "SIGTERM"))
    #expect(harness.job().failure?.cause == .runTimeout)
    #expect(harness.job().errors[0]?.code == "run_timeout")
  }

  @Test("The batch's timeout counts from its submission, and ends all of it as failed")
  func batchTimeout() {
    var harness = Harness(cpus: 1)
    harness.submit([tier(extractor("a"), extractor("b")), tier(extractor())], timeout: .seconds(100))
    harness.run()
    harness.tick(after: 99)
    _ = harness.say(harness.token(), .report(.init()))
    #expect(harness.batch.status == .running)
    harness.tick(after: 1)
    #expect(harness.job(0, 1).status == .failed)
    #expect(harness.ends == [harness.attempt()])
    harness.end(.signalled(15))
    #expect(harness.job().failure?.cause == .batchTimeout)
    #expect(harness.batch.status == .failed)
    #expect(harness.batch.tiers.map(\.status) == [.failed, .pending])
  }

  @Test("A queued batch fails at its timeout where it stands")
  func queuedTimeout() {
    var harness = Harness(cpus: 1)
    harness.submit([tier(extractor())], id: "a")
    harness.submit([tier(extractor())], timeout: .seconds(10))
    #expect(harness.batch.status == .queued)
    harness.tick(after: 10)
    #expect(harness.batch.status == .failed)
    #expect(harness.job().failure?.cause == .batchTimeout)
    harness.finish(batch: "a")
    #expect(harness.launches.isEmpty)
  }

  @Test("What a launch waits for is told until it is taken, and again by the next server")
  func delayedLaunch() throws {
    var harness = Harness()
    harness.submit([tier(extractor(shards: 2))])
    let (delayed, other) = (harness.attempt(0, 0), harness.attempt(0, 1))
    harness.see(.taken(other, ExecutorHandle(node: "n", pid: 7, reference: "r")))
    harness.see(.started(other))
    harness.see(.delayed(delayed, message: "its launch waits for room: mkdir a: No space left on device"))
    #expect(harness.output.afterCommit.contains(.changed(harness.key)))
    harness.see(.delayed(other, message: "too late"))
    let findings = harness.diagnosis(of: "b").findings
    let finding = try #require(findings.first)
    #expect(findings.count == 1 && finding.cause == .health(.coldStart) && finding.job == delayed.job)
    #expect(finding.message.contains("waits for room: mkdir a: No space left on device. Nothing of it has run"))
    var restarted = harness.restarted()
    restarted.step(.recovered)
    #expect(restarted.diagnosis(of: "b").findings.isEmpty)
    harness.see(.taken(delayed, ExecutorHandle(node: "n", pid: 8, reference: "s")))
    #expect(harness.diagnosis(of: "b").findings.isEmpty)
    restarted.see(.delayed(delayed, message: "its launch waits for room"))
    #expect(restarted.diagnosis(of: "b").findings.map(\.cause) == [.health(.coldStart)])
  }

  @Test("Silence raises a suspicion, and never kills; a beat takes it away")
  func suspects() {
    var harness = Harness()
    harness.submit([tier(extractor(timers: timers))])
    harness.run()
    harness.tick(after: 10)
    #expect(harness.job().attempts[0].suspectedSince == harness.now)
    #expect(harness.output.afterCommit.contains(.changed(harness.key)))
    harness.tick(after: 2)
    let report = harness.batch.health(at: harness.now, capacity: harness.core.capacity, limits: harness.core.limits)
    #expect(report.health == .stuck && report.stuckAttempts.map(\.cause) == [.heartbeatTimeout])
    #expect(harness.ends.isEmpty)
    _ = harness.say(harness.token(), .report(.init()))
    harness.tick(after: 2)
    #expect(harness.job().attempts[0].suspectedSince == nil)
  }

  @Test("What hangs and beats is not called silent for one late beat, and is for a silence that is looked at twice")
  func lateBeat() {
    var harness = Harness()
    harness.submit([tier(extractor(timers: timers))])
    harness.run()
    for _ in 0..<12 {
      harness.tick(after: 5)
      _ = harness.say(harness.token(), .report(.init()))
    }
    func causes() -> [FailureCause] {
      harness.batch.health(at: harness.now, capacity: harness.core.capacity, limits: harness.core.limits)
        .stuckAttempts.map(\.cause)
    }
    harness.tick(after: 2)
    #expect(causes() == [.progressTimeout])
    harness.tick(after: 9)
    #expect(causes() == [.progressTimeout], "a second beyond the heartbeat timer")
    harness.tick(after: 1)
    #expect(causes() == [.heartbeatTimeout])
  }

  @Test("Before an attempt counts as never started the executor is asked once, for what it said may have been lost")
  func askedAgain() {
    var harness = Harness()
    harness.submit([tier(extractor(opaque: true, timers: timers))])
    let attempt = harness.attempt()
    harness.tick(after: 30)
    let asked = harness.output.afterCommit.contains { if case .adopt(attempt, nil, _) = $0 { true } else { false } }
    #expect(asked && harness.job().attempts[0].suspectedSince != nil)
    harness.tick(after: 2)
    let again = harness.output.afterCommit.contains { if case .adopt = $0 { true } else { false } }
    #expect(!again)
    harness.see(.taken(attempt, ExecutorHandle(node: "n", pid: 7, reference: "r")))
    harness.see(.started(attempt))
    harness.tick(after: 2)
    #expect(harness.job().status == .running && harness.job().attempts[0].suspectedSince == nil)
  }

  @Test("Deadlines of what is over do not pile up, and those that are to come stay")
  func deadlinesAreBounded() {
    var harness = Harness()
    harness.submit([tier(extractor(timers: Timers(run: .seconds(100_000))))], timeout: .seconds(90_000), id: "long")
    harness.run(batch: "long")
    for number in 0..<3000 {
      harness.submit([tier(extractor())], documents: 1, timeout: .seconds(50_000), id: "b\(number)")
      harness.finish(batch: "b\(number)")
      harness.core.retire(BatchKey(namespace: "default", batchID: "b\(number)"))
    }
    #expect(harness.core.index.deadlines.count <= CoreIndex.deadlinesLimitLeast + 8)
    harness.tick(after: 90_000)
    let long = harness.core.batches[BatchKey(namespace: "default", batchID: "long")]
    #expect(long?.tiers[0].jobs[0].attempts[0].state == .ending(.batchTimeout, since: harness.now))
  }

  @Test("Who waited for its turn is not stuck once it is there: its idleness counts from when it was held back last")
  func heldBack() {
    var harness = Harness()
    harness.submit([tier(extractor("a", timers: timers), extractor("b", timers: timers))], maxConcurrent: 2)
    harness.run(0, 0)
    harness.run(0, 1)
    #expect(harness.claim(2, 0, 0) == ["d0", "d1"])
    for _ in 0..<20 {
      harness.tick(after: 5)
      _ = harness.say(harness.token(0, 0), .report(.init(stage: "s\(harness.now.milliseconds)")))
      #expect(harness.claim(1, 0, 1) == [])
    }
    harness.report(["d0"], 0, 0)
    for _ in 0..<3 { harness.tick(after: 3) }
    #expect(harness.job(0, 1).attempts[0].suspectedSince == nil)
    // It never comes for what it could have now.
    for _ in 0..<6 {
      harness.tick(after: 9)
      _ = harness.say(harness.token(0, 0), .report(.init(stage: "s\(harness.now.milliseconds)")))
      _ = harness.say(harness.token(0, 1), .report(.init()))
    }
    #expect(harness.job(0, 1).attempts[0].suspectedSince != nil)
  }

  @Test("An opaque entrypoint is not stuck however long it runs, unless its author set a progress timer")
  func opaque() {
    var harness = Harness()
    harness.submit([
      tier(extractor("free", opaque: true), extractor("bound", opaque: true, timers: Timers(progress: .seconds(60))))
    ])
    for index in 0...1 { harness.see(.started(harness.attempt(0, index))) }
    for _ in 0..<120 { harness.tick(after: 60) }
    let report = harness.batch.health(at: harness.now, capacity: harness.core.capacity, limits: harness.core.limits)
    #expect(report.stuckAttempts.map(\.job) == [harness.job(0, 1).id])
    #expect(report.stuckAttempts.map(\.cause) == [.progressTimeout])
    #expect(harness.job(0, 0).attempts[0].suspectedSince == nil)
    let insight = harness.diagnosis(of: "b").insights.first { $0.type == "opaque_entrypoint" }
    #expect(insight?.message.contains("free") == true && insight?.metric == 7200)
    // From its first report on it is held to the timers that all have.
    _ = harness.say(harness.token(0, 0), .report(.init(completed: ["d0"])))
    for _ in 0..<16 {
      harness.tick(after: 20)
      _ = harness.say(harness.token(0, 0), .report(.init()))
    }
    #expect(harness.job(0, 0).attempts[0].suspectedSince != nil)
  }

  @Test("Beats without progress raise a suspicion too; documents and stages do not")
  func beatsWithoutProgress() {
    var harness = Harness()
    harness.submit([tier(extractor(timers: timers))])
    harness.run()
    _ = harness.claim(1)
    for _ in 0..<11 {
      harness.tick(after: 5)
      _ = harness.say(harness.token(), .report(.init()))
    }
    #expect(harness.job().attempts[0].suspectedSince == nil)
    harness.tick(after: 5)
    #expect(harness.job().attempts[0].suspectedSince != nil)
    _ = harness.say(harness.token(), .report(.init(stage: "next")))
    harness.tick(after: 3)
    #expect(harness.job().attempts[0].suspectedSince == nil)
  }

  @Test("A launch that does not come to run within the start window is suspected")
  func startWindow() {
    var harness = Harness()
    harness.submit([tier(extractor(timers: timers))])
    harness.tick(after: 29)
    #expect(harness.job().attempts[0].suspectedSince == nil)
    harness.tick(after: 1)
    #expect(harness.job().attempts[0].suspectedSince == harness.now)
  }

  /// A batch with a stuck attempt, two looks old, that has d0 in process.
  private func stuck() -> Harness {
    var harness = Harness()
    harness.submit([tier(extractor(timers: timers))])
    harness.run()
    _ = harness.claim(1)
    harness.tick(after: 10)
    harness.tick(after: 2)
    return harness
  }

  @Test("Heal ends the stuck attempt, fails what it had in process, and a new attempt takes the rest")
  func heals() {
    var harness = stuck()
    guard
      case .success(.healed(let plan)) = harness.ask(
        .heal(batchID: "b", tier: nil, .detectStuck, dryRun: true, generation: 0)), plan.dryRun
    else {
      Issue.record("no plan")
      return
    }
    #expect(plan.steps.map(\.operation) == [.restartAttempt(JobID(tier: 0, index: 0), number: 1, .heartbeatTimeout)])
    #expect(plan.steps.map(\.outcome) == ["planned"])
    #expect(harness.output.writes.isEmpty)
    guard
      case .success(.healed(let healed)) = harness.ask(
        .heal(batchID: "b", tier: nil, .detectStuck, dryRun: false, generation: plan.generation)), !healed.dryRun
    else {
      Issue.record("not applied")
      return
    }
    #expect(healed.steps.map(\.outcome) != ["planned"])
    #expect(harness.batch.healHistory.count == 1)
    #expect(harness.ends == [harness.attempt()])
    harness.end(.signalled(9), receipt: EndReceipt(processes: 1, how: "SIGKILL"))
    #expect(harness.job().errors[0]?.code == "heartbeat_timeout")
    #expect(harness.job().attempts.count == 2)
    #expect(harness.launches.map(\.number) == [2])
    harness.run()
    #expect(harness.claim(10) == ["d1", "d2"])
    harness.report(["d1", "d2"])
    harness.end(.exited(0))
    #expect(harness.batch.status == .completed && harness.batch.hasFailures)
  }

  @Test("A plan for a batch that has moved on is refused")
  func stalePlan() {
    var harness = stuck()
    let generation = harness.batch.generation
    _ = harness.ask(.pauseBatch(batchID: "b"))
    _ = harness.ask(.resumeBatch(batchID: "b"))
    guard
      case .failure(.aborted) = harness.ask(
        .heal(batchID: "b", tier: nil, .auto, dryRun: false, generation: generation))
    else {
      Issue.record("yesterday's patient was healed")
      return
    }
    #expect(harness.job().attempts[0].state == .running)
  }

  @Test("A duplicate launch is shown, and ended by heal")
  func duplicates() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    harness.see(.duplicate(harness.attempt(), reference: "ref-\(harness.attempt())"))
    #expect(harness.batch.duplicates.isEmpty)
    harness.see(.duplicate(harness.attempt(), reference: "pid-9"))
    harness.see(.duplicate(harness.attempt(), reference: "pid-9"))
    #expect(harness.batch.duplicates.count == 1)
    _ = harness.ask(.heal(batchID: "b", tier: nil, .killDuplicates, dryRun: false, generation: 0))
    #expect(harness.output.afterCommit.contains(.endStray(harness.attempt(), reference: "pid-9", on: .simulated)))
    #expect(harness.batch.duplicates.isEmpty)
    #expect(harness.job().attempts[0].isCurrent)
  }

  @Test("Unreachable is not failed: nothing is done within the grace, then it is ended, confirmed, and retried")
  func unreachable() {
    var harness = Harness()
    harness.submit([tier(extractor(timers: Timers(heartbeat: .seconds(1000))))])
    harness.run()
    _ = harness.claim(1)
    harness.see(.unreachable(.simulated, message: "connection refused"))
    #expect(harness.batch.outage != nil)
    harness.submit([tier(extractor())], id: "c")
    #expect(harness.launches.isEmpty)
    harness.tick(after: 299)
    #expect(harness.job().attempts[0].state == .running)
    harness.tick(after: 1)
    #expect(harness.ends == [harness.attempt()])
    #expect(harness.job().status == .running)
    harness.see(.reachable(.simulated))
    #expect(harness.batch.outage == nil)
    #expect(harness.ends == [harness.attempt()])
    #expect(harness.launches.map(\.batch.batchID) == ["c"])
    harness.end(.signalled(9))
    #expect(harness.job().attempts[0].end?.cause == .nodeFailure)
    let backoff = (harness.job().nextAttemptAt ?? .distantFuture) - harness.now
    #expect(backoff >= .milliseconds(750) && backoff <= .seconds(1))
    #expect(harness.job().pendingCount == 3)
  }

  @Test("An executor that comes back within the grace changes nothing")
  func comesBack() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    let sequence = harness.batch.sequence
    harness.see(.unreachable(.simulated, message: "x"))
    harness.advance(100)
    harness.see(.reachable(.simulated))
    harness.tick(after: 250)
    #expect(harness.batch.sequence == sequence)
  }

  @Test("The deadline is always ahead, and a tick at it has something to do")
  func deadlines() {
    var harness = Harness()
    #expect(harness.core.nextDeadline == .distantFuture)
    harness.submit([tier(extractor(timers: timers))])
    #expect(harness.core.nextDeadline == harness.now + .seconds(30))
    #expect(harness.output.afterCommit.contains(.wakeAt(harness.now + .seconds(30))))
    harness.finish()
    for _ in 0..<20 where harness.core.nextDeadline != .distantFuture {
      harness.now = max(harness.now, harness.core.nextDeadline)
      harness.step(.tick)
      #expect(harness.core.nextDeadline > harness.now)
    }
    #expect(harness.core.nextDeadline == .distantFuture)
  }
}

import MendCore
import Testing

@Suite("Healing by itself")
struct AutoHealTests {
  static func submit(_ harness: inout Harness, _ policy: AutoHeal?, _ extractor: ExtractorSpecification) {
    let specification = BatchSpecification(executor: .simulated, tiers: [tier(extractor)], autoHeal: policy)
    _ = harness.ask(.createBatch(batchID: "b", specification, documents: Harness.documents(3)))
    _ = harness.ask(.submitBatch(batchID: "b"))
  }

  static func outOfMemory(_ harness: inout Harness, peak: Int64) {
    harness.run()
    _ = harness.claim(1)
    let limit = harness.job().attempts.last?.parameters.resources.memoryBytes ?? 0
    harness.end(.signalled(9), peak: peak, limit: limit, exceeded: true)
  }

  @Test("Out of memory is retried with more in the same step, and the plan is in the history")
  func memory() {
    var harness = Harness(memory: 4 << 30)
    Self.submit(&harness, AutoHeal(), extractor(memory: 256 << 20))
    Self.outOfMemory(&harness, peak: 260 << 20)
    #expect(harness.batch.status == .running)
    #expect(harness.job().attempts.count == 2)
    #expect(harness.job().attempts.last?.parameters.resources.memoryBytes == 512 << 20)
    let record = harness.batch.healHistory.last
    #expect(record?.actor == "auto_heal" && record?.action == .auto)
    #expect(record?.steps.map(\.outcome) == ["1 job runs again"])
    harness.finish()
    #expect(harness.batch.status == .completed)
    // A fold of the journal knows it too.
    #expect(Batch.folded(harness.journal[harness.key] ?? [])?.autoHeals == 1)
  }

  @Test("One job above the ceiling keeps no other from its retry")
  func ceilingOfOneJob() {
    var harness = Harness(memory: 8 << 30)
    Self.submit(&harness, AutoHeal(memoryCeilingBytes: 1 << 30), extractor(shards: 2, memory: 256 << 20))
    for index in 0...1 {
      harness.run(0, index)
      _ = harness.claim(1, 0, index)
    }
    for (index, peak) in [(0, 260), (1, 4000)] as [(Int, Int64)] {
      harness.end(.signalled(9), 0, index, peak: peak << 20, limit: 256 << 20, exceeded: true)
    }
    #expect(harness.batch.status == .running)
    #expect(harness.job(0, 0).attempts.count == 2 && harness.job(0, 1).attempts.count == 1)
    let reason = harness.batch.healHistory.last?.steps.first?.reason ?? ""
    #expect(reason.contains("t0-j1") && reason.contains("1 GiB"), "\(reason)")
  }

  @Test(
    "A cluster that was small for a moment is no ceiling, and what failed meanwhile is healed when it is large again")
  func smallForAMoment() {
    var harness = Harness(memory: 64 << 30)
    harness.see(.capacity(Capacity(executor: .simulated, cpus: 4, memoryBytes: 64 << 30)))
    let rule = RetryRule(cause: .oom, action: .retry, maxAttempts: 3, memoryFactor: 2, backoff: .milliseconds(100))
    harness.submit([tier(extractor(memory: 16 << 30, opaque: true, retry: [rule]))], documents: 1)
    harness.see(.started(harness.attempt()))
    harness.see(.capacity(Capacity(executor: .simulated, cpus: 4, memoryBytes: 8 << 30)))
    harness.end(.signalled(9), peak: 16 << 30, limit: 16 << 30, exceeded: true)
    #expect(harness.job().status == .pending && harness.job().overrides.memoryBytes == 32 << 30)
    harness.see(.capacity(Capacity(executor: .simulated, cpus: 4, memoryBytes: 64 << 30)))
    harness.tick(after: 1)
    #expect(harness.job().attempts.count == 2)

    // What an executor has that has not answered yet is no ceiling, nor is there anything to raise the limit to.
    let unknown = Capacity.unknown(.ray)
    harness = Harness(memory: 64 << 30, others: [unknown])
    harness.submit([tier(extractor(memory: 16 << 30, opaque: true, retry: [rule]))], documents: 1, on: .ray)
    harness.see(.capacity(Capacity(executor: .ray, cpus: 4, memoryBytes: 64 << 30)))
    harness.see(.started(harness.attempt()))
    let records = harness.journal[harness.key] ?? []
    harness.core = Core(
      capacities: Capacities(harness.core.capacity, [unknown]), generator: SplitMix(state: 7))
    harness.core.restore(whole: records)
    harness.step(.recovered)
    harness.end(.signalled(9), peak: 16 << 30, limit: 16 << 30, exceeded: true)
    #expect(harness.job().status == .pending && harness.job().overrides.memoryBytes == nil)

    harness = Harness(memory: 8 << 30)
    Self.submit(&harness, AutoHeal(), extractor(memory: 4 << 30))
    harness.run()
    _ = harness.claim(1)
    harness.see(.capacity(Capacity(executor: .simulated, cpus: 4, memoryBytes: 4 << 30)))
    harness.end(.signalled(9), peak: 4 << 30, limit: 4 << 30, exceeded: true)
    harness.tick(after: 1)
    #expect(harness.batch.status == .failed)
    harness.see(.capacity(Capacity(executor: .simulated, cpus: 4, memoryBytes: 16 << 30)))
    harness.tick(after: 1)
    #expect(harness.batch.status == .running && harness.job().attempts.count == 2)
  }

  @Test("A duplicate that runs on is ended once: asking again in vain costs no heal, and is left to people")
  func duplicates() throws {
    var harness = Harness()
    let patient = Timers(heartbeat: .seconds(10_000), progress: .seconds(10_000))
    Self.submit(&harness, AutoHeal(maxHeals: 3), extractor(timers: patient))
    harness.run()
    func heals(_ harness: Harness) -> Int {
      harness.journal[harness.key]?.count { if case .healed = $0.fact { true } else { false } } ?? 0
    }
    for _ in 0..<50 {
      harness.see(.duplicate(harness.attempt(), reference: "pid-9"))
      harness.tick(after: 5)
    }
    #expect(harness.batch.autoHeals == 1 && heals(harness) == 1)
    // It is still told of, without the command that did nothing.
    let finding = try #require(harness.diagnosis(of: "b").findings.first { $0.cause == .duplicate })
    #expect(finding.message.contains("Asked to end 250 s ago") && finding.remedy?.call == .some(.none))
    // Another one is another matter.
    harness.see(.duplicate(harness.attempt(), reference: "pid-10"))
    #expect(harness.batch.autoHeals == 2 && heals(harness) == 2)
    #expect(Batch.folded(harness.journal[harness.key] ?? [])?.autoHeals == 2)
  }

  @Test("By hand a duplicate that runs on is asked again once its end has had its time, and that is said")
  func duplicatesByHand() throws {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    func heal(_ harness: inout Harness, dryRun: Bool) throws -> [HealStep] {
      let answer = harness.ask(
        .heal(batchID: "b", tier: nil, .killDuplicates, dryRun: dryRun, generation: 0))
      guard case .success(.healed(let healed)) = answer else { return [] }
      return healed.steps
    }
    harness.see(.duplicate(harness.attempt(), reference: "pid-9"))
    #expect(try heal(&harness, dryRun: false).map(\.result) == [.done])
    harness.see(.duplicate(harness.attempt(), reference: "pid-9"))
    #expect(try heal(&harness, dryRun: true).isEmpty)
    harness.advance(90)
    let steps = try heal(&harness, dryRun: false)
    #expect(steps.map(\.result) == [.asked] && steps[0].reason.hasSuffix("90 s after it was asked to end"))
    #expect(harness.output.afterCommit.contains(.endStray(harness.attempt(), reference: "pid-9", on: .simulated)))
  }

  @Test("Without opting in nothing is done")
  func off() {
    var harness = Harness(memory: 4 << 30)
    Self.submit(&harness, nil, extractor(memory: 256 << 20))
    Self.outOfMemory(&harness, peak: 260 << 20)
    harness.tick(after: 100)
    #expect(harness.batch.status == .failed && harness.batch.healHistory.isEmpty)
  }

  @Test("Its budgets hold: plans, memory and risk")
  func budgets() {
    var harness = Harness(memory: 8 << 30)
    Self.submit(&harness, AutoHeal(maxHeals: 2), extractor(memory: 256 << 20))
    for peak in [260, 520, 1040] as [Int64] { Self.outOfMemory(&harness, peak: peak << 20) }
    #expect(harness.batch.status == .failed && harness.batch.autoHeals == 2 && harness.job().attempts.count == 3)
    #expect(harness.diagnosis(of: "b").insights.contains { $0.type == "auto_heal" && $0.severity == .warning })

    harness = Harness(memory: 8 << 30)
    Self.submit(&harness, AutoHeal(memoryCeilingBytes: 300 << 20), extractor(memory: 256 << 20))
    Self.outOfMemory(&harness, peak: 260 << 20)
    #expect(harness.batch.status == .failed)

    harness = Harness(memory: 8 << 30)
    Self.submit(&harness, AutoHeal(maxRisk: .low), extractor(memory: 256 << 20))
    Self.outOfMemory(&harness, peak: 260 << 20)
    #expect(harness.batch.status == .failed)
  }

  @Test("A stuck attempt is ended once two looks agree, not before, and a pipeline's error never is")
  func stuck() {
    var harness = Harness()
    Self.submit(&harness, AutoHeal(), extractor())
    harness.run()
    _ = harness.claim(1)
    harness.tick(after: 60)
    #expect(harness.ends.isEmpty)
    harness.tick(after: 1)
    #expect(harness.ends.isEmpty)
    harness.tick(after: 1.5)
    #expect(harness.ends == [harness.attempt()])
    harness.see(.ended(harness.attempt(), ExitRecord(termination: .signalled(15), at: harness.now), nil))
    #expect(harness.job().attempts.count == 2 && Array(harness.job().failed) == [0])
    harness.run()
    harness.end(.exited(3))
    harness.tick(after: 10)
    #expect(harness.batch.status == .failed && harness.batch.autoHeals == 1)
  }

  @Test("A paused batch is left alone")
  func paused() {
    var harness = Harness()
    Self.submit(&harness, AutoHeal(), extractor())
    harness.run()
    _ = harness.ask(.pauseBatch(batchID: "b"))
    for _ in 0..<20 { harness.tick(after: 60) }
    #expect(harness.ends.isEmpty && harness.batch.autoHeals == 0)
  }
}

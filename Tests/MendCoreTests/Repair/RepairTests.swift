import MendCore
import Testing

@Suite("What is repaired, and what it costs")
struct RepairTests {
  private func retry(_ harness: inout Harness, tier: Int = 0, jobs: [JobID] = [], _ scope: RetryScope = .failed) {
    guard case .success = harness.ask(.retry(batchID: "b", tier: tier, jobs: jobs, .init(), scope)) else {
      Issue.record("refused")
      return
    }
  }

  @Test("What is done again in a tier is done again in later ones, and nothing else is")
  func laterTiers() {
    var harness = Harness()
    harness.submit([tier(extractor("a"), extractor("b")), tier(extractor("c")), tier(extractor("d"))], documents: 3)
    for job in [(0, 0), (0, 1), (1, 0), (2, 0)] { harness.finish(job.0, job.1) }
    #expect(harness.batch.status == .completed)
    retry(&harness, tier: 1, .all)
    #expect(harness.job(1).pendingCount == 3 && harness.job(2).committed.isEmpty)
    #expect(harness.job(0).committed.count == 3, "earlier tiers stay as they are")
    harness.finish(1, 0)
    #expect(harness.job(2).pendingCount == 3 && harness.job(2).attempts.count == 2)
    harness.finish(2, 0)
    #expect(harness.batch.status == .completed && harness.batch.completedDocuments.count == 3)
    // One extractor of two: what follows has its new results to look at.
    retry(&harness, tier: 0, jobs: [JobID(tier: 0, index: 1)], .all)
    #expect(harness.job(0, 0).committed.count == 3 && harness.job(1).committed.isEmpty)
    for job in [(0, 1), (1, 0), (2, 0)] { harness.finish(job.0, job.1) }
    #expect(harness.batch.status == .completed && harness.job(0, 0).attempts.count == 1)
    #expect(harness.batch.durable == Batch.folded(harness.journal[harness.key] ?? [])?.durable)
  }

  @Test("All written again is counted anew")
  func written() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 1)
    for _ in 0..<2 {
      harness.run()
      let report = WorkerRequest.Report(
        completed: harness.claim(1), written: [.init(collectionID: "text", count: 7)], id: "r")
      _ = harness.say(harness.token(), .report(report))
      harness.end(.exited(0))
      #expect(harness.job().written == 7)
      retry(&harness, .all)
    }
  }

  @Test("A report whose id is forgotten, with results that are known, is not counted again")
  func lateReport() {
    var harness = Harness()
    let count = Attempt.reportsLimit + 1
    harness.submit([tier(extractor())], documents: count)
    harness.run()
    let documents = harness.claim(count)
    func say(_ number: Int) {
      let report = WorkerRequest.Report(
        completed: [documents[number]], stageTimings: [Job.StageTotal(name: "writing", duration: .seconds(1))],
        written: [.init(collectionID: "text", count: 1)], id: "r\(number)")
      _ = harness.say(harness.token(), .report(report))
    }
    for number in 0..<count { say(number) }
    for number in [0, 1, count - 1] { say(number) }
    #expect(harness.job().written == count)
    #expect(harness.job().stages == [Job.StageTotal(name: "writing", duration: .seconds(count))])
    #expect(harness.job().repeatedWork == 2, "the last is known by its id")
  }

  @Test("A job that failed with every document committed runs again: only another attempt can settle it")
  func disputed() {
    for entrypoint in [false, true] {
      var harness = Harness()
      harness.submit([tier(extractor(opaque: entrypoint))], documents: 2)
      harness.run()
      harness.report(harness.claim(2))
      harness.end(.exited(1))
      #expect(harness.batch.status == .failed)
      retry(&harness)
      #expect(harness.job().status == .starting && harness.job().attempts.count == 2)
      harness.run()
      #expect(harness.claim(1).isEmpty)
      harness.end(.exited(1))
      #expect(harness.batch.status == .failed, "it says so again")
      retry(&harness)
      harness.run()
      harness.end(.exited(0))
      #expect(harness.batch.status == .completed && harness.job().attempts.count == 3)
    }
  }

  @Test("A job that is cancelled while others go on leaves the batch completed, degraded and told of")
  func leftOut() {
    var harness = Harness()
    harness.submit([tier(extractor("a"), extractor("b")), tier(extractor("c"))], documents: 4)
    harness.run(0, 1)
    harness.report(harness.claim(1, 0, 1), 0, 1)
    _ = harness.ask(.cancel(batchID: "b", .job(JobID(tier: 0, index: 1)), grace: .zero))
    harness.see(.ended(harness.attempt(0, 1), ExitRecord(termination: .signalled(15), at: harness.now), nil))
    harness.finish(0, 0)
    #expect(harness.batch.tiers[0].status == .completed && harness.batch.tiers[0].done.count == 4)
    #expect(Array(harness.job(0, 1).leftOut) == [1, 2, 3])
    #expect(harness.job(1).assigned.count == 4, "documents go on through the extractors that did them")
    harness.finish(1, 0)
    #expect(harness.batch.status == .completed && harness.batch.completedDocuments.count == 4)
    let diagnosis = harness.diagnosis(of: "b")
    #expect(diagnosis.health == .degraded && diagnosis.healthReason == .partialFailures)
    let finding = diagnosis.findings.first
    #expect(finding?.message.contains("Extractor b of tier 0 was left out for 3 documents of 4") == true)
    #expect(finding?.documents == [1, 2, 3] && finding?.job == JobID(tier: 0, index: 1))
    #expect(diagnosis.nextActions == [.retry(0, [JobID(tier: 0, index: 1)], "If b is to do them after all")])
    // To do them after all: what went on without it is looked at again.
    retry(&harness, jobs: [JobID(tier: 0, index: 1)])
    #expect(harness.job(1).committed.count == 1 && harness.batch.tiers[0].done.count == 1)
    harness.finish(0, 1)
    harness.finish(1, 0)
    #expect(harness.batch.status == .completed && harness.diagnosis(of: "b").health == .ok)
    #expect(harness.batch.durable == Batch.folded(harness.journal[harness.key] ?? [])?.durable)
  }

  @Test("A cancelled job of a later tier stays cancelled when an earlier tier is retried")
  func cancelledStays() {
    var harness = Harness()
    harness.submit([tier(extractor("a")), tier(extractor("b"), extractor("c"))], documents: 2)
    harness.finish(0, 0)
    _ = harness.ask(.cancel(batchID: "b", .job(JobID(tier: 1, index: 1)), grace: .zero))
    harness.see(.ended(harness.attempt(1, 1), ExitRecord(termination: .signalled(15), at: harness.now), nil))
    harness.finish(1, 0)
    retry(&harness, .all)
    harness.finish(0, 0)
    #expect(harness.job(1, 1).status == .cancelled && harness.job(1, 1).attempts.count == 1)
    harness.finish(1, 0)
    #expect(harness.batch.status == .completed && harness.batch.completedDocuments.count == 2)
  }

  @Test("How many shards there are does not change what becomes of bad documents", arguments: [1, 5, 10])
  func shards(_ shards: Int) {
    var harness = Harness(cpus: 100)
    harness.submit([tier(extractor(shards: shards)), tier(extractor("next"))], documents: 10)
    for shard in 0..<shards {
      harness.run(0, shard)
      while case let claimed = harness.claim(1, 0, shard), !claimed.isEmpty {
        let isBad = claimed == ["d3"] || claimed == ["d8"]
        harness.report(isBad ? [] : claimed, failed: isBad ? claimed : [], 0, shard)
      }
      harness.end(.exited(0), 0, shard)
    }
    #expect(harness.batch.tiers[0].status == .completed && harness.batch.tiers[0].failed.count == 2)
    #expect(harness.job(1).assigned.count == 8)
  }

  @Test("An extractor that failed all of its documents failed, however many shards it has", arguments: [1, 2, 12])
  func allFailed(_ shards: Int) {
    var harness = Harness(cpus: 100)
    harness.submit([tier(extractor(shards: shards))], documents: 10)
    for shard in 0..<min(shards, 10) {
      harness.run(0, shard)
      while case let claimed = harness.claim(10, 0, shard), !claimed.isEmpty {
        harness.report(failed: claimed, 0, shard)
      }
      harness.end(.exited(0), 0, shard)
    }
    #expect(harness.batch.status == .failed)
    #expect(harness.batch.tiers[0].jobs.count { $0.status == .failed } == 1)
    #expect(harness.batch.tiers[0].jobs.last { $0.status == .failed }?.failure?.message == "all 10 documents failed")
  }

  @Test("An orphan that is gone is reclaimed once, and costs no plan")
  func orphan() {
    var harness = Harness()
    let specification = BatchSpecification(
      executor: .simulated, tiers: [tier(extractor("a"), extractor("b"))], autoHeal: AutoHeal(maxHeals: 1))
    _ = harness.ask(.createBatch(batchID: "b", specification, documents: Harness.documents(4)))
    _ = harness.ask(.submitBatch(batchID: "b"))
    harness.run(0, 0)
    harness.run(0, 1)
    let lost = harness.token()
    harness.see(.lost(harness.attempt(), message: "unknown"))
    _ = harness.say(lost, .report(.init()))
    for _ in 0..<5 {
      harness.tick(after: 5)
      harness.run(0, 1)
      harness.see(.lost(harness.attempt(0, 1), message: "unknown"))
      if harness.job(0, 1).status.isFinal { break }
    }
    let operations = harness.batch.healHistory.flatMap(\.steps).map(\.operation)
    #expect(operations.count { $0 == .reclaimOrphan(JobID(tier: 0, index: 0), number: 1) } == 1)
    #expect(harness.batch.autoHeals == 0)
    func plan(_ action: HealAction) -> [HealStep] {
      let answer = harness.ask(.heal(batchID: "b", tier: nil, action, dryRun: false, generation: 0))
      guard case .success(.healed(let healed)) = answer else { return [] }
      return healed.steps
    }
    #expect(!plan(.reclaimOrphans).contains { $0.operation == .reclaimOrphan(JobID(tier: 0, index: 0), number: 1) })
    // It is heard of again: somebody still runs.
    _ = harness.say(lost, .report(.init()))
    #expect(plan(.reclaimOrphans).contains { $0.operation == .reclaimOrphan(JobID(tier: 0, index: 0), number: 1) })
    #expect(!plan(.reclaimOrphans).contains { $0.operation == .reclaimOrphan(JobID(tier: 0, index: 0), number: 1) })
    // Its one plan is there for what it is needed for.
    harness.tick(after: 10)
    harness.run(0, 0)
    _ = harness.claim(1)
    for _ in 0..<70 { harness.tick(after: 1) }
    #expect(harness.batch.autoHeals == 1)
    #expect(Batch.folded(harness.journal[harness.key] ?? [])?.autoHeals == 1)
  }

  @Test("Who is named as auto_heal is a caller all the same")
  func names() throws {
    var harness = Harness()
    AutoHealTests.submit(&harness, AutoHeal(maxHeals: 1), extractor())
    harness.run()
    _ = harness.claim(1)
    for name in ["auto_heal", "scheduler"] {
      let heal = HealRecord(
        action: .auto, generation: 1,
        steps: [
          HealStep(
            operation: .retryTier(tier: 0, jobs: [], memoryBytes: [:]), reason: "", evidence: [], risk: .low,
            result: .done)
        ], at: harness.now, actor: name)
      var batch = harness.batch
      let record = Record(
        batch: batch.key, sequence: batch.sequence + 1, at: harness.now, cause: .caller, fact: .healed(heal))
      try batch.apply(record)
      #expect(batch.autoHeals == 0)
      try batch.apply(
        Record(
          batch: batch.key, sequence: batch.sequence + 1, at: harness.now, cause: .caller,
          fact: .retried(.init(tier: 0, jobs: [], actor: name))))
      #expect(batch.tiers[0].jobs[0].attemptsBeforeRetry == 1)
    }
  }

  @Test("Documents that an executor's doings took twice are suspected of nothing")
  func innocent() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 1)
    for _ in 0..<2 {
      harness.tick(after: 5)
      harness.run()
      _ = harness.claim(1)
      let exit = ExitRecord(
        termination: .unknown("gone"), at: harness.now,
        finding: ExitRecord.Finding(cause: .preemption, confidence: .high, text: "preempted"))
      harness.see(.ended(harness.attempt(), exit, nil))
    }
    #expect(harness.job().suspects.isEmpty)
    #expect(!harness.diagnosis(of: "b").findings.contains { $0.message.contains("suspected") })
  }

  @Test("Documents that are done again in part are written again in part")
  func writtenInPart() {
    var harness = Harness()
    harness.submit([tier(extractor("a", shards: 2)), tier(extractor("b"))], documents: 4)
    harness.finish(0, 0)
    harness.finish(0, 1)
    func write(_ harness: inout Harness, _ count: Int) {
      harness.run(1)
      let claimed = harness.claim(10, 1)
      var report = WorkerRequest.Report(completed: claimed, failed: [])
      report.written = [.init(collectionID: "b", count: count)]
      _ = harness.say(harness.token(1), .report(report))
      harness.end(.exited(0), 1)
    }
    write(&harness, 4)
    #expect(harness.batch.status == .completed && harness.job(1).written == 4)
    _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [JobID(tier: 0, index: 0)], .init(), .all))
    harness.finish(0, 0)
    #expect(harness.job(1).written == 2)
    write(&harness, 2)
    #expect(harness.batch.status == .completed && harness.job(1).written == 4)
  }
}

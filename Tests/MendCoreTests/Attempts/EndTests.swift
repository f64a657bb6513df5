import MendCore
import Testing

@Suite("How things end")
struct EndTests {
  @Test("A batch is COMPLETED when every tier is done; documents are done when every extractor has committed them")
  func completes() {
    var harness = Harness()
    harness.submit([tier(extractor("a"), extractor("b")), tier(extractor("c"))])
    harness.finish(0, 0)
    #expect(harness.batch.tiers[0].done.isEmpty)
    #expect(harness.batch.tiers[0].status == .running)
    harness.finish(0, 1)
    #expect(harness.batch.tiers[0].done.count == 3)
    #expect(harness.batch.tiers.map(\.status) == [.completed, .running])
    #expect(harness.batch.completedDocuments.isEmpty)
    harness.finish(1, 0)
    #expect(harness.batch.status == .completed)
    #expect(harness.batch.completedDocuments.count == 3)
    #expect(harness.batch.completedAt == harness.now)
  }

  @Test("The slowest tier and extractor of a completed batch are named")
  func slowest() {
    for slow in 0...1 {
      var harness = Harness()
      harness.submit([tier(extractor("a")), tier(extractor("b"))])
      for tier in 0...1 {
        harness.run(tier)
        harness.advance(tier == slow ? 100 : 10)
        harness.finish(tier)
      }
      let summary = harness.diagnosis(of: "b").performance
      #expect(summary?.slowestTier == slow && summary?.slowestExtractor == ["a", "b"][slow])
    }
  }

  @Test("A failed document is not handed to later tiers, and the batch still completes")
  func failedDocumentsStay() {
    var harness = Harness()
    harness.submit([tier(extractor()), tier(extractor())])
    harness.run()
    _ = harness.claim(3)
    harness.report(["d0", "d2"], failed: ["d1"])
    harness.end(.exited(0))
    #expect(harness.job().status == .succeeded)
    #expect(Array(harness.batch.tiers[1].handed) == [0, 2])
    harness.finish(1)
    #expect(harness.batch.status == .completed)
    #expect(Array(harness.batch.failedDocuments) == [1])
    #expect(Array(harness.batch.completedDocuments) == [0, 2])
  }

  @Test("A job of which all documents failed is FAILED, and its tier and batch with it")
  func allFailed() {
    var harness = Harness()
    harness.submit([tier(extractor()), tier(extractor())])
    harness.run()
    _ = harness.claim(3)
    harness.report(failed: ["d0", "d1", "d2"])
    harness.end(.exited(0))
    #expect(harness.job().failure?.cause == .documentErrors)
    #expect(harness.batch.tiers.map(\.status) == [.failed, .pending])
    #expect(harness.batch.status == .failed)
  }

  @Test("Exit 0 with documents neither committed nor failed fails them and the job, with the ledger as evidence")
  func unreported() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.claim(2)
    harness.report(["d0"])
    harness.end(.exited(0))
    #expect(harness.job().status == .failed)
    #expect(harness.job().failure?.cause == .documentErrors)
    #expect(Array(harness.job().failed) == [1, 2])
    #expect(harness.job().errors[1]?.code == "document_errors")
    #expect(harness.job().attempts[0].end?.evidence.contains { $0.observer == .ledger } == true)
  }

  @Test("An entrypoint that never reported is opaque: exit 0 completes its documents, a failure leaves them pending")
  func opaque() {
    var harness = Harness()
    harness.submit([tier(extractor(opaque: true))])
    harness.see(.started(harness.attempt()))
    harness.end(.exited(0))
    #expect(harness.batch.status == .completed && harness.job().committed.count == 3)

    harness = Harness()
    harness.submit([tier(extractor(opaque: true))])
    harness.see(.started(harness.attempt()))
    harness.end(.exited(3))
    #expect(harness.batch.status == .failed && harness.job().pendingCount == 3)
    #expect(harness.job().failure?.cause == .exitCode)
  }

  @Test("Documents in process when an attempt died are FAILED with its cause; the rest stays pending")
  func diesAround() {
    var harness = Harness()
    harness.submit([tier(extractor(memory: 1000))])
    harness.run()
    _ = harness.claim(2)
    harness.report(["d0"])
    harness.end(.signalled(9), peak: 1500, limit: 1000, exceeded: true)
    let job = harness.job()
    #expect(job.status == .failed)
    #expect(job.failure?.cause == .oom && job.failure?.confidence == .high)
    #expect(job.errors[1]?.code == "oom" && job.errors[1]?.causedByAttempt == true)
    #expect(job.deaths[1] == 1 && job.deaths[0] == 0)
    #expect(job.pendingCount == 1 && job.processing.isEmpty)
    #expect(harness.batch.status == .failed)
    let evidence = job.attempts[0].end?.evidence.first { $0.observer == .supervisor }
    #expect(evidence?.values["memory_limit_bytes"] == "1000" && evidence?.values["peak_memory_bytes"] == "1500")
  }

  @Test("A tier fails with a job, after the others have run to their end")
  func othersRunOn() {
    var harness = Harness()
    harness.submit([tier(extractor("a"), extractor("b"))])
    harness.run(0, 0)
    harness.end(.exited(1), 0, 0)
    #expect(harness.batch.tiers[0].status == .running)
    harness.finish(0, 1)
    #expect(harness.job(0, 1).status == .succeeded)
    #expect(harness.batch.tiers[0].status == .failed)
    #expect(harness.batch.status == .failed)
  }

  @Test(
    "Evidence has a rank, and each cause its confidence",
    arguments: [
      (ExitRecord.Termination.exited(1), FailureCause.exitCode, Confidence.high),
      (.exited(127), .entrypointNotFound, .medium), (.exited(126), .entrypointNotFound, .medium),
      (.exited(137), .oom, .low), (.exited(139), .signal, .medium), (.signalled(11), .signal, .high),
      (.signalled(9), .signal, .low),
      (.notStarted("ENOENT: No such file or directory"), .entrypointNotFound, .high),
      (.notStarted("ENOMEM: out of memory"), .environmentSetup, .high),
      (.unknown("the supervisor was killed"), .orphaned, .medium),
    ])
  func verdicts(_ termination: ExitRecord.Termination, _ cause: FailureCause, _ confidence: Confidence) {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [RetryRule(action: .fail)]))])
    harness.run()
    harness.end(termination)
    #expect(harness.job().attempts[0].end?.verdict == .failed(cause, confidence))
    #expect(harness.job().failure?.cause == cause)
  }

  @Test("SIGKILL near the memory limit is oom at medium confidence")
  func killedNearTheLimit() {
    var harness = Harness()
    harness.submit([tier(extractor(memory: 1000))])
    harness.run()
    harness.end(.signalled(9), peak: 950, limit: 1000)
    #expect(harness.job().attempts[0].end?.verdict == .failed(.oom, .medium))
  }

  @Test("A late, repeated or foreign observation changes nothing")
  func lateObservations() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    let attempt = harness.attempt()
    harness.finish()
    let before = harness.batch
    let exit = ExitRecord(termination: .exited(1), at: harness.now)
    for observation: Observation in [
      .ended(attempt, exit, nil), .lost(attempt, message: "gone"), .started(attempt),
      .launchFailed(attempt, .nodeFailure, message: "x"),
      .started(AttemptKey(batch: harness.key, job: JobID(tier: 3, index: 0), number: 1)),
      .ended(
        AttemptKey(batch: BatchKey(namespace: "x", batchID: "y"), job: JobID(tier: 0, index: 0), number: 1), exit, nil),
    ] {
      harness.see(observation)
      #expect(harness.output.writes.isEmpty)
    }
    #expect(harness.batch == before)
  }

  @Test("What is taken after it was given up is nobody's, and is ended")
  func takenTooLate() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    let attempt = harness.attempt()
    harness.see(.launchFailed(attempt, .environmentSetup, message: "no image"))
    harness.see(.taken(attempt, ExecutorHandle(node: "n", reference: "late")))
    #expect(harness.output.afterCommit.contains(.endStray(attempt, reference: "late", on: .simulated)))
  }

  @Test("An executor whose own patience is shorter says so, and no window that never passed is named")
  func givenUpByItsExecutor() throws {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.see(.launchFailed(harness.attempt(), .startTimeout, message: "Ray waited 15 s"))
    let retry = try #require(harness.diagnosis(of: "b").findings.first { $0.cause == .failure(.startTimeout) })
    #expect(retry.message.contains("was given up before it was started: Ray waited 15 s"))
    #expect(!retry.message.contains("1200 s"))
  }

  @Test("What somebody else ended at the executor is no error of the pipeline's input")
  func endedByOthers() throws {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run(0, 0)
    let finding = ExitRecord.Finding(cause: .signal, confidence: .medium, text: "Ray says STOPPED")
    let exit = ExitRecord(termination: .unknown("Ray says STOPPED"), at: harness.now, finding: finding)
    harness.see(.ended(harness.attempt(), exit, nil))
    let found = try #require(harness.diagnosis(of: "b").findings.first { $0.cause == .failure(.signal) })
    #expect(found.message.contains("was ended: Ray says STOPPED"))
    #expect(found.remedy?.description.hasPrefix("Find out who ended it") == true)
  }

  @Test("The counts always add up: a document that one extractor failed and another has is failed")
  func addsUp() {
    var harness = Harness()
    harness.submit([tier(extractor("a"), extractor("b"))], documents: 4)
    harness.run(0, 0)
    harness.run(0, 1)
    _ = harness.claim(2, 0, 0)
    _ = harness.claim(3, 0, 1)
    harness.report(failed: ["d0"], 0, 0)
    let progress = harness.batch.progress()
    #expect(progress == ProgressCounts(completed: 0, failed: 1, pending: 1, processing: 2, total: 4))
  }
}

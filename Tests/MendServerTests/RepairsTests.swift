import MendAPI
import MendCore
import MendRPC
import MendRuntime
import Testing

@testable import MendServer

@Suite("Retry, Heal and the cancels", .timeLimit(.minutes(1)))
struct RepairsTests {
  private func retry(_ harness: Harness, _ change: (inout RetryRequest) -> Void) async throws -> RetryResponse {
    var request = RetryRequest()
    request.batchID = "b1"
    request.tier = 0
    change(&request)
    return try await harness.batches.retry(request, context: harness.context(Batches.Methods.retry))
  }

  private func heal(_ harness: Harness, _ change: (inout HealRequest) -> Void) async throws -> HealResponse {
    var request = HealRequest()
    request.batchID = "b1"
    request.action = .auto
    change(&request)
    return try await harness.batches.heal(request, context: harness.context(Batches.Methods.heal))
  }

  /// One document done, the attempt dead over another, the third never begun.
  private func fail(_ harness: Harness) async throws {
    try await harness.submit("b1", documents: 3)
    let job = JobID(tier: 0, index: 0)
    let token = await harness.token("b1", job)
    _ = try await harness.claim(token, 2)
    try await harness.report(token, completed: ["d0"])
    harness.executor.exit(
      AttemptKey(batch: BatchKey(namespace: "default", batchID: "b1"), job: job, number: 1), code: 3)
    _ = try await harness.batch("b1") { $0.status == .failed }
  }

  @Test("a retry hands out what is not committed, with the changed resources")
  func retried() async throws {
    try await Harness.run { harness in
      try await fail(harness)
      let response = try await retry(harness) {
        $0.memoryBytes = 1 << 30
        $0.numCpus = 2
        $0.runTimeoutSeconds = 60
        $0.requiresGpu = true
        $0.priority = 80
        $0.env = ["LANG": "C"]
      }
      #expect(response.jobs == ["t0-j0"])
      #expect(response.documents == 2)
      _ = await harness.token("b1", JobID(tier: 0, index: 0), attempt: 2)
      let attempts = try #require(try await harness.diagnose("b1").tiers.first?.jobs.first?.attempts)
      let params = try #require(attempts.last?.submissionParams)
      #expect(attempts.count == 2)
      #expect(params.memoryBytes == 1 << 30 && params.numCpus == 2 && params.runTimeoutSeconds == 60)
      #expect(params.requiresGpu && params.priority == 80)
      #expect(params.envNames == ["LANG", "SECRET"])
      let first = try #require(attempts.first?.submissionParams)
      #expect(!first.requiresGpu && first.priority == 50)
      // It is the retried tier's: the batch stays configured as it was created.
      #expect(try await harness.getBatch("b1").batchConfiguration?.priority == 50)
    }
  }

  @Test("a tier that runs is refused with what to do first")
  func running() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 3)
      _ = await harness.token("b1", JobID(tier: 0, index: 0))
      let facts = try await failure { try await retry(harness) { _ in } }
      #expect(facts.code == .failedPrecondition)
      #expect(facts.precondition?.violations.first?.description.isEmpty == false)
    }
  }

  @Test("a retry names its tier, and jobs that there are")
  func arguments() async throws {
    try await Harness.run { harness in
      try await fail(harness)
      let noTier = try await failure { try await retry(harness) { $0.tier = nil } }
      #expect(noTier.badRequest?.fieldViolations.first?.field == "tier")
      let negative = try await failure { try await retry(harness) { $0.tier = -1 } }
      #expect(negative.badRequest?.fieldViolations.first?.field == "tier")
      let farTier = try await failure { try await retry(harness) { $0.tier = 9 } }
      #expect(farTier.code == .notFound && farTier.resource?.resourceType == "tier")
      for job in ["t0-j9", "no job at all"] {
        let facts = try await failure { try await retry(harness) { $0.jobs = [job] } }
        #expect(facts.code == .notFound && facts.resource?.resourceType == "job")
        #expect(facts.resource?.resourceName == job)
      }
      let scope = try await failure { try await retry(harness) { $0.scope = .unrecognized(9) } }
      #expect(scope.badRequest?.fieldViolations.first?.field == "scope")
    }
  }

  @Test("a plan of yesterday is refused, a dry run changes nothing")
  func stalePlan() async throws {
    try await Harness.run { harness in
      try await fail(harness)
      let before = try await harness.diagnose("b1").sequence
      let plan = try await heal(harness) { $0.dryRun = true }
      #expect(plan.dryRun && plan.steps.allSatisfy { $0.outcome == "planned" })
      #expect(try await harness.diagnose("b1").sequence == before)
      _ = try await retry(harness) { _ in }
      let facts = try await failure { try await heal(harness) { $0.generation = plan.generation } }
      #expect(facts.code == .aborted)
    }
  }

  @Test("heal needs an action")
  func noAction() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 1)
      let facts = try await failure { try await heal(harness) { $0.action = .unspecified } }
      #expect(facts.badRequest?.fieldViolations.first?.field == "action")
      #expect(facts.message.contains("detect_stuck"))
    }
  }

  @Test("a cancel answers when everything is gone, with how it went; again it answers that nothing was to end")
  func cancel() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 3, extractors: [["text", "image"]])
      for index in 0..<2 { _ = await harness.token("b1", JobID(tier: 0, index: index)) }
      var request = CancelBatchRequest()
      request.batchID = "b1"
      let context = harness.context(Batches.Methods.cancelBatch)
      let receipt = try await harness.batches.cancelBatch(request, context: context)
      #expect(receipt.status == .cancelled)
      #expect(receipt.ended.map(\.attempt).sorted() == ["t0-j0.1", "t0-j1.1"])
      #expect(receipt.ended.allSatisfy { $0.processes == 2 && $0.how == "SIGTERM" })
      let again = try await harness.batches.cancelBatch(request, context: context)
      #expect(again.status == .cancelled && again.ended.isEmpty)
    }
  }

  @Test("a cancelled tier's jobs are ended, and no other tier's")
  func cancelTier() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 1, extractors: [["text", "image"], ["embed"]])
      for index in 0..<2 { _ = await harness.token("b1", JobID(tier: 0, index: index)) }
      var request = CancelTierRequest()
      request.batchID = "b1"
      request.tier = 1
      let context = harness.context(Batches.Methods.cancelTier)
      // Nothing of it ran.
      #expect(try await harness.batches.cancelTier(request, context: context).ended.isEmpty)
      var diagnosis = try await harness.diagnose("b1")
      #expect(diagnosis.tiers.map(\.status) == [.running, .cancelled])
      request.tier = 0
      let receipt = try await harness.batches.cancelTier(request, context: context)
      #expect(receipt.ended.map(\.attempt).sorted() == ["t0-j0.1", "t0-j1.1"])
      diagnosis = try await harness.diagnose("b1")
      #expect(diagnosis.tiers.map(\.status) == [.cancelled, .cancelled])
      #expect(diagnosis.tiers[0].jobs.map(\.status) == [.cancelled, .cancelled])
      request.tier = 7
      #expect(try await failure { try await harness.batches.cancelTier(request, context: context) }.code == .notFound)
    }
  }

  @Test("one job of several is cancelled by its id")
  func cancelJob() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 3, extractors: [["text", "image"]])
      for index in 0..<2 { _ = await harness.token("b1", JobID(tier: 0, index: index)) }
      var request = CancelJobRequest()
      request.batchID = "b1"
      request.jobID = "t0-j1"
      request.graceSeconds = 1
      let context = harness.context(Batches.Methods.cancelJob)
      let receipt = try await harness.batches.cancelJob(request, context: context)
      #expect(receipt.ended.map(\.jobID) == ["t0-j1"])
      #expect(receipt.status == .running)
      request.graceSeconds = -1
      let facts = try await failure { try await harness.batches.cancelJob(request, context: context) }
      #expect(facts.badRequest?.fieldViolations.first?.field == "grace_seconds")
    }
  }

  @Test("a pause and its end say the batch's status")
  func pause() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 3)
      var pause = PauseBatchRequest()
      pause.batchID = "b1"
      let context = harness.context(Batches.Methods.pauseBatch)
      #expect(try await harness.batches.pauseBatch(pause, context: context).status == .paused)
      var resume = ResumeBatchRequest()
      resume.batchID = "b1"
      #expect(try await harness.batches.resumeBatch(resume, context: context).status == .running)
    }
  }

  @Test("a worker's claims and reports are checked, and a token that never was is unauthenticated")
  func worker() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 3)
      let token = await harness.token("b1", JobID(tier: 0, index: 0))
      let tooMany = try await failure { try await harness.claim(token, 10_001) }
      #expect(tooMany.badRequest?.fieldViolations.first?.field == "max_documents")
      let stranger = try await failure { try await harness.claim("0123456789abcdef0123456789abcdef", 1) }
      #expect(stranger.code == .unauthenticated)
      let empty = try await failure { try await harness.claim("", 1) }
      #expect(empty.badRequest?.fieldViolations.first?.field == "attempt_token")
      let noCode = try await failure { try await harness.report(token, failed: [("d0", "")]) }
      #expect(noCode.badRequest?.fieldViolations.first?.field == "failed[0].code")
    }
  }
}

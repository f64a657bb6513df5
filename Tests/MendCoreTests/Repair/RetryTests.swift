import Testing

@testable import MendCore

@Suite("Retries")
struct RetryTests {
  @Test("Without rules infrastructure is retried three times with backoff, documents and all, and then given up")
  func defaults() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 1)
    for attempt in 1...3 {
      harness.run()
      #expect(harness.claim(1) == ["d0"])
      harness.see(.lost(harness.attempt(), message: "unknown to the executor"))
      #expect(harness.job().status == .pending)
      #expect(harness.job().pendingCount == 1)
      #expect(harness.job().deaths[0] == 0, "a lost attempt says nothing of its documents")
      let wait = Double(1 << (attempt - 1))
      let next = harness.job().nextAttemptAt ?? .distantFuture
      #expect(next >= harness.now + .seconds(wait * 0.75) && next <= harness.now + .seconds(wait))
      harness.tick(after: (next - harness.now).inSeconds - 0.001)
      #expect(harness.job().attempts.count == attempt)
      harness.tick(after: 0.001)
      #expect(harness.job().attempts.count == attempt + 1)
    }
    harness.run()
    _ = harness.claim(1)
    harness.see(.lost(harness.attempt(), message: "unknown to the executor"))
    #expect(harness.job().status == .failed)
    #expect(harness.job().failure?.cause == .orphaned)
    #expect(harness.batch.status == .failed)
  }

  @Test("Without rules nothing else is retried", arguments: [ExitRecord.Termination.exited(1), .signalled(11)])
  func pipelineIsNot(_ termination: ExitRecord.Termination) {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    harness.end(termination)
    #expect(harness.batch.status == .failed)
  }

  @Test("An oom rule raises the limit from the measured peak, up to its ceiling, and then gives up")
  func memory() {
    let rule = RetryRule(
      category: .infrastructure, cause: .oom, action: .retry, maxAttempts: 5, memoryFactor: 2,
      memoryCeilingBytes: 5000, backoff: .zero)
    var harness = Harness(memory: 100_000)
    harness.submit([tier(extractor(memory: 1000, retry: [rule]))])
    for (peak, next) in [(1500, 3000), (2900, 5000)] as [(Int64, Int64)] {
      harness.run()
      harness.end(.signalled(9), peak: peak, limit: 1, exceeded: true)
      #expect(harness.job().attempts.last?.parameters.resources.memoryBytes == next)
    }
    harness.run()
    harness.end(.signalled(9), peak: 6000, limit: 1, exceeded: true)
    #expect(harness.job().status == .failed)
    #expect(harness.job().failure?.message.contains("ceiling") == true)
  }

  @Test("The first rule that matches decides: exit codes, categories, ignore")
  func rules() {
    let rules = [
      RetryRule(exitCodes: [7], action: .ignore),
      RetryRule(category: .pipeline, action: .retry, maxAttempts: 1, backoff: .zero),
    ]
    var harness = Harness()
    harness.submit([tier(extractor(retry: rules))], documents: 2)
    harness.run()
    _ = harness.claim(1)
    harness.end(.exited(3))
    #expect(harness.job().attempts.count == 2)
    harness.run()
    #expect(harness.claim(1) == ["d0"])
    harness.report(["d0"])
    harness.end(.exited(7))
    #expect(harness.job().status == .succeeded)
    #expect(Array(harness.job().failed) == [1])
    #expect(harness.batch.status == .completed)
  }

  @Test("An attempt that died after its last document is retried as nothing: the ledger decides")
  func nothingLeft() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [RetryRule(action: .retry)]))], documents: 1)
    harness.run()
    _ = harness.claim(1)
    harness.report(["d0"])
    harness.end(.signalled(11))
    #expect(harness.job().status == .succeeded)
    #expect(harness.job().attempts.count == 1)
    #expect(harness.job().attempts[0].end?.evidence.contains { $0.observer == .ledger } == true)
  }

  @Test("Retry runs what is not committed again, with changed resources, and later tiers wait for it")
  func retries() {
    var harness = Harness(memory: 10_000)
    harness.submit([tier(extractor(memory: 1000)), tier(extractor())])
    harness.run()
    _ = harness.claim(2)
    harness.report(["d0"])
    harness.end(.signalled(9), peak: 1500, limit: 1000, exceeded: true)
    let overrides = Job.Overrides(cpus: 2, memoryBytes: 4000, environment: ["A": "b"])
    let answer = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], overrides, .failed))
    #expect(
      answer
        == .success(
          .retried(
            .init(
              batchID: "b", tier: 0, jobs: [JobID(tier: 0, index: 0)], documents: 2, status: .running,
              generation: harness.batch.generation))))
    #expect(harness.launches.map(\.number) == [2])
    let parameters = harness.job().attempts[1].parameters
    #expect(parameters.resources == Resources(cpus: 2, memoryBytes: 4000))
    #expect(parameters.environment == ["A": "b"])
    #expect(harness.batch.completedAt == nil)
    harness.run()
    #expect(harness.claim(10) == ["d1", "d2"])
    harness.report(["d1", "d2"])
    harness.end(.exited(0))
    harness.finish(1)
    #expect(harness.batch.status == .completed)
    #expect(harness.batch.completedDocuments.count == 3)
  }

  @Test("Scope all does committed documents again, in later tiers too")
  func scopeAll() {
    var harness = Harness()
    harness.submit([tier(extractor()), tier(extractor())])
    harness.finish(0)
    harness.finish(1)
    #expect(harness.ask(.retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(), .failed)).isPrecondition)
    #expect(harness.ask(.retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(), .all)).isSuccess)
    #expect(harness.batch.tiers.map(\.status) == [.running, .pending])
    #expect(harness.batch.completedDocuments.isEmpty)
    harness.finish(0)
    harness.finish(1)
    #expect(harness.batch.status == .completed)
    #expect(harness.job(1).attempts.count == 2)
    #expect(harness.batch.completedDocuments.count == 3)
  }

  @Test("A document that failed in the first tier goes through the later ones after its retry")
  func handsOnAfterRetry() {
    var harness = Harness()
    harness.submit([tier(extractor()), tier(extractor())])
    harness.run()
    _ = harness.claim(3)
    harness.report(["d0", "d1"], failed: ["d2"])
    harness.end(.exited(0))
    harness.finish(1)
    #expect(harness.batch.status == .completed)
    _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(), .failed))
    #expect(harness.batch.failedDocuments.isEmpty)
    harness.finish(0)
    harness.run(1)
    #expect(harness.claim(10, 1) == ["d2"])
    harness.report(["d2"], 1)
    harness.end(.exited(0), 1)
    #expect(harness.batch.completedDocuments.count == 3)
    #expect(harness.batch.status == .completed)
  }

  @Test("Retry is refused where it makes no sense, and says what to do first")
  func refused() {
    var harness = Harness()
    harness.submit([tier(extractor()), tier(extractor())])
    let plain = Job.Overrides()
    #expect(harness.ask(.retry(batchID: "b", tier: 0, jobs: [], plain, .failed)).isPrecondition)
    #expect(
      harness.ask(.retry(batchID: "b", tier: 5, jobs: [], plain, .failed))
        == .failure(.notFound(resourceType: "tier", resourceID: "5")))
    #expect(
      harness.ask(.retry(batchID: "b", tier: 0, jobs: [JobID(tier: 0, index: 9)], plain, .failed))
        == .failure(.notFound(resourceType: "job", resourceID: "t0-j9")))
    harness.run()
    harness.end(.exited(1))
    #expect(harness.ask(.retry(batchID: "b", tier: 1, jobs: [], plain, .failed)).isPrecondition)
    #expect(harness.ask(.retry(batchID: "b", tier: 0, jobs: [], .init(cpus: 99), .failed)).isPrecondition)
    #expect(
      harness.ask(.retry(batchID: "b", tier: 0, jobs: [], .init(priority: 101), .failed))
        == .failure(.invalid(field: "priority", rule: "must be 0 to 100, is 101")))
    #expect(harness.batch.status == .failed)
  }

  @Test("Retry works on what was cancelled, before or after it started")
  func afterCancel() {
    var harness = Harness(cpus: 1)
    harness.submit([tier(extractor(cpus: 1))], id: "a")
    harness.submit([tier(extractor())])
    #expect(harness.batch.status == .queued)
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .zero))
    #expect(harness.batch.status == .cancelled)
    #expect(harness.ask(.retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(), .failed)).isSuccess)
    #expect(harness.batch.status == .running && harness.job().status == .pending)
    harness.finish(batch: "a")
    harness.finish()
    #expect(harness.batch.status == .completed)
  }
}

import Testing

@testable import MendCore

/// Batches with as many jobs as there may be: what is asked for one of them is not done once a job, nor written so.
@Suite("Large batches", .timeLimit(.minutes(5)))
struct LargeBatchTests {
  private static func tiers(_ tiers: Int, extractors: Int, shards: Int, command: Int = 3) -> [TierSpecification] {
    let extractors = (0..<extractors).map {
      ExtractorSpecification(
        name: "e\($0)", work: .entrypoint(String(repeating: "x", count: command)), shards: shards,
        resources: Resources(cpus: 0.001))
    }
    return Array(repeating: TierSpecification(extractors: extractors), count: tiers)
  }

  /// One document: all shards but the first of each extractor have nothing to do.
  private static func completed(extractors: Int) -> Harness {
    var harness = Harness()
    harness.submit(tiers(1, extractors: extractors, shards: 256), documents: 1)
    for extractor in 0..<extractors {
      harness.run(0, extractor * 256)
      _ = harness.claim(1, 0, extractor * 256)
      harness.report(["d0"], 0, extractor * 256)
      harness.end(.exited(0), 0, extractor * 256)
    }
    return harness
  }

  @Test("A retry of 16,384 jobs keeps nobody waiting")
  func retryOfAll() {
    var harness = Self.completed(extractors: 64)
    #expect(harness.batch.status == .completed)
    let before = ContinuousClock.now
    let answer = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(), .all))
    // Two minutes when each job had the whole batch copied.
    #expect(ContinuousClock.now - before < .seconds(40))
    guard case .success(.retried(let retried)) = answer else {
      Issue.record("\(String(describing: answer))")
      return
    }
    #expect(retried.jobs.count == 16_384)
    #expect(retried.documents == 64)
    #expect(retried.status == .running)
  }

  @Test("What a retry asks of all jobs is said once, and no job has all of its earlier overrides again")
  func retriedFacts() {
    var harness = Self.completed(extractors: 1)
    _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(environment: ["A": "1"]), .all))
    harness.run()
    harness.end(.exited(0))
    let second = Job.Overrides(memoryBytes: 1000, environment: ["B": "2"])
    _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [JobID(tier: 0, index: 0)], second, .all))
    let facts = harness.journal[harness.key, default: []].compactMap { record in
      if case .retried(let retried) = record.fact { retried.jobs } else { nil }
    }
    #expect(facts.map(\.count) == [256, 1])
    #expect(facts[1][0].overrides == second)
    #expect(harness.job().overrides == Job.Overrides(memoryBytes: 1000, environment: ["A": "1", "B": "2"]))
    #expect(harness.job(0, 1).overrides == Job.Overrides(environment: ["A": "1"]))
  }

  @Test("A fact of an older version has all of a job's overrides in the place of earlier ones")
  func olderFact() throws {
    var harness = Self.completed(extractors: 1)
    _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(environment: ["A": "1"]), .all))
    var batch = harness.batch
    let retried = Fact.RetriedJob(
      job: JobID(tier: 0, index: 0), overrides: Job.Overrides(cpus: 2), replacesOverrides: true,
      reopened: DocumentSet())
    try batch.apply(
      Record(
        batch: harness.key, sequence: batch.sequence + 1, at: harness.now, cause: .caller,
        fact: .retried(.init(tier: 0, jobs: [retried], actor: ""))))
    #expect(batch.tiers[0].jobs[0].overrides == Job.Overrides(cpus: 2))
  }

  @Test("Environments of one retry after the other are bounded together")
  func environments() {
    var harness = Self.completed(extractors: 1)
    func retry(_ name: String, bytes: Int, _ harness: inout Harness) -> Result<Reply, Refusal>? {
      let overrides = Job.Overrides(environment: [name: String(repeating: "v", count: bytes)])
      let job = JobID(tier: 0, index: 0)
      return harness.ask(.retry(batchID: "b", tier: 0, jobs: [job], overrides, .all))
    }
    let first = retry("A", bytes: 40_000, &harness)
    #expect(first.isSuccess)
    harness.run()
    harness.end(.exited(0))
    let before = harness.batch
    guard case .failure(.invalid("env", let rule)) = retry("B", bytes: 40_000, &harness) else {
      Issue.record("accepted")
      return
    }
    #expect(rule.contains("65536 bytes together with what earlier retries set of job t0-j0"))
    #expect(harness.batch == before)
    // In the place of the one before there is room.
    let other = retry("A", bytes: 50_000, &harness)
    #expect(other.isSuccess)
  }

  @Test("An environment is counted once for each job that has it, and for its namespace")
  func environmentOfAll() {
    var harness = Self.completed(extractors: 4)
    func retry(bytes: Int, _ harness: inout Harness) -> Result<Reply, Refusal>? {
      let overrides = Job.Overrides(environment: ["A": String(repeating: "v", count: bytes)])
      return harness.ask(.retry(batchID: "b", tier: 0, jobs: [], overrides, .all))
    }
    harness.core.limits.jobTextPerBatch = 1 << 20
    guard case .failure(.invalid("env", let rule)) = retry(bytes: 2000, &harness) else {
      Issue.record("accepted")
      return
    }
    #expect(rule.contains("1 MiB together"))
    #expect(rule.contains("for 1024 jobs"))
    harness.core.limits.jobTextPerBatch = 64 << 20
    harness.core.limits.specificationMemory.perNamespace = harness.core.index.specifications.use.all + (1 << 20)
    let tooMuch = retry(bytes: 2000, &harness)
    guard case .failure(.exhausted(.specificationBytesPerNamespace, _, _)) = tooMuch else {
      Issue.record("\(String(describing: tooMuch))")
      return
    }
    harness.core.limits.specificationMemory.perNamespace += 2 << 20
    let used = harness.core.index.specifications.use.all
    let fits = retry(bytes: 2000, &harness)
    #expect(fits.isSuccess)
    #expect(harness.core.index.specifications.use.all == used + 1024 * (64 + 1 + 2000))
    // What comes back from the journal counts the same, and goes with its batch.
    var next = Harness()
    next.core.restore(harness.batch)
    #expect(next.core.index.specifications.use.all == harness.core.index.specifications.use.all)
    if let batch = next.core.batches[next.key] { next.core.forget(batch) }
    #expect(next.core.index.specifications.use.all == 0)
  }

  @Test("A batch has no more jobs than can be kept, however they are spread over its tiers")
  func jobs() {
    var harness = Harness()
    let all = harness.create("a", Self.tiers(64, extractors: 64, shards: 256))
    guard case .failure(.invalid("tiers", let rule)) = all else {
      Issue.record("accepted")
      return
    }
    #expect(rule.contains("at most 16384 jobs together") && rule.contains("1048576"))
    let most = harness.create("b", Self.tiers(1, extractors: 64, shards: 256))
    #expect(most.isSuccess)
    #expect(harness.core.index.specifications.use.all > 16_384 * 512)
    let long = harness.create("c", Self.tiers(1, extractors: 64, shards: 256, command: 10_000))
    guard case .failure(.invalid("tiers", let rule)) = long else {
      Issue.record("accepted")
      return
    }
    #expect(rule.contains("64 MiB of commands and environments"))
  }

  @Test("Namespaces that take all the memory for specifications leave the others a little")
  func shareOfSmallNamespaces() {
    var harness = Harness()
    harness.core.limits.specificationMemory.all = 20_000
    harness.core.limits.specificationMemory.forSmallNamespaces = 10_000
    harness.core.limits.specificationMemory.ofSmallNamespace = 4000
    func tiers(_ bytes: Int) -> [TierSpecification] { Self.tiers(1, extractors: 1, shards: 1, command: bytes) }
    let large = harness.create("a", tiers(18_000), in: "large")
    let more = harness.create("b", tiers(1000), in: "large")
    let small = harness.create("a", tiers(1000), in: "small")
    let second = harness.create("b", tiers(1000), in: "small")
    #expect(large.isSuccess && !more.isSuccess && small.isSuccess && !second.isSuccess)
  }

  @Test("What runs, however much of it is told, has nobody look through the jobs that wait")
  func waitsAreKnown() {
    var harness = Harness(cpus: 2)
    harness.submit([tier(extractor(shards: 200))], documents: 400)
    #expect(harness.core.index.waits[harness.key] != nil)
    harness.core.index.waits[harness.key]?.waiting?.waits[0].since = harness.now + .seconds(-1)
    let known = harness.core.index.waits[harness.key]?.waiting
    harness.run(0, 0)
    harness.report(harness.claim(1, 0, 0), 0, 0)
    harness.step(.tick)
    // It is still what was found first, and not what was looked up anew.
    #expect(harness.core.index.waits[harness.key]?.waiting == known)
    harness.finish(0, 1)
    #expect(harness.core.index.waits[harness.key]?.waiting != known, "another job has started")
  }
}

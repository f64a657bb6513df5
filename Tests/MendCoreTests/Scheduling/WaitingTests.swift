@testable import MendCore
import Testing

extension Harness {
  /// Ticks as long as something is due within a millisecond.
  fileprivate mutating func comeToRest(_ sourceLocation: SourceLocation = #_sourceLocation) {
    for _ in 0..<20 {
      guard core.nextDeadline <= now + .milliseconds(1) else { return }
      now = core.nextDeadline
      step(.tick)
    }
    Issue.record("it does not come to rest", sourceLocation: sourceLocation)
  }
}

@Suite("What waits for room")
struct WaitingTests {
  private static func capacity(_ cpus: Double) -> Observation {
    .capacity(Capacity(executor: .simulated, cpus: cpus, memoryBytes: 1 << 30))
  }

  private static func gpu() -> ExtractorSpecification {
    var extractor = extractor("gpu")
    extractor.resources.requiresGPU = true
    return extractor
  }

  @Test("What asks for more than there is while the capacity is small waits on, and starts when it has grown again")
  func shrinks() {
    var harness = Harness(cpus: 4)
    harness.submit([tier(extractor(cpus: 4))], id: "holds")
    harness.submit([tier(extractor(cpus: 4))], id: "waits")
    harness.see(Self.capacity(2))
    harness.finish(batch: "holds")
    #expect(harness.launches.isEmpty)
    // What it could not have for now is kept from nobody, however long it waits.
    harness.advance(120)
    harness.submit([tier(extractor(cpus: 2))], id: "small")
    #expect(harness.launches.map(\.batch.batchID) == ["small"])
    harness.finish(batch: "small")
    harness.see(Self.capacity(8))
    #expect(harness.launches.map(\.batch.batchID) == ["waits"])
  }

  @Test("A job of a running batch that is to run again waits for a capacity that comes back, too")
  func retriedWhileSmall() {
    var harness = Harness(cpus: 4)
    harness.submit([tier(extractor(cpus: 4, retry: [RetryRule(action: .retry, backoff: .zero)]))])
    harness.run()
    harness.see(Self.capacity(2))
    harness.end(.exited(1))
    harness.tick(after: 5)
    #expect(harness.job().status == .pending && harness.launches.isEmpty)
    harness.see(Self.capacity(4))
    #expect(harness.launches.map(\.number) == [2])
  }

  @Test("However many wait for a GPU, what needs none starts, in their namespace and in others")
  func otherNeeds() {
    var harness = Harness(cpus: 100, gpus: 1)
    harness.submit([tier(Self.gpu())], id: "holds")
    for number in 0..<200 { harness.submit([tier(Self.gpu())], id: "g\(number)") }
    harness.submit([tier(extractor())], id: "plain")
    #expect(harness.launches.map(\.batch.batchID) == ["plain"])
    for name in 0..<6 {
      let specification = BatchSpecification(executor: .simulated, tiers: [tier(Self.gpu())])
      for number in 0..<80 {
        _ = harness.ask(
          .createBatch(batchID: "b\(number)", specification, documents: Harness.documents(1)), namespace: "n\(name)")
        _ = harness.ask(.submitBatch(batchID: "b\(number)"), namespace: "n\(name)")
      }
    }
    harness.submit("late", in: "quiet")
    #expect(harness.launches.map(\.batch.namespace) == ["quiet"])
    harness.finish(batch: "holds")
    #expect(harness.launches.count == 1)
  }

  @Test("What asks for no CPU starts while no CPU is free")
  func noCPU() {
    var harness = Harness(cpus: 1, gpus: 1)
    harness.submit([tier(extractor())], id: "holds")
    var free = Self.gpu()
    free.resources.cpus = 0
    harness.submit([tier(free)], id: "free")
    #expect(harness.launches.map(\.batch.batchID) == ["free"])
  }

  @Test("A namespace that waits for more different things than are told apart hides nothing of another")
  func manyDemands() {
    var harness = Harness(cpus: 10)
    harness.submit([tier(extractor(cpus: 9))], id: "holds")
    for number in 0..<300 { harness.submit([tier(extractor(cpus: 2 + Double(number) / 100))], id: "b\(number)") }
    #expect(harness.core.index.lanes[.simulated]?.queue.batches.underestimatedCount == 300)
    harness.submit("other", in: "others")
    #expect(harness.launches.map(\.batch.namespace) == ["others"])
    for effect in 0..<2 { _ = effect; harness.tick(after: 1) }
    harness.finishOne(of: "others")
    harness.finish(batch: "holds")
    #expect(!harness.launches.isEmpty)
    let entry = harness.core.batches[BatchKey(namespace: "default", batchID: "b299")]?.queued
    #expect(entry.map { harness.core.index.lanes[.simulated]?.queue.position(of: $0) ?? 0 } ?? 0 > 250)
  }

  @Test("A pass takes so many looks and no more, and the next ones come to all the others")
  func looks() {
    var limits = Limits()
    limits.schedulingLooks = 8
    var harness = Harness(cpus: 100, limits: limits)
    harness.submit([tier(extractor(cpus: 95))], id: "holds")
    for number in 0..<40 { harness.submit("b", in: "n\(number)", cpus: 10 + Double(number)) }
    harness.submit("small", in: "last")
    #expect(harness.core.batches[BatchKey(namespace: "last", batchID: "small")]?.status == .queued)
    harness.comeToRest()
    #expect(harness.core.batches[BatchKey(namespace: "last", batchID: "small")]?.status == .running)
    harness.finish(batch: "holds")
    for _ in 0..<20 { harness.tick(after: 0.001) }
    #expect(harness.live.count == 8, "10 + 11 + ... + 16 CPUs, and the small one")
  }

  @Test("A pause or a cancel of what waits lets others start, and nobody stands behind it any more")
  func leaves() {
    for operation in [
      Command.Operation.pauseBatch(batchID: "big"), .cancel(batchID: "big", .batch, grace: .zero),
      .cancel(batchID: "big", .tier(0), grace: .zero),
      .cancel(batchID: "big", .job(JobID(tier: 0, index: 0)), grace: .zero),
    ] {
      var harness = Harness(cpus: 8)
      harness.submit([tier(extractor())], id: "runs")
      harness.submit([tier(extractor(cpus: 8))], id: "big")
      harness.advance(61)
      harness.submit([tier(extractor())], id: "small")
      #expect(harness.launches.isEmpty)
      _ = harness.ask(operation)
      #expect(harness.launches.map(\.batch.batchID) == ["small"], "\(operation)")
      harness.submit([tier(extractor(cpus: 8))], id: "next")
      #expect(harness.diagnosis(of: "next").queue?.position == 1)
    }
  }

  @Test("One of two jobs that is cancelled lets others have the room that was kept for it")
  func jobLeaves() {
    var harness = Harness(cpus: 8)
    harness.submit([tier(extractor("small"), extractor("big", cpus: 8))])
    harness.advance(61)
    harness.submit([tier(extractor(cpus: 2))], id: "next")
    #expect(harness.launches.isEmpty)
    _ = harness.ask(.cancel(batchID: "b", .job(JobID(tier: 0, index: 1)), grace: .zero))
    #expect(harness.launches.map(\.batch.batchID) == ["next"])
  }

  @Test("A batch is not behind for the time of its pause, nor ahead: nothing is kept for it at once")
  func resumed() {
    var harness = Harness(cpus: 2)
    harness.submit([tier(extractor())], id: "runs")
    harness.submit([tier(extractor(cpus: 2))], id: "big")
    _ = harness.ask(.pauseBatch(batchID: "big"))
    harness.advance(1000)
    _ = harness.ask(.resumeBatch(batchID: "big"))
    harness.submit([tier(extractor())], id: "small")
    #expect(harness.launches.map(\.batch.batchID) == ["small"])
  }

  @Test("QUEUED is well however long it waits, unless it could never start")
  func queuedIsWell() {
    var harness = Harness(cpus: 1)
    harness.submit([tier(extractor())], id: "runs")
    harness.submit([tier(extractor())])
    harness.advance(100_000)
    #expect(harness.diagnosis(of: "b").health == .ok)
    #expect(harness.diagnosis(of: "b").healthReason == .waitingForCapacity)
    #expect(harness.diagnosis(of: "b").queue?.position == 1)
    harness.see(.capacity(Capacity(executor: .simulated, cpus: 0.5, memoryBytes: 1 << 30)))
    #expect(harness.diagnosis(of: "b").health == .stuck)
    #expect(harness.diagnosis(of: "b").healthReason == .neverSchedulable)
  }

  @Test("What has waited long for a GPU keeps no CPUs from others; what has the GPU free, and waits for CPUs, does")
  func keptForLong() {
    var harness = Harness(cpus: 8, gpus: 1)
    var hold = Self.gpu()
    hold.resources.cpus = 0.1
    var big = Self.gpu()
    big.resources.cpus = 7.5
    harness.submit([tier(hold)], id: "hold")
    harness.submit([tier(big)], id: "big")
    harness.tick(after: 61)
    harness.submit([tier(extractor())], id: "late")
    #expect(harness.launches.map(\.batch.batchID) == ["late"])
    // From now on it is CPUs that it lacks: they are kept, and so is the GPU.
    harness.finish(batch: "hold")
    #expect(harness.launches.isEmpty)
    harness.submit([tier(extractor())], id: "later")
    harness.submit([tier(hold)], id: "other")
    #expect(harness.launches.isEmpty)
    harness.finish(batch: "late")
    #expect(harness.launches.map(\.batch.batchID) == ["big"])
  }

  @Test("What waits for memory keeps no CPUs from what needs none of it")
  func keptForMemory() {
    var harness = Harness(cpus: 8, memory: 1000)
    harness.submit([tier(extractor(memory: 900))], id: "hold")
    harness.submit([tier(extractor(cpus: 7, memory: 500))], id: "big")
    harness.tick(after: 61)
    harness.submit([tier(extractor(memory: 100))], id: "memory")
    #expect(harness.launches.isEmpty)
    harness.submit([tier(extractor())], id: "plain")
    #expect(harness.launches.map(\.batch.batchID) == ["plain"])
  }

  @Test("However many wait for different things, what could start is not hidden behind them", arguments: [135, 600])
  func hidden(count: Int) {
    var limits = Limits()
    limits.schedulingLookahead = 256
    var harness = Harness(cpus: 100, gpus: 1, limits: limits)
    harness.submit([tier(Self.gpu())], id: "holds")
    for number in 0..<count {
      var extractor = Self.gpu()
      extractor.resources.memoryBytes = Int64(1 + number)
      harness.submit([tier(extractor)], id: "g\(number)")
    }
    for number in 0..<100 { harness.submit([tier(extractor(cpus: 80 + Double(number) / 100))], id: "c\(number)") }
    harness.submit([tier(extractor())], id: "plain")
    harness.comeToRest()
    #expect(harness.core.batches[harness.key(of: "plain")]?.status == .running)
    #expect(harness.core.batches[harness.key(of: "c0")]?.status == .running)
    harness.finish(batch: "holds")
    for _ in 0..<20 { harness.tick(after: 0.001) }
    #expect(harness.core.batches[harness.key(of: "g0")]?.status == .running)
  }

  @Test("Of those that wait for different things the first in line is the first to start")
  func orderOfDifferent() {
    var harness = Harness(cpus: 10)
    harness.submit([tier(extractor(cpus: 10))], id: "holds")
    for number in 0..<200 { harness.submit([tier(extractor(cpus: 9 + Double(number) / 1000))], id: "b\(number)") }
    harness.submit([tier(extractor(cpus: 0.5))], id: "small")
    harness.submit([tier(extractor(cpus: 0.4))], id: "smaller")
    harness.finish(batch: "holds")
    #expect(harness.launches.map(\.batch.batchID) == ["b0", "small", "smaller"])
  }

  @Test("What comes free while the queue is looked through is offered to those who were refused before")
  func cameFree() {
    var limits = Limits()
    limits.schedulingLooks = 8
    var harness = Harness(cpus: 100, limits: limits)
    harness.submit([tier(extractor(cpus: 95))], id: "holds")
    for number in 0..<12 { harness.submit("b", in: "n\(number)", cpus: 10 + Double(number)) }
    harness.now = harness.core.nextDeadline
    harness.step(.tick)
    harness.submit("more", in: "m", cpus: 50)
    harness.finish(batch: "holds")
    harness.comeToRest()
    #expect(harness.core.batches[BatchKey(namespace: "n0", batchID: "b")]?.status == .running)
  }

  @Test("A batch that waits starts with whichever of its jobs there is room for", arguments: [true, false])
  func firstJobs(gpuFirst: Bool) {
    var harness = Harness(cpus: 8, gpus: 1)
    harness.submit([tier(Self.gpu())], id: "holds")
    let extractors = gpuFirst ? [Self.gpu(), extractor()] : [extractor(), Self.gpu()]
    harness.submit([TierSpecification(extractors: extractors)])
    #expect(harness.launches.map(\.job) == [JobID(tier: 0, index: gpuFirst ? 1 : 0)])
    #expect(harness.batch.status == .running)
  }

  @Test("A paused batch leaves its place in a quota of batches, and resumes when there is one")
  func pausedInAQuota() {
    var limits = Limits()
    limits.quotas = ["default": Quota(batches: 1)]
    var harness = Harness(cpus: 8, limits: limits)
    harness.submit([tier(extractor())], id: "a")
    harness.run(batch: "a")
    harness.submit([tier(extractor())], id: "urgent")
    #expect(harness.launches.isEmpty)
    _ = harness.ask(.pauseBatch(batchID: "a"))
    #expect(harness.launches.map(\.batch.batchID) == ["urgent"])
    guard case .failure(.exhausted(.quotaBatches, let why, _)) = harness.ask(.resumeBatch(batchID: "a")) else {
      Issue.record("resumed beyond the quota")
      return
    }
    #expect(why.contains("the quota of namespace default is 1 batch"))
    #expect(harness.core.batches[harness.key(of: "a")]?.status == .paused)
    // After a restart it is the same.
    var next = Harness(cpus: 8, limits: limits)
    for batch in harness.core.batches.values { next.core.restore(batch) }
    #expect(next.core.index.started(in: "default") == 1)
    harness.finish(batch: "urgent")
    let resumed = harness.ask(.resumeBatch(batchID: "a"))
    #expect(resumed.isSuccess)
    #expect(harness.core.index.started(in: "default") == 1)
  }

  @Test("Sums of memory beyond what a number holds are told as the largest, and come back exactly")
  func absurdSums() {
    let job = Resources(memoryBytes: 1 << 56)
    var use = ResourceUse()
    for _ in 0..<200 { use.add(job) }
    #expect(use.memoryBytes == .max)
    #expect(!use.fits(Demand.Need(job), in: Capacity(executor: .ray, cpus: 1e6, memoryBytes: .max)))
    #expect(Quota(memoryBytes: .max - 1).bound(against: job, held: use) != nil)
    var other = ResourceUse()
    other.replace(ResourceUse(), by: use)
    for _ in 0..<200 { use.remove(job) }
    other.replace(other, by: use)
    #expect(use == ResourceUse() && other == ResourceUse())
    var harness = Harness(cpus: 1e6, memory: .max)
    let shards = extractor(shards: 256, cpus: 1, memory: 1 << 56)
    harness.submit([tier(shards, extractor("more", shards: 256, memory: 1 << 56))], documents: 512)
    #expect(harness.launches.count == 127)
    #expect(harness.diagnosis(of: "b").health != .stuck)
  }
}

@testable import MendCore
import Testing

@Suite("Sharing: age, namespaces, quotas and reservations")
struct FairnessTests {
  static func key(_ id: String, _ namespace: String) -> BatchKey { BatchKey(namespace: namespace, batchID: id) }

  @Test("A low priority is overtaken for a bounded time only")
  func aging() {
    var harness = Harness(cpus: 1)
    harness.submit([tier(extractor())], priority: 50, id: "running")
    harness.submit([tier(extractor())], priority: 0, id: "low")
    var overtaken = 0
    var current = "running"
    // One of priority 100 comes every ten minutes, and each takes ten minutes: without aging, "low" would never start.
    while overtaken < 30, current != "low" {
      harness.submit([tier(extractor())], priority: 100, id: "high\(overtaken)")
      harness.advance(600)
      harness.finish(batch: current)
      current = harness.launches.first?.batch.batchID ?? ""
      overtaken += 1
    }
    #expect(current == "low")
    // A hundred points are a hundred minutes, at ten minutes a batch.
    #expect(overtaken == 11)
  }

  @Test("A namespace with many batches leaves the next room to one that holds less")
  func fairShare() {
    var harness = Harness(cpus: 2)
    for number in 0..<6 { harness.submit("a\(number)", in: "crowd") }
    #expect(harness.live == ["crowd", "crowd"])
    harness.submit("b0", in: "quiet")
    harness.submit("b1", in: "quiet")
    harness.finishOne(of: "crowd")
    #expect(harness.live == ["crowd", "quiet"])
    harness.finishOne(of: "crowd")
    // Equal shares again would be one each; the crowd holds none, so it is next.
    #expect(harness.live == ["quiet", "crowd"] || harness.live == ["crowd", "quiet"])
  }

  @Test("Namespaces with equal shares take turns, on one CPU too, and after a restart")
  func turns() {
    var harness = Harness(cpus: 1)
    for number in 0..<4 { harness.submit("a\(number)", in: "first") }
    for number in 0..<4 { harness.submit("b\(number)", in: "second") }
    var order: [String] = []
    for round in 0..<6 {
      harness.advance(1)
      if round == 3 { harness = harness.afterRestart() }
      let name = harness.live.first ?? ""
      order.append(name)
      harness.finishOne(of: name)
    }
    #expect(order == ["first", "second", "first", "second", "first", "second"])
  }

  @Test("A priority orders within its namespace, and takes nothing from another")
  func priorityStaysAtHome() {
    var harness = Harness(cpus: 1)
    harness.submit("running", in: "greedy")
    for number in 0..<3 { harness.submit("g\(number)", in: "greedy", priority: 100) }
    harness.submit("m", in: "modest", priority: 0)
    harness.finishOne(of: "greedy")
    #expect(harness.live == ["modest"])
  }

  @Test("Room is kept for a job that has waited long, of what it needs only")
  func reservation() {
    var harness = Harness(cpus: 2, memory: 100, gpus: 1)
    harness.submit([tier(extractor())], id: "small")
    harness.submit([tier(extractor(cpus: 2))], id: "big")
    harness.advance(61)
    harness.submit([tier(extractor(cpus: 1))], id: "takes-cpu")
    #expect(harness.launches.isEmpty)
    var free = extractor(cpus: 0, memory: 60)
    free.resources.requiresGPU = true
    harness.submit([tier(free)], id: "takes-gpu")
    #expect(harness.launches.map(\.batch.batchID) == ["takes-gpu"])
    harness.finish(batch: "small")
    #expect(harness.launches.map(\.batch.batchID) == ["big"])
  }

  @Test("A namespace at its quota waits while others start, and goes on when its own end")
  func quota() {
    var limits = Limits()
    limits.quotas = ["small": Quota(cpus: 1), "*": Quota(cpus: 3)]
    var harness = Harness(cpus: 4, limits: limits)
    harness.submit("a", in: "small")
    harness.submit("b", in: "small")
    #expect(harness.live == ["small"])
    let waiting = harness.core.batches[Self.key("b", "small")]!
    #expect(waiting.status == .queued)
    for number in 0..<4 { harness.submit("c\(number)", in: "other") }
    #expect(harness.live.count { $0 == "other" } == 3)
    harness.finishOne(of: "small")
    #expect(harness.core.batches[Self.key("b", "small")]!.status == .running)
  }

  @Test("A quota of batches counts what was started and is not over")
  func quotaOfBatches() {
    var limits = Limits()
    limits.quotas = ["n": Quota(batches: 1)]
    var harness = Harness(cpus: 4, limits: limits)
    harness.submit("a", in: "n")
    harness.submit("b", in: "n")
    #expect(harness.core.batches[Self.key("b", "n")]!.status == .queued)
    harness.finishOne(of: "n")
    #expect(harness.core.batches[Self.key("b", "n")]!.status == .running)
    // What is over may not come back while the one batch that is allowed runs.
    harness.endOne(of: "n", .exited(1))
    harness.submit("c", in: "n")
    guard
      case .failure(.exhausted(let limit, let why, _)) = harness.ask(
        .retry(batchID: "b", tier: 0, jobs: [], .init(), .failed), namespace: "n")
    else {
      Issue.record("the retry was taken")
      return
    }
    #expect(limit == .quotaBatches && why == "the quota of namespace n is 1 batch, and it has 1 batch")
  }

  @Test("What a quota could never hold is refused at submit")
  func neverWithinQuota() {
    var limits = Limits()
    limits.quotas = ["n": Quota(cpus: 1, memoryBytes: 1 << 20)]
    var harness = Harness(cpus: 4, limits: limits)
    let specification = BatchSpecification(executor: .simulated, tiers: [tier(extractor(cpus: 2))])
    _ = harness.ask(.createBatch(batchID: "b", specification, documents: Harness.documents(1)), namespace: "n")
    #expect(
      harness.ask(.submitBatch(batchID: "b"), namespace: "n")
        == .failure(
          .precondition(
            "quota: extractor text of tier 0 needs 2 CPUs, the quota of namespace n is 1 CPU",
            todo: Advice(
              "ask for less, or have the quota of namespace n raised",
              .serve([.quota(namespace: "n", Quota(cpus: 2, memoryBytes: 1 << 20))])),
            because: .quota)))
    let diagnosis = harness.core.batches[Self.key("b", "n")]!.diagnosis(
      at: harness.now, capacity: harness.core.capacity, limits: limits)
    #expect(diagnosis.health == .stuck && diagnosis.healthReason == .quota)
  }

  @Test("A waiting batch says its place, for what it waits and who of its namespace holds it")
  func batchContext() {
    var limits = Limits()
    limits.quotas = ["n": Quota(cpus: 2)]
    var harness = Harness(cpus: 4, limits: limits)
    harness.submit("a", in: "n", cpus: 2)
    harness.submit("b", in: "n", priority: 90)
    harness.submit("c", in: "n")
    harness.submit("d", in: "n")
    harness.submit("x", in: "elsewhere")
    let diagnosis = harness.diagnosis(of: "d", "n")
    #expect(diagnosis.health == .ok && diagnosis.healthReason == .quota && diagnosis.blockedReason == nil)
    #expect(
      diagnosis.nextActions == [
        Advice(
          "wait: 3rd in the queue of its namespace, behind 2 batches, 1 with a higher priority, it starts when the quota "
            + "of namespace n (2 CPUs) allows, batch a holds 2 CPUs")
      ])
    harness.advance(20 * 60)
    let late = harness.diagnosis(of: "d", "n")
    #expect(late.health == .ok && late.healthReason == .quota && late.blockedReason == nil)
    #expect(late.nextActions == diagnosis.nextActions)
  }

  @Test("Ten thousand waiting batches cost a step no more than a hundred")
  func manyWaiting() {
    var harness = Harness(cpus: 1)
    for number in 0..<10_000 { harness.submit("b\(number)", in: "n\(number % 100)") }
    var looked = 0
    for _ in 0..<100 {
      let before = harness.core.index.lanes[.simulated]?.queue.batches.underestimatedCount
      harness.finishOne(of: harness.live[0])
      // What a step touched is what it publishes: the batch that ended and the one that started.
      looked = max(looked, harness.output.afterCommit.count { if case .changed = $0 { true } else { false } })
      #expect(harness.core.index.lanes[.simulated]?.queue.batches.underestimatedCount == before.map { $0 - 1 })
    }
    #expect(looked <= 2)
  }
}

@Suite("Sorted lists")
struct SortedListTests {
  @Test("A sorted list agrees with a sorted array, whatever is put in and taken out")
  func agrees() {
    var generator = SplitMix(state: 7)
    var list = SortedList<Int>()
    var array: [Int] = []
    for _ in 0..<5000 {
      let value = Int(generator.next() % 3000)
      if generator.next() % 3 == 0 {
        let place = array.firstIndex(of: value)
        if let place { array.remove(at: place) }
        #expect(list.remove(value) == (place != nil))
      } else {
        let isNew = !array.contains(value)
        if isNew { array.insert(value, at: array.firstIndex { $0 > value } ?? array.count) }
        #expect(list.insert(value) == isNew)
      }
      #expect(list.position(of: value) == array.firstIndex { $0 >= value } ?? array.count)
    }
    #expect(Array(list) == array && list.count == array.count && list.first == array.first)
  }
}

extension Harness {
  /// One extractor, three documents.
  mutating func submit(_ id: String, in namespace: String, priority: Int = 50, cpus: Double = 1) {
    let specification = BatchSpecification(
      priority: priority, executor: .simulated, tiers: [tier(extractor(cpus: cpus, opaque: true))])
    _ = ask(.createBatch(batchID: id, specification, documents: Harness.documents(3)), namespace: namespace)
    _ = ask(.submitBatch(batchID: id), namespace: namespace)
  }

  /// The namespaces of the live attempts, by when they were intended.
  var live: [String] {
    core.index.live.sorted { left, right in
      let (a, b) = (intended(left), intended(right))
      return a != b ? a < b : left < right
    }.map(\.batch.namespace)
  }

  private func intended(_ attempt: AttemptKey) -> Instant {
    core.batches[attempt.batch]!.tiers[attempt.job.tier].jobs[attempt.job.index].attempts.last!.intendedAt
  }

  mutating func finishOne(of namespace: String) { endOne(of: namespace, .exited(0)) }

  mutating func endOne(of namespace: String, _ termination: ExitRecord.Termination) {
    guard let attempt = core.index.live.filter({ $0.batch.namespace == namespace }).min() else { return }
    see(.started(attempt))
    see(.ended(attempt, ExitRecord(termination: termination, at: now), nil))
  }

  /// A core that has only what was journaled.
  func afterRestart() -> Harness {
    var next = self
    next.core = Core(limits: core.limits, capacity: core.capacity, generator: SplitMix(state: 99))
    for records in journal.values { next.core.restore(whole: records) }
    for key in keys { next.core.restore(key) }
    for start in starts.values { next.core.restore(start) }
    next.step(.recovered)
    return next
  }

  func diagnosis(of id: String, _ namespace: String = "default") -> Diagnosis {
    var usage = NamespaceUsage()
    for batch in core.batches.values where batch.key.namespace == namespace { usage.replace(nil, by: batch) }
    let batch = core.batches[BatchKey(namespace: namespace, batchID: id)]!
    return batch.diagnosis(
      at: now, capacity: core.capacity, limits: core.limits, batchContext: usage.batchContext(of: batch))
  }
}

import MendCore
import Testing

@Suite("Scheduling")
struct SchedulingTests {
  @Test("Whose event let another batch go on is not in that batch's history, which others may read")
  func beside() {
    var harness = Harness()
    harness.submit([tier(extractor(retry: [RetryRule(action: .retry, backoff: .seconds(2))]))])
    harness.run()
    harness.end(.exited(1))
    harness.advance(5)
    // The backoff is over, and the first to come by is a caller of another namespace.
    let specification = BatchSpecification(executor: .simulated, tiers: [tier(extractor())])
    _ = harness.ask(
      .createBatch(batchID: "theirs", specification, documents: Harness.documents(1)), namespace: "others")
    let theirs = BatchKey(namespace: "others", batchID: "theirs")
    #expect(harness.journal[theirs]?.map(\.who) == ["tester", "tester"])
    let started = harness.journal[harness.key]?.last { if case .attemptIntended = $0.fact { true } else { false } }
    #expect(started?.at == harness.now && started?.cause == .scheduler && started?.who == "scheduler")
    #expect(harness.batch.tiers[0].jobs[0].attempts.count == 2)
  }

  @Test("Batches start by priority, then in the order of submission, and say how many stand before them")
  func order() {
    var harness = Harness(cpus: 1)
    harness.submit([tier(extractor())], id: "running")
    harness.submit([tier(extractor())], id: "first")
    harness.submit([tier(extractor())], id: "second")
    #expect(harness.position == 1)
    harness.submit([tier(extractor())], priority: 90, id: "urgent")
    #expect(harness.position == 0)
    harness.submit([tier(extractor())], priority: 10, id: "late")
    #expect(harness.position == 3)
    var order: [String] = []
    var current = "running"
    for _ in 0..<4 {
      harness.finish(batch: current)
      current = harness.launches.first?.batch.batchID ?? ""
      order.append(current)
    }
    #expect(order == ["urgent", "first", "second", "late"])
  }

  @Test("A job waits PENDING until there is room, by CPUs, memory and GPUs")
  func room() {
    var harness = Harness(cpus: 2, memory: 100, gpus: 1)
    harness.submit([tier(extractor("a", memory: 60), extractor("b", memory: 60))])
    #expect(harness.job(0, 0).status == .starting && harness.job(0, 1).status == .pending)
    harness.finish(0, 0)
    #expect(harness.job(0, 1).status == .starting)
    harness.finish(0, 1)
    #expect(harness.batch.status == .completed)
    var gpu = extractor("g", cpus: 0.5)
    gpu.resources.requiresGPU = true
    var other = gpu
    other.name = "h"
    harness.submit([tier(gpu, other)], id: "g")
    #expect(
      harness.launches.isEmpty
        || harness.core.batches[BatchKey(namespace: "default", batchID: "g")]!.tiers[0].jobs
          .filter { $0.current != nil }.count == 1
    )
  }

  @Test("A small job may pass a big one that waits, for a while only")
  func overtaking() {
    var harness = Harness(cpus: 2)
    harness.submit([tier(extractor())], id: "small")
    harness.submit([tier(extractor(cpus: 2))], id: "big")
    harness.submit([tier(extractor())], id: "passes")
    #expect(harness.launches.map(\.batch.batchID) == ["passes"])
    harness.advance(61)
    harness.finish(batch: "passes")
    #expect(harness.launches.isEmpty)
    harness.submit([tier(extractor())], id: "waits")
    #expect(harness.launches.isEmpty)
    harness.finish(batch: "small")
    #expect(harness.launches.map(\.batch.batchID) == ["big"])
  }

  @Test("A retry may change a job's priority")
  func retryPriority() {
    var harness = Harness(cpus: 1)
    harness.submit([tier(extractor())])
    harness.run()
    harness.end(.exited(1))
    harness.submit([tier(extractor())], id: "running")
    harness.submit([tier(extractor())], id: "waiting")
    _ = harness.ask(.retry(batchID: "b", tier: 0, jobs: [], .init(priority: 80), .failed))
    #expect(harness.job().status == .pending)
    harness.finish(batch: "running")
    #expect(harness.launches.map(\.batch.batchID) == ["b"])
  }

  @Test("A job that has nothing left to do succeeds without an attempt")
  func nothingToDo() {
    var harness = Harness()
    harness.submit([tier(extractor(shards: 3)), tier(extractor(shards: 2))], documents: 1)
    #expect(harness.batch.tiers[0].jobs.map(\.status) == [.starting, .succeeded, .succeeded])
    harness.finish()
    #expect(harness.batch.tiers[1].jobs.map(\.status) == [.starting, .succeeded])
    harness.finish(1)
    #expect(harness.batch.status == .completed)
  }

  @Test("A thousand queued batches are started one after the other, each once")
  func many() {
    var harness = Harness(cpus: 1)
    for number in 0..<1000 { harness.submit([tier(extractor(opaque: true))], documents: 1, id: "b\(number)") }
    var done = 0
    while let live = harness.core.batches.values.first(where: { $0.status == .running }) {
      #expect(live.key.batchID == "b\(done)")
      harness.end(.exited(0), batch: live.key.batchID)
      done += 1
    }
    #expect(done == 1000)
  }
}

extension Harness {
  var position: Int? {
    for effect in output.afterCommit {
      if case .reply(_, .submitted(let submitted)) = effect { return submitted.queuePosition }
    }
    return nil
  }
}

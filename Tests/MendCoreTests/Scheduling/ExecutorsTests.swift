import Testing

@testable import MendCore

@Suite("Several executors in one server")
struct ExecutorsTests {
  private let ray = Capacity(executor: .ray, cpus: 2, memoryBytes: 1 << 30)

  private func harness(cpus: Double = 1, limits: Limits = Limits(), ray: Capacity? = nil) -> Harness {
    Harness(cpus: cpus, limits: limits, others: [ray ?? self.ray])
  }

  private func launches(_ harness: Harness) -> [String] {
    harness.output.afterCommit.compactMap {
      if case .launch(let attempt, let launch) = $0 {
        "\(attempt.batch.batchID) on \(launch.parameters.executor)"
      } else {
        nil
      }
    }
  }

  private func health(_ harness: Harness, of id: String = "b") -> HealthReport {
    let batch = harness.core.batches[BatchKey(namespace: "default", batchID: id)]!
    return batch.health(
      at: harness.now, capacity: harness.core.capacities.of(batch), limits: harness.core.limits)
  }

  private func diagnosis(_ harness: Harness, of id: String = "b") -> Diagnosis {
    let batch = harness.core.batches[BatchKey(namespace: "default", batchID: id)]!
    return batch.diagnosis(
      at: harness.now, capacity: harness.core.capacities.of(batch), limits: harness.core.limits)
  }

  /// The server ends, and one with other executors takes its data.
  private func restarted(_ harness: Harness, with others: [Capacity]) -> Harness {
    var next = harness
    next.core = Core(
      limits: harness.core.limits, capacities: Capacities(harness.core.capacity, others, traits: Harness.traits),
      generator: SplitMix(state: 99))
    for key in harness.journal.keys.sorted() { next.core.restore(whole: harness.journal[key] ?? []) }
    next.step(.recovered)
    return next
  }

  @Test("A batch runs on the executor that it names, and what is full on one holds nothing up on the other")
  func separateRoom() {
    var harness = harness()
    harness.submit([tier(extractor())], id: "a")
    #expect(launches(harness) == ["a on simulated"])
    harness.submit([tier(extractor())], id: "full")
    #expect(launches(harness) == [])
    for id in ["r1", "r2", "r3"] {
      harness.submit([tier(extractor())], id: id, on: .ray)
      #expect(launches(harness) == (id == "r3" ? [] : ["\(id) on ray"]))
    }
    harness.finish(batch: "r1")
    #expect(launches(harness) == ["r3 on ray"])
    harness.finish(batch: "a")
    #expect(launches(harness) == ["full on simulated"])
  }

  @Test("What an executor is asked goes to the batch's own")
  func routing() {
    var harness = harness()
    harness.submit([tier(extractor())], on: .ray)
    harness.run()
    _ = harness.ask(.cancel(batchID: "b", .batch, grace: .zero))
    #expect(harness.output.afterCommit.compactMap(\.executor) == [.ray])
    let next = restarted(harness, with: [ray])
    #expect(next.output.afterCommit.compactMap(\.executor) == [.ray])
  }

  @Test("An executor that the server does not have is refused, with what it has and how to get the other")
  func refused() {
    var harness = harness()
    let specification = BatchSpecification(executor: .local, tiers: [tier(extractor())])
    let answer = harness.ask(.createBatch(batchID: "b", specification, documents: []))
    #expect(
      answer
        == .failure(
          .invalid(
            field: "deployment_mode",
            rule: "must be simulated or ray, which this server runs, or unset: this server was started without the "
              + "local executor; start the server with it")))
  }

  @Test("What could never start is judged by the executor that the batch names")
  func neverSchedulable() {
    var harness = harness()
    harness.submit([tier(extractor(cpus: 2))], on: .ray)
    #expect(harness.batch.status == .running)
    harness.submit([tier(extractor(cpus: 2))], id: "c")
    #expect(harness.core.batches[BatchKey(namespace: "default", batchID: "c")]?.status == .created)
    guard case .failure(.precondition(let what, let todo, _)) = harness.answer(to: CallID(harness.callCount)) else {
      Issue.record("it was taken")
      return
    }
    #expect(what.contains("the simulated executor has 1") && todo.command == more(.simulated, isStandard: true, 2))
    harness.submit([tier(extractor(cpus: 3))], id: "d", on: .ray)
    guard case .failure(.precondition(let what, let todo, _)) = harness.answer(to: CallID(harness.callCount)) else {
      Issue.record("it was taken")
      return
    }
    #expect(what.contains("the ray executor has 2") && todo.command == more(.ray, isStandard: false, 3))
  }

  private func more(_ executor: ExecutorKind, isStandard: Bool, _ cpus: Double) -> ProgramCommand {
    .serve([.capacity(executor, isStandard: isStandard, cpus: cpus, memoryBytes: nil)])
  }

  @Test("An executor that is away holds up its own batches only, and says so of them only")
  func awayAlone() {
    var harness = harness()
    harness.submit([tier(extractor(timers: Timers(heartbeat: .seconds(10_000))))], on: .ray)
    harness.run()
    harness.submit([tier(extractor(timers: Timers(heartbeat: .seconds(10_000))))], id: "here")
    harness.run(batch: "here")
    harness.see(.unreachable(.ray, message: "connection refused"))
    #expect(health(harness).reason == .executorUnreachable)
    #expect(health(harness, of: "here") == HealthReport(.ok))
    harness.submit([tier(extractor())], id: "later", on: .ray)
    #expect(launches(harness) == [])
    #expect(health(harness, of: "later").reason == .executorUnreachable)
    #expect(
      diagnosis(harness, of: "later").nextActions.last
        == "wait: the batch is queued, and starts when the ray executor can be asked again, and has room for 1 CPU")
    harness.see(.reachable(.simulated))
    #expect(health(harness).reason == .executorUnreachable)
    harness.tick(after: 300)
    #expect(harness.ends == [harness.attempt()])
    #expect(harness.core.batches[BatchKey(namespace: "default", batchID: "here")]?.outage == nil)
    harness.finish(batch: "here")
    harness.submit([tier(extractor())], id: "next")
    #expect(launches(harness) == ["next on simulated"])
    harness.see(.unreachable(.simulated, message: "no fork"))
    harness.see(.reachable(.ray))
    #expect(launches(harness) == ["later on ray"])
    #expect(health(harness, of: "next").reason == .executorUnreachable)
  }

  @Test("Nothing is started on an executor that has not said what it has, and nothing is refused")
  func unknownCapacity() {
    var harness = harness(ray: .unknown(.ray))
    harness.step(.recovered)
    harness.submit([tier(extractor(cpus: 2))], on: .ray)
    #expect(harness.batch.status == .queued && launches(harness) == [])
    #expect(health(harness).reason == .executorUnreachable)
    harness.see(.reachable(.ray))
    #expect(launches(harness) == [])
    harness.see(.capacity(Capacity(executor: .ray, cpus: 2, memoryBytes: 1 << 30)))
    #expect(launches(harness) == ["b on ray"])
    harness.submit([tier(extractor(cpus: 2))], id: "c", on: .ray)
    #expect(launches(harness) == [])
    harness.see(.capacity(Capacity(executor: .ray, cpus: 4, memoryBytes: 1 << 30)))
    #expect(launches(harness) == ["c on ray"])
  }

  @Test(
    "A server without the executor of a batch neither fails nor repeats it, says why it waits, and the next goes on")
  func notConfigured() throws {
    var before = harness()
    let heal = BatchSpecification(
      timeout: nil, executor: .ray,
      tiers: [tier(extractor("live"), extractor("waiting", cpus: 2)), tier(extractor())],
      autoHeal: AutoHeal(maxHeals: 9, maxRisk: .high))
    _ = before.ask(.createBatch(batchID: "b", heal, documents: Harness.documents(4)))
    _ = before.ask(.submitBatch(batchID: "b"))
    before.run()
    _ = before.claim(2)
    before.submit([tier(extractor(cpus: 2))], id: "queued", on: .ray)
    #expect(before.core.batches[BatchKey(namespace: "default", batchID: "queued")]?.status == .queued)

    var without = restarted(before, with: [])
    #expect(without.output.afterCommit.compactMap(\.executor).filter { $0 == .ray } == [])
    let generation = without.batch.generation
    for _ in 0..<20 { without.tick(after: 1000) }
    #expect(without.batch.generation == generation && without.journal == before.journal)
    for id in ["b", "queued"] {
      let report = health(without, of: id)
      #expect(report.health == .stuck && report.reason == .executorNotConfigured)
      #expect(
        report.blockedReason
          == "executor_not_configured: this server was started without the ray executor; serve with a cluster")
      let finding = try #require(diagnosis(without, of: id).findings.first)
      #expect(
        finding.cause == .health(.executorNotConfigured)
          && finding.remedy?.description.contains("serve with a cluster") == true)
    }
    #expect(diagnosis(without).findings[0].message.contains("what became of its 1 attempt is not known"))
    // A worker of it that reaches the server is heard: what it did is done.
    #expect(without.report(["d0", "d1"]) == .success(.reported(.init(accepted: 2, repeated: 0, stop: false))))
    #expect(health(without) == HealthReport(.ok, .executorNotConfigured))
    without.submit([tier(extractor())], id: "here")
    #expect(without.core.batches[BatchKey(namespace: "default", batchID: "here")]?.status == .running)

    var again = restarted(without, with: [ray])
    #expect(
      again.output.afterCommit.contains {
        if case .adopt(let attempt, let handle, _) = $0 { attempt == before.attempt() && handle != nil } else { false }
      })
    #expect(again.batch.outage == nil && health(again).health == .ok)
    again.finish()
    #expect(again.job().status == .succeeded && again.job().attempts.count == 1)
  }

  @Test("What is cancelled on an executor that the server does not have is cancelled once it is there")
  func cancelNotConfigured() {
    var before = harness()
    before.submit([tier(extractor())], on: .ray)
    before.run()
    var without = restarted(before, with: [])
    _ = without.ask(.cancel(batchID: "b", .batch, grace: .zero))
    #expect(without.ends == [] && without.job().status == .cancelling)
    without.tick(after: 1000)
    #expect(without.job().status == .cancelling)
    var again = restarted(without, with: [ray])
    #expect(again.ends == [again.attempt()])
    again.end(.signalled(15), receipt: EndReceipt(processes: 1, how: "SIGTERM"))
    #expect(again.batch.status == .cancelled)
  }

  @Test("What was made for an executor that is not there can be neither submitted nor retried")
  func submitNotConfigured() {
    var before = harness()
    let specification = BatchSpecification(executor: .ray, tiers: [tier(extractor())])
    _ = before.ask(.createBatch(batchID: "new", specification, documents: Harness.documents(1)))
    before.submit([tier(extractor(retry: [RetryRule(action: .fail)]))], documents: 1, on: .ray)
    before.run()
    before.end(.exited(1))
    #expect(before.batch.status == .failed)
    var without = restarted(before, with: [])
    for operation: Command.Operation in [
      .submitBatch(batchID: "new"),
      .retry(batchID: "b", tier: 0, jobs: [], Job.Overrides(), .failed),
    ] {
      guard case .failure(.precondition(let what, let todo, _)) = without.ask(operation) else {
        Issue.record("it was taken: \(operation)")
        continue
      }
      #expect(what.hasPrefix("executor_not_configured: ") && todo.text.contains("serve with a cluster"))
    }
  }

  @Test("A namespace's quota is of all executors together, and the oldest batch comes first on whichever")
  func quotaOverExecutors() {
    var limits = Limits()
    limits.quotas["default"] = Quota(cpus: 1)
    var harness = harness(cpus: 4, limits: limits)
    harness.submit([tier(extractor())], id: "a")
    harness.advance(1)
    harness.submit([tier(extractor())], id: "second", on: .ray)
    harness.advance(1)
    harness.submit([tier(extractor())], id: "third")
    #expect(launches(harness) == [])
    let batchContext = NamespaceUsage.of(harness.core.batches.values, around: "second")
    #expect(batchContext.ahead == 0 && batchContext.holders == [])
    #expect(batchContext.holdersOfQuota.map(\.batchID) == ["a"])
    harness.finish(batch: "a")
    #expect(launches(harness) == ["second on ray"])
    harness.finish(batch: "second")
    #expect(launches(harness) == ["third on simulated"])
  }
}

extension NamespaceUsage {
  fileprivate static func of(_ batches: some Sequence<Batch>, around id: String) -> BatchContext {
    var usage = NamespaceUsage()
    var asked: Batch?
    for batch in batches {
      usage.replace(nil, by: batch)
      if batch.key.batchID == id { asked = batch }
    }
    return asked.map { usage.batchContext(of: $0) } ?? BatchContext()
  }
}

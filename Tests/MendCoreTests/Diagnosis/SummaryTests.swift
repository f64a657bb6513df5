import Testing

@testable import MendCore

/// What is said of a batch is kept when it turns, and can be said again by other rules.
@Suite struct SummaryTests {
  let key = BatchKey(namespace: "n", batchID: "b")
  let capacity = Capacity(executor: .local, cpus: 8, memoryBytes: 8 << 30)

  private struct World {
    var core: Core
    var now = Instant(milliseconds: 1_790_000_000_000)
    var records: [Record] = []
    var notifications: [Notification] = []
    var calls: UInt64 = 0

    mutating func take(_ output: Output) {
      for write in output.writes {
        switch write {
        case .record(let record): records.append(record)
        case .notification(let notification): notifications.append(notification)
        case .idempotency, .start: break
        }
      }
    }

    /// One round as a driver has it.
    mutating func round(_ event: Event) {
      take(core.step(event, at: now))
      take(core.review(at: now))
    }

    mutating func command(_ operation: Command.Operation) {
      calls += 1
      round(.command(CallID(calls), Command(namespace: "n", actor: "ann (operator)", operation: operation)))
    }

    var summaries: [DiagnosisSummary] {
      records.compactMap { if case .verdictChanged(let summary) = $0.fact { summary } else { nil } }
    }
  }

  private func world(notifies: Bool = false) -> World {
    var limits = Limits()
    limits.notifies = notifies
    return World(core: Core(limits: limits, capacity: capacity, generator: SystemRandomNumberGenerator()))
  }

  private func submit(_ world: inout World) throws -> AttemptKey {
    let extractor = ExtractorSpecification(name: "text", work: .entrypoint("run"), environment: ["SECRET": "s3cr3t"])
    let specification = BatchSpecification(
      notificationEnabled: true, tiers: [TierSpecification(extractors: [extractor])])
    world.command(
      .createBatch(batchID: "b", specification, documents: (0..<3).map { Document(id: "d\($0)", uri: "u\($0)") }))
    world.command(.submitBatch(batchID: "b"))
    return AttemptKey(batch: key, job: JobID(tier: 0, index: 0), number: 1)
  }

  @Test("a job that is silent is said to be stuck once, and well again once it moves")
  func stuckAndBack() throws {
    var world = world(notifies: true)
    let attempt = try submit(&world)
    world.round(.observation(.taken(attempt, ExecutorHandle(node: "h", reference: "r"))))
    world.round(.observation(.started(attempt)))
    let token = try #require(world.core.batches[key]?.tiers[0].jobs[0].attempts[0].token)
    world.calls += 1
    world.round(.worker(CallID(world.calls), WorkerRequest(token: token, operation: .claim(maximum: 1))))
    #expect(world.summaries.isEmpty)
    for _ in 0..<200 {
      world.now = world.now + .seconds(1)
      world.round(.tick)
    }
    #expect(world.summaries.map(\.health) == [.stuck])
    #expect(world.summaries.first?.reason == .noHeartbeat)
    #expect(world.summaries.first?.causes.first?.remedy == .heal(.detectStuck, tier: 0))
    #expect(world.notifications.map(\.kind) == [.stuck])
    world.calls += 1
    let report = WorkerRequest.Report(completed: ["d0"])
    world.round(.worker(CallID(world.calls), WorkerRequest(token: token, operation: .report(report))))
    world.now = world.now + .seconds(2)
    world.round(.tick)
    #expect(world.summaries.map(\.health) == [.stuck, .ok])
    // The same rules say the same of it again.
    let points = try #require(try Replay.points(of: world.records, capacity: capacity))
    #expect(points.count { $0.isRecordedVerdict } == 2)
    #expect(points.filter(\.differs) == [])
  }

  @Test("a failed batch is said why, and rules that differ are shown against it")
  func failed() throws {
    var world = world(notifies: true)
    let attempt = try submit(&world)
    world.round(.observation(.taken(attempt, ExecutorHandle(node: "h", reference: "r"))))
    world.round(.observation(.started(attempt)))
    world.now = world.now + .seconds(3)
    var exit = ExitRecord(termination: .exited(3), at: world.now)
    exit.lastStderrLine = "no such page"
    world.round(.observation(.ended(attempt, exit, nil)))
    #expect(world.core.batches[key]?.status == .failed)
    let summary = try #require(world.summaries.last)
    #expect(summary.causes.contains { $0.cause == .failure(.exitCode) && $0.category == .pipeline })
    #expect(world.notifications.map(\.kind) == [.final])
    #expect(world.notifications.first?.eventID == "n.b.\(world.notifications.first?.sequence ?? 0)")
    #expect(try Replay.points(of: world.records, capacity: capacity)?.filter(\.differs) == [])
    // As if it had been said otherwise then.
    var other = summary
    other.causes[0].cause = .failure(.oom)
    let changed = world.records.map { record in
      var record = record
      if case .verdictChanged = record.fact { record.fact = .verdictChanged(other) }
      return record
    }
    let points = try #require(try Replay.points(of: changed, capacity: capacity))
    #expect(points.filter(\.differs).map(\.now.causes.first?.cause) == [summary.causes[0].cause])
  }

  @Test("how an earlier version worded a remedy is no other verdict, and another remedy is")
  func wording() {
    func summary(_ remedy: Remedy.Call?, advised: String = "") -> DiagnosisSummary {
      let cause = DiagnosisSummary.Cause(
        category: .timeout, cause: .health(.noProgress), confidence: .high, remedy: remedy, advised: advised)
      return DiagnosisSummary(health: .stuck, reason: .noProgress, causes: [cause])
    }
    let now = summary(.heal(.detectStuck, tier: 0))
    #expect(now.isSame(as: summary(nil, advised: "mend heal b --action detect-stuck")))
    #expect(!now.isSame(as: summary(nil)) && !now.isSame(as: summary(.heal(.detectStuck, tier: 1))))
  }

  @Test("every record says who, and none that leaves the server has a secret")
  func actors() throws {
    var world = world()
    let attempt = try submit(&world)
    world.round(.observation(.taken(attempt, ExecutorHandle(node: "h", reference: "r"))))
    let token = try #require(world.core.batches[key]?.tiers[0].jobs[0].attempts[0].token)
    world.calls += 1
    world.round(.worker(CallID(world.calls), WorkerRequest(token: token, operation: .start)))
    #expect(world.records.first?.who == "ann (operator)")
    #expect(Set(world.records.map(\.who)) == ["ann (operator)", "executor", "worker t0-j0.1"])
    for record in world.records {
      let shown = "\(record.withoutSecrets)"
      #expect(!shown.contains(token) && !shown.contains("s3cr3t"))
    }
    #expect(world.notifications.isEmpty)
  }

  @Test("what became of a notification is in the history, and changes nothing else")
  func settled() throws {
    var world = world(notifies: true)
    _ = try submit(&world)
    let before = try #require(world.core.batches[key])
    world.now = world.now + .seconds(5)
    world.round(
      .notified(key, NotificationOutcome(eventID: "n.b.9", delivered: false, attempts: 3, detail: "503")))
    let after = try #require(world.core.batches[key])
    #expect(after.sequence == before.sequence + 1 && after.updatedAt == before.updatedAt)
    #expect(after.generation == before.generation)
    #expect(world.records.last?.who == "notifier")
    world.round(
      .notified(
        BatchKey(namespace: "n", batchID: "x"),
        NotificationOutcome(eventID: "", delivered: true, attempts: 1, detail: "")))
    #expect(world.records.last?.batch == key)
  }
}

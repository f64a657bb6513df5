import Testing

@testable import MendCore

/// History and webhooks say what Diagnose says, also of what turns by time alone.
@Suite("Health that turns by time")
struct HealthTurnTests {
  /// A core that is reviewed after each step, as a driver does.
  private struct World {
    var harness: Harness
    var summaries: [(batch: String, summary: DiagnosisSummary)] = []
    var notified: [String] = []

    init(cpus: Double = 1, limits: Limits = Limits()) {
      var limits = limits
      limits.notifies = true
      harness = Harness(cpus: cpus, limits: limits)
    }

    mutating func submit(_ tiers: [TierSpecification], id: String = "b") {
      let specification = BatchSpecification(notificationEnabled: true, executor: .simulated, tiers: tiers)
      _ = harness.ask(.createBatch(batchID: id, specification, documents: Harness.documents(2)))
      _ = harness.ask(.submitBatch(batchID: id))
      review()
    }

    mutating func review() {
      for write in harness.core.review(at: harness.now).writes {
        switch write {
        case .record(let record):
          harness.journal[record.batch, default: []].append(record)
          if case .verdictChanged(let summary) = record.fact { summaries.append((record.batch.batchID, summary)) }
        case .notification(let notification):
          if notification.kind == .stuck { notified.append(notification.batch.batchID) }
        default: break
        }
      }
    }

    /// Each history run through the rules again.
    func sayTheSameAgain() {
      for (key, records) in harness.journal {
        do {
          let points = try Replay.points(of: records, capacity: harness.core.capacity) ?? []
          #expect(points.filter(\.differs) == [], "\(key)")
        } catch {
          Issue.record(error)
        }
      }
    }

    /// Only as often as the core itself asks for it.
    mutating func pass(_ seconds: Double) {
      let end = harness.now + .seconds(seconds)
      while harness.core.nextDeadline <= end {
        harness.now = max(harness.now + .milliseconds(1), harness.core.nextDeadline)
        harness.step(.tick)
        review()
      }
      harness.now = end
    }
  }

  @Test("A running batch whose job waits for room past its window is said to be stuck, and a queued one is not")
  func waiting() {
    var world = World(cpus: 2)
    world.submit([tier(extractor("a", opaque: true), extractor("b", cpus: 2, timers: Timers(start: .seconds(3))))])
    world.harness.see(.started(world.harness.attempt()))
    world.submit([tier(extractor(opaque: true))], id: "holds")
    world.harness.see(.started(world.harness.attempt(batch: "holds")))
    world.submit([tier(extractor(cpus: 2, timers: Timers(start: .seconds(3))))], id: "queued")
    world.harness.end(.exited(0))
    world.review()
    world.pass(20)
    #expect(world.summaries.map(\.batch) == ["b"] && world.notified == ["b"])
    #expect(world.summaries.first?.summary.reason == .waitingForCapacity)
    #expect(world.harness.diagnosis(of: "b").health == .stuck)
    #expect(world.harness.diagnosis(of: "queued").health == .ok)
    world.sayTheSameAgain()
  }

  @Test("An executor that is away past its grace is said of what runs and of what waits, and that it is back")
  func outage() {
    var world = World()
    world.submit([tier(extractor(opaque: true))])
    world.harness.see(.started(world.harness.attempt()))
    world.submit([tier(extractor())], id: "queued")
    world.harness.see(.unreachable(.simulated, message: "away"))
    world.review()
    world.pass(299)
    #expect(world.summaries.isEmpty)
    world.pass(3)
    #expect(world.harness.diagnosis(of: "b").health == .stuck, "no end of an attempt that was given up comes")
    #expect(Set(world.summaries.map(\.batch)) == ["b", "queued"] && Set(world.notified) == ["b", "queued"])
    #expect(world.summaries.allSatisfy { $0.summary.reason == .executorUnreachable })
    world.harness.see(.reachable(.simulated))
    world.review()
    world.pass(2)
    #expect(world.summaries.last { $0.batch == "queued" }?.summary.health == .ok)
    world.sayTheSameAgain()
  }

  @Test("An end that is overdue is said, over a restart too")
  func overdue() {
    for restarts in [false, true] {
      var world = World()
      world.submit([tier(extractor(opaque: true))])
      world.harness.see(.started(world.harness.attempt()))
      _ = world.harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(30)))
      world.review()
      if restarts {
        world.harness = world.harness.afterRestart()
        world.review()
      }
      world.pass(89)
      #expect(world.summaries.isEmpty)
      world.pass(3)
      #expect(world.summaries.map(\.summary.health) == [.stuck])
    }
  }

  @Test("An end at an executor that the server no longer has is said to be stuck once the grace is over")
  func endingWithoutExecutor() {
    var world = World()
    world.submit([tier(extractor(opaque: true))])
    world.harness.see(.started(world.harness.attempt()))
    _ = world.harness.ask(.cancel(batchID: "b", .batch, grace: .seconds(900)))
    world.review()
    let records = world.harness.journal.values.first ?? []
    world.harness.core = Core(
      limits: world.harness.core.limits, capacities: Capacities(Capacity(executor: .local, cpus: 1, memoryBytes: 1)),
      generator: SplitMix(state: 99))
    world.harness.core.restore(whole: records)
    world.harness.step(.recovered)
    world.review()
    world.pass(299)
    #expect(world.summaries.allSatisfy { $0.summary.health != .stuck })
    world.pass(3)
    #expect(world.summaries.last?.summary.reason == .executorNotConfigured)
    #expect(world.notified == ["b"])
  }

  @Test("The reason is the one that Diagnose gives where a quota is what is waited for")
  func quota() {
    var limits = Limits()
    limits.quotas = ["*": Quota(cpus: 2)]
    var world = World(cpus: 8, limits: limits)
    world.submit([tier(extractor("a", opaque: true), extractor("b", cpus: 2, timers: Timers(start: .seconds(3))))])
    world.harness.see(.started(world.harness.attempt()))
    world.submit([tier(extractor(opaque: true))], id: "holds")
    world.harness.end(.exited(0))
    world.review()
    world.pass(10)
    #expect(world.summaries.map(\.summary.reason) == [.quota])
    world.sayTheSameAgain()
    #expect(world.harness.diagnosis(of: "b").healthReason == .quota)
  }
}

import Testing

@testable import MendCore

@Suite("Cold starts that were learnt")
struct StartTests {
  /// Runs batches one after the other whose start takes so long.
  static func start(_ harness: inout Harness, _ seconds: [Double], first: Int = 0) {
    for (number, wait) in seconds.enumerated() {
      harness.submit([tier(extractor(opaque: true))], documents: 1, id: "b\(first + number)")
      harness.advance(wait)
      harness.see(.started(harness.attempt(batch: "b\(first + number)")))
      harness.end(.exited(0), batch: "b\(first + number)")
    }
  }

  @Test("The window is twenty minutes until there is data, then three times the slowest start, and a restart keeps it")
  func learnt() {
    var harness = Harness()
    Self.start(&harness, Array(repeating: 10, count: 18) + [500])
    harness.submit([tier(extractor(opaque: true))], documents: 1, id: "before")
    #expect(harness.window(of: "before") == .seconds(1200))
    harness.see(.started(harness.attempt(batch: "before")))
    harness.end(.exited(0), batch: "before")
    harness.submit([tier(extractor(opaque: true))], documents: 1, id: "after")
    #expect(harness.window(of: "after") == .seconds(1500))
    harness = harness.afterRestart()
    harness.submit([tier(extractor(opaque: true))], documents: 1, id: "later")
    #expect(harness.window(of: "later") == .seconds(1500))
    // Other work, and other resources, have no data.
    harness.submit([tier(extractor(cpus: 0.5, opaque: true))], documents: 1, id: "other")
    #expect(harness.window(of: "other") == .seconds(1200))
  }

  @Test("Inside its window it is SCALING, past it STUCK, and the attempt keeps the window it was given")
  func health() {
    var harness = Harness()
    Self.start(&harness, Array(repeating: 500, count: 20))
    harness.submit([tier(extractor(opaque: true))], documents: 1, id: "cold")
    harness.tick(after: 1499)
    #expect(harness.diagnosis(of: "cold").health == .scaling)
    harness.tick(after: 1)
    #expect(harness.diagnosis(of: "cold").health == .scaling)
    harness.tick(after: 2)
    #expect(harness.diagnosis(of: "cold").health == .stuck)
    #expect(harness.diagnosis(of: "cold").blockedReason?.contains("1500 s is its window") == true)
  }

  @Test("A cluster's window is never shorter than the default, and a window that the caller set stays")
  func bounds() {
    var harness = Harness()
    Self.start(&harness, Array(repeating: 0.1, count: 30))
    harness.submit([tier(extractor(opaque: true))], documents: 1, id: "warm")
    #expect(harness.window(of: "warm") == .seconds(1200))
    harness.submit([tier(extractor(opaque: true, timers: Timers(start: .seconds(30))))], documents: 1, id: "own")
    #expect(harness.window(of: "own") == .seconds(30))
  }

  @Test("What is remembered is bounded, in kinds of work and in starts of each")
  func bounded() {
    var statistics = StartStatistics()
    var slots: Set<Int> = []
    for shape in 0..<3000 { slots.insert(statistics.add(.seconds(1), of: UInt64(shape)).slot) }
    #expect(slots.count == StartStatistics.slots && slots.max() == StartStatistics.slots - 1)
    var last = statistics.add(.seconds(500), of: 1)
    for _ in 0..<100 { last = statistics.add(.seconds(1), of: 1) }
    #expect(last.samples.count == StartHistory.samplesLimit && last.samples.max() == 1000)
  }

  @Test("After a restart a start is neither learnt from nor called stuck before its executor could say so")
  func adopted() {
    var harness = Harness()
    harness.submit([tier(extractor(opaque: true))], documents: 1)
    harness.advance(3600)
    harness = harness.afterRestart()
    harness.tick(after: 3)
    harness.tick(after: 3)
    #expect(harness.diagnosis(of: "b").health == .scaling)
    harness.tick(after: 60)
    harness.tick(after: 3)
    #expect(harness.diagnosis(of: "b").health == .stuck)
    harness.see(.started(harness.attempt()))
    #expect(harness.starts.isEmpty)
    #expect(harness.diagnosis(of: "b").health == .ok)
  }

  @Test("A worker that worked on while the server was away is not stuck when it comes back")
  func workedOn() {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.claim(1)
    harness.advance(1000)
    harness = harness.afterRestart()
    for _ in 0..<20 {
      harness.tick(after: 2)
      _ = harness.say(harness.token(), .start)
      #expect(harness.diagnosis(of: "b").health == .ok)
    }
  }
}

@Suite("Estimates")
struct EstimateTests {
  @Test("An even pace is told with its basis, and what was said before was right")
  func even() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 100)
    #expect(harness.batch.estimate(at: harness.now)?.unknownBecause == "no document is done yet")
    harness.run()
    for _ in 0..<40 {
      let claimed = harness.claim(1)
      harness.advance(2)
      harness.report(claimed)
    }
    let estimate = harness.batch.estimate(at: harness.now)!
    #expect(estimate.p50 == harness.now + .seconds(120))
    #expect(estimate.p90 == harness.now + .seconds(120))
    #expect(estimate.pastError == 0 && estimate.unknownBecause.isEmpty)
    #expect(estimate.basis == "the last 20 documents of tier 0 took 2 s each, 60 are left")
  }

  @Test("A pace that changed is followed, and the past error says how far it was off")
  func changed() {
    var harness = Harness()
    harness.submit([tier(extractor())], documents: 60)
    harness.run()
    for number in 0..<50 {
      let claimed = harness.claim(1)
      harness.advance(number < 20 ? 1 : 5)
      harness.report(claimed)
    }
    let estimate = harness.batch.estimate(at: harness.now)!
    #expect(estimate.p50 == harness.now + .seconds(50))
    #expect((estimate.p90 ?? harness.now) >= harness.now + .seconds(50))
    #expect((estimate.pastError ?? 0) > 0.3)
  }

  @Test("What is not known is not guessed, and says why")
  func unknown() {
    var harness = Harness(cpus: 1)
    harness.submit([tier(extractor())], id: "first")
    harness.submit([tier(extractor())])
    #expect(harness.diagnosis(of: "b").estimate?.unknownBecause.hasPrefix("it waits in the queue") == true)
    harness.finish(batch: "first")
    #expect(harness.diagnosis(of: "first").estimate == nil)
    harness.run()
    let claimed = harness.claim(1)
    harness.advance(1)
    harness.report(claimed)
    #expect(harness.diagnosis(of: "b").estimatedCompletion != nil)
    _ = harness.ask(.pauseBatch(batchID: "b"))
    #expect(harness.diagnosis(of: "b").estimate?.unknownBecause == "it is paused")
    _ = harness.ask(.resumeBatch(batchID: "b"))
    harness.tick(after: 61)
    harness.tick(after: 3)
    #expect(harness.diagnosis(of: "b").estimate?.unknownBecause == "it is stuck")
    #expect(harness.diagnosis(of: "b").estimatedCompletion == nil)
  }

  @Test("A million documents leave a curve of at most 64 points")
  func bounded() {
    var curve = ProgressCurve(startedAt: .zero, settled: 0, of: 1_000_000)
    for settled in stride(from: 1000, through: 1_000_000, by: 1000) {
      curve.note(settled, at: .milliseconds(settled))
    }
    #expect(curve.points.count <= ProgressCurve.limit && curve.points.count > ProgressCurve.limit / 4)
    #expect(curve.pastError ?? 1 < 0.01)
  }
}

extension Harness {
  func window(of id: String) -> Duration? {
    core.batches[BatchKey(namespace: "default", batchID: id)]!.tiers[0].jobs[0].attempts.last!.parameters.startWindow
  }
}

import Testing

@testable import MendCore

/// Pauses, and the wait between a failure and a retry, are no work.
@Suite("Work time")
struct WorkTimeTests {
  /// 60 documents, of which one attempt has done so many, each in a second.
  private static func working(_ count: Int) -> Patient {
    var patient = Patient(documents: 60)
    patient.submit()
    patient.run(first)
    work(&patient, 0..<count)
    return patient
  }

  /// A document of `seconds` each, from the first that is open on.
  private static func work(_ patient: inout Patient, _ positions: Range<Int>, of job: JobID = first, seconds: Int = 1) {
    for position in positions {
      patient.wait(seconds)
      patient.commit(job, position)
    }
  }

  @Test("A pause changes neither the pace nor what is said of the time that work took")
  func pause() throws {
    var patient = Self.working(30)
    patient.tell(.batchStatusChanged(.init(.paused, reason: "paused by the caller")))
    patient.wait(100_000)
    patient.tell(.batchStatusChanged(.init(.running, reason: "resumed by the caller")))
    let estimate = try #require(patient.batch.estimate(at: patient.now))
    #expect(estimate.p50 == patient.now + .seconds(30))
    #expect(try #require(estimate.p90) <= patient.now + .seconds(60))
    Self.work(&patient, 30..<60)
    patient.succeed(first)
    patient.end(.completed, .completed)
    let summary = try #require(patient.diagnosis.performance)
    #expect(summary.total == .seconds(60) && summary.span == .seconds(100_060))
    #expect(summary.documentsPerSecond == 1)
    #expect(patient.batch.work.elapsed(at: patient.now) == .seconds(60))
  }

  @Test("The time between a failure and its retry counts for nothing")
  func retry() throws {
    var patient = Self.working(20)
    patient.die(first, .exitCode)
    patient.end(.failed, .failed)
    patient.wait(200_000)
    patient.tell(
      .retried(
        .init(tier: 0, jobs: [.init(job: first, overrides: Job.Overrides(), reopened: DocumentSet())], actor: "caller")),
      .jobStatusChanged(.init(first, .pending, failure: nil, reason: "retry")),
      .tierStatusChanged(.init(tier: 0, .running, reason: "retry")),
      .batchStatusChanged(.init(.running, reason: "retry")))
    patient.run(first)
    Self.work(&patient, 20..<30)
    let estimate = try #require(patient.batch.estimate(at: patient.now))
    #expect(estimate.p50 == patient.now + .seconds(30), "\(estimate.basis)")
    #expect(patient.batch.tiers[0].work.elapsed(at: patient.now) == .seconds(30))
  }

  @Test("A tier of which one extractor failed all has what the other still has to do")
  func twoExtractors() throws {
    var patient = Patient(documents: 10, Patient.specification(extractors: ["text", "image"]))
    patient.submit()
    patient.run(first)
    patient.run(second)
    for position in 0..<10 { patient.fail(first, position, code: "bad_input") }
    Self.work(&patient, 0..<2, of: second, seconds: 3)
    #expect(patient.batch.tiers[0].slowest == (2, 8))
    #expect(patient.batch.estimate(at: patient.now)?.p50 == patient.now + .seconds(24))
    #expect(patient.diagnosis.nextActions.first == "wait: 0 of 10 documents done, 10 failed, about 24 s left")
    Self.work(&patient, 2..<10, of: second, seconds: 3)
    // The other's open job has nothing left.
    #expect(patient.batch.tiers[0].slowest.left == 0)
  }

  @Test("Slowest tier, slowest extractor and the tier's insight go by work")
  func slowest() throws {
    var patient = Patient(documents: 4, Patient.specification(tiers: 2))
    patient.submit()
    patient.run(first)
    Self.work(&patient, 0..<4, seconds: 2)
    patient.tell(.batchStatusChanged(.init(.paused, reason: "")))
    patient.wait(5000)
    patient.tell(.batchStatusChanged(.init(.running, reason: "")))
    patient.succeed(first)
    patient.tell(.tierStatusChanged(.init(tier: 0, .completed, reason: "")))
    patient.startTier(1)
    patient.run(later)
    Self.work(&patient, 0..<4, of: later, seconds: 10)
    patient.succeed(later)
    patient.end(tier: 1, .completed, .completed)
    let diagnosis = patient.diagnosis
    #expect(diagnosis.performance?.slowestTier == 1)
    #expect(diagnosis.insights.first { $0.type == "slowest_tier" }?.stage == "tier 1")
    #expect(diagnosis.performance?.total == .seconds(48) && diagnosis.performance?.span == .seconds(5048))
  }

  @Test("Of two tiers that take about as long, and of a command's processing, nothing is said")
  func noise() {
    var patient = Patient(documents: 10, Patient.specification(tiers: 2))
    patient.submit()
    patient.run(first)
    Self.work(&patient, 0..<10, seconds: 2)
    patient.tell(.stageSpent(.init(first.attempt(1), name: "loading", .seconds(1))))
    patient.tell(.stageSpent(.init(first.attempt(1), name: "processing", .seconds(40))))
    patient.succeed(first)
    patient.tell(.tierStatusChanged(.init(tier: 0, .completed, reason: "")))
    patient.startTier(1)
    patient.run(later)
    Self.work(&patient, 0..<10, of: later, seconds: 3)
    #expect(patient.diagnosis.insights.isEmpty)
  }

  @Test("A document of an entrypoint that does not claim began with its attempt at the earliest")
  func started() {
    var patient = Patient(documents: 2, Patient.specification(work: .entrypoint("run")))
    patient.submit()
    patient.wait(7)
    patient.run(first)
    Self.work(&patient, 0..<1, seconds: 5)
    #expect(patient.batch.documentTimes.startedOffset(0) == 7000)
    #expect(patient.batch.documentTimes.settledOffset(0) == 12_000)
    #expect(patient.batch.documentTimes.startedOffset(1) == nil)
  }

  @Test("Figures at the end of their range saturate")
  func saturate() {
    let exit = ExitRecord(
      termination: .exited(0), at: Instant(milliseconds: 5), peakMemoryBytes: .max, memoryLimitBytes: .max)
    var patient = Patient()
    patient.submit()
    patient.run(first, memory: .max)
    patient.commit(first, 0, 1, 2)
    patient.succeed(first, exit: exit)
    patient.end(.completed, .completed)
    #expect(patient.diagnosis.insights.contains { $0.type == "memory_headroom" })
    var killed = DiagnosisTests.oomPatient(peak: .max, limit: .max)
    killed.capacity.memoryBytes = .max
    #expect(killed.diagnosis.findings.first?.remedy != nil)
    #expect(Figures.percent(.infinity) != "" && Figures.bytes(.max) != "")
  }
}

import MendCore
import Testing

@Suite("Insights")
struct InsightTests {
  @Test("A batch that asks for notifications of a server that has nobody to tell is told so")
  func noNotifications() {
    var specification = Patient.specification()
    specification.notificationEnabled = true
    var patient = Patient(specification)
    func types() -> [String] { patient.diagnosis.insights.map(\.type) }
    #expect(types().contains("no_notifications"))
    patient.limits.notifies = true
    #expect(!types().contains("no_notifications"))
    patient = Patient()
    #expect(!types().contains("no_notifications"))
  }

  static func completed(
    stages: [(String, Int)], work: ExtractorSpecification.Work = .documentCommand("true")
  ) -> Patient {
    var patient = Patient(Patient.specification(work: work))
    patient.wait(5)
    patient.tell(.batchStatusChanged(.init(.queued, reason: "")))
    patient.wait(3)
    patient.tell(.batchStatusChanged(.init(.running, reason: "")))
    patient.startTier(0)
    patient.run(first)
    patient.wait(60)
    for (name, seconds) in stages { patient.tell(.stageSpent(.init(first.attempt(1), name: name, .seconds(seconds)))) }
    patient.commit(first, 0, 1, 2)
    patient.tell(.workRepeated(.init(first.attempt(1), count: 2)))
    patient.succeed(
      first,
      exit: ExitRecord(
        termination: .exited(0), at: patient.now, peakMemoryBytes: 230 << 20, memoryLimitBytes: 256 << 20))
    patient.end(.completed, .completed)
    return patient
  }

  @Test("A stage that takes nine tenths of the time is the bottleneck, and the extractor is named for processing")
  func processing() throws {
    let patient = Self.completed(
      stages: [("loading", 3), ("processing", 54), ("writing", 3)], work: .entrypoint("run"))
    let insight = try #require(patient.diagnosis.insights.first)
    #expect(insight.type == "stage_bottleneck" && insight.stage == "processing" && insight.metric == 0.9)
    #expect(insight.message == "processing takes 90 % of the time (54 s): the extractor is the bottleneck")
  }

  @Test("Slow writing says that the store is under pressure")
  func writing() throws {
    let patient = Self.completed(stages: [("processing", 30), ("writing", 30)])
    let insight = try #require(patient.diagnosis.insights.first)
    #expect(insight.stage == "writing" && insight.severity == .warning && insight.message.contains("under pressure"))
  }

  @Test("Of many stages with names of their own the longest are told, and the others together")
  func manyStages() throws {
    let patient = Self.completed(stages: [("long", 900)] + (0..<60).map { ("page \($0)", 1) })
    #expect(patient.diagnosis.performance?.stages.count == 61)
    var totals = StageTotals()
    for number in 0..<70_000 { totals.add(Job.StageTotal(name: "page \(number)", duration: .seconds(1))) }
    totals.add(Job.StageTotal(name: "long", duration: .seconds(5)))
    #expect(totals.told.count == 64)
    #expect(totals.told.last == Job.StageTotal(name: "others", duration: .seconds(70_000 - 62)))
    #expect(totals.told.contains(Job.StageTotal(name: "long", duration: .seconds(5))))
    var patientOfMany = Patient()
    patientOfMany.submit()
    patientOfMany.run(first)
    for number in 0..<200 {
      patientOfMany.tell(.stageSpent(.init(first.attempt(1), name: "page \(number)", .seconds(1))))
    }
    #expect(patientOfMany.batch.tiers[0].jobs[0].stages.count == 64)
  }

  @Test("A peak of four fifths of the limit or more is a warning")
  func headroom() throws {
    let patient = Self.completed(stages: [])
    let insight = try #require(patient.diagnosis.insights.first { $0.type == "memory_headroom" })
    #expect(insight.severity == .warning && insight.message.contains("90 %"))
    #expect(insight.recommendation.text.contains("384 MiB"))
  }

  @Test("Work done twice is counted and shown")
  func repeatedWork() {
    let patient = Self.completed(stages: [])
    #expect(patient.diagnosis.repeatedWork == 2)
    #expect(patient.diagnosis.insights.contains { $0.type == "repeated_work" && $0.metric == 2 })
  }

  @Test("More shards than documents is said to be misconfigured, and is no alarm")
  func shards() {
    let patient = Patient(documents: 3, Patient.specification(shards: 8))
    #expect(patient.diagnosis.insights.contains { $0.type == "misconfigured" && $0.metric == 8 })
    #expect(patient.diagnosis.health == .ok)
  }

  @Test("The performance summary is there once the batch is completed")
  func performance() throws {
    #expect(Patient().diagnosis.performance == nil)
    let patient = Self.completed(stages: [("processing", 30)])
    let summary = try #require(patient.diagnosis.performance)
    #expect(summary.total == .seconds(60) && summary.queued == .seconds(3))
    #expect(summary.documentsPerSecond == 0.05 && summary.attempts == 1 && summary.repeatedWork == 2)
    #expect(summary.slowestExtractor == "text" && summary.peakMemoryBytes == 230 << 20)
    #expect(summary.stages == [Job.StageTotal(name: "processing", duration: .seconds(30))])
  }
}

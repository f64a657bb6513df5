import MendCore
import Testing

@Suite("Progress")
struct ProgressTests {
  @Test("The four parts add up to the total at every step")
  func partsAddUp() {
    var patient = Patient(documents: 6, Patient.specification(extractors: ["text", "image"]))
    func check(_ patient: Patient, _ expected: [Int]) {
      let counts = patient.batch.progress()
      #expect([counts.completed, counts.failed, counts.pending, counts.processing] == expected)
      #expect(expected.reduce(0, +) == counts.total)
    }
    check(patient, [0, 0, 6, 0])
    patient.submit()
    patient.run(first)
    patient.run(second)
    patient.claim(first, 0, 1, 2)
    patient.claim(second, 0, 1)
    check(patient, [0, 0, 3, 3])
    patient.commit(first, 0)
    check(patient, [0, 0, 3, 3])
    patient.commit(second, 0)
    check(patient, [1, 0, 3, 2])
    // Failed by one extractor while the other still has it: failed, not both.
    patient.fail(first, 1, code: "bad_input")
    check(patient, [1, 1, 3, 1])
  }

  @Test("Overall progress is the mean over the tiers, and 100 only when the batch is completed")
  func overallProgress() {
    var patient = Patient(documents: 4, Patient.specification(tiers: 2))
    patient.submit()
    patient.run(first)
    patient.commit(first, 0, 1)
    #expect(patient.batch.overallProgress == 25)
    patient.commit(first, 2, 3)
    patient.succeed(first)
    patient.tell(.tierStatusChanged(.init(tier: 0, .completed, reason: "")))
    #expect(patient.batch.currentTier == 1)
    patient.startTier(1)
    patient.run(later)
    patient.commit(later, 0, 1, 2, 3)
    #expect(patient.batch.overallProgress == 99.9)
    patient.succeed(later)
    patient.end(tier: 1, .completed, .completed)
    #expect(patient.batch.overallProgress == 100)
    #expect(patient.batch.currentTier == 1)
  }

  @Test("A document's status, progress and error are those of its tiers")
  func documents() throws {
    var patient = Patient(documents: 4, Patient.specification(tiers: 2, extractors: ["text", "image"]))
    patient.submit()
    patient.run(first)
    patient.claim(first, 0, 1, 2)
    patient.commit(first, 0)
    patient.fail(first, 1, code: "format_error", message: "Unsupported file format")
    let batch = patient.batch
    #expect((0..<4).map(batch.documentStatus) == [.pending, .failed, .processing, .pending])
    #expect(batch.documentProgress(0) == 25)
    #expect(batch.documentProgress(3) == 0)
    let (error, job) = try #require(batch.documentError(1))
    #expect(error.code == "format_error" && job == first)
    #expect(batch.documentError(0) == nil)
  }

  @Test("The time that is left follows the rate of the settled documents, over the tiers that are to come")
  func estimate() {
    var patient = Patient(documents: 4, Patient.specification(tiers: 2))
    #expect(patient.batch.estimatedCompletion(at: patient.now) == nil)
    patient.submit()
    patient.run(first)
    patient.wait(10)
    #expect(patient.batch.estimatedCompletion(at: patient.now) == nil)
    patient.commit(first, 0, 1)
    // 5 s a document; two are left here and four in the next tier.
    #expect(patient.batch.estimatedCompletion(at: patient.now) == patient.now + .seconds(30))
  }
}

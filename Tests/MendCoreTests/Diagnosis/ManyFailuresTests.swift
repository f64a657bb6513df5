import Testing

@testable import MendCore

/// What workers call their failures is theirs: thousands of codes are counted, and a few are told.
@Suite("Many failures", .timeLimit(.minutes(2)))
struct ManyFailuresTests {
  private static func patient(codes: Int) -> Patient {
    var patient = Patient(documents: codes)
    patient.submit()
    patient.run(first)
    patient.claim(first, 0)
    let failed = (0..<codes).map {
      Fact.FailedDocuments(
        position: $0,
        error: DocumentError(code: "page-\($0)-unreadable", message: "page \($0)", attempt: 1, at: patient.now))
    }
    patient.tell(.documentsFailed(.init(first.attempt(1), failed)), by: .worker)
    return patient
  }

  @Test("Thousands of codes of a job are told by a few of them, and no document is left out")
  func codes() throws {
    let patient = Self.patient(codes: 6000)
    let tally = try #require(DiagnosisContext.tallies(of: patient.batch)[first])
    #expect(tally.codes.count == 65)
    #expect(tally.codes[0].code == "others" && tally.codes[0].count == 6000 - 64)
    #expect(tally.codes.reduce(0) { $0 + $1.count } == 6000)
    let before = ContinuousClock.now
    let findings = patient.diagnosis.findings.filter { $0.job == first }
    // Ten seconds when a finding was made of each.
    #expect(ContinuousClock.now - before < .seconds(5))
    #expect(findings.count == 65)
    #expect(findings[0].message.contains("5936 documents of 6000 failed in job t0-j0 (text) with other codes"))
    #expect(patient.batch.errorSummary().reduce(0) { $0 + $1.count } >= 5936 + 63)
  }

  @Test("Causes of attempts' ends and of the program's own are told beside any number of a worker's codes")
  func causes() throws {
    var patient = Self.patient(codes: 200)
    patient.tell(
      .documentsFailed(
        .init(
          first.attempt(1),
          [
            .init(position: 199, error: DocumentError(code: "oom", message: "", attempt: 1, at: patient.now)),
            .init(
              position: 198,
              error: DocumentError(code: "signal", message: "", attempt: 1, at: patient.now, causedByAttempt: true)),
          ])), by: .worker)
    let tally = try #require(DiagnosisContext.tallies(of: patient.batch)[first])
    #expect(tally.codes.contains { $0.code == "oom" && $0.count == 1 })
    #expect(tally.count(diedOf: .signal) == 1)
  }

  @Test("A verdict makes as many findings as it keeps, and they are the first of the diagnosis")
  func verdict() {
    let patient = Self.patient(codes: 300)
    let context = DiagnosisContext(
      batch: patient.batch, now: patient.now, capacity: patient.capacity, limits: patient.limits)
    let list = DiagnosisRule.findings(context, limit: 8)
    #expect(list.findings == Array(patient.diagnosis.findings.prefix(8)))
    #expect(list.leftOut == 65 - 8)
    #expect(list.tiersLeftOut == [0])
  }

  @Test("More failed jobs than are shown are all in the command that retries them")
  func jobs() {
    var patient = Patient.ended(jobs: 256) { patient, job in
      patient.claim(job, job.index)
      patient.die(job, .exitCode)
    }
    patient.end(.failed, .failed)
    #expect(patient.diagnosis.findings.count == 200)
    #expect(patient.diagnosis.insights.contains { $0.type == "more_findings" })
    #expect(patient.diagnosis.nextActions.first == .retry(0))
  }

  @Test("Since when thousands of jobs wait is found in one pass over what changed")
  func waits() {
    var changes = LatestChanges()
    var patient = Patient(documents: 4, Patient.specification(shards: 4))
    patient.submit()
    patient.wait(10)
    let job = JobID(tier: 0, index: 2)
    patient.run(job)
    #expect(changes.latest(of: job, in: patient.batch) == patient.now)
    #expect(changes.latest(of: JobID(tier: 0, index: 1), in: patient.batch) == patient.now + .seconds(-10))
  }
}

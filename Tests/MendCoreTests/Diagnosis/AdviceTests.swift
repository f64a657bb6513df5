import Testing

@testable import MendCore

@Suite("Advice")
struct AdviceTests {
  /// A batch of two extractors whose jobs failed alike, by an attempt and by a document.
  private static func patients(_ line: String, peak: Int64, limit: Int64) -> [Patient] {
    var attempt = Patient(
      documents: 4, Patient.specification(resources: Resources(cpus: 1, memoryBytes: limit)))
    attempt.submit()
    attempt.run(first)
    let exit = ExitRecord(
      termination: .exited(1), at: attempt.now, peakMemoryBytes: peak, memoryLimitBytes: limit, lastStderrLine: line)
    let end = EndReport(exit: exit).end(at: attempt.now)
    attempt.tell(.attemptEnded(.init(first.attempt(1), end)))
    attempt.tell(
      .jobStatusChanged(
        .init(
          first, .failed, failure: Job.Failure(cause: end.cause ?? .exitCode, confidence: .medium, message: line),
          reason: "")))
    attempt.end(.failed, .failed)

    var document = Patient(documents: 4, Patient.specification(resources: Resources(cpus: 1, memoryBytes: limit)))
    document.submit()
    document.run(first)
    document.fail(first, 0, code: "exit_code", message: line)
    document.commit(first, 1, 2, 3)
    document.succeed(
      first,
      exit: ExitRecord(
        termination: .exited(0), at: document.now, peakMemoryBytes: peak, memoryLimitBytes: limit))
    document.end(.completed, .completed)
    return [attempt, document]
  }

  @Test(
    "A remedy's words name what its command sets, and its command sets what they name",
    arguments: ErrorSignature.all.map { $0.exceptions.first ?? $0.texts.first ?? "" } + [
      "no page", "MemoryError: 926 GiB",
    ])
  func wordsAndCommand(_ line: String) {
    let mebibyte: Int64 = 1 << 20
    for (peak, limit) in [(0, 0), (0, 256), (20, 256), (230, 256), (4000, 4096)] as [(Int64, Int64)] {
      for patient in Self.patients(line, peak: peak * mebibyte, limit: limit * mebibyte) {
        for finding in patient.diagnosis.findings {
          if let remedy = finding.remedy { Self.check(remedy) }
        }
      }
    }
    for cause in FailureCause.allCases {
      for patient in [Self.died(of: cause), Self.killed(of: cause)] {
        for finding in patient.diagnosis.findings {
          if let remedy = finding.remedy { Self.check(remedy) }
        }
      }
    }
  }

  private static func died(of cause: FailureCause) -> Patient {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.die(first, cause)
    patient.end(.failed, .failed)
    return patient
  }

  private static func killed(of cause: FailureCause) -> Patient {
    var patient = Patient(
      documents: 3, Patient.specification(timers: Timers(run: .seconds(20))))
    patient.submit()
    patient.run(first)
    patient.die(
      first, cause, exit: DiagnosisTests.outOfMemory(at: patient.now, peak: 260 << 20, limit: 256 << 20))
    patient.end(.failed, .failed)
    return patient
  }

  private static func check(_ remedy: Remedy) {
    guard case .retry(_, _, let overrides, _) = remedy.call else { return }
    let clauses = remedy.description.split { ".;:,".contains($0) }.filter { $0.lowercased().contains("retry") }
    func names(_ word: String) -> Bool { clauses.contains { $0.contains(" with ") && $0.contains(word) } }
    #expect(names("memory") == (overrides.memoryBytes != nil), "\(remedy)")
    #expect(names("run timeout") == (overrides.runTimeout != nil), "\(remedy)")
    #expect(names("CPU") == (overrides.cpus != nil) && names("GPU") == (overrides.requiresGPU != nil))
    if let bytes = overrides.memoryBytes { #expect(remedy.description.contains(Figures.bytes(bytes))) }
  }

  @Test("A command that the executor does not understand needs a new batch, and is not called missing")
  func notUnderstood() throws {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.see(.launchFailed(harness.attempt(), .entrypointNotFound, message: "'exit=999' is no number up to 255"))
    let diagnosis = harness.diagnosis(of: "b")
    let finding = try #require(diagnosis.findings.first)
    #expect(finding.message.contains("could not be started: 'exit=999'") && !finding.message.contains("not found"))
    #expect(finding.remedy?.call == nil && finding.remedy?.description.contains("new batch") == true)
    #expect(!diagnosis.nextActions.contains { $0.isCall })
  }

  @Test(
    "What the server ended for an outage is retried: nobody else is looked for who sent the signal",
    arguments: [ExitRecord.Termination.exited(143), .exited(130), .signalled(15), .signalled(9)])
  func endedByTheServer(_ termination: ExitRecord.Termination) throws {
    var harness = Harness()
    harness.submit([
      tier(extractor(timers: Timers(heartbeat: .seconds(1000)), retry: [RetryRule(action: .fail)]))
    ])
    harness.run()
    harness.see(.unreachable(.simulated, message: "connection refused"))
    harness.tick(after: 300)
    harness.see(.reachable(.simulated))
    harness.end(termination)
    #expect(harness.job().attempts[0].end?.cause == .nodeFailure && harness.job().status == .failed)
    let remedy = try #require(harness.diagnosis(of: "b").findings.first { $0.attempt != nil }?.remedy)
    #expect(remedy.description == "Retry tier 0: the executor failed it, not the pipeline; what is committed is kept")
  }

  @Test("A peak far below the limit asks for no more memory, and says what else bounds it")
  func farBelow() throws {
    for patient in Self.patients(
      "MemoryError: Unable to allocate 926. GiB for an array", peak: 3 << 20, limit: 64 << 20)
    {
      let finding = try #require(patient.diagnosis.findings.first)
      let remedy = try #require(finding.remedy)
      #expect(finding.cause == .failure(.oom) && remedy.advice.command == Advice.retry(0).command)
      #expect(remedy.description.contains("more memory of Mend's is no help"))
      #expect(patient.plan(.auto).isEmpty)
    }
    let patient = Self.patients(
      "MemoryError: Unable to allocate 926. GiB for an array", peak: 3 << 20, limit: 64 << 20)[0]
    let finding = try #require(patient.diagnosis.findings.first)
    #expect(finding.message.contains("well below its limit of 64 MiB"))
    #expect(finding.remedy?.description.contains("more at once than the local executor has") == true)
  }

  @Test("A peak that was measured at a kill is a lower bound")
  func atLeast() throws {
    let patient = DiagnosisTests.oomPatient(peak: 35 << 20, limit: 32 << 20)
    let remedy = try #require(patient.diagnosis.findings.first?.remedy)
    #expect(
      remedy.description
        == "Retry tier 0 with 64 MiB of memory: it needs at least the 35 MiB that it held when it was ended")
    let step = try #require(patient.plan(.auto).first)
    #expect(step.reason.contains("may need more") && !step.reason.contains("is enough"))
    // As far as the machine's room goes.
    var small = DiagnosisTests.oomPatient(peak: 35 << 20, limit: 32 << 20)
    small.capacity.memoryBytes = 48 << 20
    #expect(small.plan(.auto).map(\.operation).isEmpty == false)
  }

  @Test("What an operator cancelled is not started again by what is advised")
  func cancelled() {
    var patient = Patient(documents: 4, Patient.specification(extractors: ["a", "b", "c"]))
    patient.submit()
    let third = JobID(tier: 0, index: 2)
    for job in [first, second, third] { patient.run(job) }
    patient.die(first, .exitCode)
    patient.tell(.jobStatusChanged(.init(second, .cancelled, failure: nil, reason: "cancelled by the caller")))
    patient.die(third, .exitCode)
    patient.end(.failed, .failed)
    #expect(patient.diagnosis.nextActions == [.retry(0, [first, JobID(tier: 0, index: 2)])])

    var batch = Patient()
    batch.submit()
    batch.run(first)
    batch.tell(.jobStatusChanged(.init(first, .cancelled, failure: nil, reason: "cancelled by the caller")))
    batch.end(.cancelled, .cancelled)
    #expect(batch.diagnosis.nextActions == ["nothing to do"])
  }

  @Test("A summary's resolution is its finding's, and a job that failed no document is told with what it left")
  func resolutions() throws {
    var harness = Harness()
    harness.submit([tier(extractor())])
    harness.run()
    _ = harness.claim(3)
    let failure = WorkerRequest.Failure(
      documentID: "d1", code: "exit_code", message: "bad page", details: ["exit_code": "1", "size_bytes": "0"])
    _ = harness.say(harness.token(), .report(.init(completed: ["d0", "d2"], failed: [failure])))
    harness.end(.exited(0))
    let diagnosis = harness.diagnosis(of: "b")
    #expect(
      diagnosis.errorSummary.map(\.resolution) == ["Check that the file was written to its end, replace it, and retry"])
    #expect(harness.batch.errorSummary() == diagnosis.errorSummary)

    var opaque = Patient(documents: 5, Patient.specification(work: .entrypoint("run")))
    opaque.submit()
    opaque.run(first)
    opaque.die(first, .exitCode)
    opaque.end(.failed, .failed)
    let summary = try #require(opaque.diagnosis.errorSummary.first)
    #expect(summary.errorType == "exit_code" && summary.count == 5 && summary.affected == [0, 1, 2, 3, 4])
  }
}

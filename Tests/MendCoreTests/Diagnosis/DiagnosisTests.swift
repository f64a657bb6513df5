import MendCore
import Testing

@Suite("Diagnosis")
struct DiagnosisTests {
  static let mebibyte: Int64 = 1 << 20

  static func outOfMemory(at now: Instant, peak: Int64, limit: Int64) -> ExitRecord {
    ExitRecord(
      termination: .signalled(9), at: now, peakMemoryBytes: peak, memoryLimitBytes: limit, memoryLimitExceeded: true,
      lastStderrLine: "reading page 7")
  }

  /// One job that ran out of memory with one document in process, in a batch that failed of it.
  static func oomPatient(peak: Int64 = 260 << 20, limit: Int64 = 256 << 20) -> Patient {
    var patient = Patient(documents: 3)
    patient.submit()
    patient.run(first, memory: limit)
    patient.claim(first, 0)
    patient.commit(first, 0)
    patient.claim(first, 1)
    patient.die(first, .oom, exit: outOfMemory(at: patient.now, peak: peak, limit: limit))
    patient.end(.failed, .failed)
    return patient
  }

  @Test("An oom finding has the figures as evidence, and a remedy that can be handed to Retry")
  func oom() throws {
    let patient = Self.oomPatient()
    let diagnosis = patient.diagnosis
    #expect(diagnosis.health == .degraded && diagnosis.failureCategory == .infrastructure)
    let finding = try #require(diagnosis.findings.first)
    #expect(finding.category == .infrastructure && finding.cause == .failure(.oom) && finding.confidence == .high)
    #expect(finding.message.contains("260 MiB") && finding.message.contains("256 MiB"))
    #expect(finding.job == first && finding.attempt == 1 && finding.documents == [1])
    let exit = try #require(finding.evidence.first { $0.values["signal"] != nil })
    #expect(exit.observer == .supervisor && exit.values["last_stderr_line"] == "reading page 7")
    #expect(exit.values["peak_memory_bytes"] == "\(260 * Self.mebibyte)")
    let ledger = try #require(finding.evidence.first { $0.observer == .ledger })
    #expect(ledger.values["documents_committed"] == "1" && ledger.values["documents_in_process_at_end"] == "1")
    #expect(ledger.values["documents_left"] == "1")
    // 260 MiB times 1.5 is 390, and 448 in steps of 64; twice the limit is more.
    let remedy = try #require(finding.remedy)
    #expect(remedy.call == .retry(tier: 0, jobs: [], Job.Overrides(memoryBytes: 512 * Self.mebibyte), .failed))
    #expect(remedy.advice.command == Advice.retry(0, memoryBytes: 512 << 20).command)
    #expect(diagnosis.nextActions == [.retry(0, memoryBytes: 512 << 20)])
    #expect(diagnosis.recommendations.first?.command == Advice.retry(0, memoryBytes: 512 << 20).command)
    #expect(diagnosis.infrastructureEvents.map(\.cause) == [.oom])
    #expect(diagnosis.errorSummary.map(\.errorType) == ["oom"])
  }

  @Test("What a stuck attempt's processes do is evidence: waiting, computing or stopped")
  func activity() throws {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.claim(first, 0)
    patient.wait(400)
    patient.beat(first)
    patient.lookTwice()
    let newest = ProcessActivity.Process(pid: 17, state: .waiting, commandLine: String(repeating: "x", count: 300))
    patient.batch.tiers[0].jobs[0].attempts[0].activity = ProcessActivity(
      at: patient.now, state: .waiting, processes: 2, cpuSeconds: 1.5, recently: .init(cpuSeconds: 0, seconds: 4),
      newest: newest)
    let finding = try #require(patient.diagnosis.findings.first { $0.cause == .health(.noProgress) })
    let evidence = try #require(finding.evidence.first { $0.values["process_state"] != nil })
    #expect(
      evidence.observed.hasPrefix(
        "2 processes wait: 0 s of processor time in the last 4 s; the newest, pid 17, waits: xx"))
    #expect(evidence.values["newest_command"]?.count == ProcessActivity.commandLineLength)
  }

  @Test("An attempt that its executor cannot look at is told with the reason, and nothing is held against it")
  func hidden() throws {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.batch.tiers[0].jobs[0].attempts[0].hiddenBy = "open x: Too many open files"
    let diagnosis = patient.diagnosis
    let finding = try #require(diagnosis.findings.first)
    #expect(finding.cause == .health(.executorUnreachable) && finding.job == first && finding.category == nil)
    #expect(finding.message.contains("cannot look at job t0-j0 (text): open x: Too many open files. Whether it runs"))
    #expect(diagnosis.health == .ok || diagnosis.health == .scaling)
  }

  @Test("A document's command that was killed by nobody known may have been out of memory")
  func killedCommand() throws {
    var patient = Patient(documents: 1)
    patient.submit()
    patient.run(first)
    patient.claim(first, 0)
    let error = DocumentError(
      code: "signal", message: "ended by signal 9", details: ["signal": "9"], attempt: 1, at: patient.now)
    patient.tell(
      .documentsFailed(.init(first.attempt(1), [Fact.FailedDocuments(position: 0, error: error)])), by: .worker)
    let finding = try #require(patient.diagnosis.findings.first { $0.cause == .failure(.signal) })
    #expect(finding.confidence == .medium)
    #expect(finding.evidence.contains { $0.observed.contains("perhaps the kernel, out of memory") })
  }

  @Test(
    "The memory of a remedy follows peak, limit and capacity",
    arguments: [
      // peak, limit, capacity, asked for: 1.5 times the peak in steps of 64 MiB, at least twice the limit
      (900, 256, 4096, 1408), (260, 256, 4096, 512), (0, 256, 4096, 512), (100, 0, 4096, 192),
      // all that there is, where that is still more
      (900, 256, 1024, 1024),
    ])
  func memoryFigures(peak: Int64, limit: Int64, capacity: Int64, asked: Int64) throws {
    var patient = Self.oomPatient(peak: peak * Self.mebibyte, limit: limit * Self.mebibyte)
    patient.capacity.memoryBytes = capacity * Self.mebibyte
    let remedy = try #require(patient.diagnosis.findings.first?.remedy)
    #expect(remedy.call == .retry(tier: 0, jobs: [], Job.Overrides(memoryBytes: asked * Self.mebibyte), .failed))
  }

  @Test("Where the executor's whole memory was not enough, the remedy says so and asks for nothing")
  func memoryDoesNotFit() throws {
    var patient = Self.oomPatient(peak: 1100 << 20, limit: 1024 << 20)
    patient.capacity.memoryBytes = 1024 << 20
    let diagnosis = patient.diagnosis
    let remedy = try #require(diagnosis.findings.first?.remedy)
    #expect(remedy.call == nil)
    #expect(remedy.description.contains("does not fit") && remedy.description.contains("1 GiB in all"))
    #expect(patient.plan(.auto).isEmpty)
  }

  @Test("The same cause in the same job is one finding, with the count and the latest attempt")
  func deduplicated() throws {
    var patient = Patient()
    patient.submit()
    for number in 1...3 {
      patient.run(first)
      patient.die(first, .nodeFailure, confidence: .medium, goesOn: number < 3)
    }
    patient.end(.failed, .failed)
    let findings = patient.diagnosis.findings.filter { $0.cause == .failure(.nodeFailure) }
    #expect(findings.count == 1 && findings.first?.attempt == 3)
    #expect(try #require(findings.first).message.contains("3 of its 3 attempts ended so"))
    #expect(patient.diagnosis.infrastructureEvents.map(\.attempt) == [1, 2, 3])
  }

  @Test("What a later attempt made good is an event, and no finding")
  func healedAttempt() {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.die(first, .preemption, goesOn: true)
    #expect(patient.diagnosis.findings.map(\.cause) == [.failure(.preemption)])
    #expect(patient.diagnosis.findings.first?.remedy == nil, "it goes on by itself")
    patient.run(first)
    patient.commit(first, 0, 1, 2)
    patient.succeed(first)
    patient.end(.completed, .completed)
    let diagnosis = patient.diagnosis
    #expect(diagnosis.findings.isEmpty && diagnosis.failureCategory == nil && diagnosis.health == .ok)
    #expect(diagnosis.infrastructureEvents.map(\.cause) == [.preemption])
    #expect(diagnosis.nextActions == ["nothing to do"])
  }

  @Test("A cause that a later attempt went past keeps its finding behind the newest, without a remedy")
  func pastCause() throws {
    var patient = Self.oomPatient()
    patient.tell(
      .retried(
        .init(
          tier: 0, jobs: [.init(job: first, overrides: Job.Overrides(), reopened: DocumentSet([1]))], actor: "caller")),
      .batchStatusChanged(.init(.running, reason: "")), .tierStatusChanged(.init(tier: 0, .running, reason: "")))
    patient.run(first, memory: 512 << 20)
    patient.die(first, .exitCode)
    patient.end(.failed, .failed)
    let diagnosis = patient.diagnosis
    #expect(diagnosis.findings.map(\.cause) == [.failure(.exitCode), .failure(.oom)])
    #expect(diagnosis.findings.map { $0.remedy == nil } == [false, true])
    #expect(diagnosis.nextActions == [.retry(0)])
    #expect(diagnosis.failureCategory == .pipeline)
  }

  @Test(
    "Each cause of an attempt's end has a finding of its category, with a remedy",
    arguments: FailureCause.allCases.filter { $0 != .documentErrors })
  func everyCause(_ cause: FailureCause) throws {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.die(first, cause)
    patient.end(.failed, .failed)
    let diagnosis = patient.diagnosis
    #expect(diagnosis.findings.map(\.cause) == [.failure(cause)])
    #expect(diagnosis.findings.first?.category == cause.category)
    #expect(diagnosis.failureCategory == cause.category)
    let remedy = try #require(diagnosis.findings.first?.remedy)
    #expect(!diagnosis.nextActions.isEmpty && !diagnosis.recommendations.isEmpty)
    // Something is left of an orphan only where nothing proved it gone.
    guard case .retry(tier: 0, _, _, _)? = remedy.call else {
      Issue.record("\(remedy)")
      return
    }
    #expect(diagnosis.infrastructureEvents.isEmpty == (cause.category == .pipeline))
  }

  @Test("A heal that is advised has something to do", arguments: FailureCause.allCases, [true, false])
  func advisedHeals(_ cause: FailureCause, isProven: Bool) {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.die(first, cause, receipt: isProven ? EndReceipt(processes: 1, how: "SIGKILL") : nil)
    patient.end(.failed, .failed)
    for finding in patient.diagnosis.findings {
      guard case .heal(let action, let tier)? = finding.remedy?.call else { continue }
      let plan = patient.batch.healPlan(
        action, tier: tier, at: patient.now, capacity: patient.capacity, limits: Limits())
      #expect(!plan.isEmpty, "\(finding.remedy.debugDescription)")
    }
  }

  @Test("An exit code is told with the command's last line")
  func exitCode() throws {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.die(
      first, .exitCode,
      exit: ExitRecord(termination: .exited(3), at: patient.now, lastStderrLine: "no such table"))
    patient.end(.failed, .failed)
    let finding = try #require(patient.diagnosis.findings.first)
    #expect(finding.message == "Attempt 1 of job t0-j0 (text) ended with exit code 3: no such table.")
    #expect(finding.evidence.contains { $0.values["exit_code"] == "3" })
    #expect(patient.plan(.auto).isEmpty, "the same input gives the same error")
  }

  @Test("A document that was in process at two deaths is named as the suspect")
  func suspect() throws {
    var patient = Patient()
    patient.submit()
    for number in 1...2 {
      patient.run(first)
      patient.claim(first, 2)
      patient.die(first, .signal, goesOn: number == 1)
      if number == 1 {
        patient.tell(
          .retried(
            .init(
              tier: 0, jobs: [.init(job: first, overrides: Job.Overrides(), reopened: DocumentSet([2]))],
              actor: "scheduler")))
      }
    }
    patient.end(.failed, .failed)
    let finding = try #require(patient.diagnosis.findings.first { $0.message.contains("suspected") })
    #expect(finding.documents == [2] && finding.message.hasPrefix("d2 is suspected"))
    #expect(finding.evidence.first?.values["attempts_ended"] == "2")
  }

  @Test("Exit 0 with documents that were never reported is disputed, with both sides as evidence")
  func disputed() throws {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.commit(first, 0)
    patient.fail(first, 1, 2, code: "document_errors", message: "neither committed nor failed")
    let noted = Evidence("2 documents were neither committed nor failed", by: .ledger, at: patient.now)
    let failure = Job.Failure(cause: .documentErrors, confidence: .high, message: noted.observed)
    patient.tell(
      .attemptEnded(
        .init(
          first.attempt(1),
          AttemptEnd(
            verdict: .succeeded, at: patient.now, exit: ExitRecord(termination: .exited(0), at: patient.now),
            evidence: [noted]))),
      .jobStatusChanged(.init(first, .failed, failure: failure, reason: "")))
    patient.end(.failed, .failed)
    let diagnosis = patient.diagnosis
    #expect(diagnosis.healthReason == .disputed && diagnosis.failureCategory == .pipeline)
    let finding = try #require(diagnosis.findings.first)
    #expect(
      finding.cause == .health(.disputed)
        && finding.message.contains("2 documents that it neither committed nor failed"))
    #expect(Set(finding.evidence.map(\.observer)).isSuperset(of: [.ledger, .supervisor]))
    #expect(diagnosis.findings.contains { $0.cause == .failure(.documentErrors) })
  }

  @Test("Failed documents are grouped by code, counted once each, with their first ten and a resolution")
  func errorSummary() throws {
    var patient = Patient(documents: 40, Patient.specification(extractors: ["text", "image"]))
    patient.submit()
    patient.run(first)
    patient.run(second)
    for position in 0..<12 { patient.fail(first, position, code: "format_error", message: "Unsupported file format") }
    patient.fail(first, 20, code: "corrupted_file")
    // The other extractor fails two of the same documents, and one of its own.
    patient.fail(second, 0, 1, 30, code: "corrupted_file")
    let summary = patient.diagnosis.errorSummary
    #expect(summary.map(\.errorType) == ["format_error", "corrupted_file"])
    #expect(summary.map(\.count) == [12, 2])
    #expect(summary.reduce(0) { $0 + $1.count } == patient.batch.progress().failed)
    #expect(summary.first?.affected == Array(0..<10) && summary.last?.affected == [20, 30])
    #expect(
      summary.map(\.resolution)
        == ["Ensure file is in a supported format", "Verify file integrity and try uploading again"])
    #expect(patient.diagnosis.failedSample == Array(0..<10))
    let finding = try #require(patient.diagnosis.findings.first)
    #expect(finding.category == .pipeline && finding.cause == .failure(.badInput) && finding.documents == Array(0..<10))
    #expect(patient.diagnosis.failureCategory == .pipeline)
  }

  @Test("Two retries of one tier become one command: the second would be refused")
  func mergedRetries() {
    var patient = Patient(documents: 4, Patient.specification(extractors: ["text", "image"]))
    patient.submit()
    patient.run(first)
    patient.run(second)
    let exit = Self.outOfMemory(at: patient.now, peak: 300 << 20, limit: 256 << 20)
    patient.die(first, .oom, exit: exit)
    patient.die(second, .exitCode)
    patient.end(.failed, .failed)
    let diagnosis = patient.diagnosis
    #expect(diagnosis.nextActions == [.retry(0, memoryBytes: 512 << 20)])
    #expect(diagnosis.recommendations.map(\.command).contains(Advice.retry(0, [first], memoryBytes: 512 << 20).command))
    #expect(diagnosis.failureCategory == .infrastructure, "the gravest first")
  }

  @Test("A running batch tells what it waits for, and keeps retries for when the tier has ended")
  func runningActions() {
    var patient = Patient(documents: 4, Patient.specification(extractors: ["text", "image"]))
    patient.submit()
    patient.run(first)
    patient.run(second)
    patient.die(first, .exitCode)
    let actions = patient.diagnosis.nextActions
    #expect(actions == ["wait: 0 of 4 documents done", .retry(0, [first], "when the tier has ended")])
  }

  @Test("A diagnosis without failures looks at no document, however many there are")
  func costIsIndependentOfDocuments() {
    var patient = Patient(documents: 100_000)
    patient.tell(.batchStatusChanged(.init(.queued, reason: "")), .batchStatusChanged(.init(.running, reason: "")))
    patient.tell(.tierStarted(.init(tier: 0, handed: DocumentSet(all: 100_000))))
    patient.run(first)
    patient.wait(10)
    patient.tell(.documentsCommitted(.init(first.attempt(1), DocumentSet(all: 50_000))), by: .worker)
    // Any look at a document of the hundred thousand would trap.
    patient.batch.documents = DocumentTable()
    let diagnosis = patient.diagnosis
    #expect(diagnosis.health == .ok && diagnosis.findings.isEmpty)
    #expect(diagnosis.overallProgress == 50)
    #expect(diagnosis.estimatedCompletion == patient.now + .seconds(10))
  }

  @Test("The same batch at the same time gives the same diagnosis")
  func deterministic() {
    var patient = Patient(documents: 200)
    patient.submit()
    patient.run(first)
    for position in 0..<200 { patient.fail(first, position, code: "code_\(position % 7)", message: "m\(position)") }
    let diagnosis = patient.diagnosis
    for _ in 0..<5 { #expect(patient.diagnosis == diagnosis) }
    #expect(diagnosis.errorSummary.map(\.count).reduce(0, +) == 200)
  }

  @Test("Findings are bounded, and the rest is counted")
  func bounded() throws {
    var patient = Patient(documents: 256, Patient.specification(shards: 256))
    patient.submit()
    for index in 0..<256 { patient.fail(JobID(tier: 0, index: index), index, code: "bad_input") }
    let diagnosis = patient.diagnosis
    #expect(diagnosis.findings.count == 200)
    let more = try #require(diagnosis.insights.first { $0.type == "more_findings" })
    #expect(more.metric == 56)
  }
}

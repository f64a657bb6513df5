import MendCore
import Testing

@Suite("Heal plans")
struct HealPlanTests {
  static func hung() -> Patient {
    var patient = Patient(documents: 5)
    patient.submit()
    patient.run(first)
    patient.claim(first, 0, 1)
    patient.wait(400)
    patient.beat(first)
    patient.lookTwice(beating: first)
    return patient
  }

  @Test("Detecting stuck plans a restart of each attempt that both looks found stuck")
  func detectStuck() throws {
    let patient = Self.hung()
    let step = try #require(patient.plan(.detectStuck).first)
    #expect(step.operation == .restartAttempt(first, number: 1, .progressTimeout))
    #expect(step.risk == .medium && step.outcome == "planned")
    #expect(step.reason.contains("2 documents in process will be FAILED with progress_timeout"))
    #expect(step.evidence.contains { $0.observer == .ledger } && step.evidence.contains { $0.observer == .clock })
    #expect(patient.plan(.detectStuck, tier: 1).isEmpty)
    #expect(patient.plan(.auto) == patient.plan(.detectStuck))
    #expect(patient.plan(.killDuplicates).isEmpty && patient.plan(.reclaimOrphans).isEmpty)
  }

  @Test("A stuck finding carries the heal as its remedy, and what to do if it hangs again")
  func stuckFinding() throws {
    let patient = Self.hung()
    let finding = try #require(patient.diagnosis.findings.first)
    #expect(finding.cause == .health(.noProgress) && finding.remedy?.call == .heal(.detectStuck, tier: 0))
    #expect(finding.documents == [0, 1])
    #expect(
      patient.diagnosis.nextActions == [
        Advice("", .call(.heal(.detectStuck, tier: 0))), Advice("if it hangs again", .call(.cancel(.tier(0)))),
      ])
    #expect(patient.diagnosis.estimatedCompletion == nil)
  }

  @Test("A slow job is in no plan")
  func slow() {
    var patient = Self.hung()
    patient.commit(first, 0)
    #expect(patient.plan(.auto).isEmpty)
  }

  @Test("A duplicate launch is a finding, and its plan ends it and leaves the current attempt")
  func duplicates() throws {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.batch.duplicates = [
      DuplicateLaunch(job: first, number: 1, reference: "raysubmit_2", seenAt: patient.now)
    ]
    let finding = try #require(patient.diagnosis.findings.first)
    #expect(finding.cause == .duplicate && finding.remedy?.call == .heal(.killDuplicates, tier: 0))
    let steps = patient.plan(.auto)
    #expect(steps.map(\.operation) == [.killDuplicate(first, reference: "raysubmit_2")])
    #expect(steps.map(\.risk) == [.low])
    #expect(patient.plan(.killDuplicates, tier: 3).isEmpty)
  }

  @Test("Orphans are ends without proof: lost attempts of failed jobs, and ends that are overdue")
  func orphans() throws {
    var lost = Patient()
    lost.submit()
    lost.run(first)
    lost.die(first, .orphaned, confidence: .medium, receipt: nil)
    lost.end(.failed, .failed)
    #expect(lost.plan(.reclaimOrphans).map(\.operation) == [.reclaimOrphan(first, number: 1)])
    #expect(lost.diagnosis.findings.first?.remedy?.call == .heal(.reclaimOrphans, tier: 0))
    #expect(lost.diagnosis.failureCategory == .orphaned)

    var ending = Patient()
    ending.submit()
    ending.run(first)
    ending.tell(.attemptEnding(.init(first.attempt(1), .cancelled)))
    ending.wait(59)
    #expect(ending.plan(.reclaimOrphans).isEmpty)
    ending.wait(1)
    #expect(ending.plan(.auto).map(\.operation) == [.reclaimOrphan(first, number: 1)])
    let finding = try #require(ending.diagnosis.findings.first)
    #expect(finding.message.contains("was asked to end 60 s ago, and is not proven gone"))
    #expect(ending.health.health == .stuck && ending.health.stuckAttempts.isEmpty)
    #expect(ending.diagnosis.nextActions.first == Advice("", .call(.heal(.reclaimOrphans, tier: 0))))
  }

  @Test("Auto retries what ran out of memory with more, one step a tier, and leaves pipeline errors alone")
  func memory() throws {
    var patient = Patient(documents: 6, Patient.specification(extractors: ["text", "image", "index"]))
    patient.submit()
    let third = JobID(tier: 0, index: 2)
    for job in [first, second, third] { patient.run(job) }
    let limit: Int64 = 256 << 20
    patient.die(
      first, .oom, exit: DiagnosisTests.outOfMemory(at: patient.now, peak: 260 << 20, limit: limit))
    patient.die(
      second, .oom, exit: DiagnosisTests.outOfMemory(at: patient.now, peak: 600 << 20, limit: limit))
    patient.die(third, .exitCode)
    #expect(patient.plan(.auto).isEmpty, "its tier still runs")
    patient.end(.failed, .failed)
    let steps = patient.plan(.auto)
    let needs = [first: Int64(512 << 20), second: Int64(960 << 20)]
    #expect(steps.map(\.operation) == [.retryTier(tier: 0, jobs: [first, second], memoryBytes: needs)])
    #expect(steps.first?.reason.contains("512 MiB for t0-j0 and 960 MiB for t0-j1") == true)
    #expect(steps.first?.risk == .medium && steps.first?.evidence.isEmpty == false)
    #expect(patient.plan(.detectStuck).isEmpty)
  }

  @Test("A plan has a bounded number of steps, and the next one has what this one left")
  func bounded() {
    var patient = Patient.ended(jobs: 256) { $0.die($1, .orphaned, receipt: nil) }
    func jobs(_ steps: [HealStep]) -> [JobID] {
      steps.compactMap { if case .reclaimOrphan(let job, _) = $0.operation { job } else { nil } }
    }
    let first = patient.plan(.reclaimOrphans)
    #expect(jobs(first) == (0..<200).map { JobID(tier: 0, index: $0) })
    // Their jobs could be started again: they stay in the plan, behind those that were never asked for.
    patient.end(.failed, .failed)
    var done = first
    for index in done.indices { done[index].result = .asked }
    patient.tell(.healed(HealRecord(action: .reclaimOrphans, generation: 1, steps: done, at: patient.now)))
    let next = patient.plan(.reclaimOrphans)
    #expect(next.count == 200)
    #expect(Set(jobs(next)).isSuperset(of: (200..<256).map { JobID(tier: 0, index: $0) }))
  }

  @Test("A retry of many jobs that ran out of memory shows the evidence of some of them")
  func evidenceOfSome() throws {
    var patient = Patient.ended(jobs: 100) { patient, job in
      let exit = ExitRecord(
        termination: .signalled(9), at: patient.now, peakMemoryBytes: 300 << 20, memoryLimitBytes: 256 << 20,
        memoryLimitExceeded: true)
      patient.die(job, .oom, exit: exit)
    }
    patient.end(.failed, .failed)
    let step = try #require(patient.plan(.auto).first)
    guard case .retryTier(0, let jobs, let memoryBytes) = step.operation else {
      Issue.record("\(step.operation)")
      return
    }
    #expect(jobs.count == 100 && memoryBytes.count == 100)
    #expect(!step.evidence.isEmpty && step.evidence.count <= 40)
  }
}

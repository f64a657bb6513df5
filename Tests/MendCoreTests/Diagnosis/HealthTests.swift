import MendCore
import Testing

@Suite("Health")
struct HealthTests {
  @Test("A job that works within its timers is ok")
  func working() {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.claim(first, 0)
    patient.wait(30)
    #expect(patient.health == HealthReport(.ok))
  }

  @Test("Inside the start window a cold start is scaling, and the sentence says for what and how long")
  func coldStart() throws {
    var patient = Patient(
      Patient.specification(resources: Resources(cpus: 1, requiresGPU: true), executor: .ray))
    patient.capacity = Capacity(executor: .ray, cpus: 8, memoryBytes: 8 << 30, gpus: 1)
    patient.capacity.traits = .cluster
    patient.submit()
    patient.launch(first)
    patient.wait(600)
    let report = patient.health
    #expect(report.health == .scaling && report.reason == .coldStart && report.stuckFor == nil)
    let sentence = try #require(report.blockedReason)
    #expect(sentence.hasPrefix("cluster_cold_start: GPU workers scaling from zero: job t0-j0 (text) has waited 600 s"))
    #expect(sentence.contains("1200 s"))
    // In the executor's own words, where it has any.
    let handle = ExecutorHandle(node: "", reference: "x", waitingFor: "Ray says PENDING, and has 2 CPU")
    patient.tell(.attemptTaken(.init(first.attempt(1), handle)))
    #expect(patient.health.blockedReason == sentence + "; Ray says PENDING, and has 2 CPU")
  }

  @Test("Past the start window, at the second look, a cold start is stuck")
  func coldStartPast() {
    var patient = Patient()
    patient.submit()
    patient.launch(first)
    patient.wait(1200)
    #expect(patient.health.health == .scaling)
    patient.lookTwice()
    let report = patient.health
    #expect(report.health == .stuck && report.reason == .coldStart)
    #expect(report.stuckFor == .seconds(1202))
    #expect(report.stuckAttempts.map(\.cause) == [.startTimeout])
  }

  @Test("One look alone is no alarm")
  func firstLook() {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.claim(first, 0)
    patient.wait(90)
    let looks = patient.batch.suspicions(at: patient.now, limits: patient.limits)
    #expect(looks.map(\.0) == [first] && looks.map(\.1) == [1] && looks.map(\.2) == [.heartbeatTimeout])
    #expect(patient.health.health == .ok)
    // The first look has been taken, the confirmation has not passed.
    patient.suspect(first)
    patient.wait(1)
    #expect(patient.health.health == .ok)
    patient.wait(1)
    #expect(patient.health.health == .stuck)
  }

  @Test("A pause that ended before the second look is no alarm")
  func recovered() {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.claim(first, 0)
    patient.wait(90)
    patient.lookTwice()
    patient.commit(first, 0)
    patient.beat(first)
    #expect(patient.health.health == .ok)
  }

  @Test("Silence past the heartbeat timer is stuck with no_heartbeat, counted from the last real progress")
  func silence() throws {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.wait(10)
    patient.claim(first, 0)
    patient.wait(40)
    patient.beat(first)
    patient.wait(310)
    patient.lookTwice()
    let report = patient.health
    #expect(report.health == .stuck && report.reason == .noHeartbeat)
    #expect(report.stuckFor == .seconds(352))
    let sentence = try #require(report.blockedReason)
    #expect(sentence.hasPrefix("job t0-j0 (text) has reported nothing for 312 s; 60 s of silence is allowed"))
  }

  @Test("A job that beats and finishes nothing is hung; one that finishes a document now and then is only slow")
  func hungAgainstSlow() {
    var hung = Patient(documents: 100)
    hung.submit()
    hung.run(first)
    hung.claim(first, 0)
    var slow = hung
    for minute in 0..<4 {
      hung.wait(100)
      slow.wait(100)
      slow.commit(first, minute)
    }
    hung.beat(first)
    slow.beat(first)
    hung.lookTwice(beating: first)
    slow.lookTwice(beating: first)
    #expect(hung.health.health == .stuck && hung.health.reason == .noProgress)
    #expect(hung.health.stuckAttempts.map(\.cause) == [.progressTimeout])
    #expect(slow.batch.suspicions(at: slow.now, limits: slow.limits).isEmpty)
    #expect(slow.health.health == .ok)
  }

  @Test("A stage that is entered counts as progress")
  func stage() {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.wait(250)
    patient.tell(.stageEntered(.init(first.attempt(1), name: "writing")))
    patient.wait(250)
    patient.beat(first)
    #expect(patient.batch.suspicions(at: patient.now, limits: patient.limits).isEmpty)
  }

  @Test("An opaque entrypoint owes no heartbeats; a progress timer that was set for it counts from its start")
  func opaque() {
    let timers = Timers(progress: .seconds(300))
    var patient = Patient(Patient.specification(work: .entrypoint("python3 -m index"), timers: timers))
    patient.submit()
    patient.launch(first)
    patient.wait(100)
    patient.tell(.attemptStarted(first.attempt(1)))
    patient.wait(299)
    #expect(patient.batch.suspicions(at: patient.now, limits: patient.limits).isEmpty)
    patient.wait(1)
    #expect(patient.batch.suspicions(at: patient.now, limits: patient.limits).map(\.2) == [.progressTimeout])
  }

  @Test("Waiting for room is scaling inside the window and stuck past it")
  func waitingForRoom() throws {
    var patient = Patient()
    patient.submit()
    patient.wait(60)
    #expect(patient.health.health == .scaling && patient.health.reason == .waitingForCapacity)
    patient.wait(1140)
    let report = patient.health
    #expect(report.health == .stuck && report.reason == .waitingForCapacity)
    #expect(report.stuckFor == .seconds(1200))
    let sentence = try #require(report.blockedReason)
    #expect(sentence.hasPrefix("waiting_for_capacity: job t0-j0 (text) has waited 1200 s for 1 CPU and 256 MiB; "))
  }

  @Test("A job that waits behind a working sibling does not make the batch stuck")
  func behindSibling() {
    var patient = Patient(documents: 10, Patient.specification(shards: 2))
    patient.submit()
    patient.run(first)
    for document in [0, 2, 4, 6, 8] {
      patient.wait(250)
      patient.commit(first, document)
    }
    patient.beat(first)
    #expect(patient.health == HealthReport(.ok))
  }

  @Test("A new attempt after a retry has the whole window again")
  func retryStartsTheWindowAgain() {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.die(first, .exitCode)
    patient.end(.failed, .failed)
    patient.wait(7200)
    patient.tell(
      .retried(.init(tier: 0, jobs: [], actor: "caller")), .batchStatusChanged(.init(.running, reason: "")),
      .tierStatusChanged(.init(tier: 0, .running, reason: "")),
      .jobStatusChanged(.init(first, .pending, failure: nil, reason: "")))
    patient.wait(60)
    #expect(patient.health.health != .stuck)
    patient.wait(1140)
    #expect(patient.health.health == .stuck)
  }

  @Test("What can never be scheduled is stuck at once, before any waiting")
  func neverSchedulable() throws {
    var patient = Patient(Patient.specification(resources: Resources(cpus: 64)))
    let report = patient.health
    #expect(report.health == .stuck && report.reason == .neverSchedulable)
    #expect(try #require(report.blockedReason).contains("needs 64 CPUs, the local executor has 2"))
    let finding = try #require(patient.diagnosis.findings.first)
    #expect(finding.cause == .health(.neverSchedulable) && finding.evidence.first?.values["cpus_needed"] == "64")
    #expect(
      finding.remedy?.command
        == .serve([.capacity(.local, isStandard: true, cpus: 64, memoryBytes: nil)]))
    patient.capacity.cpus = 64
    #expect(patient.health == HealthReport(.ok))
  }

  @Test("What waits and can never start has no place in the queue, and its remedy names each bound in its way")
  func neverSchedulableWhileQueued() throws {
    var patient = Patient(Patient.specification(resources: Resources(cpus: 7, memoryBytes: 1 << 30)))
    patient.tell(.batchStatusChanged(.init(.queued, reason: "")))
    patient.limits.quotas = ["default": Quota(cpus: 1, memoryBytes: 512 << 20, batches: 9)]
    var batchContext = BatchContext()
    batchContext.ahead = 1
    func diagnosis() -> Diagnosis {
      patient.batch.diagnosis(
        at: patient.now, capacity: patient.capacity, limits: patient.limits, batchContext: batchContext)
    }
    let raised = ServerOption.quota(namespace: "default", Quota(cpus: 7, memoryBytes: 1 << 30, batches: 9))
    let never = diagnosis()
    #expect(never.health == .stuck && never.healthReason == .neverSchedulable && never.queue == nil)
    #expect(never.blockedReason?.contains("the local executor has 2") == true)
    #expect(never.blockedReason?.contains("the quota of namespace default is 1 CPU and 512 MiB") == true)
    #expect(
      never.nextActions == [
        Advice(
          "Ask for less in a new batch, or serve with more and have the quota of namespace default raised",
          .serve([.capacity(.local, isStandard: true, cpus: 7, memoryBytes: nil), raised]))
      ])
    // The quota alone is in its way.
    patient.capacity.cpus = 8
    let quota = diagnosis()
    #expect(quota.healthReason == .quota && quota.queue == nil && quota.nextActions.count == 1)
    #expect(quota.nextActions.first?.command == .serve([raised]))
    patient.limits.quotas = [:]
    #expect(diagnosis().queue?.position == 2 && diagnosis().nextActions.first?.text.hasPrefix("wait: 2nd") == true)
  }

  @Test("On a copy nothing is called ok, estimated or advised of a batch that is not over, whatever its state")
  func copy() throws {
    var patient = Patient(documents: 4)
    var batchContext = BatchContext()
    batchContext.server.copy = "/a is a copy of /b"
    batchContext.ahead = 0
    func diagnosis() -> Diagnosis {
      patient.batch.diagnosis(
        at: patient.now, capacity: patient.capacity, limits: patient.limits, batchContext: batchContext)
    }
    func expectShown() {
      let shown = diagnosis()
      #expect(
        shown.health == .stuck && shown.healthReason == .copy && shown.blockedReason == "copy: /a is a copy of /b")
      #expect(shown.findings.first?.cause == .health(.copy) && shown.estimatedCompletion == nil && shown.queue == nil)
      #expect(shown.estimate?.unknownBecause.contains("copy") == true)
      #expect(shown.nextActions.count == 1 && shown.nextActions.first?.command == .serve([.adoptCopy]))
      #expect(!shown.recommendations.contains { $0.isCall })
    }
    expectShown()
    patient.tell(.batchStatusChanged(.init(.queued, reason: "")))
    expectShown()
    patient.submit()
    patient.run(first)
    patient.claim(first, 0, 1)
    patient.commit(first, 0)
    patient.wait(10)
    patient.commit(first, 1)
    #expect(patient.diagnosis.estimatedCompletion != nil)
    expectShown()
    patient.lookTwice()
    patient.wait(100_000)
    patient.lookTwice()
    expectShown()
    patient.fail(first, 2, code: "format_error")
    patient.commit(first, 3)
    patient.succeed(first)
    patient.end(.completed, .completed)
    #expect(diagnosis().health == .degraded && diagnosis().healthReason == .partialFailures)
  }

  @Test("A paused batch is ok, whatever its attempts look like, and its pause is not held against them")
  func paused() throws {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.wait(10)
    patient.tell(.batchStatusChanged(.init(.paused, reason: "")))
    patient.wait(3600)
    #expect(patient.health.health == .ok && patient.health.reason == .paused)
    #expect(try #require(patient.health.blockedReason).hasSuffix(" 3600 s ago"))
    #expect(patient.batch.suspicions(at: patient.now, limits: patient.limits).isEmpty)
    patient.tell(.batchStatusChanged(.init(.running, reason: "")))
    patient.beat(first)
    #expect(patient.batch.suspicions(at: patient.now, limits: patient.limits).isEmpty)
  }

  @Test("An unreachable executor is stuck after its grace, and only when nothing moves")
  func unreachable() {
    var patient = Patient()
    patient.submit()
    patient.wait(10)
    patient.batch.outage = ExecutorOutage(executor: .local, since: patient.now, message: "connection refused")
    #expect(patient.health == HealthReport(.ok, .executorUnreachable))
    patient.wait(300)
    #expect(patient.health.health == .stuck && patient.health.reason == .executorUnreachable)
    #expect(patient.diagnosis.findings.contains { $0.cause == .health(.executorUnreachable) })
    var queued = Patient()
    queued.tell(.batchStatusChanged(.init(.queued, reason: "")))
    #expect(queued.health == HealthReport(.ok, .waitingForCapacity))
    queued.batch.outage = ExecutorOutage(executor: .local, since: queued.now, message: "connection refused")
    #expect(queued.health == HealthReport(.ok, .executorUnreachable))
    queued.wait(300)
    #expect(queued.health.stuckFor == .seconds(300))
  }

  @Test("A batch with failed documents is degraded, running or over")
  func degraded() {
    var patient = Patient()
    patient.submit()
    patient.run(first)
    patient.commit(first, 0, 1)
    patient.fail(first, 2, code: "exit_code")
    #expect(patient.health == HealthReport(.degraded, .partialFailures))
    patient.succeed(first)
    patient.end(.completed, .completed)
    #expect(patient.health == HealthReport(.degraded, .partialFailures))
    #expect(patient.batch.hasFailures)
  }

  @Test("The reason that comes first in the list wins, and the others are counted")
  func order() throws {
    var patient = Patient(documents: 10, Patient.specification(shards: 2))
    patient.submit()
    patient.run(first)
    patient.run(second)
    patient.wait(400)
    patient.beat(second)
    patient.lookTwice(beating: second)
    let report = patient.health
    #expect(report.reason == .noHeartbeat && report.stuckAttempts.count == 2)
    #expect(try #require(report.blockedReason).hasSuffix("; and 1 more"))
  }
}

import MendAPI
import MendCore

extension JournalHealRecord {
  init(_ record: HealRecord) {
    self.init()
    action = record.action.wire
    generation = record.generation
    steps = record.steps.map { JournalHealStep($0) }
    atMs = record.at.milliseconds
    actor = record.actor
    initiative = JournalInitiative(record.by)
  }

  func record() throws(JournalFault) -> HealRecord {
    HealRecord(
      action: try MendCore.HealAction(action), generation: generation, steps: try steps.steps(), at: Instant(atMs),
      actor: actor, by: try initiative.initiative(of: actor))
  }
}

extension JournalInitiative {
  init(_ initiative: Initiative) {
    self =
      switch initiative {
      case .caller: .caller
      case .autoHeal: .autoHeal
      case .rules: .rules
      }
  }

  /// Earlier versions told it by the actor's name alone.
  func initiative(of actor: String) throws(JournalFault) -> Initiative {
    switch self {
    case .caller: .caller
    case .autoHeal: .autoHeal
    case .rules: .rules
    case .unspecified: actor == "auto_heal" ? .autoHeal : actor == "scheduler" ? .rules : .caller
    case .unrecognized: throw JournalFault("an unknown initiative \(rawValue)")
    }
  }
}

extension JournalHealStep {
  init(_ step: MendCore.HealStep) {
    self.init()
    switch step.operation {
    case .restartAttempt(let job, let number, let cause):
      var restart = JournalRestartAttempt()
      restart.attempt = JournalAttempt(job, number)
      restart.cause = cause.wire
      operation = .restartAttempt(restart)
    case .killDuplicate(let job, let reference):
      var kill = JournalKillDuplicate()
      kill.job = JournalJob(job)
      kill.reference = reference
      operation = .killDuplicate(kill)
    case .reclaimOrphan(let job, let number): operation = .reclaimOrphan(JournalAttempt(job, number))
    case .retryTier(let tier, let jobs, let memoryBytes):
      var retry = JournalRetryTier()
      retry.tier = Int32(clamping: tier)
      retry.jobs = jobs.map { JournalJob($0) }
      if !memoryBytes.isEmpty { retry.jobMemoryBytes = jobs.map { memoryBytes[$0] ?? 0 } }
      operation = .retryTier(retry)
    }
    reason = step.reason
    evidence = step.evidence.map { JournalEvidence($0) }
    risk = step.risk.wire
    outcome = step.outcome
    result = JournalStepResult(step.result)
  }

  func step() throws(JournalFault) -> MendCore.HealStep {
    let what: MendCore.HealStep.Operation
    switch try required(operation, "known step of a plan") {
    case .restartAttempt(let restart):
      let attempt = try required(restart.attempt, "attempt")
      what = .restartAttempt(attempt.job, number: attempt.place, try MendCore.FailureCause(restart.cause))
    case .killDuplicate(let kill):
      what = .killDuplicate(try required(kill.job, "job").job, reference: kill.reference)
    case .reclaimOrphan(let attempt): what = .reclaimOrphan(attempt.job, number: attempt.place)
    case .retryTier(let retry):
      what = .retryTier(tier: Int(retry.tier), jobs: retry.jobs.map(\.job), memoryBytes: retry.memoryOfJobs)
    }
    return MendCore.HealStep(
      operation: what, reason: reason, evidence: try evidence.evidence(), risk: try MendCore.Risk(risk),
      result: try result.result(), outcome: outcome)
  }
}

extension JournalRetryTier {
  /// Earlier versions asked the same of all jobs.
  fileprivate var memoryOfJobs: [JobID: Int64] {
    let bytes = jobMemoryBytes.isEmpty ? jobs.map { _ in memoryBytes ?? 0 } : jobMemoryBytes
    let known = zip(jobs.map(\.job), bytes.map(JournalNumber.memory)).filter { $0.1 > 0 }
    return Dictionary(known) { first, _ in first }
  }
}

extension JournalStepResult {
  init(_ result: MendCore.HealStep.Result) {
    self =
      switch result {
      case .planned: .planned
      case .done: .done
      case .asked: .asked
      case .skipped: .skipped
      case .refused: .refused
      }
  }

  func result() throws(JournalFault) -> MendCore.HealStep.Result {
    switch self {
    case .planned: .planned
    case .done, .unspecified: .done
    case .asked: .asked
    case .skipped: .skipped
    case .refused: .refused
    case .unrecognized: throw JournalFault("an unknown result \(rawValue) of a step")
    }
  }
}

extension [JournalHealStep] {
  func steps() throws(JournalFault) -> [MendCore.HealStep] {
    var result: [MendCore.HealStep] = []
    for entry in self { result.append(try entry.step()) }
    return result
  }
}

extension JournalRetried {
  init(_ fact: Fact.Retried) {
    self.init()
    tier = Int32(clamping: fact.tier)
    jobs = fact.jobs.map { job in
      var entry = JournalRetriedJob()
      entry.job = JournalJob(job.job)
      entry.overrides = JournalOverrides(job.overrides)
      entry.reopened = JournalDocumentSet(job.reopened)
      return entry
    }
    actor = fact.actor
    initiative = JournalInitiative(fact.by)
  }

  func retried() throws(JournalFault) -> Fact.Retried {
    var result: [Fact.RetriedJob] = []
    for entry in jobs {
      result.append(
        Fact.RetriedJob(
          job: try required(entry.job, "job").job, overrides: entry.overrides?.overrides ?? Job.Overrides(),
          replacesOverrides: true, reopened: try entry.reopened?.documents() ?? DocumentSet()))
    }
    return Fact.Retried(tier: Int(tier), jobs: result, actor: actor, by: try initiative.initiative(of: actor))
  }
}

extension JournalRetriedJobs {
  /// What was asked for all jobs is written once.
  init(_ fact: Fact.Retried) {
    self.init()
    tier = Int32(clamping: fact.tier)
    actor = fact.actor
    initiative = JournalInitiative(fact.by)
    var places: [Job.Overrides: UInt32] = [:]
    var last: (asked: Job.Overrides, place: UInt32)?
    jobs = fact.jobs.map { job in
      var asked = job.overrides
      asked.memoryBytes = nil
      var entry = JournalJobRetry()
      entry.job = JournalJob(job.job)
      entry.memoryBytes = job.overrides.memoryBytes
      entry.reopened = JournalDocumentSteps(job.reopened)
      // The same for all of them, mostly: then nothing is hashed.
      if let last, last.asked == asked {
        entry.overrides = last.place
      } else {
        let place = places[asked] ?? UInt32(overrides.count)
        if places.updateValue(place, forKey: asked) == nil { overrides.append(JournalOverrides(asked)) }
        last = (asked, place)
        entry.overrides = place
      }
      return entry
    }
  }

  func retried() throws(JournalFault) -> Fact.Retried {
    let asked = overrides.map(\.overrides)
    var result: [Fact.RetriedJob] = []
    result.reserveCapacity(jobs.count)
    for entry in jobs {
      guard asked.indices.contains(Int(entry.overrides)) else {
        throw JournalFault("a retried job without its overrides")
      }
      var overrides = asked[Int(entry.overrides)]
      if let memoryBytes = entry.memoryBytes { overrides.memoryBytes = JournalNumber.memory(memoryBytes) }
      result.append(
        Fact.RetriedJob(
          job: try required(entry.job, "job").job, overrides: overrides,
          reopened: try entry.reopened?.documents() ?? DocumentSet()))
    }
    return Fact.Retried(tier: Int(tier), jobs: result, actor: actor, by: try initiative.initiative(of: actor))
  }
}

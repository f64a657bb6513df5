/// A plan that Heal carried out, or tried to.
package struct HealRecord: Hashable, Codable, Sendable {
  package var action: HealAction
  package var generation: UInt64
  package var steps: [HealStep]
  package var at: Instant
  /// Who asked for it, for people; empty if an earlier version wrote it.
  package var actor: String
  package var by: Initiative

  package init(
    action: HealAction, generation: UInt64, steps: [HealStep], at: Instant, actor: String = "", by: Initiative = .caller
  ) {
    self.actor = actor
    self.by = by
    self.action = action
    self.generation = generation
    self.steps = steps
    self.at = at
  }

  /// `auto: restarted; refused: ...`: the action, and what came of each step.
  var line: String { "\(action.rawValue): " + steps.map(\.outcome).joined(separator: "; ") }
}

package enum HealAction: String, Codable, CaseIterable, SchemaEnum {
  case detectStuck = "detect_stuck"
  case killDuplicates = "kill_duplicates"
  case reclaimOrphans = "reclaim_orphans"
  case auto
}

/// One step of a heal plan.
package struct HealStep: Hashable, Codable, Sendable {
  package enum Operation: Hashable, Codable, Sendable {
    /// Fence, end, start again without the documents that were in process.
    case restartAttempt(JobID, number: Int, FailureCause)
    /// End a launch that is not the job's current attempt; by its launch id or the executor's reference.
    case killDuplicate(JobID, reference: String)
    /// End what the executor runs and no live attempt owns, or relaunch what it lost.
    case reclaimOrphan(JobID, number: Int)
    /// With the memory limit that each job needs, where it is to change.
    case retryTier(tier: Int, jobs: [JobID], memoryBytes: [JobID: Int64])
  }

  /// What came of it.
  package enum Result: String, Hashable, Codable, Sendable, CaseIterable {
    case planned
    /// It changed what becomes of the batch.
    case done
    /// Somebody was asked once more for what was decided before.
    case asked
    /// There was nothing left to do.
    case skipped
    case refused
  }
  package var operation: Operation
  package var reason: String
  package var evidence: [Evidence]
  package var risk: Risk
  package var result: Result
  /// "planned" in a dry run, else what happened, for people.
  package var outcome: String

  package init(
    operation: Operation, reason: String, evidence: [Evidence], risk: Risk, result: Result = .planned,
    outcome: String = "planned"
  ) {
    self.operation = operation
    self.result = result
    self.reason = reason
    self.evidence = evidence
    self.risk = risk
    self.outcome = outcome
  }
}

extension HealRecord: Described {
  package static var blank: HealRecord {
    HealRecord(action: .auto, generation: 0, steps: [], at: Instant(milliseconds: 0))
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.choice(1, "action", &action)
    try v.sequence(2, "generation", &generation)
    try v.messages(3, "steps", &steps)
    try v.instant(4, "at_ms", &at)
    try v.string(16, "actor", &actor)
    try v.initiative(45, "initiative", &by, of: actor)
  }
}

extension HealStep: Described {
  package static var blank: HealStep {
    HealStep(operation: .reclaimOrphan(.blank, number: 0), reason: "", evidence: [], risk: .low)
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    var operation: Operation? = v.reads ? nil : self.operation
    try Operation.describe(&operation, v)
    try v.prose(5, "reason", &reason)
    try v.messages(6, "evidence", &evidence)
    try v.choice(7, "risk", &risk)
    try v.prose(8, "outcome", &outcome)
    var result: Result? = self.result
    try v.choice(45, "result", &result)
    // An earlier version wrote it: it was done.
    if v.reads { self.result = result ?? .done }
    guard let operation else { throw FormatFault("no known step of a plan") }
    if v.assigns { self.operation = operation }
  }
}

extension HealStep.Result: SchemaEnum {
  package static var schemaName: String { "mend.v1.JournalStepResult" }
}

extension HealStep.Operation {
  fileprivate static func describe(_ operation: inout Self?, _ v: FieldVisitor) throws(FormatFault) {
    try v.member(
      1, "restart_attempt", of: &operation, { .restartAttempt($0.attempt.job, number: $0.attempt.number, $0.cause) }
    ) {
      if case .restartAttempt(let job, let number, let cause) = $0 {
        RestartAttempt(attempt: AttemptID(job: job, number: number), cause: cause)
      } else {
        nil
      }
    }
    try v.member(2, "kill_duplicate", of: &operation, { .killDuplicate($0.job, reference: $0.reference) }) {
      if case .killDuplicate(let job, let reference) = $0 { KillDuplicate(job: job, reference: reference) } else { nil }
    }
    try v.member(3, "reclaim_orphan", of: &operation, { .reclaimOrphan($0.job, number: $0.number) }) {
      if case .reclaimOrphan(let job, let number) = $0 { AttemptID(job: job, number: number) } else { nil }
    }
    try v.member(
      4, "retry_tier", of: &operation, { .retryTier(tier: $0.tier, jobs: $0.jobs, memoryBytes: $0.memoryOfJobs) }
    ) {
      if case .retryTier(let tier, let jobs, let memory) = $0 {
        RetryTier(
          tier: tier, jobs: jobs, memoryBytes: nil, jobMemoryBytes: memory.isEmpty ? [] : jobs.map { memory[$0] ?? 0 })
      } else {
        nil
      }
    }
  }

  private struct RestartAttempt: Described {
    var attempt: AttemptID
    var cause: FailureCause

    static var blank: Self { Self(attempt: .blank, cause: .oom) }

    mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try v.choice(2, "cause", &cause)
    }
  }

  private struct KillDuplicate: Described {
    var job: JobID
    var reference: String

    static var blank: Self { Self(job: .blank, reference: "") }

    mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "job", &job)
      try v.string(2, "reference", &reference)
    }
  }

  private struct RetryTier: Described {
    var tier: Int
    var jobs: [JobID]
    /// Earlier versions asked the same of all jobs.
    var memoryBytes: Int64?
    /// In the order of `jobs`; 0 is no change.
    var jobMemoryBytes: [Int64]

    static var blank: Self { Self(tier: 0, jobs: [], memoryBytes: nil, jobMemoryBytes: []) }

    mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.small(1, "tier", &tier)
      try v.messages(2, "jobs", &jobs)
      try v.memory(3, "memory_bytes", &memoryBytes)
      try v.numbers(45, "job_memory_bytes", &jobMemoryBytes)
    }

    var memoryOfJobs: [JobID: Int64] {
      let bytes = jobMemoryBytes.isEmpty ? jobs.map { _ in memoryBytes ?? 0 } : jobMemoryBytes
      let known = zip(jobs, bytes.map(FieldBounds.memory)).filter { $0.1 > 0 }
      return Dictionary(known) { first, _ in first }
    }
  }
}

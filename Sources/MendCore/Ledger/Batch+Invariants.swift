// What must hold of a batch after a fact that was decided. It is looked at where facts are decided, and costs what the fact
// names; a fold of a journal takes what stands there, for an older version may have thought otherwise.

extension RecordFault {
  /// What was so before a fact, and is not after it.
  package enum Invariant: Hashable, Sendable {
    /// The generation grows with each change of state, and never falls.
    case generation
    /// What the batch holds of its executor is what its live attempts hold.
    case held
    /// A document is in one part of its job's ledger: done, failed, in process or pending.
    case jobDocuments(JobID)
    /// Documents done and failed in a tier are some of those handed to it.
    case tierDocuments(Int)
    /// Documents completed and failed are some of the batch's.
    case batchDocuments
    /// A document is committed once.
    case committedTwice(JobID)
    /// An attempt that ended has no documents in process.
    case inProcessByNobody(JobID)
    /// A job has one live attempt at the most.
    case secondLiveAttempt(JobID)
    /// A job that is over has no live attempt.
    case jobOverWithAttempt(JobID)
    /// A batch that is over has no live attempt.
    case batchOverWithAttempt
    /// Nothing is launched without an intent that is durable first.
    case launchWithoutIntent(JobID, Int)
  }
}

extension RecordFault.Invariant: CustomStringConvertible {
  package var description: String {
    switch self {
    case .generation: "the batch's generation fell"
    case .held: "what the batch holds is not what its live attempts hold"
    case .jobDocuments(let job): "job \(job) has more documents done, failed and in process than it was given"
    case .tierDocuments(let tier): "tier \(tier) has more documents done and failed than it was handed"
    case .batchDocuments: "the batch has more documents completed and failed than it has"
    case .committedTwice(let job): "job \(job) commits a document twice"
    case .inProcessByNobody(let job): "job \(job) has documents in process, and its attempt has ended"
    case .secondLiveAttempt(let job): "job \(job) has an attempt intended, and another one of it lives"
    case .jobOverWithAttempt(let job): "job \(job) is over, and an attempt of it lives"
    case .batchOverWithAttempt: "the batch is over, and an attempt of it lives"
    case .launchWithoutIntent(let job, let number): "attempt \(job).\(number) is launched, and was not intended"
    }
  }
}

/// A batch before a fact, as far as what must hold after it depends on it.
struct BeforeFact {
  fileprivate var generation: UInt64
  fileprivate var attempts: Int
  fileprivate var committed: Int
  /// Counts that did not add up before are not this fact's doing.
  fileprivate var overfull: RecordFault.Invariant?
}

extension Batch {
  func before(_ fact: Fact) -> BeforeFact {
    var committed = 0
    if let job = fact.subject.job, contains(job) { committed = tiers[job.tier].jobs[job.index].committed.count }
    return BeforeFact(
      generation: generation, attempts: held.attempts, committed: committed, overfull: overfull(after: fact))
  }

  /// What the fact broke, now that it is applied; nil where all holds.
  func broken(by fact: Fact, since before: BeforeFact) -> RecordFault.Invariant? {
    if generation < before.generation { return .generation }
    var attempts = before.attempts
    switch fact {
    case .attemptIntended(let intended):
      attempts += 1
      if intended.number > 1, tiers[intended.job.tier].jobs[intended.job.index].attempts[intended.number - 2].isCurrent
      {
        return .secondLiveAttempt(intended.job)
      }
    case .attemptEnded(let ended):
      attempts -= 1
      if !tiers[ended.job.tier].jobs[ended.job.index].processing.isEmpty { return .inProcessByNobody(ended.job) }
    case .documentsCommitted(let added):
      if tiers[added.job.tier].jobs[added.job.index].committed.count != before.committed + added.documents.count {
        return .committedTwice(added.job)
      }
    case .jobStatusChanged(let changed) where changed.status.isFinal:
      if tiers[changed.job.tier].jobs[changed.job.index].attempts.last?.isCurrent == true {
        return .jobOverWithAttempt(changed.job)
      }
    case .batchStatusChanged(let changed) where changed.status.isFinal:
      if held.attempts > 0 { return .batchOverWithAttempt }
    default:
      break
    }
    if held.attempts != attempts || !held.isSound { return .held }
    return before.overfull == nil ? overfull(after: fact) : nil
  }

  /// Whose counts do not add up, of those that a fact of this kind moves.
  private func overfull(after fact: Fact) -> RecordFault.Invariant? {
    if let job = fact.subject.job, contains(job) {
      // Field by field: a job's own property has all of it copied.
      let parts =
        tiers[job.tier].jobs[job.index].committed.count + tiers[job.tier].jobs[job.index].failed.count
        + tiers[job.tier].jobs[job.index].processing.count
      if parts > tiers[job.tier].jobs[job.index].assigned.count { return .jobDocuments(job) }
    }
    guard let tier = fact.subject.tier, tiers.indices.contains(tier) else { return nil }
    if tiers[tier].done.count + tiers[tier].failed.count > tiers[tier].handed.count { return .tierDocuments(tier) }
    return completedDocuments.count + failedDocuments.count > documents.count ? .batchDocuments : nil
  }
}

extension [Tier] {
  /// Nil for a job that the batch does not have.
  package subscript(job: JobID) -> Job? {
    indices.contains(job.tier) && self[job.tier].jobs.indices.contains(job.index)
      ? self[job.tier].jobs[job.index] : nil
  }
}

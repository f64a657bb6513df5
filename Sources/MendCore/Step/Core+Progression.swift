// How tiers and batches follow from their jobs (<doc:Domain#How-states-follow>).

extension Core {
  /// Takes the batch as far as its jobs allow: ends tiers whose jobs are over, starts the next, ends the batch.
  mutating func advance(_ key: BatchKey) {
    while true {
      let status = status(of: key)
      guard status == .running || status == .paused else { return }
      if let tier = runningTier(of: key) {
        guard let (outcome, reason) = outcome(of: tier, key) else { return }
        if outcome == .completed { leaveOutCancelled(of: tier, key) }
        record(.tierStatusChanged(.init(tier: tier, outcome, reason: reason)), on: key)
        continue
      }
      guard let next = batches[key]?.tiers.firstIndex(where: { $0.status != .completed }) else {
        record(.batchStatusChanged(.init(.completed, reason: "all tiers are done")), on: key)
        return
      }
      switch batches[key]?.tiers[next].status {
      case .failed:
        record(.batchStatusChanged(.init(.failed, reason: "tier \(next) failed")), on: key)
        return
      case .cancelled:
        record(.batchStatusChanged(.init(.cancelled, reason: "tier \(next) was cancelled")), on: key)
        return
      case .pending where status == .running:
        // The time may have passed while an attempt was being ended that had held the tier before.
        if batches[key]?.isPastTimeout(at: context.now) == true { return endAtBatchTimeout(key) }
        start(tier: next, of: key)
      case .pending, .running, .completed, nil:
        return
      }
    }
  }

  /// What a tier has come to; nil while a job of it is not over.
  ///
  /// It fails with any of its jobs; the others run to their end first. Jobs that were cancelled one by one count as
  /// neither, unless there is nothing else.
  private func outcome(of tier: Int, _ key: BatchKey) -> (TierStatus, reason: String)? {
    // By index, which copies no job; from the end, for the last to start is mostly the last to end.
    guard let tier = batches[key]?.tiers[tier],
      tier.jobs.indices.reversed().allSatisfy({ tier.jobs[$0].status.isFinal })
    else { return nil }
    if tier.cancelRequested || tier.jobs.allSatisfy({ $0.status == .cancelled }) {
      return (.cancelled, "cancelled by the caller")
    }
    if let failed = tier.jobs.first(where: { $0.status == .failed }) {
      return (.failed, "job \(failed.id) failed: \(failed.failure?.message ?? "")")
    }
    return (
      .completed,
      tier.failed.isEmpty
        ? "all jobs are done" : "all jobs are done; \(Figures.count(tier.failed.count, "document")) failed"
    )
  }

  /// Documents of jobs that were cancelled one by one go on through the extractors that did them.
  private mutating func leaveOutCancelled(of tier: Int, _ key: BatchKey) {
    guard let state = batches[key]?.tiers[tier], state.jobs.contains(where: { $0.status == .cancelled }) else { return }
    var done = DocumentSet()
    for job in state.jobs { done.formUnion(job.committed) }
    done.subtract(state.failed)
    for job in state.jobs where job.status == .cancelled {
      let leftOut = job.assigned.subtracting(job.committed).intersection(done)
      if !leftOut.isEmpty { record(.documentsLeftOut(.init(job.id, leftOut)), on: key) }
    }
  }

  /// Hands the tier what every tier before it has done.
  private mutating func start(tier: Int, of key: BatchKey) {
    guard let batch = batches[key] else { return }
    let handed = tier == 0 ? DocumentSet(all: batch.documents.count) : batch.tiers[tier - 1].done
    let jobs = batch.tiers[tier].jobs.filter { $0.status == .pending }.map(\.id)
    record(.tierStarted(.init(tier: tier, handed: handed)), on: key)
    for job in jobs {
      let reopened = documentsLostToAttempts(of: job, key)
      if !reopened.isEmpty { record(.documentsReleased(.init(job.attempt(0), reopened)), on: key) }
      finishIfNothingLeft(job, of: key)
    }
  }

  /// Documents that failed only because an attempt died around them: a new start is their second chance.
  private func documentsLostToAttempts(of job: JobID, _ key: BatchKey) -> DocumentSet {
    guard let state = batches[key]?.tiers[job], !state.errors.isEmpty else { return DocumentSet() }
    return state.errors.documents { $0.causedByAttempt && !$0.quarantined }
  }
}

extension Batch {
  /// How many documents the job's extractor has, where it failed every one of them and the job is the last of its shards
  /// to be decided; nil otherwise.
  ///
  /// Asked over all shards: how many there are says nothing of what an extractor did.
  func documentsFailedByAllShards(of job: JobID) -> Int? {
    // An extractor's shards stand beside each other.
    let first = job.index - tiers[job.tier].jobs[job.index].shard
    let extractor = specification.tiers[job.tier].extractors[tiers[job.tier].jobs[job.index].extractor]
    var (assigned, failed) = (0, 0)
    for index in first..<first + max(1, extractor.shards) {
      guard index == job.index || tiers[job.tier].jobs[index].status.isFinal else { return nil }
      assigned += tiers[job.tier].jobs[index].assigned.count
      failed += tiers[job.tier].jobs[index].failed.count
    }
    return assigned > 0 && failed == assigned ? assigned : nil
  }

  /// What `documentsFailedByAllShards` comes to, for people.
  static func allFailed(_ count: Int) -> String { count == 1 ? "its document failed" : "all \(count) documents failed" }
}

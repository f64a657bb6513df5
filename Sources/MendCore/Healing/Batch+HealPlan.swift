// Heal's plans: what would be done, why, on what evidence, at what risk. Nothing is changed here.

extension Batch {
  /// The most steps of one kind in a plan; the next plan has the rest.
  package static let healStepsLimit = 200

  /// The steps of a plan, each "planned"; empty when there is nothing to heal. The same state gives the same plan.
  ///
  /// `auto` does what the findings recommend and is safe: ends stuck attempts, duplicates and orphans, and retries
  /// what ran out of memory with more where that fits. It never retries a pipeline's error: the same input
  /// gives the same error.
  package func healPlan(
    _ action: HealAction, tier: Int?, at now: Instant, capacity: Capacity, limits: Limits
  ) -> [HealStep] {
    let context = DiagnosisContext(batch: self, now: now, capacity: capacity, limits: limits)
    let reclaims = context.reclaims(tier)
    return switch action {
    case .detectStuck: context.restarts(tier)
    case .killDuplicates: context.duplicateKills(tier)
    case .reclaimOrphans: reclaims
    case .auto:
      context.restarts(tier) + context.duplicateKills(tier) + reclaims
        + context.memoryRetries(tier, except: Set(reclaims.compactMap(\.restartedTier)))
    }
  }
}

extension DiagnosisContext {
  fileprivate func restarts(_ tier: Int?) -> [HealStep] {
    healthReport.stuckAttempts.lazy.filter { tier == nil || tier == $0.job.tier }.prefix(Batch.healStepsLimit)
      .compactMap { stuck -> HealStep? in
        guard let job = batch.tiers[stuck.job], let attempt = job.current else { return nil }
        let inProcess = job.processing.count
        let consequence =
          inProcess == 0
          ? "no document is in process, nothing is lost"
          : "\(Figures.count(inProcess, "document")) in process will be FAILED with \(stuck.cause.rawValue), "
            + "the rest goes on"
        return HealStep(
          operation: .restartAttempt(stuck.job, number: stuck.number, stuck.cause),
          reason: batch.stallSentence(attempt, of: job, cause: stuck.cause, since: stuck.since, at: now) + "; "
            + consequence,
          evidence: evidence(ofStall: stuck, attempt, job: job), risk: inProcess == 0 ? .low : .medium)
      }
  }

  fileprivate func duplicateKills(_ tier: Int?) -> [HealStep] {
    batch.duplicates.filter { tier == nil || tier == $0.job.tier }.compactMap { launch in
      let asked = batch.askedToEnd(launch.job, launch.reference)
      // It still has time to end.
      if let asked, now - asked < limits.endTimeout { return nil }
      let again = asked.map { ", \(Figures.seconds(now - $0)) after it was asked to end" } ?? ""
      return HealStep(
        operation: .killDuplicate(launch.job, reference: launch.reference),
        reason:
          "\(launch.reference) runs as attempt \(launch.number) of \(launch.job), which is not its current attempt\(again)",
        evidence: [launch.evidence],
        // It is fenced: nothing that it does counts.
        risk: .low)
    }
  }

  /// Attempts whose end was never proven, and attempts that were lost.
  fileprivate func reclaims(_ tier: Int?) -> [HealStep] {
    var found: [(job: JobID, attempt: Int, reclaimedAt: Instant)] = []
    forEachJob { _, job in
      guard tier == nil || tier == job.id.tier else { return }
      for index in job.attempts.indices {
        let attempt = job.attempts[index]
        let isOrphaned = attempt.end.map { isOrphan(attempt, $0, of: job) } ?? (overdueEnd(of: attempt, job) != nil)
        guard isOrphaned else { continue }
        found.append((job.id, index, attempt.reclaimedAt ?? .distantPast))
      }
    }
    if found.count > Batch.healStepsLimit {
      // Attempts that were asked to end before come last, so that the others get their turn.
      found.sort { ($0.reclaimedAt, $0.job, $0.attempt) < ($1.reclaimedAt, $1.job, $1.attempt) }
      found.removeLast(found.count - Batch.healStepsLimit)
      found.sort { ($0.job, $0.attempt) < ($1.job, $1.attempt) }
    }
    return found.compactMap { id, index, _ in batch.tiers[id].map { reclaim(index, of: $0) } }
  }

  private func reclaim(_ index: Int, of job: Job) -> HealStep {
    let attempt = job.attempts[index]
    let operation = HealStep.Operation.reclaimOrphan(job.id, number: attempt.number)
    if let overdue = overdueEnd(of: attempt, job) {
      return HealStep(operation: operation, reason: overdue.sentence, evidence: [overdue.evidence], risk: .low)
    }
    return HealStep(
      operation: operation,
      reason: attempt.staleReports > 0
        ? "attempt \(attempt.number) of \(job.title(in: batch)) is over, and still reports"
        : "attempt \(attempt.number) of \(job.title(in: batch)) was lost, and nothing proves it gone",
      evidence: evidence(of: attempt, job: job, died: 0),
      risk: batch.isGivenUp(job.id, with: attempt.number) ? .medium : .low)
  }

  /// Whether a plan to reclaim orphans has a step for it.
  func isOrphan(_ attempt: Attempt, _ end: AttemptEnd, of job: Job) -> Bool {
    guard end.receipt == nil, end.exit == nil else { return false }
    if attempt.staleReports > attempt.reportsBeforeReclaim { return true }
    guard end.cause == .orphaned, job.status == .failed, job.attempts.last?.number == attempt.number else {
      return false
    }
    return attempt.reclaimedAt == nil || batch.isGivenUp(job.id, with: attempt.number)
  }

  /// One step for each tier: all of its jobs that ran out of memory, each with what it needs. None if that does not fit, or if
  /// memory was not what bounded it.
  ///
  /// Not in the tiers of `except`: a step before starts them again, and a second start would be refused.
  fileprivate func memoryRetries(_ tier: Int?, except: Set<Int>) -> [HealStep] {
    guard batch.status == .failed else { return [] }
    return batch.tiers.compactMap { failedTier in
      guard tier == nil || tier == failedTier.number, failedTier.status == .failed,
        !except.contains(failedTier.number)
      else { return nil }
      var jobs: [JobID] = []
      var memoryBytes: [JobID: Int64] = [:]
      var evidence: [Evidence] = []
      for job in failedTier.jobs where job.status == .failed && job.failure?.cause == .oom {
        guard let attempt = job.attempts.last(where: { $0.end?.cause == .oom }), let end = attempt.end,
          end.oomSignature?.isOwnLimit != true,
          let bytes = MemoryAdvice(after: end, of: attempt, capacity: capacity).asked
        else { continue }
        jobs.append(job.id)
        memoryBytes[job.id] = bytes
        // The evidence of some jobs only, for it is kept in the batch's history.
        if jobs.count <= Self.jobsShown { evidence += self.evidence(of: attempt, job: job, died: 0) }
      }
      guard !jobs.isEmpty else { return nil }
      return HealStep(
        operation: .retryTier(tier: failedTier.number, jobs: jobs, memoryBytes: memoryBytes),
        reason: "\(Figures.count(jobs.count, "job")) of tier \(failedTier.number) ran out of memory; "
          + enough(memoryBytes, jobs),
        evidence: evidence, risk: .medium)
    }
  }
}

extension DiagnosisContext {
  fileprivate static let jobsShown = 10

  /// One figure if all jobs need the same, else one for each job.
  private func enough(_ memoryBytes: [JobID: Int64], _ jobs: [JobID]) -> String {
    let figures = Set(memoryBytes.values)
    if figures.count == 1, let bytes = figures.first {
      return "\(Figures.bytes(bytes)) is more than was measured, and fits; what was ended at its limit may need more"
    }
    let shown = jobs.prefix(Self.jobsShown).map { "\(Figures.bytes(memoryBytes[$0] ?? 0)) for \($0)" }
    let more = jobs.count > shown.count ? ", and so on for \(jobs.count - shown.count) more" : ""
    return
      "\(Figures.list(shown))\(more): more than was measured, and each fits; what was ended at its limit may need more"
  }
}

extension HealStep {
  /// The tier that a reclaim starts again because its job was given up; the risk of such a step is more than low.
  fileprivate var restartedTier: Int? {
    if case .reclaimOrphan(let job, _) = operation, risk != .low { job.tier } else { nil }
  }
}

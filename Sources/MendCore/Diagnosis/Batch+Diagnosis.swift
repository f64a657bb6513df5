// Diagnose: the rules' findings, and what follows from them.

extension Batch {
  /// What is wrong, why, on what evidence, and what to do: a pure function of the batch, the capacity and the time.
  ///
  /// Its cost grows with the attempts and the failed documents; documents that did not fail are never visited.
  ///
  /// - Parameter batchContext: its queue and its quota; a diagnosis without it says nothing about them.
  package func diagnosis(
    at now: Instant, capacity: Capacity, limits: Limits, batchContext: BatchContext = BatchContext()
  ) -> Diagnosis {
    let context = DiagnosisContext(
      batch: self, now: now, capacity: capacity, limits: limits, batchContext: batchContext)
    let list = DiagnosisRule.findings(context, limit: DiagnosisRule.findingsLimit)
    let findings = list.findings
    var diagnosis = Diagnosis()
    diagnosis.health = context.healthReport.health
    diagnosis.healthReason = context.healthReport.reason
    diagnosis.blockedReason = context.healthReport.blockedReason
    diagnosis.stuckFor = context.healthReport.stuckFor
    diagnosis.overallProgress = overallProgress
    diagnosis.currentTier = currentTier
    diagnosis.estimate = estimate(at: now, report: context.healthReport)
    diagnosis.estimatedCompletion = diagnosis.estimate?.p50
    diagnosis.failureCategory = context.failureCategory()
    diagnosis.findings = findings
    diagnosis.insights = context.insights(findingsLeftOut: list.leftOut)
    (diagnosis.infrastructureEvents, diagnosis.infrastructureEventsLeftOut) = context.infrastructureEvents()
    diagnosis.nextActions = context.nextActions(list, estimate: diagnosis.estimatedCompletion)
    diagnosis.recommendations = context.recommendations(findings)
    diagnosis.errorSummary = hasFailures ? errorSummary(of: context.tallies) : []
    diagnosis.failedSample = Array(failedDocuments.prefix(10))
    diagnosis.performance = context.performance()
    diagnosis.repeatedWork = context.repeatedWork
    diagnosis.queue = context.queuePlace
    return diagnosis
  }

  /// Failures by code, the most frequent first, for GetBatch; the same as in `diagnosis`. Visits failed documents only.
  package func errorSummary() -> [ErrorSummary] {
    hasFailures ? errorSummary(of: DiagnosisContext.tallies(of: self)) : []
  }
}

extension DiagnosisContext {
  /// The gravest category among the failed jobs' causes, in the order of `FailureCategory`; where no job failed,
  /// among the failed documents'. nil when nothing failed.
  func failureCategory() -> FailureCategory? {
    guard batch.hasFailures else { return nil }
    var categories: Set<FailureCategory> = []
    forEachJob { _, job in
      guard job.status == .failed, let failure = job.failure else { return }
      categories.insert(failure.cause.category)
      // Its documents failed it. The causes of the attempts that they failed with say more.
      if failure.cause == .documentErrors, let tally = tallies[job.id] {
        for code in tally.codes { categories.insert(cause(of: code, job: job).category) }
      }
    }
    if categories.isEmpty {
      forEachJob { _, job in
        for code in tallies[job.id]?.codes ?? [] { categories.insert(cause(of: code, job: job).category) }
      }
    }
    return FailureCategory.allCases.first { categories.contains($0) } ?? .pipeline
  }

  /// Attempts that ended for a cause outside of the pipeline, in the order of time, even if a later
  /// attempt succeeded.
  ///
  /// Returns the latest of them, and how many earlier ones are left out.
  func infrastructureEvents() -> ([InfrastructureEvent], leftOut: Int) {
    // By index: thousands of jobs may have a hundred attempts each.
    var ends: [(at: Instant, job: JobID, attempt: Int)] = []
    forEachJob { _, job in
      for index in job.attempts.indices {
        guard let end = job.attempts[index].end, let cause = end.cause, cause.category != .pipeline else { continue }
        ends.append((end.at, job.id, index))
      }
    }
    ends.sort { ($0.at, $0.job, $0.attempt) < ($1.at, $1.job, $1.attempt) }
    let latest = ends.suffix(Diagnosis.infrastructureEventsLimit).compactMap { at, id, index -> InfrastructureEvent? in
      guard let job = batch.tiers[id], let cause = job.attempts[index].end?.cause else { return nil }
      let attempt = job.attempts[index]
      return InfrastructureEvent(
        cause: cause, at: at, job: job.id, attempt: attempt.number,
        message: "Attempt \(attempt.number) of \(job.title(in: batch)) \(explanation(of: cause, attempt, job))")
    }
    return (latest, ends.count - latest.count)
  }
}

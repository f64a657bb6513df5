// What a diagnosis says of one tier and of its jobs.

extension Tier {
  /// Documents that a job of the tier has in process.
  package var processing: DocumentSet {
    var processing = DocumentSet()
    for job in jobs where !job.processing.isEmpty { processing.formUnion(job.processing) }
    return processing
  }

  /// The closed stages of all jobs.
  package var stages: [Job.StageTotal] {
    var totals = StageTotals()
    for job in jobs { for stage in job.stages { totals.add(stage) } }
    return totals.told
  }

  /// The attempt that stands for the tier: of the first job that is not over, else of the last that was submitted.
  package var shownAttempt: Attempt? {
    let submitted = jobs.filter { !$0.attempts.isEmpty }
    return (submitted.first { $0.current != nil } ?? submitted.last)?.attempts.last
  }
}

extension Batch {
  /// True if a job of the tier takes a GPU.
  package func requiresGPU(_ tier: Tier) -> Bool {
    tier.jobs.contains { job in
      job.attempts.last?.parameters.resources.requiresGPU ?? job.resourcesAsked(in: self).requiresGPU
    }
  }

  /// Why the tier failed or was cancelled; nil if it was not.
  package func error(of tier: Tier) -> (message: String, cause: FailureCause?)? {
    guard tier.status == .failed || tier.status == .cancelled else { return nil }
    if let failure = tier.jobs.lazy.compactMap(\.failure).first { return (failure.message, failure.cause) }
    let reason = recentChanges.last { $0.subject == .tier(tier.number) }?.reason ?? ""
    return (reason.isEmpty ? "tier \(tier.number) was \(tier.status.rawValue)" : reason, nil)
  }

  /// The parameters of the job's latest attempt, or of its first one to come; nil for a job that the specification does
  /// not have.
  package func shownParameters(of job: Job) -> SubmissionParameters? {
    if let attempt = job.attempts.last { return shownParameters(of: attempt, job) }
    return job.specified(in: self) == nil ? nil : submissionParameters(of: job.id)
  }

  /// An attempt's parameters, with the window that holds for its start.
  package func shownParameters(of attempt: Attempt, _ job: Job) -> SubmissionParameters {
    var parameters = attempt.parameters
    parameters.startWindow = parameters.startWindow ?? job.specified(in: self)?.timers.start
    return parameters
  }
}

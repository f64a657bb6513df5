import MendAPI
import MendCore

extension TierDiagnostic {
  init(_ tier: Tier, of batch: Batch, at now: Instant, dashboard: String, detail: DiagnosisDetail) {
    self.init()
    tierNum = Int32(clamping: tier.number)
    status = MendAPI.TierStatus(tier.status)
    taskID = "\(batch.key.batchID)/\(tier.number)"
    startedAt = GoogleTimestamp(tier.startedAt)
    completedAt = GoogleTimestamp(tier.completedAt)
    durationSeconds = tier.elapsed(at: now)?.inSeconds
    spanSeconds = tier.span(at: now)?.inSeconds
    progress = TierProgressDetail(tier)
    lastActivityAt = GoogleTimestamp(tier.lastActivityAt)
    requiresGpu = tier.jobs.contains { job in
      job.attempts.last?.parameters.resources.requiresGPU ?? job.overrides.requiresGPU
        ?? batch.specified(job)?.resources.requiresGPU ?? false
    }
    submissionParams = tier.jobs.first.flatMap { SubmissionParams(of: $0, in: batch, textBytes: detail.tierText) }
    jobs = detail.shown(tier.jobs, of: batch).map { JobDiagnostic($0, of: batch, detail: detail) }
    jobsLeftOut = Int64(tier.jobs.count - jobs.count)
    if let failed = tier.jobs.first(where: { $0.failure != nil }), let failure = failed.failure {
      if tier.status == .failed || tier.status == .cancelled {
        error = failure.message
        errorType = MendAPI.FailureCause(failure.cause)
      }
    }
    if error == nil, tier.status == .failed || tier.status == .cancelled {
      error = batch.reason(of: .tier(tier.number)) ?? "tier \(tier.number) was \(tier.status.rawValue)"
    }
    if batch.specification.executor == .ray { describeRayJob(tier, dashboard: dashboard) }
  }

  /// A tier shows one Ray job: the first that is not over, else the last that was submitted.
  private mutating func describeRayJob(_ tier: Tier, dashboard: String) {
    let submitted = tier.jobs.filter { !$0.attempts.isEmpty }
    guard let job = submitted.first(where: { $0.current != nil }) ?? submitted.last, let attempt = job.attempts.last,
      let handle = attempt.handle
    else { return }
    rayJobID = handle.reference
    if !dashboard.isEmpty {
      rayDashboardURL = (dashboard.hasSuffix("/") ? String(dashboard.dropLast()) : dashboard) + "/#/jobs/\(rayJobID)"
    }
    rayJobStatus =
      switch attempt.state {
      case .intended, .starting: "PENDING"
      case .running, .ending: "RUNNING"
      case .ended(let end):
        switch end.verdict {
        case .succeeded: "SUCCEEDED"
        case .cancelled: "STOPPED"
        case .failed: "FAILED"
        }
      }
  }
}

extension Batch {
  /// Why the subject came into its current state, as far as the recent history goes.
  func reason(of subject: MendCore.StateChange.Subject) -> String? {
    recentChanges.last { $0.subject == subject }.flatMap { $0.reason.isEmpty ? nil : $0.reason }
  }
}

extension TierProgressDetail {
  init(_ tier: Tier) {
    self.init()
    processedDocuments = Int64(tier.done.count + tier.failed.count)
    totalDocuments = Int64(tier.handed.count)
    percentage = tier.percentage
    completedDocuments = Int64(tier.done.count)
    failedDocuments = Int64(tier.failed.count)
    var inProcess = DocumentSet()
    for job in tier.jobs where !job.processing.isEmpty { inProcess.formUnion(job.processing) }
    processingDocuments = Int64(inProcess.count)
    stageHistory = Self.stages(of: tier.jobs)
  }

  /// Closed stages of all jobs.
  private static func stages(of jobs: [Job]) -> [StageTiming] {
    var totals = StageTotals()
    for job in jobs { for stage in job.stages { totals.add(stage) } }
    return totals.told.map { StageTiming($0) }
  }
}

extension JobDiagnostic {
  init(_ job: Job, of batch: Batch, detail: DiagnosisDetail) {
    self.init()
    jobID = job.id.description
    let specified = batch.specified(job)
    extractorName = specified?.name ?? ""
    collectionID = specified?.collectionID ?? ""
    status = MendAPI.JobStatus(job.status)
    attempts = detail.shown(job.attempts).map { AttemptDiagnostic($0, of: job, in: batch, detail: detail) }
    attemptsLeftOut = Int64(job.attempts.count - attempts.count)
    shard = Int32(clamping: job.shard)
    totalDocuments = Int64(job.assigned.count)
    completedDocuments = Int64(job.committed.count)
    failedDocuments = Int64(job.failed.count)
    processingDocuments = Int64(job.processing.count)
    if let bytes = detail.jobText { submissionParams = SubmissionParams(of: job, in: batch, textBytes: bytes) }
    if let failure = job.failure {
      error = failure.message
      failureCategory = MendAPI.FailureCategory(failure.cause.category)
      failureCause = MendAPI.FailureCause(failure.cause)
    }
    nextAttemptAt = GoogleTimestamp(job.nextAttemptAt)
    if let latest = job.attempts.last {
      lastActivityAt = GoogleTimestamp(latest.lastActivityAt)
      lastHeartbeatAt = latest.hasReported ? GoogleTimestamp(latest.lastHeartbeatAt) : nil
    }
  }
}

extension TierProgress {
  init(_ tier: Tier) {
    self.init()
    tierNum = Int32(clamping: tier.number)
    status = MendAPI.TierStatus(tier.status)
    processedDocuments = Int64(tier.done.count + tier.failed.count)
    totalDocuments = Int64(tier.handed.count)
    percentage = tier.percentage
    failedDocuments = Int64(tier.failed.count)
  }
}

extension MendAPI.StateChange {
  init(_ change: MendCore.StateChange) {
    self.init()
    sequence = change.sequence
    subject =
      switch change.subject {
      case .batch: "batch"
      case .tier(let number): "tier \(number)"
      case .job(let id): "job \(id)"
      case .attempt(let id, let number): "attempt \(id).\(number)"
      }
    from = change.from
    to = change.to
    reason = change.reason
    at = GoogleTimestamp(change.at)
  }
}

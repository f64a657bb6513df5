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
    requiresGpu = batch.requiresGPU(tier)
    submissionParams = tier.jobs.first.flatMap { batch.shownParameters(of: $0) }
      .map { SubmissionParams($0, textBytes: detail.tierText) }
    jobs = detail.shown(tier.jobs, of: batch).map { JobDiagnostic($0, of: batch, detail: detail) }
    jobsLeftOut = Int64(tier.jobs.count - jobs.count)
    if let error = batch.error(of: tier) {
      self.error = error.message
      if let cause = error.cause { errorType = MendAPI.FailureCause(cause) }
    }
    if batch.specification.executor == .ray, let job = RayJobView(tier, dashboard: dashboard) {
      rayJobID = job.id
      rayJobStatus = job.status
      rayDashboardURL = job.url
    }
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
    processingDocuments = Int64(tier.processing.count)
    stageHistory = tier.stages.map { StageTiming($0) }
  }
}

extension JobDiagnostic {
  init(_ job: Job, of batch: Batch, detail: DiagnosisDetail) {
    self.init()
    jobID = job.id.description
    let specified = job.specified(in: batch)
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
    if let bytes = detail.jobText {
      submissionParams = batch.shownParameters(of: job).map { SubmissionParams($0, textBytes: bytes) }
    }
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

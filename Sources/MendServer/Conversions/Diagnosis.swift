import MendAPI
import MendCore

extension DiagnoseResponse {
  /// - Parameters:
  ///   - dashboard: the address of Ray's dashboard, for links; empty if there is none.
  ///   - detail: how much of each part is shown.
  init(_ batch: Batch, _ diagnosis: Diagnosis, at now: Instant, dashboard: String, detail: DiagnosisDetail = .all) {
    self.init()
    batchID = batch.key.batchID
    batchName = batch.specification.batchName
    status = MendAPI.BatchStatus(batch.status)
    bucketID = batch.specification.bucketID
    currentTier = Int32(clamping: diagnosis.currentTier)
    totalTiers = Int32(clamping: batch.tiers.count)
    overallProgress = diagnosis.overallProgress
    createdAt = GoogleTimestamp(batch.createdAt)
    submittedAt = GoogleTimestamp(batch.submittedAt)
    startedAt = GoogleTimestamp(batch.startedAt)
    completedAt = GoogleTimestamp(batch.completedAt)
    durationSeconds = batch.elapsed(at: now)?.inSeconds
    spanSeconds = batch.span(at: now)?.inSeconds
    estimatedCompletion = GoogleTimestamp(diagnosis.estimatedCompletion)
    tiers = batch.tiers.map { TierDiagnostic($0, of: batch, at: now, dashboard: dashboard, detail: detail) }
    collections = batch.collections.map { CollectionDiagnostic($0) }
    performanceSummary = diagnosis.performance.map { MendAPI.PerformanceSummary($0) }
    insights = diagnosis.insights.map { PerformanceInsight($0, batchID: batchID) }
    hasFailures = batch.hasFailures
    failedTierCount = Int32(clamping: batch.tiers.count { $0.status == .failed })
    health = MendAPI.Health(diagnosis.health)
    healthReason = MendAPI.HealthReason(diagnosis.healthReason)
    blockedReason = diagnosis.blockedReason
    stuckSeconds = diagnosis.stuckFor?.inSeconds
    totalObjects = Int64(batch.documents.count)
    nextActions = diagnosis.nextActions.map { $0.text(batchID: batchID) }
    if let category = diagnosis.failureCategory { failureCategory = MendAPI.FailureCategory(category) }
    infrastructureEvents = diagnosis.infrastructureEvents.map { MendAPI.InfrastructureEvent($0) }
    infrastructureEventsLeftOut = Int64(diagnosis.infrastructureEventsLeftOut)
    failedDocumentCount = Int64(batch.failedDocuments.count)
    failedDocumentsSample = diagnosis.failedSample.map {
      var sample = DocumentDetail($0, of: batch, includeErrors: true)
      if let details = sample.error?.details { sample.error?.details = detail.cut(details) }
      return sample
    }
    recommendations = diagnosis.recommendations.map { $0.text(batchID: batchID) }
    errorSummary = diagnosis.errorSummary.map { MendAPI.ErrorSummary($0, of: batch) }
    findings = diagnosis.findings.prefix(detail.findings).map { MendAPI.Finding($0, of: batch, detail: detail) }
    generation = batch.generation
    sequence = batch.sequence
    repeatedWorkCount = Int64(diagnosis.repeatedWork)
    estimate = diagnosis.estimate.map { MendAPI.Estimate($0) }
    queue = diagnosis.queue.map { place in
      var message = QueuePlace()
      message.position = Int64(place.position)
      message.aheadWithHigherPriority = Int64(place.aheadByPriority)
      message.waitingFor = place.waitingFor
      message.heldBy = place.heldBy
      return message
    }
  }
}

extension MendAPI.PerformanceSummary {
  init(_ summary: MendCore.PerformanceSummary) {
    self.init()
    totalDurationSeconds = summary.total.inSeconds
    spanSeconds = summary.span.inSeconds
    queueSeconds = summary.queued.inSeconds
    documentsPerSecond = summary.documentsPerSecond
    slowestTier = Int32(clamping: summary.slowestTier)
    slowestExtractor = summary.slowestExtractor
    stages = summary.stages.map { StageTiming($0) }
    attempts = Int64(summary.attempts)
    repeatedWorkCount = Int64(summary.repeatedWork)
    peakMemoryBytes = summary.peakMemoryBytes
    repeatedWorkSeconds = summary.repeatedTime.inSeconds
    failedAttempts = Int64(summary.failedAttempts)
  }
}

extension MendAPI.Estimate {
  init(_ estimate: MendCore.Estimate) {
    self.init()
    p50 = GoogleTimestamp(estimate.p50)
    p90 = GoogleTimestamp(estimate.p90)
    basis = estimate.basis
    pastError = estimate.pastError
    unknownBecause = estimate.unknownBecause
  }
}

extension StageTiming {
  init(_ stage: Job.StageTotal) {
    self.init()
    name = stage.name
    durationSeconds = stage.duration.inSeconds
  }
}

extension PerformanceInsight {
  init(_ insight: Insight, batchID: String) {
    self.init()
    type = insight.type
    severity = MendAPI.Severity(insight.severity)
    message = insight.message
    stage = insight.stage
    metricValue = insight.metric
    recommendation = insight.recommendation.text(batchID: batchID)
  }
}

extension MendAPI.InfrastructureEvent {
  init(_ event: MendCore.InfrastructureEvent) {
    self.init()
    type = MendAPI.FailureCause(event.cause)
    at = GoogleTimestamp(event.at)
    tierNum = Int32(clamping: event.job.tier)
    jobID = event.job.description
    attempt = Int32(clamping: event.attempt)
    message = event.message
  }
}

extension CollectionDiagnostic {
  init(_ collection: CollectionProgress) {
    self.init()
    collectionID = collection.id
    // A collection has only one name.
    collectionName = collection.id
    documentCount = Int64(collection.written)
    expectedDocuments = Int64(collection.expected)
    status = collection.status.rawValue
  }
}

import MendAPI
import MendCore

extension DiagnoseResponse {
  /// - Parameter dashboard: where Ray's dashboard is, for links; empty where there is none.
  init(_ batch: Batch, _ diagnosis: Diagnosis, at now: Instant, dashboard: String) {
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
    estimatedCompletion = GoogleTimestamp(diagnosis.estimatedCompletion)
    tiers = batch.tiers.map { TierDiagnostic($0, of: batch, at: now, dashboard: dashboard) }
    collections = CollectionDiagnostic.all(of: batch)
    performanceSummary = diagnosis.performance.map { MendAPI.PerformanceSummary($0) }
    insights = diagnosis.insights.map { PerformanceInsight($0) }
    hasFailures = batch.hasFailures
    failedTierCount = Int32(clamping: batch.tiers.count { $0.status == .failed })
    health = MendAPI.Health(diagnosis.health)
    healthReason = MendAPI.HealthReason(diagnosis.healthReason)
    blockedReason = diagnosis.blockedReason
    stuckSeconds = diagnosis.stuckFor?.inSeconds
    totalObjects = Int64(batch.documents.count)
    nextActions = diagnosis.nextActions
    if let category = diagnosis.failureCategory { failureCategory = MendAPI.FailureCategory(category) }
    infrastructureEvents = diagnosis.infrastructureEvents.map { MendAPI.InfrastructureEvent($0) }
    failedDocumentCount = Int64(batch.failedDocuments.count)
    failedDocumentsSample = diagnosis.failedSample.map { DocumentDetail($0, of: batch, includeErrors: true) }
    recommendations = diagnosis.recommendations
    errorSummary = diagnosis.errorSummary.map { MendAPI.ErrorSummary($0, of: batch) }
    findings = diagnosis.findings.map { MendAPI.Finding($0, of: batch) }
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
  init(_ insight: Insight) {
    self.init()
    type = insight.type
    severity = MendAPI.Severity(insight.severity)
    message = insight.message
    stage = insight.stage
    metricValue = insight.metric
    recommendation = insight.recommendation
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
  /// One entry a collection, in the order in which tiers and extractors first name it. Several extractors that write
  /// into one collection are added up.
  static func all(of batch: Batch) -> [CollectionDiagnostic] {
    var order: [String] = []
    var found: [String: Tally] = [:]
    for tier in batch.tiers {
      let hasStarted = tier.startedAt != nil && tier.status != .pending
      let extractors =
        batch.specification.tiers.indices.contains(tier.number)
        ? batch.specification.tiers[tier.number].extractors : []
      for (index, extractor) in extractors.enumerated() {
        if found[extractor.collectionID] == nil { order.append(extractor.collectionID) }
        var tally = found[extractor.collectionID] ?? Tally()
        let jobs = tier.jobs.filter { $0.extractor == index }
        tally.written = tally.written.addingSaturated(jobs.map { $0.written ?? $0.committed.count }.saturatedSum())
        // What did not fail before will be handed on.
        tally.expected +=
          hasStarted
          ? jobs.reduce(0) { $0 + $1.assigned.count } : max(0, batch.documents.count - batch.failedDocuments.count)
        tally.tiers.append(tier.status)
        found[extractor.collectionID] = tally
      }
    }
    return order.compactMap { id in found[id].map { CollectionDiagnostic(id, $0) } }
  }

  private struct Tally {
    var written = 0
    var expected = 0
    var tiers: [MendCore.TierStatus] = []
  }

  private init(_ id: String, _ tally: Tally) {
    self.init()
    collectionID = id
    // Mend knows a collection by one name only.
    collectionName = id
    documentCount = Int64(tally.written)
    expectedDocuments = Int64(tally.expected)
    status =
      if tally.tiers.contains(.running) {
        "running"
      } else if tally.tiers.contains(.failed) {
        "failed"
      } else if tally.tiers.contains(.cancelled) {
        "cancelled"
      } else if tally.tiers.allSatisfy({ $0 == .completed }) {
        tally.written < tally.expected ? "incomplete" : "completed"
      } else {
        tally.written > 0 ? "running" : "pending"
      }
  }
}

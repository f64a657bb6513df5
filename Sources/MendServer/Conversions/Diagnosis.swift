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
    infrastructureEventsLeftOut = Int64(diagnosis.infrastructureEventsLeftOut)
    failedDocumentCount = Int64(batch.failedDocuments.count)
    failedDocumentsSample = diagnosis.failedSample.map {
      var sample = DocumentDetail($0, of: batch, includeErrors: true)
      if let details = sample.error?.details { sample.error?.details = detail.cut(details) }
      return sample
    }
    recommendations = diagnosis.recommendations
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
  /// One entry for each collection, in the order in which tiers and extractors first name it.
  ///
  /// Several extractors of one tier that write into a collection are added up. Several tiers write the same documents
  /// again, so the tier with the most counts, and the collection is complete when each of them is.
  static func all(of batch: Batch) -> [CollectionDiagnostic] {
    var order: [String] = []
    var found: [String: [Tally]] = [:]
    for tier in batch.tiers {
      let extractors =
        batch.specification.tiers.indices.contains(tier.number)
        ? batch.specification.tiers[tier.number].extractors : []
      for (index, extractor) in extractors.enumerated() {
        if found[extractor.collectionID] == nil { order.append(extractor.collectionID) }
        var tallies = found[extractor.collectionID] ?? []
        if tallies.last?.tier != tier.number { tallies.append(Tally(tier: tier.number, status: tier.status)) }
        tallies[tallies.count - 1].add(tier.jobs.filter { $0.extractor == index }, of: tier, batch)
        found[extractor.collectionID] = tallies
      }
    }
    return order.compactMap { id in found[id].map { CollectionDiagnostic(id, $0) } }
  }

  /// What one tier writes into a collection.
  private struct Tally {
    var tier: Int
    var status: MendCore.TierStatus
    var written = 0
    var expected = 0

    mutating func add(_ jobs: [Job], of tier: Tier, _ batch: Batch) {
      written = written.addingSaturated(jobs.map { $0.written ?? $0.committed.count }.saturatedSum())
      let hasStarted = tier.startedAt != nil && tier.status != .pending
      // What did not fail before will be handed to this tier.
      expected +=
        hasStarted
        ? jobs.reduce(0) { $0 + $1.assigned.count } : max(0, batch.documents.count - batch.failedDocuments.count)
    }
  }

  private init(_ id: String, _ tallies: [Tally]) {
    self.init()
    collectionID = id
    // A collection has only one name.
    collectionName = id
    let written = tallies.map(\.written).max() ?? 0
    documentCount = Int64(written)
    expectedDocuments = Int64(tallies.map(\.expected).max() ?? 0)
    func isAny(_ status: MendCore.TierStatus) -> Bool { tallies.contains { $0.status == status } }
    status =
      if isAny(.running) {
        "running"
      } else if isAny(.failed) {
        "failed"
      } else if isAny(.cancelled) {
        "cancelled"
      } else if tallies.allSatisfy({ $0.status == .completed }) {
        tallies.contains { $0.written < $0.expected } ? "incomplete" : "completed"
      } else {
        written > 0 ? "running" : "pending"
      }
  }
}

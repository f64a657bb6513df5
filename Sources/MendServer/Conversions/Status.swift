import MendAPI
import MendCore
import MendRuntime

extension Progress {
  init(_ counts: ProgressCounts) {
    self.init()
    completed = Int64(counts.completed)
    failed = Int64(counts.failed)
    pending = Int64(counts.pending)
    processing = Int64(counts.processing)
    total = Int64(counts.total)
    // A final batch need not be at 100: failed documents are not completed, and a cancelled job's documents stay
    // pending.
    percentage = counts.total == 0 ? 0 : 100 * Double(counts.completed) / Double(counts.total)
  }
}

extension Timing {
  init(_ batch: Batch, at now: Instant, report: HealthReport) {
    self.init()
    createdAt = GoogleTimestamp(batch.createdAt)
    startedAt = GoogleTimestamp(batch.startedAt)
    updatedAt = GoogleTimestamp(batch.updatedAt)
    completedAt = GoogleTimestamp(batch.completedAt)
    let expected = batch.estimate(at: now, report: report)
    estimate = expected.map { MendAPI.Estimate($0) }
    estimatedCompletion = GoogleTimestamp(expected?.p50)
    elapsedTime = batch.elapsed(at: now)?.inSeconds ?? 0
    spanTime = batch.span(at: now)?.inSeconds ?? 0
    averageItemTime = batch.secondsPerDocument(at: now)
  }
}

extension BatchConfiguration {
  init(_ specification: MendCore.BatchSpecification) {
    self.init()
    maxConcurrent = Int32(clamping: specification.maxConcurrent)
    priority = Int32(clamping: specification.priority)
    timeout = specification.timeout?.inSeconds ?? 0
    notificationEnabled = specification.notificationEnabled
    bucketID = specification.bucketID
    totalTiers = Int32(clamping: specification.tiers.count)
    deploymentMode = MendAPI.ExecutorKind(specification.executor)
  }
}

extension BatchListEntry {
  init(_ listing: BatchListing) {
    self.init()
    batchID = listing.key.batchID
    batchName = listing.batchName
    bucketID = listing.bucketID
    status = MendAPI.BatchStatus(listing.status)
    health = MendAPI.Health(listing.health)
    overallProgress = listing.overallProgress
    totalObjects = Int64(listing.totalObjects)
    failedDocuments = listing.failedDocuments.map { Int64($0) }
    currentTier = Int32(clamping: listing.currentTier)
    totalTiers = Int32(clamping: listing.totalTiers)
    hasFailures = listing.hasFailures
    priority = Int32(clamping: listing.priority)
    createdAt = GoogleTimestamp(listing.createdAt)
    completedAt = GoogleTimestamp(listing.completedAt)
  }
}

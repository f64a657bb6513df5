public import MendCore

/// A batch as it was after a commit: a value that shares storage with the core's and never changes.
public struct BatchView: Sendable {
  public let batch: Batch

  public init(batch: Batch) { self.batch = batch }

  /// The fold of a whole journal, in order; nil when it doesn't begin with the batch's creation.
  init?(folding records: [Record]) {
    guard let first = records.first, var batch = Batch.creating(first) else { return nil }
    for record in records.dropFirst() { batch.apply(record) }
    self.batch = batch
  }

  /// What is left to do for one job: assigned, neither committed nor failed. In the documents' order.
  public func documentsLeft(for job: JobID) -> [Document] {
    guard batch.tiers.indices.contains(job.tier), batch.tiers[job.tier].jobs.indices.contains(job.index) else {
      return []
    }
    let ledger = batch.tiers[job.tier].jobs[job.index]
    return ledger.assigned.subtracting(ledger.committed).subtracting(ledger.failed).map { batch.documents[$0] }
  }

  /// Its line in ListBatches at a point in time.
  public func listing(at now: Instant, capacity: Capacity, limits: Limits) -> BatchListing {
    BatchListing(
      key: batch.key, batchName: batch.specification.batchName, bucketID: batch.specification.bucketID,
      status: batch.status, health: batch.health(at: now, capacity: capacity, limits: limits).health,
      overallProgress: batch.overallProgress, totalObjects: batch.documents.count, currentTier: batch.currentTier,
      totalTiers: batch.tiers.count, hasFailures: batch.hasFailures, priority: batch.specification.priority,
      createdAt: batch.createdAt, completedAt: batch.completedAt)
  }
}

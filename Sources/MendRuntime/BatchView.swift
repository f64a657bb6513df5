package import MendCore
import Synchronization

/// A batch as it was after a commit: a value that shares storage with the core's and never changes. Handed over by
/// reference, so that a reader copies nothing.
package final class BatchView: Sendable {
  package let batch: Batch
  /// What a reader has made of this view, for others who ask the same. It goes when the view does, which is when the
  /// batch changes.
  package let kept = KeptBytes()

  package init(batch: Batch) { self.batch = batch }

  /// What is left to do for one job: assigned, neither committed nor failed. In the documents' order.
  package func documentsLeft(for job: JobID) -> [Document] {
    guard batch.tiers.indices.contains(job.tier), batch.tiers[job.tier].jobs.indices.contains(job.index) else {
      return []
    }
    let ledger = batch.tiers[job.tier].jobs[job.index]
    return ledger.assigned.subtracting(ledger.committed).subtracting(ledger.failed).map { batch.documents[$0] }
  }

  /// Its line in ListBatches at a point in time.
  ///
  /// - Parameter server: what the server lacks. Of the other batches around it the health of a line says nothing, and to
  ///   look at them for each line of a long list would cost much.
  package func listing(
    at now: Instant, capacity: Capacity, limits: Limits, server: ServerState = ServerState()
  ) -> BatchListing {
    var batchContext = BatchContext()
    batchContext.server = server
    return listing(at: now, capacity: capacity, limits: limits, batchContext: batchContext)
  }

  private func listing(
    at now: Instant, capacity: Capacity, limits: Limits, batchContext: BatchContext
  ) -> BatchListing {
    BatchListing(
      key: batch.key, batchName: batch.specification.batchName, bucketID: batch.specification.bucketID,
      status: batch.status,
      health: batch.health(at: now, capacity: capacity, limits: limits, batchContext: batchContext).health,
      overallProgress: batch.overallProgress, totalObjects: batch.documents.count,
      failedDocuments: batch.failedDocuments.count, currentTier: batch.currentTier,
      totalTiers: batch.tiers.count, hasFailures: batch.hasFailures, priority: batch.specification.priority,
      createdAt: batch.createdAt, completedAt: batch.completedAt)
  }
}

/// Bytes of one reader, with a mark that says how long they hold. What both mean is the reader's.
package final class KeptBytes: Sendable {
  private let state = Mutex<(mark: Int64, bytes: [UInt8])?>(nil)

  /// Appends the bytes that were kept under this mark; false when there are none.
  package func append(of mark: Int64, to buffer: inout [UInt8]) -> Bool {
    let bytes = state.withLock { $0?.mark == mark ? $0?.bytes : nil }
    guard let bytes else { return false }
    buffer += bytes
    return true
  }

  /// Keeps these in place of what was kept before.
  package func keep(_ bytes: [UInt8], of mark: Int64) { state.withLock { $0 = (mark, bytes) } }
}

public import MendCore
import Synchronization

/// A batch as it was after a commit: a value that shares storage with the core's and never changes. Handed over by
/// reference, so that a reader copies nothing.
///
/// It keeps one encoded answer about itself: within a second the same question gives the same bytes, whoever asks. The
/// answer goes when the view does, which is when the batch changes.
public final class BatchView: Sendable {
  public let batch: Batch
  private let kept = Mutex<KeptAnswer?>(nil)

  private struct KeptAnswer {
    var second: Int64
    var bytes: [UInt8]
  }

  /// A larger answer (of a batch of hundreds of jobs) is made anew each time, so that many views don't hold much.
  public static let keptAnswerBytesLimit = 256 << 10

  /// Appends the answer that is kept, if it is of this second; false when there is none.
  public func appendKeptAnswer(of second: Int64, to response: inout [UInt8]) -> Bool {
    let bytes = kept.withLock { $0?.second == second ? $0?.bytes : nil }
    guard let bytes else { return false }
    response += bytes
    return true
  }

  /// Keeps an answer in place of an older one, unless it is larger than `keptAnswerBytesLimit`.
  public func keepAnswer(_ bytes: [UInt8], of second: Int64) {
    guard bytes.count <= Self.keptAnswerBytesLimit else { return }
    kept.withLock { $0 = KeptAnswer(second: second, bytes: bytes) }
  }

  public init(batch: Batch) { self.batch = batch }

  /// What is left to do for one job: assigned, neither committed nor failed. In the documents' order.
  public func documentsLeft(for job: JobID) -> [Document] {
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
  public func listing(
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

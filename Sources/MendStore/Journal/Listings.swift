import MendAPI
import MendCore
import MendRuntime

extension JournalListing {
  init(_ listing: BatchListing, writtenBy version: String) {
    self.init()
    batchName = listing.batchName
    bucketID = listing.bucketID
    status = listing.status.wire
    health = listing.health.wire
    overallProgress = listing.overallProgress
    totalObjects = Int64(listing.totalObjects)
    failedDocuments = listing.failedDocuments.map { Int64($0) }
    currentTier = Int32(clamping: listing.currentTier)
    totalTiers = Int32(clamping: listing.totalTiers)
    hasFailures = listing.hasFailures
    priority = Int32(clamping: listing.priority)
    createdAtMs = listing.createdAt.milliseconds
    completedAtMs = listing.completedAt?.milliseconds
    writtenBy = version
  }

  func listing(of key: BatchKey) throws(JournalFault) -> BatchListing {
    BatchListing(
      key: key, batchName: batchName, bucketID: bucketID, status: try MendCore.BatchStatus(status),
      health: try MendCore.Health(health), overallProgress: overallProgress, totalObjects: Int(journaled: totalObjects),
      failedDocuments: failedDocuments.map { Int(journaled: $0) },
      currentTier: Int(currentTier), totalTiers: Int(totalTiers), hasFailures: hasFailures, priority: Int(priority),
      createdAt: Instant(createdAtMs), completedAt: completedAtMs.map { Instant($0) })
  }
}

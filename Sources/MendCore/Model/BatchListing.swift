/// One line of ListBatches.
package struct BatchListing: Sendable, Hashable {
  package var key: BatchKey
  package var batchName: String
  package var bucketID: String
  package var status: BatchStatus
  package var health: Health
  package var overallProgress: Double
  package var totalObjects: Int
  /// Nil where an earlier version wrote the listing of a batch that left memory.
  package var failedDocuments: Int?
  package var currentTier: Int
  package var totalTiers: Int
  package var hasFailures: Bool
  package var priority: Int
  package var createdAt: Instant
  package var completedAt: Instant?

  package init(
    key: BatchKey, batchName: String, bucketID: String, status: BatchStatus, health: Health, overallProgress: Double,
    totalObjects: Int, failedDocuments: Int?, currentTier: Int, totalTiers: Int, hasFailures: Bool, priority: Int,
    createdAt: Instant,
    completedAt: Instant?
  ) {
    self.key = key
    self.batchName = batchName
    self.bucketID = bucketID
    self.status = status
    self.health = health
    self.overallProgress = overallProgress
    self.totalObjects = totalObjects
    self.failedDocuments = failedDocuments
    self.currentTier = currentTier
    self.totalTiers = totalTiers
    self.hasFailures = hasFailures
    self.priority = priority
    self.createdAt = createdAt
    self.completedAt = completedAt
  }
}

extension BatchListing: RowValue {
  package static let schemaName = "JournalListing"
  package static let writtenByNumber: UInt32 = 13
  /// Which batch it is of stands beside it in the journal.
  package static var blank: BatchListing {
    BatchListing(
      key: BatchKey(namespace: "", batchID: ""), batchName: "", bucketID: "", status: .created, health: .ok,
      overallProgress: 0, totalObjects: 0, failedDocuments: nil, currentTier: 0, totalTiers: 0, hasFailures: false,
      priority: 0, createdAt: Instant(milliseconds: 0), completedAt: nil)
  }

  package mutating func describe(_ v: FieldVisitor, writtenBy: inout String) throws(FormatFault) {
    try v.string(1, "batch_name", &batchName)
    try v.string(2, "bucket_id", &bucketID)
    try v.choice(3, "status", &status)
    try v.choice(4, "health", &health)
    try v.real(5, "overall_progress", &overallProgress, within: FieldBounds.any)
    try v.count(6, "total_objects", &totalObjects)
    try v.small(7, "current_tier", &currentTier)
    try v.small(8, "total_tiers", &totalTiers)
    try v.flag(9, "has_failures", &hasFailures)
    try v.small(10, "priority", &priority)
    try v.instant(11, "created_at_ms", &createdAt)
    try v.instant(12, "completed_at_ms", &completedAt)
    try v.string(Self.writtenByNumber, "written_by", &writtenBy)
    try v.count(52, "failed_documents", &failedDocuments)
  }
}

/// One line of ListBatches.
public struct BatchListing: Sendable, Hashable {
  public var key: BatchKey
  public var batchName: String
  public var bucketID: String
  public var status: BatchStatus
  public var health: Health
  public var overallProgress: Double
  public var totalObjects: Int
  /// Nil where an earlier version wrote the listing of a batch that left memory.
  public var failedDocuments: Int?
  public var currentTier: Int
  public var totalTiers: Int
  public var hasFailures: Bool
  public var priority: Int
  public var createdAt: Instant
  public var completedAt: Instant?

  public init(
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
  public static let schemaName = "JournalListing"
  public static let writtenByNumber: UInt32 = 13
  /// Which batch it is of stands beside it in the journal.
  public static var blank: BatchListing {
    BatchListing(
      key: BatchKey(namespace: "", batchID: ""), batchName: "", bucketID: "", status: .created, health: .ok,
      overallProgress: 0, totalObjects: 0, failedDocuments: nil, currentTier: 0, totalTiers: 0, hasFailures: false,
      priority: 0, createdAt: Instant(milliseconds: 0), completedAt: nil)
  }

  public mutating func describe(_ v: FieldVisitor, writtenBy: inout String) throws(FormatFault) {
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

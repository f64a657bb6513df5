/// The input of the rules: a batch at one moment, and what is counted once for all rules.
struct DiagnosisContext {
  let batch: Batch
  let now: Instant
  let capacity: Capacity
  let limits: Limits
  let batchContext: BatchContext
  let healthReport: HealthReport
  /// Of jobs that have failed documents.
  let tallies: [JobID: FailureTally]

  init(
    batch: Batch, now: Instant, capacity: Capacity, limits: Limits, batchContext: BatchContext = BatchContext()
  ) {
    self.batch = batch
    self.now = now
    self.capacity = capacity
    self.limits = limits
    self.batchContext = batchContext
    healthReport = batch.health(at: now, capacity: capacity, limits: limits, batchContext: batchContext)
    tallies = Self.tallies(of: batch)
  }

  /// Visits the failed documents of each job once.
  static func tallies(of batch: Batch) -> [JobID: FailureTally] {
    var tallies: [JobID: FailureTally] = [:]
    for tier in batch.tiers {
      var alreadyFailed = DocumentSet()
      var failedHere = DocumentSet()
      var extractor: Int?
      for job in tier.jobs where !job.errors.isEmpty {
        // Shards of one extractor share no document; only another extractor can fail the same one again.
        if extractor != job.extractor {
          if extractor != nil { alreadyFailed.formUnion(failedHere) }
          extractor = job.extractor
        }
        tallies[job.id] = FailureTally(of: job, alreadyFailed: alreadyFailed)
        failedHere.formUnion(job.failed)
      }
    }
    return tallies
  }

  var room: Room { Room(capacity: capacity, quota: limits.quota(of: batch.key.namespace), batchContext: batchContext) }

  /// Every job with its tier, in order.
  func forEachJob(_ body: (Tier, Job) -> Void) {
    for tier in batch.tiers { for job in tier.jobs { body(tier, job) } }
  }

  /// "d1, d2": the ids of a few documents.
  func names(_ positions: some Sequence<Int>) -> String {
    Figures.list(positions.compactMap(documentID))
  }

  func documentID(_ position: Int) -> String? {
    (0..<batch.documents.count).contains(position) ? batch.documents.id(at: position) : nil
  }
}

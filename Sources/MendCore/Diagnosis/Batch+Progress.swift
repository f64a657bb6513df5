// The counts and times that every answer shows. All of them come from kept sets and counters: nothing walks the documents.

extension Batch {
  /// Documents by state through the whole batch; the four parts always add up to the total.
  ///
  /// A document that one extractor failed while another still has it in process counts as failed.
  /// Cost: the smaller of what failed and what is in process; nothing where nothing failed.
  package func progress() -> ProgressCounts {
    let total = documents.count
    let completed = min(completedDocuments.count, total)
    let failed = min(failedDocuments.count, total - completed)
    let processing = min(processingCounts.count - processingThoughFailed, total - completed - failed)
    return ProgressCounts(
      completed: completed, failed: failed, pending: total - completed - failed - processing,
      processing: processing, total: total)
  }

  private var processingThoughFailed: Int {
    if failedDocuments.isEmpty || processingCounts.isEmpty { return 0 }
    return if failedDocuments.count < processingCounts.count {
      failedDocuments.reduce(0) { $0 + (processingCounts[$1] == nil ? 0 : 1) }
    } else {
      processingCounts.keys.reduce(0) { $0 + (failedDocuments.contains($1) ? 1 : 0) }
    }
  }

  /// The work time; nil before the start.
  package func elapsed(at now: Instant) -> Duration? { startedAt == nil ? nil : work.elapsed(at: now) }

  /// The time from the start to the end, or until now; nil before the start.
  package func span(at now: Instant) -> Duration? { startedAt.map { max(.zero, (completedAt ?? now) - $0) } }

  /// The work time in seconds for each completed document; 0 before there is one.
  package func secondsPerDocument(at now: Instant) -> Double {
    completedDocuments.isEmpty ? 0 : (elapsed(at: now) ?? .zero).inSeconds / Double(completedDocuments.count)
  }

  /// 0-100: the mean over the tiers; 100 only at COMPLETED (<doc:Domain#How-states-follow>), and less even there where a job was
  /// cancelled.
  package var overallProgress: Double {
    guard !tiers.isEmpty else { return 0 }
    return min(status == .completed ? 100 : 99.9, tiers.reduce(0) { $0 + $1.percentage } / Double(tiers.count))
  }

  /// The tier that is being processed, from 0; the last one once all are done.
  package var currentTier: Int {
    tiers.firstIndex { $0.status != .completed } ?? max(0, tiers.count - 1)
  }

  /// True when a document, a job or a tier failed; a batch can be COMPLETED with failures.
  package var hasFailures: Bool {
    !failedDocuments.isEmpty || status == .failed
      || tiers.contains { tier in tier.status == .failed || tier.jobs.contains { $0.status == .failed } }
  }

  /// The document's state through the whole batch.
  package func documentStatus(_ position: Int) -> DocumentStatus {
    if completedDocuments.contains(position) { return .completed }
    if failedDocuments.contains(position) { return .failed }
    return processingCounts[position, default: 0] > 0 ? .processing : .pending
  }

  /// 0-100: the mean over the tiers, of each the share of its extractors that have committed the document.
  package func documentProgress(_ position: Int) -> Double {
    if completedDocuments.contains(position) { return 100 }
    guard !tiers.isEmpty else { return 0 }
    var tiersDone = 0.0
    for tier in tiers {
      if tier.done.contains(position) {
        tiersDone += 1
      } else if tier.handed.contains(position) {
        let extractors =
          specification.tiers.indices.contains(tier.number)
          ? specification.tiers[tier.number].extractors.count : tier.jobs.count
        let committed = tier.jobs.reduce(0) { $0 + ($1.committed.contains(position) ? 1 : 0) }
        tiersDone += extractors == 0 ? 0 : Double(committed) / Double(extractors)
      }
    }
    return min(100, 100 * tiersDone / Double(tiers.count))
  }

  /// Why the document failed, and in which job; the first failure in the order of tiers and jobs. nil unless it failed.
  package func documentError(_ position: Int) -> (DocumentError, JobID)? {
    guard failedDocuments.contains(position) else { return nil }
    for tier in tiers where tier.failed.contains(position) {
      for job in tier.jobs where job.failed.contains(position) {
        if let error = job.errors[position] { return (error, job.id) }
      }
    }
    return nil
  }
}

extension Tier {
  /// The work time; nil before the start.
  package func elapsed(at now: Instant) -> Duration? { startedAt == nil ? nil : work.elapsed(at: now) }

  /// The time from the start to the end, or until now; nil before the start.
  package func span(at now: Instant) -> Duration? { startedAt.map { max(.zero, (completedAt ?? now) - $0) } }
}

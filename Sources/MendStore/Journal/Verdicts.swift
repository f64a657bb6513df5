import MendAPI
import MendCore

extension JournalVerdictRecord {
  init(_ summary: DiagnosisSummary) {
    self.init()
    health = summary.health.wire
    reason = summary.reason.rawValue
    blockedReason = summary.blockedReason
    causes = summary.causes.map { cause in
      var entry = JournalVerdictCause()
      entry.category = cause.category?.wire ?? .unspecified
      entry.cause = cause.cause
      entry.confidence = cause.confidence.wire
      entry.job = cause.job.map { JournalJob($0) }
      entry.attempt = cause.attempt.map { Int32(clamping: $0) }
      entry.remedy = cause.remedy
      return entry
    }
  }

  func summary() throws(JournalFault) -> DiagnosisSummary {
    var kept: [DiagnosisSummary.Cause] = []
    for entry in causes {
      kept.append(
        DiagnosisSummary.Cause(
          category: try MendCore.FailureCategory.optional(entry.category), cause: entry.cause,
          confidence: try MendCore.Confidence(entry.confidence), job: entry.job?.job,
          attempt: entry.attempt.map(Int.init), remedy: entry.remedy))
    }
    return DiagnosisSummary(
      health: try MendCore.Health(health), reason: try MendCore.HealthReason(journaled: reason),
      blockedReason: blockedReason, causes: kept)
  }
}

extension MendCore.HealthReason {
  fileprivate init(journaled text: String) throws(JournalFault) {
    guard let reason = Self(rawValue: text) else { throw JournalFault("no health reason \(text)") }
    self = reason
  }
}

extension JournalNotificationOutcome {
  init(_ outcome: NotificationOutcome) {
    self.init()
    eventID = outcome.eventID
    delivered = outcome.delivered
    attempts = Int32(clamping: outcome.attempts)
    detail = outcome.detail
  }

  var outcome: NotificationOutcome {
    NotificationOutcome(eventID: eventID, delivered: delivered, attempts: Int(attempts), detail: detail)
  }
}

extension JournalNotification {
  init(_ notification: MendCore.Notification, writtenBy version: String) {
    self.init()
    writtenBy = version
    kind = notification.kind.rawValue
    sequence = notification.sequence
    atMs = notification.at.milliseconds
    batchName = notification.batchName
    status = notification.status.wire
    health = notification.health.wire
    reason = notification.reason.rawValue
    message = notification.message
    completed = Int64(notification.progress.completed)
    failed = Int64(notification.progress.failed)
    pending = Int64(notification.progress.pending)
    processing = Int64(notification.progress.processing)
    total = Int64(notification.progress.total)
  }

  func notification(of batch: BatchKey) throws(JournalFault) -> MendCore.Notification {
    guard let kind = MendCore.Notification.Kind(rawValue: kind) else { throw JournalFault("no notification \(kind)") }
    return MendCore.Notification(
      batch: batch, sequence: sequence, kind: kind, at: Instant(atMs), batchName: batchName,
      status: try MendCore.BatchStatus(status), health: try MendCore.Health(health),
      reason: try MendCore.HealthReason(journaled: reason), message: message,
      progress: ProgressCounts(
        completed: Int(journaled: completed), failed: Int(journaled: failed), pending: Int(journaled: pending),
        processing: Int(journaled: processing), total: Int(journaled: total)))
  }
}

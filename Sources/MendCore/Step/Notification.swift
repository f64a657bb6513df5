/// A message about a batch to a receiver outside. It goes into the outbox together with the fact that it is about.
package struct Notification: Hashable, Sendable {
  package enum Kind: String, Hashable, Sendable, CaseIterable {
    case final, stuck, healed
  }

  package var batch: BatchKey
  /// The sequence of the fact that it is about.
  package var sequence: UInt64
  package var kind: Kind
  package var at: Instant
  package var batchName: String
  package var status: BatchStatus
  package var health: Health
  package var reason: HealthReason
  /// One sentence; may be empty.
  package var message: String
  package var progress: ProgressCounts

  package init(
    batch: BatchKey, sequence: UInt64, kind: Kind, at: Instant, batchName: String, status: BatchStatus,
    health: Health, reason: HealthReason, message: String, progress: ProgressCounts
  ) {
    self.batch = batch
    self.sequence = sequence
    self.kind = kind
    self.at = at
    self.batchName = batchName
    self.status = status
    self.health = health
    self.reason = reason
    self.message = message
    self.progress = progress
  }

  /// `NAMESPACE.BATCH.SEQUENCE`: the same however often it is sent, for receivers that were told before.
  package var eventID: String { "\(batch.namespace).\(batch.batchID).\(sequence)" }
}

extension Notification: RowValue {
  package static let writtenByNumber: UInt32 = 1
  package static var blank: Notification {
    Notification(
      batch: BatchKey(namespace: "", batchID: ""), sequence: 0, kind: .final, at: Instant(milliseconds: 0),
      batchName: "", status: .created, health: .ok, reason: .none, message: "",
      progress: ProgressCounts(completed: 0, failed: 0, pending: 0, processing: 0, total: 0))
  }

  package mutating func describe(_ v: FieldVisitor, writtenBy: inout String) throws(FormatFault) {
    try v.string(Self.writtenByNumber, "written_by", &writtenBy)
    try v.name(2, "kind", &kind, of: "notification")
    try v.sequence(3, "sequence", &sequence)
    try v.instant(4, "at_ms", &at)
    try v.string(5, "batch_name", &batchName)
    try v.choice(6, "status", &status)
    try v.choice(7, "health", &health)
    try v.name(8, "reason", &reason, of: "health reason")
    try v.prose(9, "message", &message)
    try v.count(10, "completed", &progress.completed)
    try v.count(11, "failed", &progress.failed)
    try v.count(12, "pending", &progress.pending)
    try v.count(13, "processing", &progress.processing)
    try v.count(14, "total", &progress.total)
  }
}

/// What became of a notification.
package struct NotificationOutcome: Hashable, Codable, Sendable {
  package var eventID: String
  package var delivered: Bool
  /// How often it was sent.
  package var attempts: Int
  /// The last answer, or what went wrong; never the address or the secret.
  package var detail: String

  package init(eventID: String, delivered: Bool, attempts: Int, detail: String) {
    self.eventID = eventID
    self.delivered = delivered
    self.attempts = attempts
    self.detail = detail
  }
}

extension NotificationOutcome: Described {
  package static var blank: NotificationOutcome {
    NotificationOutcome(eventID: "", delivered: false, attempts: 0, detail: "")
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "event_id", &eventID)
    try v.flag(2, "delivered", &delivered)
    try v.small(3, "attempts", &attempts)
    try v.prose(4, "detail", &detail)
  }
}

extension Core {
  /// Puts a notification about the batch's newest fact into the outbox, where somebody is to be told.
  mutating func notify(_ kind: Notification.Kind, of key: BatchKey, message: String? = nil) {
    guard limits.notifies, let batch = batches[key], batch.specification.notificationEnabled else { return }
    let health = batch.health(
      at: context.now, capacity: capacities.of(batch), limits: limits, batchContext: batchContext(of: batch))
    context.output.writes.append(
      .notification(
        Notification(
          batch: key, sequence: batch.sequence, kind: kind, at: context.now, batchName: batch.specification.batchName,
          status: batch.status, health: health.health, reason: health.reason,
          message: message ?? health.blockedReason ?? "", progress: batch.progress())))
  }

  /// What the notifier says became of a notification; unknown batches have no history to keep it in.
  mutating func settle(_ outcome: NotificationOutcome, of key: BatchKey) {
    guard batches[key] != nil else { return }
    record(.notificationSettled(outcome), on: key)
  }
}

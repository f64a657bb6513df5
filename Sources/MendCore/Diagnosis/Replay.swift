/// Runs a recorded history through the present rules, and compares their summaries with the recorded ones.
///
/// Signs of life are not in a journal. They are taken as they were understood then: an attempt that was said to be
/// stuck is suspected, every other one that runs had just been heard of.
package struct Replay {
  /// A moment at which a diagnosis was recorded, or would be recorded now.
  package struct Point: Hashable, Sendable {
    package var sequence: UInt64
    package var at: Instant
    /// True for a recorded diagnosis, false for a state change.
    package var isRecordedVerdict: Bool
    package var then: DiagnosisSummary
    package var now: DiagnosisSummary

    package var differs: Bool { !then.isSame(as: now) }
  }

  private let capacity: Capacity
  private let limits: Limits
  private var batch: Batch
  private var said = DiagnosisSummary.well

  /// In the order of time. Throws where the records are no batch's journal; nil where there are none.
  ///
  /// - Parameter records: a batch's whole journal, in order.
  package static func points(
    of records: [Record], capacity: Capacity, limits: Limits = Limits()
  ) throws(RecordFault) -> [Point]? {
    guard let first = records.first else { return nil }
    guard let batch = Batch.creating(first) else { throw RecordFault(first, .creation) }
    var replay = Replay(capacity: capacity, limits: limits, batch: batch)
    var points: [Point] = []
    for (place, record) in records.enumerated().dropFirst() {
      if case .verdictChanged(let summary) = record.fact {
        points.append(replay.point(record, then: summary, isRecordedVerdict: true))
        replay.said = summary
        try replay.batch.apply(record)
        continue
      }
      try replay.batch.apply(record)
      let next = records.indices.contains(place + 1) ? records[place + 1] : nil
      // One diagnosis covers all that happens at one instant.
      guard record.fact.movesSummary, next?.at != record.at, replay.batch.status != .created else { continue }
      let point = replay.point(record, then: replay.said, isRecordedVerdict: false)
      if point.differs, !replay.wasSaidSoon(point.now, after: place, records) { points.append(point) }
    }
    return points
  }

  /// Summaries are recorded at intervals: one that was recorded soon after counts.
  private func wasSaidSoon(_ summary: DiagnosisSummary, after place: Int, _ records: [Record]) -> Bool {
    let until = records[place].at + limits.reviewInterval * 2 + .milliseconds(500)
    for record in records[(place + 1)...] {
      guard record.at <= until else { return false }
      // More happened before the next review.
      if record.fact.movesSummary, record.at > records[place].at { return true }
      if case .verdictChanged(let said) = record.fact, said.isSame(as: summary) { return true }
    }
    return false
  }

  private func point(_ record: Record, then: DiagnosisSummary, isRecordedVerdict: Bool) -> Point {
    var batch = batch
    var limits = limits
    var batchContext = BatchContext()
    // What the server was started with, what it could not reach and what others of the namespace held is in no journal of
    // the batch.
    switch then.reason {
    case .executorNotConfigured:
      batch.outage = ExecutorOutage(
        executor: batch.specification.executor, since: record.at, message: then.blockedReason,
        isConfigured: false)
    case .executorUnreachable:
      batch.outage = ExecutorOutage(
        executor: batch.specification.executor, since: record.at + limits.unreachableGrace * -1,
        message: then.blockedReason)
    case .quota where limits.quota(of: batch.key.namespace) == nil:
      limits.quotas["*"] = Quota(cpus: ValueLimit.cpus)
      batchContext.namespaceUse.add(Resources(cpus: ValueLimit.cpus))
    default:
      break
    }
    batch.assumeLife(at: record.at, but: then, confirmation: limits.stuckConfirmation)
    return Point(
      sequence: record.sequence, at: record.at, isRecordedVerdict: isRecordedVerdict, then: then,
      now: batch.diagnosisSummary(at: record.at, capacity: capacity, limits: limits, batchContext: batchContext))
  }
}

extension Batch {
  /// Takes every running attempt for live, except those that were recorded as silent or stuck.
  fileprivate mutating func assumeLife(at now: Instant, but said: DiagnosisSummary, confirmation: Duration) {
    var suspects: [JobID: FindingCause] = [:]
    if said.health == .stuck {
      for cause in said.causes { if let job = cause.job { suspects[job] = cause.cause } }
    }
    for tier in tiers.indices {
      for job in tiers[tier].jobs.indices {
        guard let last = tiers[tier].jobs[job].attempts.indices.last, tiers[tier].jobs[job].attempts[last].isCurrent
        else { continue }
        let suspect = suspects[tiers[tier].jobs[job].id]
        if suspect != nil {
          tiers[tier].jobs[job].attempts[last].suspectedSince = Instant(
            milliseconds: now.milliseconds.subtractingSaturated(confirmation.milliseconds + 1))
        }
        let isSilent = suspect == .failure(.heartbeatTimeout) || suspect == .health(.noHeartbeat)
        if !isSilent { tiers[tier].jobs[job].attempts[last].lastHeartbeatAt = now }
      }
    }
  }
}

import MendAPI
import MendCore

/// What one watcher was sent, and what to send next: a pure function of the newest view and the time.
///
/// Each message covers every journal entry after `previous_sequence` up to `sequence`. Counts may be skipped, because
/// newer ones replace them. State changes never are: if the batch no longer has them, a snapshot says so.
struct WatchState: Hashable, Sendable {
  enum Step: Hashable, Sendable {
    case send(WatchProgressResponse)
    /// Nothing to send before the batch is beyond that sequence, or that instant has come.
    case wait(after: UInt64, until: Instant)
  }

  /// How often health is checked while nothing else happens: time alone can make a batch stuck.
  static let healthInterval: Duration = .seconds(1)
  static let gapTooOld = "gap_too_old"

  /// The last sequence that a message covered, after which a watch resumes.
  private(set) var told: UInt64
  private let minInterval: Duration
  private var toldAt: Instant?
  private var needsSnapshot: Bool
  private var toldHealth: HealthMark?
  private var toldTiers: [TierMark]?

  private struct HealthMark: Hashable {
    var health: MendCore.Health
    var reason: MendCore.HealthReason
    init(_ report: HealthReport) {
      health = report.health
      reason = report.reason
    }
  }

  /// The content of a tier's line in a message.
  private struct TierMark: Hashable {
    var status: MendCore.TierStatus
    var handed: Int
    var done: Int
    var failed: Int
    init(_ tier: Tier) {
      status = tier.status
      handed = tier.handed.count
      done = tier.done.count
      failed = tier.failed.count
    }
  }

  /// A watch from the beginning: a snapshot comes first.
  init(minInterval: Duration) {
    self.minInterval = minInterval
    told = 0
    needsSnapshot = true
  }

  /// A watch that resumes after `sequence`, which the batch has reached.
  ///
  /// - Parameter report: the health at the batch's last change. The caller knows it from that message; a change by time
  ///   alone since then is news.
  init(after sequence: UInt64, report: HealthReport, minInterval: Duration) {
    self.minInterval = minInterval
    told = sequence
    needsSnapshot = false
    toldHealth = HealthMark(report)
  }

  /// No message follows one with `terminal`.
  mutating func next(_ batch: Batch, _ report: HealthReport, at now: Instant) -> Step {
    if needsSnapshot { return .send(snapshot(batch, report, reason: "", at: now)) }
    if batch.changesDroppedThrough > told {
      return .send(snapshot(batch, report, reason: Self.gapTooOld, at: now))
    }
    let changes = batch.changes(after: told)
    let isNews = batch.status.isFinal || !changes.isEmpty || toldHealth != HealthMark(report)
    if !isNews {
      let healthDue = now + Self.healthInterval
      guard batch.sequence > told else { return .wait(after: batch.sequence, until: healthDue) }
      if let toldAt, now - toldAt < minInterval {
        return .wait(after: batch.sequence, until: min(toldAt + minInterval, healthDue))
      }
    }
    var message = frame(batch, report, at: now)
    message.changes = changes.map { MendAPI.StateChange($0) }
    let marks = batch.tiers.map(TierMark.init)
    for (index, tier) in batch.tiers.enumerated() {
      let isKnown = toldTiers.map { $0.indices.contains(index) && $0[index] == marks[index] } ?? false
      if !isKnown { message.tiers.append(TierProgress(tier)) }
    }
    remember(batch, report, marks, at: now)
    return .send(message)
  }

  private mutating func snapshot(
    _ batch: Batch, _ report: HealthReport, reason: String, at now: Instant
  ) -> WatchProgressResponse {
    var message = frame(batch, report, at: now)
    message.snapshot = true
    message.snapshotReason = reason
    message.tiers = batch.tiers.map { TierProgress($0) }
    remember(batch, report, batch.tiers.map(TierMark.init), at: now)
    return message
  }

  private func frame(_ batch: Batch, _ report: HealthReport, at now: Instant) -> WatchProgressResponse {
    var message = WatchProgressResponse()
    message.batchID = batch.key.batchID
    message.sequence = batch.sequence
    message.previousSequence = told
    message.terminal = batch.status.isFinal
    message.status = MendAPI.BatchStatus(batch.status)
    message.overallProgress = batch.overallProgress
    message.progress = Progress(batch.progress())
    message.currentTier = Int32(clamping: batch.currentTier)
    message.totalTiers = Int32(clamping: batch.tiers.count)
    message.health = MendAPI.Health(report.health)
    message.healthReason = MendAPI.HealthReason(report.reason)
    message.at = GoogleTimestamp(now)
    return message
  }

  private mutating func remember(_ batch: Batch, _ report: HealthReport, _ marks: [TierMark], at now: Instant) {
    told = batch.sequence
    toldAt = now
    needsSnapshot = false
    toldHealth = HealthMark(report)
    toldTiers = marks
  }
}

extension Batch {
  /// State changes after a sequence, in order. Costs only what it returns: the newest are last.
  func changes(after sequence: UInt64) -> ArraySlice<MendCore.StateChange> {
    var start = recentChanges.endIndex
    while start > recentChanges.startIndex, recentChanges[start - 1].sequence > sequence { start -= 1 }
    return recentChanges[start...]
  }
}

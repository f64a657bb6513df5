/// Everything that is known about one batch. It is a value: the core owns the live one, and readers hold copies that share
/// its storage.
///
/// It changes only by `apply(_:)` (facts, journaled) and by the few marks that are documented as not journaled.
package struct Batch: Hashable, Codable, Sendable {
  package var key: BatchKey
  package var specification: BatchSpecification
  package var documents: DocumentTable
  package var status: BatchStatus
  /// The status before a pause.
  package var statusBeforePause: BatchStatus?
  package var tiers: [Tier]
  /// Documents that failed in any tier, or were never handed on for it.
  package var failedDocuments: DocumentSet
  /// Documents that every tier has completed.
  package var completedDocuments: DocumentSet
  /// How many extractors have each document in process, summed: for the progress count and max_concurrent.
  package var processingCounts: [Int: Int]
  /// When each document was first claimed and last settled; only for documents that were touched.
  package var documentTimes: DocumentTimes

  package var createdAt: Instant
  package var submittedAt: Instant?
  /// Since when the batch's timeout counts: its submission, or the latest retry by a caller that took it out of a final
  /// state; moved on by each pause.
  package var timeoutFrom: Instant?
  /// While it is paused: since when, and who asked for it.
  package var pausedAt: Instant?
  package var pausedBy = ""
  /// When its latest pause ended.
  package var resumedAt: Instant?
  package var startedAt: Instant?
  package var updatedAt: Instant
  package var completedAt: Instant?
  /// Runs while the batch is RUNNING.
  package var work = WorkClock()
  /// When a document or a stage last moved.
  package var lastActivityAt: Instant

  /// The sequence of the last fact.
  package var sequence: UInt64
  /// Grows with every change of state, not with every document. A plan is valid for one generation.
  package var generation: UInt64
  /// The latest state changes, the oldest first, at most `recentChangesLimit`. A resumed watch gets them.
  package var recentChanges: [StateChange]
  /// Changes up to and including this sequence may be missing from `recentChanges`.
  package var changesDroppedThrough: UInt64
  /// The latest heal plans that were applied, at most `healHistoryLimit`.
  package var healHistory: [HealRecord]
  /// The last diagnosis summary; nil as long as the batch was always well.
  package var diagnosisSummary: DiagnosisSummary?

  /// Plans that `AutoHeal` applied so far.
  package var autoHeals = 0
  /// What the batch's live attempts hold together.
  package var held = ResourceUse()
  /// Its place among its namespace's batches that wait for room; nil while none of its jobs could start. Not journaled.
  package var queued: QueueEntry?
  /// Set while the batch's executor cannot be asked. Not journaled.
  package var outage: ExecutorOutage?
  /// Launches seen that are not a job's current attempt, at most `duplicatesLimit`. Not journaled: executors say it
  /// again.
  package var duplicates: [DuplicateLaunch]

  package static let duplicatesLimit = 64
  package static let recentChangesLimit = 2048
  package static let healHistoryLimit = 64
}

extension Batch {
  /// When its own time is over, if it is not paused before; nil where it has no bound, or was not submitted.
  var timeoutAt: Instant? {
    guard let timeout = specification.timeout else { return nil }
    return timeoutFrom.map { $0 + timeout }
  }

  /// It is past its own time. In a pause the clock stands still.
  func isPastTimeout(at now: Instant) -> Bool { timeoutAt.map { $0 <= (pausedAt ?? now) } ?? false }
}

extension Batch {
  /// When a plan last had a launch ended that is not the job's attempt; nil where none did, as far as is remembered.
  func askedToEnd(_ job: JobID, _ reference: String) -> Instant? {
    healHistory.last { record in
      record.steps.contains { step in
        step.operation == .killDuplicate(job, reference: reference) && (step.result == .done || step.result == .asked)
      }
    }?.at
  }
}

/// A launch that an executor runs for a job, and that is not the job's current attempt.
package struct DuplicateLaunch: Hashable, Codable, Sendable {
  package var job: JobID
  /// The attempt that it was launched as.
  package var number: Int
  /// The executor's name for it.
  package var reference: String
  package var seenAt: Instant

  package init(job: JobID, number: Int, reference: String, seenAt: Instant) {
    self.job = job
    self.number = number
    self.reference = reference
    self.seenAt = seenAt
  }
}

package struct Tier: Hashable, Codable, Sendable {
  package var number: Int
  package var status: TierStatus
  package var jobs: [Job]
  /// The documents that were handed to the tier when it started.
  package var handed: DocumentSet
  /// The documents that every extractor of the tier has committed.
  package var done: DocumentSet
  /// The documents that one of the tier's extractors failed.
  package var failed: DocumentSet
  /// How fast it went since it was last started, by its work clock.
  package var curve = ProgressCurve()
  /// Runs while the tier and the batch are RUNNING.
  package var work = WorkClock()
  package var startedAt: Instant?
  package var completedAt: Instant?
  package var lastActivityAt: Instant?
  /// A cancel of the whole tier (or batch) was asked for and is under way: its outcome is CANCELLED whatever its jobs
  /// did.
  package var cancelRequested: Bool

  package init(number: Int, jobs: [Job]) {
    self.number = number
    self.status = .pending
    self.jobs = jobs
    self.handed = DocumentSet()
    self.done = DocumentSet()
    self.failed = DocumentSet()
    self.cancelRequested = false
  }

  /// The share of the handed documents that are done or failed, 0 to 100.
  package var percentage: Double {
    handed.isEmpty ? (status == .completed ? 100 : 0) : 100 * Double(done.count + failed.count) / Double(handed.count)
  }
}

/// A change that a watcher is told of.
package struct StateChange: Hashable, Codable, Sendable {
  package enum Subject: Hashable, Codable, Sendable {
    case batch
    case tier(Int)
    case job(JobID)
    case attempt(JobID, Int)
  }

  package var sequence: UInt64
  package var subject: Subject
  package var from: String
  package var to: String
  package var reason: String
  package var at: Instant

  package init(sequence: UInt64, subject: Subject, from: String, to: String, reason: String, at: Instant) {
    self.sequence = sequence
    self.subject = subject
    self.from = from
    self.to = to
    self.reason = reason
    self.at = at
  }
}

/// First claim and last settlement of documents, as milliseconds since the batch was created; 0 is never. From the 25th
/// day on, to the second.
///
/// In chunks: while a reader holds a copy, a change costs one chunk, not the batch.
package struct DocumentTimes: Hashable, Codable, Sendable {
  private var started = DocumentNumbers()
  private var settled = DocumentNumbers()

  package init() {}

  package mutating func claim(_ position: Int, offset: Int64) {
    if started[position] == 0 { started[position] = Self.clamp(offset) }
  }

  package mutating func settle(_ position: Int, offset: Int64) { settled[position] = Self.clamp(offset) }

  package func startedOffset(_ position: Int) -> Int64? { Self.value(started[position]) }
  package func settledOffset(_ position: Int) -> Int64? { Self.value(settled[position]) }

  /// Set where the rest counts seconds.
  private static let inSeconds: UInt32 = 1 << 31

  private static func clamp(_ offset: Int64) -> UInt32 {
    if offset < inSeconds { return UInt32(max(1, offset)) }
    return UInt32(min(offset / 1000, Int64(inSeconds - 1))) | inSeconds
  }

  private static func value(_ stored: UInt32) -> Int64? {
    if stored == 0 { return nil }
    return stored < inSeconds ? Int64(stored) : Int64(stored & ~inSeconds) * 1000
  }
}

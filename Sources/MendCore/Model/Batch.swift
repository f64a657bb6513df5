/// Everything that is known about one batch. It is a value: the core owns the live one, and readers hold copies that share
/// its storage.
///
/// It changes only by `apply(_:)` (facts, journaled) and by the few marks that are documented as not journaled.
public struct Batch: Hashable, Codable, Sendable {
  public var key: BatchKey
  public var specification: BatchSpecification
  public var documents: DocumentTable
  public var status: BatchStatus
  /// The status before a pause.
  public var statusBeforePause: BatchStatus?
  public var tiers: [Tier]
  /// Documents that failed in any tier, or were never handed on for it.
  public var failedDocuments: DocumentSet
  /// Documents that every tier has completed.
  public var completedDocuments: DocumentSet
  /// How many extractors have each document in process, summed: for the progress count and max_concurrent.
  public var processingCounts: [Int: Int]
  /// When each document was first claimed and last settled; only for documents that were touched.
  public var documentTimes: DocumentTimes

  public var createdAt: Instant
  public var submittedAt: Instant?
  /// Since when the batch's timeout counts: its submission, or the latest retry by a caller that took it out of a final
  /// state; moved on by each pause.
  public var timeoutFrom: Instant?
  /// While it is paused: since when, and who asked for it.
  public var pausedAt: Instant?
  public var pausedBy = ""
  /// When its latest pause ended.
  public var resumedAt: Instant?
  public var startedAt: Instant?
  public var updatedAt: Instant
  public var completedAt: Instant?
  /// Runs while the batch is RUNNING.
  public var work = WorkClock()
  /// When a document or a stage last moved.
  public var lastActivityAt: Instant

  /// The sequence of the last fact.
  public var sequence: UInt64
  /// Grows with every change of state, not with every document. A plan is valid for one generation.
  public var generation: UInt64
  /// The latest state changes, the oldest first, at most `recentChangesLimit`. A resumed watch gets them.
  public var recentChanges: [StateChange]
  /// Changes up to and including this sequence may be missing from `recentChanges`.
  public var changesDroppedThrough: UInt64
  /// The latest heal plans that were applied, at most `healHistoryLimit`.
  public var healHistory: [HealRecord]
  /// The last diagnosis summary; nil as long as the batch was always well.
  public var diagnosisSummary: DiagnosisSummary?

  /// Plans that `AutoHeal` applied so far.
  public var autoHeals = 0
  /// What the batch's live attempts hold together.
  public var held = ResourceUse()
  /// Its place among its namespace's batches that wait for room; nil while none of its jobs could start. Not journaled.
  public var queued: QueueEntry?
  /// Set while the batch's executor cannot be asked. Not journaled.
  public var outage: ExecutorOutage?
  /// Launches seen that are not a job's current attempt, at most `duplicatesLimit`. Not journaled: executors say it
  /// again.
  public var duplicates: [DuplicateLaunch]

  public static let duplicatesLimit = 64
  public static let recentChangesLimit = 2048
  public static let healHistoryLimit = 64
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
public struct DuplicateLaunch: Hashable, Codable, Sendable {
  public var job: JobID
  /// The attempt that it was launched as.
  public var number: Int
  /// The executor's name for it.
  public var reference: String
  public var seenAt: Instant

  public init(job: JobID, number: Int, reference: String, seenAt: Instant) {
    self.job = job
    self.number = number
    self.reference = reference
    self.seenAt = seenAt
  }
}

public struct Tier: Hashable, Codable, Sendable {
  public var number: Int
  public var status: TierStatus
  public var jobs: [Job]
  /// The documents that were handed to the tier when it started.
  public var handed: DocumentSet
  /// The documents that every extractor of the tier has committed.
  public var done: DocumentSet
  /// The documents that one of the tier's extractors failed.
  public var failed: DocumentSet
  /// How fast it went since it was last started, by its work clock.
  public var curve = ProgressCurve()
  /// Runs while the tier and the batch are RUNNING.
  public var work = WorkClock()
  public var startedAt: Instant?
  public var completedAt: Instant?
  public var lastActivityAt: Instant?
  /// A cancel of the whole tier (or batch) was asked for and is under way: its outcome is CANCELLED whatever its jobs
  /// did.
  public var cancelRequested: Bool

  public init(number: Int, jobs: [Job]) {
    self.number = number
    self.status = .pending
    self.jobs = jobs
    self.handed = DocumentSet()
    self.done = DocumentSet()
    self.failed = DocumentSet()
    self.cancelRequested = false
  }

  /// The share of the handed documents that are done or failed, 0 to 100.
  public var percentage: Double {
    handed.isEmpty ? (status == .completed ? 100 : 0) : 100 * Double(done.count + failed.count) / Double(handed.count)
  }
}

/// A change that a watcher is told of.
public struct StateChange: Hashable, Codable, Sendable {
  public enum Subject: Hashable, Codable, Sendable {
    case batch
    case tier(Int)
    case job(JobID)
    case attempt(JobID, Int)
  }

  public var sequence: UInt64
  public var subject: Subject
  public var from: String
  public var to: String
  public var reason: String
  public var at: Instant

  public init(sequence: UInt64, subject: Subject, from: String, to: String, reason: String, at: Instant) {
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
public struct DocumentTimes: Hashable, Codable, Sendable {
  private var started = DocumentNumbers()
  private var settled = DocumentNumbers()

  public init() {}

  public mutating func claim(_ position: Int, offset: Int64) {
    if started[position] == 0 { started[position] = Self.clamp(offset) }
  }

  public mutating func settle(_ position: Int, offset: Int64) { settled[position] = Self.clamp(offset) }

  public func startedOffset(_ position: Int) -> Int64? { Self.value(started[position]) }
  public func settledOffset(_ position: Int) -> Int64? { Self.value(settled[position]) }

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

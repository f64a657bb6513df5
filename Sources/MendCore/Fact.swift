/// Something that is so, of one batch: the only thing that changes a `Batch` durably. A batch is the fold of its facts.
///
/// Facts say what was decided, never how: recovering yesterday's journal under today's rules gives yesterday's state.
/// The journal's bytes are `proto/mend/v1/journal.proto`; the mapping lives in MendStore.
public enum Fact: Hashable, Sendable {
  case batchCreated(BatchSpecification)
  case documentsAdded([Document])
  case batchStatusChanged(BatchStatus, reason: String)
  case tierStarted(tier: Int, handed: DocumentSet)
  case tierStatusChanged(tier: Int, TierStatus, reason: String)
  case jobStatusChanged(JobID, JobStatus, failure: Job.Failure?, reason: String)
  /// Launch intent: durable before the launch.
  case attemptIntended(JobID, number: Int, token: String, SubmissionParameters)
  /// The executor has it.
  case attemptTaken(JobID, number: Int, ExecutorHandle)
  case attemptStarted(JobID, number: Int)
  /// Intent to end it: durable before the first signal. Again for less grace, with the reason it had. `grace` is nil where
  /// an older version wrote it.
  case attemptEnding(JobID, number: Int, EndReason, grace: Duration? = nil)
  case attemptEnded(JobID, number: Int, AttemptEnd)
  /// A report came from an attempt that was no longer current; refused, counted.
  case staleReport(JobID, number: Int)
  case nextAttemptScheduled(JobID, at: Instant)

  case documentsClaimed(JobID, number: Int, DocumentSet, id: String = "")
  case documentsCommitted(JobID, number: Int, DocumentSet)
  case documentsFailed(JobID, number: Int, [FailedDocument])
  /// Back to pending, unprocessed.
  case documentsReleased(JobID, number: Int, DocumentSet)
  /// Results that were known already.
  case workRepeated(JobID, number: Int, count: Int)
  case stageEntered(JobID, number: Int, name: String)
  case stageSpent(JobID, number: Int, name: String, Duration)
  case collectionWritten(JobID, collectionID: String, count: Int)

  /// Retry: these jobs run again over `documents` (by job: what left its failed, and with scope all its committed, set).
  case retried(tier: Int, jobs: [RetriedJob], actor: String)
  case healed(HealRecord)
  /// What is said of the batch turned: better, worse, or otherwise wrong.
  case verdictChanged(VerdictRecord)
  /// A notification was delivered, or given up.
  case notificationSettled(NotificationOutcome)

  public struct FailedDocument: Hashable, Sendable {
    public var position: Int
    public var error: DocumentError
    public init(position: Int, error: DocumentError) {
      self.position = position
      self.error = error
    }
  }

  public struct RetriedJob: Hashable, Sendable {
    public var job: JobID
    public var overrides: Job.Overrides
    /// Goes from failed (or committed) back to pending.
    public var reopened: DocumentSet
    public init(job: JobID, overrides: Job.Overrides, reopened: DocumentSet) {
      self.job = job
      self.overrides = overrides
      self.reopened = reopened
    }
  }
}

/// A fact in its batch's journal.
public struct Record: Hashable, Sendable {
  public var batch: BatchKey
  /// Counts from 1 within the batch, no gaps.
  public var sequence: UInt64
  public var at: Instant
  /// What kind of event caused it: "caller", "worker", "executor", "clock", "recovery", "diagnosis", "notifier".
  public var cause: String
  /// Who asked for it, where somebody did; empty where it follows from the cause and the fact, as `who` has it.
  public var actor: String
  public var fact: Fact

  public init(batch: BatchKey, sequence: UInt64, at: Instant, cause: String, actor: String = "", fact: Fact) {
    self.batch = batch
    self.sequence = sequence
    self.at = at
    self.cause = cause
    self.actor = actor
    self.fact = fact
  }
}

/// A plan that Heal carried out, or tried to.
public struct HealRecord: Hashable, Codable, Sendable {
  public var action: HealAction
  public var generation: UInt64
  public var steps: [HealStep]
  public var at: Instant
  /// Who asked for it, `HealRecord.autoHeal` where nobody did; empty where an older version wrote it.
  public var actor: String

  /// The actor of what `AutoHeal` applied.
  public static let autoHeal = "auto_heal"

  public init(action: HealAction, generation: UInt64, steps: [HealStep], at: Instant, actor: String = "") {
    self.actor = actor
    self.action = action
    self.generation = generation
    self.steps = steps
    self.at = at
  }
}

public enum HealAction: String, Hashable, Codable, Sendable, CaseIterable {
  case detectStuck = "detect_stuck"
  case killDuplicates = "kill_duplicates"
  case reclaimOrphans = "reclaim_orphans"
  case auto
}

/// One step of a heal plan.
public struct HealStep: Hashable, Codable, Sendable {
  public enum Operation: Hashable, Codable, Sendable {
    /// Fence, end, start again without the documents that were in process.
    case restartAttempt(JobID, number: Int, FailureCause)
    /// End a launch that is not the job's current attempt; by its launch id or the executor's reference.
    case killDuplicate(JobID, reference: String)
    /// End what the executor runs and no live attempt owns, or relaunch what it lost.
    case reclaimOrphan(JobID, number: Int)
    case retryTier(tier: Int, jobs: [JobID], memoryBytes: Int64?)
  }
  public var operation: Operation
  public var reason: String
  public var evidence: [Evidence]
  public var risk: Risk
  /// "planned" in a dry run, else what happened.
  public var outcome: String

  public init(operation: Operation, reason: String, evidence: [Evidence], risk: Risk, outcome: String = "planned") {
    self.operation = operation
    self.reason = reason
    self.evidence = evidence
    self.risk = risk
    self.outcome = outcome
  }
}

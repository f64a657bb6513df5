/// Something that is so, of one batch: the only thing that changes a `Batch` durably. A batch is the fold of its facts.
///
/// Facts say what was decided, never how: recovering yesterday's journal under today's rules gives yesterday's state.
/// Each case has one value, which describes its fields in the journal.
public enum Fact: Hashable, Sendable {
  case batchCreated(BatchSpecification)
  case documentsAdded([Document])
  case batchStatusChanged(BatchStatusChanged)
  case tierStarted(TierStarted)
  case tierStatusChanged(TierStatusChanged)
  /// A cancel of the whole running tier was asked for: it ends as CANCELLED, whatever its jobs come to.
  case tierCancelRequested(TierCancelRequested)
  case jobStatusChanged(JobStatusChanged)
  /// Launch intent: durable before the launch.
  case attemptIntended(AttemptIntended)
  /// The executor has it.
  case attemptTaken(AttemptTaken)
  case attemptStarted(AttemptID)
  /// Intent to end it: durable before the first signal. Again for less grace, with the reason it had.
  case attemptEnding(AttemptEnding)
  case attemptEnded(AttemptEnded)
  /// A report came from an attempt that was no longer current; refused, counted.
  case staleReport(AttemptID)
  /// Its worker said for the first time only that it lives: from then on it owes beats.
  case attemptBeat(AttemptID)
  case nextAttemptScheduled(NextAttemptScheduled)

  case documentsClaimed(DocumentsClaimed)
  case documentsCommitted(DocumentsOfAttempt)
  case documentsFailed(DocumentsFailed)
  /// Back to pending, unprocessed.
  case documentsReleased(DocumentsOfAttempt)
  /// Results that were known already.
  case workRepeated(WorkRepeated)
  case stageEntered(StageEntered)
  case stageSpent(StageSpent)
  case collectionWritten(CollectionWritten)
  /// What a report with an id said beside its results, once, however often it arrives.
  case reportTaken(ReportTaken)
  /// The job was cancelled while others of its tier went on: these documents go on without it.
  case documentsLeftOut(DocumentsLeftOut)

  /// These jobs run again over what is reopened. Later tiers' jobs that are to do it again come as facts of their own.
  case retried(Retried)
  case healed(HealRecord)
  /// What is said of the batch turned: better, worse, or otherwise wrong.
  case verdictChanged(DiagnosisSummary)
  /// A notification was delivered, or given up.
  case notificationSettled(NotificationOutcome)
}

/// On whose initiative something is done.
public enum Initiative: String, Hashable, Codable, Sendable, CaseIterable {
  case caller
  /// What a batch opted in to, which nobody asked for.
  case autoHeal = "auto_heal"
  /// A job's retry rules.
  case rules
}

/// A fact in its batch's journal.
public struct Record: Hashable, Sendable {
  /// What kind of event a fact came of; the word is what journals and histories have.
  public enum Cause: String, Hashable, Sendable, CaseIterable {
    case caller, worker, executor, clock
    /// A place came free, or an order was to be kept: by an event of another batch.
    case scheduler
    case recovery
    /// The rules, which look at the batch between events.
    case diagnosis
    /// Who tells others.
    case notifier
  }

  public var batch: BatchKey
  /// Counts from 1 within the batch, no gaps.
  public var sequence: UInt64
  public var at: Instant
  public var cause: Cause
  /// Who asked for it, where somebody did; empty where it follows from the cause and the fact, as `who` has it.
  public var actor: String
  public var fact: Fact

  public init(batch: BatchKey, sequence: UInt64, at: Instant, cause: Cause, actor: String = "", fact: Fact) {
    self.batch = batch
    self.sequence = sequence
    self.at = at
    self.cause = cause
    self.actor = actor
    self.fact = fact
  }
}

/// What of a report is not about its documents.
public struct TakenReport: Hashable, Codable, Sendable {
  /// The worker's own word for it.
  public var id: String
  /// As it was answered.
  public var accepted: Int
  public var repeated: Int
  public var stageTimings: [Job.StageTotal]
  /// Documents written into the job's collection.
  public var written: Int
  /// As `WorkerRequest.Report` has it.
  public var fingerprint: UInt64

  public init(
    id: String, accepted: Int, repeated: Int, stageTimings: [Job.StageTotal] = [], written: Int = 0,
    fingerprint: UInt64 = 0
  ) {
    self.id = id
    self.accepted = accepted
    self.repeated = repeated
    self.stageTimings = stageTimings
    self.written = written
    self.fingerprint = fingerprint
  }
}

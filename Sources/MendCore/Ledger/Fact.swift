/// One durable change of one batch. Nothing else changes a `Batch` for good: it is the fold of its facts.
///
/// Facts say what was decided, never how: recovering yesterday's journal under today's rules gives yesterday's state.
/// Each case has one value, which describes its fields in the journal.
package enum Fact: Hashable, Sendable {
  case batchCreated(BatchSpecification)
  case documentsAdded([Document])
  case batchStatusChanged(BatchStatusChanged)
  case tierStarted(TierStarted)
  case tierStatusChanged(TierStatusChanged)
  /// A caller cancelled the whole running tier: it ends as CANCELLED, however its jobs end.
  case tierCancelRequested(TierCancelRequested)
  case jobStatusChanged(JobStatusChanged)
  /// The intent to launch an attempt, durable before the launch.
  case attemptIntended(AttemptIntended)
  /// The executor accepted the launch.
  case attemptTaken(AttemptTaken)
  case attemptStarted(AttemptID)
  /// The intent to end an attempt, durable before the first signal. Recorded again, with the same reason, if the grace
  /// is shortened.
  case attemptEnding(AttemptEnding)
  case attemptEnded(AttemptEnded)
  /// A report came from an attempt that was no longer current. It was refused, and is counted.
  case staleReport(AttemptID)
  /// The first heartbeat of an entrypoint's own worker; from then on heartbeats are expected.
  case attemptBeat(AttemptID)
  case nextAttemptScheduled(NextAttemptScheduled)

  case documentsClaimed(DocumentsClaimed)
  case documentsCommitted(DocumentsOfAttempt)
  case documentsFailed(DocumentsFailed)
  /// Claimed documents were given back unprocessed.
  case documentsReleased(DocumentsOfAttempt)
  /// An attempt reported results that were known already.
  case workRepeated(WorkRepeated)
  case stageEntered(StageEntered)
  case stageSpent(StageSpent)
  case collectionWritten(CollectionWritten)
  /// What a report with an id contained beside its results; recorded once, however often the report arrives.
  case reportTaken(ReportTaken)
  /// A job was cancelled while others of its tier went on; these documents go on without it.
  case documentsLeftOut(DocumentsLeftOut)

  /// Jobs of one tier run again over the documents that are reopened. Jobs of later tiers have facts of their own.
  case retried(Retried)
  case healed(HealRecord)
  /// The diagnosis summary changed.
  case verdictChanged(DiagnosisSummary)
  /// A notification was delivered, or given up.
  case notificationSettled(NotificationOutcome)
}

// Each fact is a field of its record; numbers are only ever added.

extension Fact {
  static let lastFrequent: UInt32 = 15

  /// Facts with the short tags.
  static func describeFrequent(_ fact: inout Fact?, _ present: UInt32?, _ v: FieldVisitor) throws(FormatFault) {
    try v.member(4, "documents_claimed", of: &fact, as: present, Fact.documentsClaimed) {
      if case .documentsClaimed(let fact) = $0 { fact } else { nil }
    }
    try v.member(5, "documents_committed", of: &fact, as: present, Fact.documentsCommitted) {
      if case .documentsCommitted(let fact) = $0 { fact } else { nil }
    }
    try v.member(6, "documents_failed", of: &fact, as: present, Fact.documentsFailed) {
      if case .documentsFailed(let fact) = $0 { fact } else { nil }
    }
    try v.member(7, "documents_released", of: &fact, as: present, Fact.documentsReleased) {
      if case .documentsReleased(let fact) = $0 { fact } else { nil }
    }
    try v.member(8, "stage_entered", of: &fact, as: present, Fact.stageEntered) {
      if case .stageEntered(let fact) = $0 { fact } else { nil }
    }
    try v.member(9, "stage_spent", of: &fact, as: present, Fact.stageSpent) {
      if case .stageSpent(let fact) = $0 { fact } else { nil }
    }
    try v.member(10, "collection_written", of: &fact, as: present, Fact.collectionWritten) {
      if case .collectionWritten(let fact) = $0 { fact } else { nil }
    }
    try v.member(11, "work_repeated", of: &fact, as: present, Fact.workRepeated) {
      if case .workRepeated(let fact) = $0 { fact } else { nil }
    }
    try v.member(12, "stale_report", of: &fact, as: present, Fact.staleReport) {
      if case .staleReport(let fact) = $0 { fact } else { nil }
    }
  }

  static func describeOthers(_ fact: inout Fact?, _ present: UInt32?, _ v: FieldVisitor) throws(FormatFault) {
    try v.member(16, "batch_created", of: &fact, as: present, Fact.batchCreated) {
      if case .batchCreated(let fact) = $0 { fact } else { nil }
    }
    try v.member(17, "documents_added", of: &fact, as: present, { .documentsAdded($0.documents) }) {
      if case .documentsAdded(let documents) = $0 { DocumentsAdded(documents: documents) } else { nil }
    }
    try v.member(18, "batch_status_changed", of: &fact, as: present, Fact.batchStatusChanged) {
      if case .batchStatusChanged(let fact) = $0 { fact } else { nil }
    }
    try v.member(19, "tier_started", of: &fact, as: present, Fact.tierStarted) {
      if case .tierStarted(let fact) = $0 { fact } else { nil }
    }
    try v.member(20, "tier_status_changed", of: &fact, as: present, Fact.init(tierStatusChanged:)) {
      if case .tierStatusChanged(let fact) = $0 { fact } else { nil }
    }
    try v.member(21, "job_status_changed", of: &fact, as: present, Fact.jobStatusChanged) {
      if case .jobStatusChanged(let fact) = $0 { fact } else { nil }
    }
    try v.member(22, "attempt_intended", of: &fact, as: present, Fact.attemptIntended) {
      if case .attemptIntended(let fact) = $0 { fact } else { nil }
    }
    try v.member(23, "attempt_taken", of: &fact, as: present, Fact.attemptTaken) {
      if case .attemptTaken(let fact) = $0 { fact } else { nil }
    }
    try v.member(24, "attempt_started", of: &fact, as: present, Fact.attemptStarted) {
      if case .attemptStarted(let fact) = $0 { fact } else { nil }
    }
    try v.member(25, "attempt_ending", of: &fact, as: present, Fact.attemptEnding) {
      if case .attemptEnding(let fact) = $0 { fact } else { nil }
    }
    try v.member(26, "attempt_ended", of: &fact, as: present, Fact.attemptEnded) {
      if case .attemptEnded(let fact) = $0 { fact } else { nil }
    }
    try v.member(27, "next_attempt_scheduled", of: &fact, as: present, Fact.nextAttemptScheduled) {
      if case .nextAttemptScheduled(let fact) = $0 { fact } else { nil }
    }
    // As earlier versions wrote it: with all that is laid over the specification, in each job.
    try v.member(28, "retried", of: &fact, as: present, { .retried($0.retried) }) {
      if case .retried(let fact) = $0 { ReplacingRetry(fact) } else { nil }
    }
    try v.member(29, "healed", of: &fact, as: present, Fact.healed) {
      if case .healed(let fact) = $0 { fact } else { nil }
    }
    try v.member(30, "verdict_changed", of: &fact, as: present, Fact.verdictChanged) {
      if case .verdictChanged(let fact) = $0 { fact } else { nil }
    }
    try v.member(31, "notification_settled", of: &fact, as: present, Fact.notificationSettled) {
      if case .notificationSettled(let fact) = $0 { fact } else { nil }
    }
    try v.member(45, "report_taken", of: &fact, as: present, Fact.reportTaken) {
      if case .reportTaken(let fact) = $0 { fact } else { nil }
    }
    try v.member(46, "tier_cancel_requested", of: &fact, as: present, Fact.tierCancelRequested) {
      if case .tierCancelRequested(let fact) = $0 { fact } else { nil }
    }
    try v.member(47, "documents_left_out", of: &fact, as: present, Fact.documentsLeftOut) {
      if case .documentsLeftOut(let fact) = $0 { fact } else { nil }
    }
    try v.member(50, "attempt_beat", of: &fact, as: present, Fact.attemptBeat) {
      if case .attemptBeat(let fact) = $0 { fact } else { nil }
    }
    try v.member(70, "retried_jobs", of: &fact, as: present, Fact.retried) {
      if case .retried(let fact) = $0 { fact } else { nil }
    }
  }

  /// Of its field.
  var number: UInt32 {
    switch self {
    case .documentsClaimed: 4
    case .documentsCommitted: 5
    case .documentsFailed: 6
    case .documentsReleased: 7
    case .stageEntered: 8
    case .stageSpent: 9
    case .collectionWritten: 10
    case .workRepeated: 11
    case .staleReport: 12
    case .batchCreated: 16
    case .documentsAdded: 17
    case .batchStatusChanged: 18
    case .tierStarted: 19
    case .tierStatusChanged: 20
    case .jobStatusChanged: 21
    case .attemptIntended: 22
    case .attemptTaken: 23
    case .attemptStarted: 24
    case .attemptEnding: 25
    case .attemptEnded: 26
    case .nextAttemptScheduled: 27
    case .healed: 29
    case .verdictChanged: 30
    case .notificationSettled: 31
    case .reportTaken: 45
    case .tierCancelRequested: 46
    case .documentsLeftOut: 47
    case .attemptBeat: 50
    case .retried(let fact): fact.replacesOverrides ? 28 : 70
    }
  }

  /// Of its field: `stage_entered`.
  package var name: String {
    // The one word for both of its forms.
    if case .retried = self { return "retried" }
    let finder = NameFinder()
    var fact: Fact? = self
    do throws(FormatFault) {
      try Self.describeFrequent(&fact, number, finder)
      try Self.describeOthers(&fact, number, finder)
    } catch {}
    return finder.name
  }

  private final class NameFinder: FieldVisitor {
    var name = ""

    init() { super.init(reads: false, assigns: false) }

    override func enter(
      _ number: UInt32, _ name: String, _ type: any Described.Type, element: Int?
    ) throws(FormatFault) -> Bool {
      self.name = name
      return false
    }
  }

  /// Earlier versions wrote a cancel of a running tier as a change from running to running, for a certain reason.
  init(tierStatusChanged changed: TierStatusChanged) {
    self =
      changed.status == .running && changed.reason == "cancel requested"
      ? .tierCancelRequested(TierCancelRequested(tier: changed.tier)) : .tierStatusChanged(changed)
  }
}

// What a fact is about

extension Fact {
  package enum Subject: Hashable, Sendable {
    case batch
    case tier(Int)
    case job(JobID)
    case attempt(AttemptID)
    /// Work that an attempt did; number 0 is what the core does to a job's documents by itself.
    case work(AttemptID)

    package var attempt: AttemptID? {
      switch self {
      case .attempt(let attempt), .work(let attempt): attempt
      default: nil
      }
    }

    package var job: JobID? { if case .job(let job) = self { job } else { attempt?.job } }

    package var tier: Int? { if case .tier(let tier) = self { tier } else { job?.tier } }
  }

  package var subject: Subject {
    switch self {
    case .batchCreated, .documentsAdded, .batchStatusChanged, .healed, .verdictChanged, .notificationSettled: .batch
    case .tierStarted(let fact): .tier(fact.tier)
    case .tierStatusChanged(let fact): .tier(fact.tier)
    case .tierCancelRequested(let fact): .tier(fact.tier)
    case .retried(let fact): .tier(fact.tier)
    case .jobStatusChanged(let fact): .job(fact.job)
    case .nextAttemptScheduled(let fact): .job(fact.job)
    case .collectionWritten(let fact): .job(fact.job)
    case .documentsLeftOut(let fact): .job(fact.job)
    case .attemptStarted(let attempt), .attemptBeat(let attempt), .staleReport(let attempt): .attempt(attempt)
    case .attemptIntended(let fact): .attempt(fact.attempt)
    case .attemptTaken(let fact): .attempt(fact.attempt)
    case .attemptEnding(let fact): .attempt(fact.attempt)
    case .attemptEnded(let fact): .attempt(fact.attempt)
    case .stageEntered(let fact): .attempt(fact.attempt)
    case .reportTaken(let fact): .attempt(fact.attempt)
    case .documentsClaimed(let fact): .work(fact.attempt)
    case .documentsCommitted(let fact), .documentsReleased(let fact): .work(fact.attempt)
    case .documentsFailed(let fact): .work(fact.attempt)
    case .workRepeated(let fact): .work(fact.attempt)
    case .stageSpent(let fact): .work(fact.attempt)
    }
  }

  /// The highest position of the documents that it names.
  package var lastDocument: Int? {
    switch self {
    case .tierStarted(let fact): fact.handed.last
    case .documentsClaimed(let fact): fact.documents.last
    case .documentsCommitted(let fact), .documentsReleased(let fact): fact.documents.last
    case .documentsFailed(let fact): fact.groups.lazy.compactMap(\.documents.last).max()
    case .documentsLeftOut(let fact): fact.documents.last
    case .retried(let fact): fact.jobs.lazy.compactMap(\.reopened.last).max()
    default: nil
    }
  }

  /// False for what was only said about the batch.
  var changesBatch: Bool {
    switch self {
    case .verdictChanged, .notificationSettled: false
    default: true
    }
  }

  /// Whether the diagnosis summary can change with it. False for what is reported while work goes on as before.
  var movesSummary: Bool {
    switch self {
    case .batchCreated, .documentsAdded, .documentsClaimed, .documentsCommitted, .documentsReleased, .workRepeated,
      .stageEntered, .stageSpent, .collectionWritten, .reportTaken, .attemptBeat, .staleReport, .verdictChanged,
      .notificationSettled:
      false
    default: true
    }
  }
}

private struct DocumentsAdded: Described {
  var documents: [Document]

  static var blank: Self { Self(documents: []) }

  mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.messages(1, "documents", &documents)
  }
}

/// One run of a job on an executor. A job has at most one current attempt: the last of its list, until it has ended.
package struct Attempt: Hashable, Codable, Sendable {
  package enum State: Hashable, Codable, Sendable {
    /// The intent to launch is durable; whether the executor has the attempt is not known yet.
    case intended
    /// The executor has accepted the launch; the attempt has not been seen to run.
    case starting
    case running
    /// The attempt is being ended on purpose, for a reason and since a time.
    case ending(EndReason, since: Instant)
    case ended(AttemptEnd)
  }

  package var number: Int
  /// The secret that the attempt's worker sends with every call. It fences the attempt.
  package var token: String
  package var parameters: SubmissionParameters
  package var state: State
  package var intendedAt: Instant
  package var startedAt: Instant?
  /// The executor's name for the attempt (process id with start time, Ray submission id); nil until it answered.
  package var handle: ExecutorHandle?
  /// When a document or a stage last moved; at first the time of the intent.
  package var lastActivityAt: Instant
  /// The last sign of life. Not journaled: after a restart it is the time of the restart.
  package var lastHeartbeatAt: Instant
  /// When this server took it over from an earlier one, or its executor came back after it could not be asked: what
  /// nobody watched is not held against it. Not journaled.
  package var adoptedAt: Instant?
  /// When it last asked for documents, had none, and was given none because of others or a pause: it is not its doing that
  /// nothing moves. Not journaled.
  package var heldBackAt: Instant?
  /// What the launch waits for, in the executor's words, until it is accepted. Not journaled: executors report it again.
  package var delayedBy: String?
  /// What keeps the executor from seeing the attempt, in its own words. Not journaled: executors report it again.
  package var hiddenBy: String?
  /// What the attempt's processes did at the last look, which is taken while it seems stuck. Not journaled.
  package var activity: ProcessActivity?
  /// Since when the attempt seems stuck, by the first of two checks. Not journaled.
  package var suspectedSince: Instant?
  /// Reports refused because the attempt was no longer current.
  package var staleReports: Int
  /// How long the batch was paused since the attempt's start, in pauses that are over. The run timer leaves them out.
  package var pausedFor: Duration = .zero
  /// Between SIGTERM and SIGKILL, as it was asked to end last with the least; nil where it was not asked, or an older
  /// version asked it.
  package var endGrace: Duration?
  /// When the grace ends.
  package var endDueAt: Instant?
  /// The current stage, and since when; nil before the first.
  package var stage: Stage?
  /// Whether a worker of the attempt has called. An entrypoint without one is opaque.
  package var hasReported: Bool
  /// Whether its worker has sent a heartbeat or claimed documents: from then on heartbeats are expected.
  package var hasBeaten = false
  /// Whether it has claimed documents or reported one: from then on its progress can be seen.
  package var tellsDocuments = false
  /// What its workers claimed last and may ask for again, oldest first, at most `claimsLimit`; none once it has ended.
  package private(set) var claims: [Claim] = []

  /// The latest reports with an id, as they were answered, oldest first, at most `reportsLimit`; none once it has ended.
  package private(set) var reports: [ReportAnswer] = []
  /// When Heal last had it ended that was over, or was to end; and the late reports that had come by then.
  package var reclaimedAt: Instant?
  package var reportsBeforeReclaim = 0

  /// How a report was answered, in case the answer does not arrive.
  package struct ReportAnswer: Hashable, Codable, Sendable {
    package var id: String
    package var accepted: Int
    package var repeated: Int
    package var fingerprint: UInt64
  }

  /// Documents that were handed out under a worker's own id for the claim, in case the answer does not arrive.
  package struct Claim: Hashable, Codable, Sendable {
    package var id: String
    package var documents: DocumentSet

    package init(id: String, documents: DocumentSet) {
      self.id = id
      self.documents = documents
    }
  }

  /// A worker has one claim unanswered at a time; so many workers of one attempt can repeat theirs.
  package static let claimsLimit = 16
  /// Scripts report from a process each, several at once.
  package static let reportsLimit = 64
  /// The most bytes of a claim's or a report's id.
  package static let claimIDLength = 64

  package struct Stage: Hashable, Codable, Sendable {
    package var name: String
    package var since: Instant
    package init(name: String, since: Instant) {
      self.name = name
      self.since = since
    }
  }

  package init(number: Int, token: String, parameters: SubmissionParameters, intendedAt: Instant) {
    self.number = number
    self.token = token
    self.parameters = parameters
    self.state = .intended
    self.intendedAt = intendedAt
    self.lastActivityAt = intendedAt
    self.lastHeartbeatAt = intendedAt
    self.staleReports = 0
    self.hasReported = false
  }

  /// Since when the attempt has moved nothing that it could have moved.
  var idleFrom: Instant {
    [lastActivityAt, startedAt ?? intendedAt, adoptedAt, heldBackAt].compactMap(\.self).max() ?? lastActivityAt
  }

  /// When its run timer is over, pauses that are over not counted; nil where it has none.
  var runDeadline: Instant? { parameters.runTimeout.map { (startedAt ?? intendedAt) + $0 + pausedFor } }

  /// From when on an end that was asked for at `since` counts as overdue.
  func endIsOverdue(from since: Instant, limits: Limits) -> Instant {
    max(since, endDueAt ?? since) + limits.endTimeout
  }

  mutating func remember(_ claim: Claim) {
    claims.removeAll { $0.id == claim.id }
    if claims.count >= Self.claimsLimit { claims.removeFirst() }
    claims.append(claim)
  }

  mutating func remember(_ report: TakenReport) {
    if reports.count >= Self.reportsLimit { reports.removeFirst() }
    reports.append(
      ReportAnswer(
        id: report.id, accepted: report.accepted, repeated: report.repeated, fingerprint: report.fingerprint))
  }

  /// Nothing that it said is asked for again once it has ended.
  mutating func forgetAnswers() {
    claims = []
    reports = []
  }

  package var isCurrent: Bool { if case .ended = state { false } else { true } }

  package var end: AttemptEnd? { if case .ended(let end) = state { end } else { nil } }
}

/// The resources and settings that one attempt was submitted with: the answers' `submission_params`.
package struct SubmissionParameters: Hashable, Codable, Sendable {
  package var extractorName: String
  package var work: ExtractorSpecification.Work
  package var executor: ExecutorKind
  package var resources: Resources
  package var priority: Int
  package var environment: [String: String]
  package var runTimeout: Duration?
  /// Its cold-start window: the caller's own, or what was learnt; nil where an older version wrote it: the timer of the
  /// specification holds.
  package var startWindow: Duration?
  /// Whose it is: of the data directory that it was begun from (`ServerIdentity.id`); empty where that has no name.
  package var server = ""

  package init(
    extractorName: String, work: ExtractorSpecification.Work, executor: ExecutorKind, resources: Resources,
    priority: Int, environment: [String: String], runTimeout: Duration?, startWindow: Duration? = nil
  ) {
    self.extractorName = extractorName
    self.work = work
    self.executor = executor
    self.resources = resources
    self.priority = priority
    self.environment = environment
    self.runTimeout = runTimeout
    self.startWindow = startWindow
  }
}

extension SubmissionParameters: Described {
  package static let schemaName = "JournalSubmission"
  package static var blank: SubmissionParameters {
    SubmissionParameters(
      extractorName: "", work: .blank, executor: .local, resources: Resources(), priority: 0, environment: [:],
      runTimeout: nil)
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "extractor_name", &extractorName)
    try v.field(2, "work", &work)
    try v.choice(3, "executor", &executor)
    try v.field(4, "resources", &resources)
    try v.small(5, "priority", &priority)
    try v.texts(6, "environment", .secret, &environment)
    try v.span(7, "run_timeout_ms", &runTimeout)
    try v.span(16, "start_window_ms", &startWindow)
    try v.string(55, "server", &server)
  }
}

/// Where and under which name an executor runs an attempt.
package struct ExecutorHandle: Hashable, Codable, Sendable {
  /// A host name, or the id of a Ray node.
  package var node: String
  /// The supervisor's process id; 0 if there is none.
  package var pid: Int64
  /// The executor's own words for it, handed back at adoption: `PID:STARTTICKS:BOOTID` or a submission id.
  package var reference: String
  /// While it was not started: what the executor says that it waits for, in its own words.
  package var waitingFor: String?

  package init(node: String, pid: Int64 = 0, reference: String, waitingFor: String? = nil) {
    self.node = node
    self.pid = pid
    self.reference = reference
    self.waitingFor = waitingFor
  }
}

import MendAPI
import MendCore

extension ExecutorCapacity {
  init(_ capacity: MendCore.Capacity) {
    self.init()
    executor = MendAPI.ExecutorKind(capacity.executor)
    cpus = capacity.cpus
    memoryBytes = capacity.memoryBytes
    gpus = Int32(clamping: capacity.gpus)
  }
}

extension EventVerdict {
  init(_ summary: DiagnosisSummary) {
    self.init()
    health = MendAPI.Health(summary.health)
    healthReason = MendAPI.HealthReason(summary.reason)
    blockedReason = summary.blockedReason
    causes = summary.causes.map { cause in
      var entry = EventCause()
      if let category = cause.category { entry.category = MendAPI.FailureCategory(category) }
      entry.cause = cause.cause.rawValue
      entry.confidence = MendAPI.Confidence(cause.confidence)
      entry.jobID = cause.job?.description ?? ""
      entry.remedy = cause.remedy
      return entry
    }
  }
}

extension BatchEvent {
  /// - Parameter batch: for the names of extractors.
  init(_ record: Record, of batch: Batch) {
    self.init()
    sequence = record.sequence
    at = GoogleTimestamp(record.at)
    actor = record.who
    cause = record.cause.rawValue
    if let attempt = record.fact.attempt {
      tier = Int32(clamping: attempt.job.tier)
      jobID = attempt.job.description
      self.attempt = Int32(clamping: attempt.number)
    }
    describe(record.fact, at: record.at)
    if let jobID { summary = "\(jobID)\(attempt.map { ".\($0)" } ?? ""): \(summary)" }
  }

  private mutating func say(_ kind: String, _ summary: String) {
    self.kind = kind
    self.summary = summary
  }

  private mutating func about(_ job: JobID) {
    tier = Int32(clamping: job.tier)
    jobID = job.description
  }

  private mutating func about(documents count: Int, _ kind: String, _ verb: String) {
    documents = Int64(count)
    say(kind, "\(Self.counted(count, "document")) \(verb)")
  }

  /// `1 document`, `2 documents`.
  private static func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

  private mutating func describe(_ fact: Fact, at now: MendCore.Instant) {
    switch fact {
    case .batchCreated(let specification):
      say(
        "batch_created",
        "created with \(Self.counted(specification.tiers.count, "tier")), priority \(specification.priority)")
    case .documentsAdded(let added): about(documents: added.count, "documents_added", "added")
    case .batchStatusChanged(let changed):
      say("batch_status_changed", Self.sentence("batch \(changed.status.rawValue)", changed.reason))
    case .tierStarted(let started):
      self.tier = Int32(clamping: started.tier)
      about(documents: started.handed.count, "tier_started", "handed to tier \(started.tier)")
    case .tierStatusChanged(let changed):
      self.tier = Int32(clamping: changed.tier)
      say("tier_status_changed", Self.sentence("tier \(changed.tier) \(changed.status.rawValue)", changed.reason))
    case .tierCancelRequested(let requested):
      self.tier = Int32(clamping: requested.tier)
      say("tier_cancel_requested", "tier \(requested.tier) is to be cancelled")
    case .jobStatusChanged(let changed):
      about(changed.job)
      let why =
        changed.failure.map { "\($0.cause.rawValue) (confidence \($0.confidence.rawValue)): \($0.message)" }
        ?? changed.reason
      say("job_status_changed", Self.sentence("job \(changed.status.rawValue)", why))
    case .nextAttemptScheduled(let scheduled):
      about(scheduled.job)
      say("next_attempt_scheduled", "the next attempt may start in \(Figures.seconds(scheduled.at - now))")
    case .collectionWritten(let fact):
      about(fact.job)
      about(documents: fact.count, "collection_written", "written to \(fact.collectionID)")
    case .documentsLeftOut(let leftOut):
      about(leftOut.job)
      about(
        documents: leftOut.documents.count, "documents_left_out",
        leftOut.documents.count == 1 ? "goes on without it" : "go on without it")
    case .retried(let fact):
      self.tier = Int32(clamping: fact.tier)
      let count = fact.jobs.reduce(0) { $0 + $1.reopened.count }
      documents = Int64(count)
      say(
        "retried",
        "tier \(fact.tier): to run again: \(Self.counted(fact.jobs.count, "job")), \(Self.counted(count, "document"))")
    case .healed(let heal):
      (steps, stepsLeftOut) = MendAPI.HealStep.fitting(heal.steps, bytes: BatchesServer.eventBytesPerPage)
      say("healed", "\(heal.action.rawValue): \(heal.steps.map(\.outcome).joined(separator: "; "))")
    case .verdictChanged(let summary):
      self.verdict = EventVerdict(summary)
      let causes = summary.causes.map(\.cause.rawValue).joined(separator: ", ")
      let health =
        summary.reason == .none ? summary.health.rawValue : "\(summary.health.rawValue) (\(summary.reason.rawValue))"
      say("verdict_changed", Self.sentence("health \(health)", causes))
    case .notificationSettled(let outcome):
      let what = outcome.delivered ? "delivered" : "given up"
      say(
        "notification_settled", "notification \(outcome.eventID) \(what) after \(outcome.attempts): \(outcome.detail)")
    default: describeAttempt(fact)
    }
  }

  private mutating func describeAttempt(_ fact: Fact) {
    switch fact {
    case .attemptIntended(let intended):
      say(
        "attempt_intended",
        "\(intended.parameters.extractorName) is to run: \(Figures.resources(intended.parameters.resources))")
    case .attemptTaken(let fact): say("attempt_taken", "taken by \(fact.handle.node) as \(fact.handle.reference)")
    case .attemptStarted: say("attempt_started", "running")
    case .attemptEnding(let ending):
      let after = ending.grace.map { ", SIGKILL after \(Figures.seconds($0))" } ?? ""
      say("attempt_ending", "being ended: \(Self.text(of: ending.reason))\(after)")
    case .attemptEnded(let ended): say("attempt_ended", Self.text(of: ended.end))
    case .attemptBeat: say("attempt_beat", "its worker sent its first heartbeat")
    case .staleReport: say("stale_report", "a late report was refused")
    case .documentsClaimed(let fact): about(documents: fact.documents.count, "documents_claimed", "claimed")
    case .documentsCommitted(let fact): about(documents: fact.documents.count, "documents_committed", "committed")
    case .documentsFailed(let fact):
      about(documents: fact.groups.reduce(0) { $0 + $1.documents.count }, "documents_failed", "failed")
      if let first = fact.groups.first?.error { summary = Self.sentence(summary, "\(first.code): \(first.message)") }
    case .documentsReleased(let released):
      about(documents: released.documents.count, "documents_released", "given back")
    case .workRepeated(let repeated): about(documents: repeated.count, "work_repeated", "were done already")
    case .reportTaken(let taken): describe(taken.report)
    case .stageEntered(let entered): say("stage_entered", "stage \(entered.name)")
    case .stageSpent(let spent):
      say("stage_spent", "stage \(spent.name) took \(Figures.seconds(spent.duration))")
    default: break
    }
  }

  private mutating func describe(_ report: TakenReport) {
    var parts = report.stageTimings.map { "stage \($0.name) took \(Figures.seconds($0.duration))" }
    if report.written > 0 { parts.append("\(Self.counted(report.written, "document")) written") }
    if report.repeated > 0 { parts.append("\(Self.counted(report.repeated, "document")) done already") }
    documents = Int64(report.accepted)
    say("report_taken", Self.sentence("report taken", parts.joined(separator: ", ")))
  }

  private static func sentence(_ what: String, _ why: String) -> String { why.isEmpty ? what : "\(what): \(why)" }

  private static func text(of reason: EndReason) -> String {
    switch reason {
    case .cancelled: "cancelled"
    case .runTimeout: FailureCause.runTimeout.rawValue
    case .batchTimeout: FailureCause.batchTimeout.rawValue
    case .healed(let cause): "healed, \(cause.rawValue)"
    case .fenced: "fenced"
    case .paused: "the batch is paused, and it had nothing in process"
    }
  }

  private static func text(of end: AttemptEnd) -> String {
    let evidence = end.evidence.first?.observed ?? ""
    return switch end.verdict {
    case .succeeded: sentence("succeeded", evidence)
    case .cancelled: sentence(end.endedFor == .paused ? "ended by the pause" : end.outcome, evidence)
    case .failed(let cause, let confidence):
      sentence("failed, \(cause.rawValue) (confidence \(confidence.rawValue))", evidence)
    }
  }
}

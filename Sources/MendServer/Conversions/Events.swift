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
  init(_ verdict: VerdictRecord) {
    self.init()
    health = MendAPI.Health(verdict.health)
    healthReason = MendAPI.HealthReason(verdict.reason)
    blockedReason = verdict.blockedReason
    causes = verdict.causes.map { cause in
      var entry = EventCause()
      if let category = cause.category { entry.category = MendAPI.FailureCategory(category) }
      entry.cause = cause.cause
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
    if let (job, number) = record.fact.attempt {
      tier = Int32(clamping: job.tier)
      jobID = job.description
      attempt = Int32(clamping: number)
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
    case .batchStatusChanged(let status, let reason):
      say("batch_status_changed", Self.sentence("batch \(status.rawValue)", reason))
    case .tierStarted(let tier, let handed):
      self.tier = Int32(clamping: tier)
      about(documents: handed.count, "tier_started", "handed to tier \(tier)")
    case .tierStatusChanged(let tier, let status, let reason):
      self.tier = Int32(clamping: tier)
      say("tier_status_changed", Self.sentence("tier \(tier) \(status.rawValue)", reason))
    case .tierCancelRequested(let tier):
      self.tier = Int32(clamping: tier)
      say("tier_cancel_requested", "tier \(tier) is to be cancelled")
    case .jobStatusChanged(let job, let status, let failure, let reason):
      about(job)
      let why = failure.map { "\($0.cause.rawValue) (confidence \($0.confidence.rawValue)): \($0.message)" } ?? reason
      say("job_status_changed", Self.sentence("job \(status.rawValue)", why))
    case .nextAttemptScheduled(let job, let at):
      about(job)
      say("next_attempt_scheduled", "the next attempt may start in \(Figures.seconds(at - now))")
    case .collectionWritten(let job, let collection, let count):
      about(job)
      about(documents: count, "collection_written", "written to \(collection)")
    case .documentsLeftOut(let job, let set):
      about(job)
      about(documents: set.count, "documents_left_out", set.count == 1 ? "goes on without it" : "go on without it")
    case .retried(let tier, let jobs, _, _):
      self.tier = Int32(clamping: tier)
      let count = jobs.reduce(0) { $0 + $1.reopened.count }
      documents = Int64(count)
      say(
        "retried",
        "tier \(tier): to run again: \(Self.counted(jobs.count, "job")), \(Self.counted(count, "document"))")
    case .healed(let heal):
      (steps, stepsLeftOut) = MendAPI.HealStep.fitting(heal.steps, bytes: BatchesServer.eventBytesPerPage)
      say("healed", "\(heal.action.rawValue): \(heal.steps.map(\.outcome).joined(separator: "; "))")
    case .verdictChanged(let verdict):
      self.verdict = EventVerdict(verdict)
      let causes = verdict.causes.map(\.cause).joined(separator: ", ")
      let health =
        verdict.reason == .none ? verdict.health.rawValue : "\(verdict.health.rawValue) (\(verdict.reason.rawValue))"
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
    case .attemptIntended(_, _, _, let parameters):
      say("attempt_intended", "\(parameters.extractorName) is to run: \(Figures.resources(parameters.resources))")
    case .attemptTaken(_, _, let handle): say("attempt_taken", "taken by \(handle.node) as \(handle.reference)")
    case .attemptStarted: say("attempt_started", "running")
    case .attemptEnding(_, _, let reason, let grace):
      let after = grace.map { ", SIGKILL after \(Figures.seconds($0))" } ?? ""
      say("attempt_ending", "being ended: \(Self.text(of: reason))\(after)")
    case .attemptEnded(_, _, let end): say("attempt_ended", Self.text(of: end))
    case .attemptBeat: say("attempt_beat", "its worker sent its first heartbeat")
    case .staleReport: say("stale_report", "a late report was refused")
    case .documentsClaimed(_, _, let set, _): about(documents: set.count, "documents_claimed", "claimed")
    case .documentsCommitted(_, _, let set): about(documents: set.count, "documents_committed", "committed")
    case .documentsFailed(_, _, let failed):
      about(documents: failed.reduce(0) { $0 + $1.documents.count }, "documents_failed", "failed")
      if let first = failed.first?.error { summary = Self.sentence(summary, "\(first.code): \(first.message)") }
    case .documentsReleased(_, _, let set): about(documents: set.count, "documents_released", "given back")
    case .workRepeated(_, _, let count): about(documents: count, "work_repeated", "were done already")
    case .reportTaken(_, _, let report): describe(report)
    case .stageEntered(_, _, let name): say("stage_entered", "stage \(name)")
    case .stageSpent(_, _, let name, let duration):
      say("stage_spent", "stage \(name) took \(Figures.seconds(duration))")
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

/// A record in one line for people, as a batch's history and the server's log have it.
package struct FactText: Sendable {
  /// `t0-j1.2: failed, oom (confidence high): the kernel killed it`.
  package private(set) var line: String
  /// How many documents the fact is about; nil where it is about none.
  package private(set) var documents: Int?

  package init(_ record: Record) {
    line = ""
    let sentence = sentence(record.fact, at: record.at)
    switch record.fact.subject {
    case .batch, .tier: line = sentence
    case .job(let job): line = "\(job): \(sentence)"
    case .attempt(let attempt), .work(let attempt): line = "\(attempt): \(sentence)"
    }
  }

  private mutating func sentence(_ fact: Fact, at now: Instant) -> String {
    switch fact {
    case .batchCreated(let specification):
      return "created with \(Figures.count(specification.tiers.count, "tier")), priority \(specification.priority)"
    case .documentsAdded(let added): return counted(added.count, "added")
    case .batchStatusChanged(let changed): return Self.joined("batch \(changed.status.rawValue)", changed.reason)
    case .tierStarted(let started): return counted(started.handed.count, "handed to tier \(started.tier)")
    case .tierStatusChanged(let changed):
      return Self.joined("tier \(changed.tier) \(changed.status.rawValue)", changed.reason)
    case .tierCancelRequested(let requested): return "tier \(requested.tier) is to be cancelled"
    case .jobStatusChanged(let changed):
      let why = changed.failure.map { "\(Self.text($0.cause, $0.confidence)): \($0.message)" } ?? changed.reason
      return Self.joined("job \(changed.status.rawValue)", why)
    case .nextAttemptScheduled(let scheduled):
      return "the next attempt may start in \(Figures.seconds(scheduled.at - now))"
    case .attemptIntended(let intended):
      let parameters = intended.parameters
      return "\(parameters.extractorName) is to run: \(Figures.resources(parameters.resources))"
    case .attemptTaken(let taken): return "taken by \(taken.handle.node) as \(taken.handle.reference)"
    case .attemptStarted: return "running"
    case .attemptEnding(let ending):
      let after = ending.grace.map { ", SIGKILL after \(Figures.seconds($0))" } ?? ""
      return "being ended: \(Self.text(ending.reason))\(after)"
    case .attemptEnded(let ended): return Self.text(ended.end)
    case .attemptBeat: return "its worker sent its first heartbeat"
    case .staleReport: return "a late report was refused"
    case .documentsClaimed(let claimed): return counted(claimed.documents.count, "claimed")
    case .documentsCommitted(let committed): return counted(committed.documents.count, "committed")
    case .documentsFailed(let failed):
      let sentence = counted(failed.groups.reduce(0) { $0 + $1.documents.count }, "failed")
      return Self.joined(sentence, failed.groups.first.map { "\($0.error.code): \($0.error.message)" } ?? "")
    case .documentsReleased(let released): return counted(released.documents.count, "given back")
    case .workRepeated(let repeated): return counted(repeated.count, "were done already")
    case .stageEntered(let entered): return "stage \(entered.name)"
    case .stageSpent(let spent): return Self.text(Job.StageTotal(name: spent.name, duration: spent.duration))
    case .collectionWritten(let written): return counted(written.count, "written to \(written.collectionID)")
    case .reportTaken(let taken):
      var parts = taken.report.stageTimings.map(Self.text)
      if taken.report.written > 0 { parts.append("\(Figures.count(taken.report.written, "document")) written") }
      if taken.report.repeated > 0 { parts.append("\(Figures.count(taken.report.repeated, "document")) done already") }
      documents = taken.report.accepted
      return Self.joined("report taken", parts.joined(separator: ", "))
    case .documentsLeftOut(let leftOut):
      let count = leftOut.documents.count
      return counted(count, count == 1 ? "goes on without it" : "go on without it")
    case .retried(let retried):
      let count = retried.jobs.reduce(0) { $0 + $1.reopened.count }
      documents = count
      let what = "\(Figures.count(retried.jobs.count, "job")), \(Figures.count(count, "document"))"
      return "tier \(retried.tier): to run again: \(what)"
    case .healed(let heal): return heal.line
    case .verdictChanged(let summary):
      let reason = summary.reason == .none ? "" : " (\(summary.reason.rawValue))"
      return Self.joined(
        "health \(summary.health.rawValue)\(reason)", summary.causes.map(\.cause.rawValue).joined(separator: ", "))
    case .notificationSettled(let outcome):
      let what = outcome.delivered ? "delivered" : "given up"
      return "notification \(outcome.eventID) \(what) after \(outcome.attempts): \(outcome.detail)"
    }
  }

  private mutating func counted(_ count: Int, _ verb: String) -> String {
    documents = count
    return "\(Figures.count(count, "document")) \(verb)"
  }

  private static func joined(_ what: String, _ why: String) -> String { why.isEmpty ? what : "\(what): \(why)" }

  private static func text(_ cause: FailureCause, _ confidence: Confidence) -> String {
    "\(cause.rawValue) (confidence \(confidence.rawValue))"
  }

  private static func text(_ stage: Job.StageTotal) -> String {
    "stage \(stage.name) took \(Figures.seconds(stage.duration))"
  }

  private static func text(_ reason: EndReason) -> String {
    switch reason {
    case .cancelled: "cancelled"
    case .runTimeout: FailureCause.runTimeout.rawValue
    case .batchTimeout: FailureCause.batchTimeout.rawValue
    case .healed(let cause): "healed, \(cause.rawValue)"
    case .fenced: "fenced"
    case .paused: "the batch is paused, and it had nothing in process"
    }
  }

  private static func text(_ end: AttemptEnd) -> String {
    let how =
      switch end.verdict {
      case .succeeded: "succeeded"
      case .cancelled: end.endedFor == .paused ? "ended by the pause" : end.outcome
      case .failed(let cause, let confidence): "failed, \(text(cause, confidence))"
      }
    return joined(how, end.evidence.first?.observed ?? "")
  }
}

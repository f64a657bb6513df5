import Logging
import MendCore

/// One log line per fact: at info for what changed the state of a batch, a tier, a job or an attempt, at debug for the
/// rest. Tokens and environments stay out of it.
///
/// It is written between the commit and the answers, so a line that nobody reads must cost nothing.
struct FactLog {
  let logger: Logger

  func write(_ writes: [Write]) {
    guard logger.logLevel <= .info else { return }
    for case .record(let record) in writes { write(record) }
  }

  private func write(_ record: Record) {
    guard logger.logLevel < .info || record.fact.isStateChange else { return }
    let line = Line(record.fact)
    guard logger.logLevel <= line.level else { return }
    var metadata = line.metadata
    metadata["namespace"] = "\(record.batch.namespace)"
    metadata["batch"] = "\(record.batch.batchID)"
    metadata["sequence"] = "\(record.sequence)"
    metadata["cause"] = "\(record.cause.rawValue)"
    logger.log(level: line.level, "\(line.message)", metadata: metadata)
  }

  private struct Line {
    var level = Logger.Level.info
    var message: String
    var metadata: Logger.Metadata

    init(info message: String, _ metadata: Logger.Metadata = [:]) {
      self.message = message
      self.metadata = metadata
    }

    init(debug message: String, _ job: JobID, _ number: Int, _ metadata: Logger.Metadata = [:]) {
      self.init(info: message, metadata.merging(["job": "\(job)", "attempt": "\(number)"]) { own, _ in own })
      level = .debug
    }

    init(attempt message: String, _ job: JobID, _ number: Int, _ metadata: Logger.Metadata = [:]) {
      self.init(debug: message, job, number, metadata)
      level = .info
    }

    init(_ fact: Fact) {
      switch fact {
      case .batchCreated(let specification):
        self.init(info: "batch created", ["tiers": "\(specification.tiers.count)"])
        level = .debug
      case .documentsAdded(let documents):
        self.init(info: "documents added", ["documents": "\(documents.count)"])
        level = .debug
      case .batchStatusChanged(let status, let reason):
        self.init(info: "batch \(status)", ["reason": "\(reason)"])
      case .tierStarted(let tier, let handed):
        self.init(info: "tier started", ["tier": "\(tier)", "documents": "\(handed.count)"])
      case .tierStatusChanged(let tier, let status, let reason):
        self.init(info: "tier \(status)", ["tier": "\(tier)", "reason": "\(reason)"])
      case .tierCancelRequested(let tier): self.init(info: "tier is to be cancelled", ["tier": "\(tier)"])
      case .jobStatusChanged(let job, let status, let failure, let reason):
        self.init(info: "job \(status)", ["job": "\(job)", "reason": "\(reason)"])
        if let failure { metadata["failure"] = "\(failure.cause.rawValue)" }
      case .attemptIntended(let job, let number, token: _, let parameters):
        self.init(attempt: "attempt intended", job, number, ["extractor": "\(parameters.extractorName)"])
      case .attemptTaken(let job, let number, let handle):
        self.init(
          attempt: "attempt taken", job, number, ["node": "\(handle.node)", "reference": "\(handle.reference)"])
      case .attemptStarted(let job, let number): self.init(attempt: "attempt started", job, number)
      case .attemptEnding(let job, let number, let reason, let grace):
        self.init(
          attempt: "attempt ending", job, number,
          ["reason": "\(reason.name)", "grace_seconds": "\(grace.map { "\($0.inSeconds)" } ?? "")"])
      case .attemptEnded(let job, let number, let end):
        self.init(attempt: "attempt ended", job, number, ["verdict": "\(end.outcome)"])
      case .attemptBeat(let job, let number): self.init(debug: "attempt beats", job, number, [:])
      case .staleReport(let job, let number): self.init(attempt: "stale report refused", job, number)
      case .nextAttemptScheduled(let job, let at):
        self.init(info: "next attempt scheduled", ["job": "\(job)", "at_ms": "\(at.milliseconds)"])
      case .documentsClaimed(let job, let number, let documents, _):
        self.init(debug: "documents claimed", job, number, ["documents": "\(documents.count)"])
      case .documentsCommitted(let job, let number, let documents):
        self.init(debug: "documents committed", job, number, ["documents": "\(documents.count)"])
      case .documentsFailed(let job, let number, let documents):
        let count = documents.reduce(0) { $0 + $1.documents.count }
        self.init(debug: "documents failed", job, number, ["documents": "\(count)"])
      case .documentsReleased(let job, let number, let documents):
        self.init(debug: "documents released", job, number, ["documents": "\(documents.count)"])
      case .workRepeated(let job, let number, let count):
        self.init(debug: "work repeated", job, number, ["documents": "\(count)"])
      case .stageEntered(let job, let number, let name):
        self.init(debug: "stage entered", job, number, ["stage": "\(name)"])
      case .stageSpent(let job, let number, let name, let duration):
        self.init(debug: "stage spent", job, number, ["stage": "\(name)", "duration": "\(duration)"])
      case .collectionWritten(let job, let collection, let count):
        self.init(
          info: "collection written", ["job": "\(job)", "collection": "\(collection)", "documents": "\(count)"])
        level = .debug
      case .reportTaken(let job, let number, let report):
        self.init(debug: "report taken", job, number, ["accepted": "\(report.accepted)"])
      case .documentsLeftOut(let job, let documents):
        self.init(info: "documents left out", ["job": "\(job)", "documents": "\(documents.count)"])
      case .retried(let tier, let jobs, let actor, _):
        self.init(info: "tier retried", ["tier": "\(tier)", "jobs": "\(jobs.count)", "actor": "\(actor)"])
      case .healed(let record):
        self.init(info: "healed", ["action": "\(record.action.rawValue)", "steps": "\(record.steps.count)"])
      case .verdictChanged(let verdict):
        self.init(
          info: "verdict", ["health": "\(verdict.health.rawValue)", "reason": "\(verdict.reason.rawValue)"])
        if let cause = verdict.causes.first { metadata["finding"] = "\(cause.cause)" }
      case .notificationSettled(let outcome):
        self.init(
          info: outcome.delivered ? "notification delivered" : "notification given up",
          ["event": "\(outcome.eventID)", "attempts": "\(outcome.attempts)", "detail": "\(outcome.detail)"])
      }
    }
  }
}

extension Fact {
  /// What is logged at info: a batch that was only created changes nothing yet.
  fileprivate var isStateChange: Bool {
    switch self {
    case .batchCreated, .documentsAdded, .documentsClaimed, .documentsCommitted, .documentsFailed, .documentsReleased,
      .workRepeated, .stageEntered, .stageSpent, .collectionWritten, .reportTaken, .attemptBeat:
      false
    default: true
    }
  }
}

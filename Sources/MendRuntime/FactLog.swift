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

    init(debug message: String, _ attempt: AttemptID, _ metadata: Logger.Metadata = [:]) {
      self.init(
        info: message, metadata.merging(["job": "\(attempt.job)", "attempt": "\(attempt.number)"]) { own, _ in own })
      level = .debug
    }

    init(attempt message: String, _ attempt: AttemptID, _ metadata: Logger.Metadata = [:]) {
      self.init(debug: message, attempt, metadata)
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
      case .batchStatusChanged(let changed):
        self.init(info: "batch \(changed.status)", ["reason": "\(changed.reason)"])
      case .tierStarted(let fact):
        self.init(info: "tier started", ["tier": "\(fact.tier)", "documents": "\(fact.handed.count)"])
      case .tierStatusChanged(let changed):
        self.init(info: "tier \(changed.status)", ["tier": "\(changed.tier)", "reason": "\(changed.reason)"])
      case .tierCancelRequested(let requested):
        self.init(info: "tier is to be cancelled", ["tier": "\(requested.tier)"])
      case .jobStatusChanged(let changed):
        self.init(info: "job \(changed.status)", ["job": "\(changed.job)", "reason": "\(changed.reason)"])
        if let failure = changed.failure { metadata["failure"] = "\(failure.cause.rawValue)" }
      case .attemptIntended(let fact):
        self.init(attempt: "attempt intended", fact.attempt, ["extractor": "\(fact.parameters.extractorName)"])
      case .attemptTaken(let fact):
        self.init(
          attempt: "attempt taken", fact.attempt,
          ["node": "\(fact.handle.node)", "reference": "\(fact.handle.reference)"])
      case .attemptStarted(let attempt): self.init(attempt: "attempt started", attempt)
      case .attemptEnding(let fact):
        self.init(
          attempt: "attempt ending", fact.attempt,
          ["reason": "\(fact.reason.name)", "grace_seconds": "\(fact.grace.map { "\($0.inSeconds)" } ?? "")"])
      case .attemptEnded(let fact):
        self.init(attempt: "attempt ended", fact.attempt, ["verdict": "\(fact.end.outcome)"])
      case .attemptBeat(let attempt): self.init(debug: "attempt beats", attempt, [:])
      case .staleReport(let attempt): self.init(attempt: "stale report refused", attempt)
      case .nextAttemptScheduled(let fact):
        self.init(info: "next attempt scheduled", ["job": "\(fact.job)", "at_ms": "\(fact.at.milliseconds)"])
      case .documentsClaimed(let fact):
        self.init(debug: "documents claimed", fact.attempt, ["documents": "\(fact.documents.count)"])
      case .documentsCommitted(let fact):
        self.init(debug: "documents committed", fact.attempt, ["documents": "\(fact.documents.count)"])
      case .documentsFailed(let fact):
        let count = fact.groups.reduce(0) { $0 + $1.documents.count }
        self.init(debug: "documents failed", fact.attempt, ["documents": "\(count)"])
      case .documentsReleased(let fact):
        self.init(debug: "documents released", fact.attempt, ["documents": "\(fact.documents.count)"])
      case .workRepeated(let fact):
        self.init(debug: "work repeated", fact.attempt, ["documents": "\(fact.count)"])
      case .stageEntered(let fact):
        self.init(debug: "stage entered", fact.attempt, ["stage": "\(fact.name)"])
      case .stageSpent(let fact):
        self.init(debug: "stage spent", fact.attempt, ["stage": "\(fact.name)", "duration": "\(fact.duration)"])
      case .collectionWritten(let fact):
        self.init(
          info: "collection written",
          ["job": "\(fact.job)", "collection": "\(fact.collectionID)", "documents": "\(fact.count)"])
        level = .debug
      case .reportTaken(let fact):
        self.init(debug: "report taken", fact.attempt, ["accepted": "\(fact.report.accepted)"])
      case .documentsLeftOut(let leftOut):
        self.init(info: "documents left out", ["job": "\(leftOut.job)", "documents": "\(leftOut.documents.count)"])
      case .retried(let fact):
        self.init(
          info: "tier retried", ["tier": "\(fact.tier)", "jobs": "\(fact.jobs.count)", "actor": "\(fact.actor)"])
      case .healed(let record):
        self.init(info: "healed", ["action": "\(record.action.rawValue)", "steps": "\(record.steps.count)"])
      case .verdictChanged(let summary):
        self.init(
          info: "verdict", ["health": "\(summary.health.rawValue)", "reason": "\(summary.reason.rawValue)"])
        if let cause = summary.causes.first { metadata["finding"] = "\(cause.cause)" }
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

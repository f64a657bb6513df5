import Logging
import MendCore

/// One log line for each fact, as the batch's history has it: at info for what changed the state of a batch, a tier, a
/// job or an attempt, at debug for the rest. Tokens and environments stay out of it; of what a program said there is an
/// excerpt, once, and no character that a terminal obeys.
///
/// It is written between the commit and the answers, so a line that nobody reads must cost nothing.
struct FactLog {
  let logger: Logger

  func write(_ writes: [Write]) {
    guard logger.logLevel <= .info else { return }
    for case .record(let record) in writes { write(record) }
  }

  private func write(_ record: Record) {
    let level: Logger.Level = record.fact.isStateChange ? .info : .debug
    guard logger.logLevel <= level else { return }
    var metadata: Logger.Metadata = [
      "fact": "\(record.fact.name)", "namespace": "\(record.batch.namespace)", "batch": "\(record.batch.batchID)",
      "sequence": "\(record.sequence)", "cause": "\(record.cause.rawValue)",
    ]
    let subject = record.fact.subject
    if let tier = subject.tier { metadata["tier"] = "\(tier)" }
    if let job = subject.job { metadata["job"] = "\(job)" }
    if let attempt = subject.attempt { metadata["attempt"] = "\(attempt.number)" }
    let line = TerminalText.escaped(Figures.excerpt(FactText(record.toldOnce).line), keepingLines: false)
    logger.log(level: level, "\(line)", metadata: metadata)
  }
}

extension Record {
  /// The record without what another line of the log tells: a tier fails for what the line of its job or batch says.
  fileprivate var toldOnce: Record {
    guard case .tierStatusChanged(var changed) = fact, changed.status == .failed else { return self }
    changed.reason = ""
    var record = self
    record.fact = .tierStatusChanged(changed)
    return record
  }
}

extension Fact {
  /// Whether the fact is logged at info: it changes a state. A batch that is only created changes nothing yet.
  fileprivate var isStateChange: Bool {
    switch self {
    case .batchCreated, .documentsAdded, .documentsClaimed, .documentsCommitted, .documentsFailed, .documentsReleased,
      .workRepeated, .stageEntered, .stageSpent, .collectionWritten, .reportTaken, .attemptBeat:
      false
    default: true
    }
  }
}

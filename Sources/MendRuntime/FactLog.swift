import Logging
import MendCore

/// One log line for each fact, as the batch's history has it: at info for what changed the state of a batch, a tier, a
/// job or an attempt, at debug for the rest. Tokens and environments stay out of it.
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
    // What a program said may have lines of its own.
    let line = FactText(record).line.map { $0.isNewline ? " " : $0 }
    logger.log(level: level, "\(String(line))", metadata: metadata)
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

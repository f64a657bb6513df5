import MendAPI
import MendCore

extension JournalAttemptEnding {
  init(_ attempt: JournalAttempt, _ reason: EndReason, grace: Duration?) {
    self.init()
    self.attempt = attempt
    graceMs = grace?.milliseconds
    kind = JournalEndKind(reason)
    if case .healed(let healedCause) = reason { cause = healedCause.wire }
  }

  func reason() throws(JournalFault) -> EndReason { try kind.reason(healedOf: cause) }
}

extension JournalEndKind {
  init(_ reason: EndReason) {
    self =
      switch reason {
      case .cancelled: .cancelled
      case .runTimeout: .runTimeout
      case .batchTimeout: .batchTimeout
      case .healed: .healed
      case .fenced: .fenced
      case .paused: .paused
      }
  }

  func reason(healedOf cause: MendAPI.FailureCause) throws(JournalFault) -> EndReason {
    switch self {
    case .cancelled: .cancelled
    case .runTimeout: .runTimeout
    case .batchTimeout: .batchTimeout
    case .healed: .healed(try MendCore.FailureCause(cause))
    case .fenced: .fenced
    case .paused: .paused
    case .unspecified, .unrecognized: throw JournalFault("an unknown reason \(rawValue) for an attempt's end")
    }
  }
}

extension JournalAttemptEnded {
  init(_ attempt: JournalAttempt, _ end: AttemptEnd) {
    self.init()
    self.attempt = attempt
    switch end.verdict {
    case .succeeded: verdict = .succeeded
    case .cancelled: verdict = .cancelled
    case .failed(let failureCause, let failureConfidence):
      verdict = .failed
      cause = failureCause.wire
      confidence = failureConfidence.wire
    }
    atMs = end.at.milliseconds
    exit = end.exit.map { JournalExitRecord($0) }
    receipt = end.receipt.map { JournalEndReceipt($0) }
    evidence = end.evidence.map { JournalEvidence($0) }
    isolating = end.isIsolating
    if let reason = end.endedFor { endedFor = JournalEndKind(reason) }
  }

  func end() throws(JournalFault) -> AttemptEnd {
    let outcome: AttemptEnd.Verdict =
      switch verdict {
      case .succeeded: .succeeded
      case .cancelled: .cancelled
      case .failed: .failed(try MendCore.FailureCause(cause), try MendCore.Confidence(confidence))
      case .unspecified, .unrecognized: throw JournalFault("an unknown verdict \(verdict.rawValue)")
      }
    return AttemptEnd(
      verdict: outcome, at: Instant(atMs), exit: try exit?.record(), receipt: receipt?.receipt,
      evidence: try evidence.evidence(), isIsolating: isolating,
      endedFor: endedFor == .unspecified ? nil : try endedFor.reason(healedOf: cause))
  }
}

extension JournalExitRecord {
  init(_ record: MendCore.ExitRecord) {
    self.init()
    termination =
      switch record.termination {
      case .exited(let code): .exited(code)
      case .signalled(let signal): .signalled(signal)
      case .notStarted(let why): .notStarted(why)
      case .unknown(let why): .unknown(why)
      }
    atMs = record.at.milliseconds
    peakMemoryBytes = record.peakMemoryBytes
    memoryLimitBytes = record.memoryLimitBytes
    memoryLimitExceeded = record.memoryLimitExceeded
    lastStderrLine = record.lastStderrLine
    cpuSeconds = record.cpuSeconds
    if let found = record.finding {
      var named = JournalFinding()
      named.cause = found.cause.wire
      named.confidence = found.confidence.wire
      named.text = found.text
      finding = named
    }
  }

  func record() throws(JournalFault) -> MendCore.ExitRecord {
    let how: MendCore.ExitRecord.Termination =
      switch try required(termination, "termination") {
      case .exited(let code): .exited(code)
      case .signalled(let signal): .signalled(signal)
      case .notStarted(let why): .notStarted(why)
      case .unknown(let why): .unknown(why)
      }
    return MendCore.ExitRecord(
      termination: how, at: Instant(atMs), peakMemoryBytes: JournalNumber.memory(peakMemoryBytes),
      memoryLimitBytes: JournalNumber.memory(memoryLimitBytes), memoryLimitExceeded: memoryLimitExceeded,
      lastStderrLine: lastStderrLine, cpuSeconds: JournalNumber.seconds(cpuSeconds),
      finding: try finding?.finding())
  }
}

extension JournalFinding {
  func finding() throws(JournalFault) -> MendCore.ExitRecord.Finding {
    MendCore.ExitRecord.Finding(
      cause: try MendCore.FailureCause(cause), confidence: try MendCore.Confidence(confidence), text: text)
  }
}

extension JournalEndReceipt {
  init(_ receipt: EndReceipt) {
    self.init()
    processes = Int64(receipt.processes)
    how = receipt.how
  }

  var receipt: EndReceipt { EndReceipt(processes: Int(journaled: processes), how: how) }
}

extension JournalEvidence {
  init(_ evidence: MendCore.Evidence) {
    self.init()
    observed = evidence.observed
    observer = evidence.observer.rawValue
    atMs = evidence.at.milliseconds
    values = evidence.values
  }

  func evidence() throws(JournalFault) -> MendCore.Evidence {
    guard let who = MendCore.Evidence.Observer(rawValue: observer) else {
      throw JournalFault("an unknown observer \"\(observer)\"")
    }
    return MendCore.Evidence(observed, by: who, at: Instant(atMs), values: values)
  }
}

extension [JournalEvidence] {
  func evidence() throws(JournalFault) -> [MendCore.Evidence] {
    var result: [MendCore.Evidence] = []
    for entry in self { result.append(try entry.evidence()) }
    return result
  }
}

extension JournalDocumentError {
  init(_ error: MendCore.DocumentError) {
    self.init()
    code = error.code
    message = error.message
    details = error.details
    attempt = Int32(clamping: error.attempt)
    atMs = error.at.milliseconds
    causedByAttempt = error.causedByAttempt
    quarantined = error.quarantined
    if error.endedFromOutside { endedFromOutside = true }
  }

  var error: MendCore.DocumentError {
    MendCore.DocumentError(
      code: code, message: message, details: details, attempt: Int(attempt), at: Instant(atMs),
      causedByAttempt: causedByAttempt, quarantined: quarantined, endedFromOutside: endedFromOutside ?? false)
  }
}

extension JournalJobFailure {
  init(_ failure: Job.Failure) {
    self.init()
    cause = failure.cause.wire
    confidence = failure.confidence.wire
    message = failure.message
  }

  func failure() throws(JournalFault) -> Job.Failure {
    Job.Failure(
      cause: try MendCore.FailureCause(cause), confidence: try MendCore.Confidence(confidence), message: message)
  }
}

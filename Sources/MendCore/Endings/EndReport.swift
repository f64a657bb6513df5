// Why an attempt ended the way it did: evidence, ranked (<doc:Domain#Why-an-attempt-failed>).
//
// First the reason it was ended for on purpose, then the supervisor's account of its memory limit, then what the executor
// itself found, then a signal, by the kernel's word or a shell's (SignalMeaning), then what the program's own last words
// are known to mean (ErrorSignature), then what an exit code conventionally means. After SIGTRAP and SIGABRT, which a
// program sends to itself, the last words come first.

/// What is known when an attempt is over: its end is derived from it.
struct EndReport {
  var ending: EndReason?
  var exit: ExitRecord?
  var receipt: EndReceipt?
  /// What the executor said where there is no exit record, and of what cause it takes it to be.
  var executorCause: FailureCause?
  var executorMessage = ""
  /// What the documents are called that were in process then.
  var documentNames: [String] = []
  /// It ran below a supervisor: the wait status is the kernel's and the receipt the supervisor's own. Otherwise the
  /// executor reported both.
  var isSupervised = true
}

extension EndReport {
  /// The attempt's end as of `now`.
  func end(at now: Instant) -> AttemptEnd {
    var evidence: [Evidence] = []
    let verdict = verdict(at: now, &evidence)
    if let receipt {
      evidence.append(
        Evidence(
          "\(Figures.count(receipt.processes, "process", plural: "processes")) ended: \(receipt.how)",
          by: isSupervised ? .supervisor : .executor, at: now,
          values: ["processes": String(receipt.processes)]))
    }
    return AttemptEnd(
      verdict: verdict, at: now, exit: exit, receipt: receipt, evidence: evidence, endedFor: ending)
  }

  private func verdict(at now: Instant, _ evidence: inout [Evidence]) -> AttemptEnd.Verdict {
    if let exit {
      var seen = Self.evidence(of: exit)
      if !isSupervised { seen.observer = .executor }
      evidence.append(seen)
    }
    switch ending {
    case .cancelled, .fenced:
      return .cancelled
    case .paused:
      evidence.append(
        Evidence("the batch was paused and it had nothing in process: it was ended for that", by: .scheduler, at: now))
      return .cancelled
    case .runTimeout:
      evidence.append(Evidence("it was past its run timeout and was ended for it", by: .clock, at: now))
      return .failed(.runTimeout, .high)
    case .batchTimeout:
      evidence.append(Evidence("the batch was past its timeout and was ended for it", by: .clock, at: now))
      return .failed(.batchTimeout, .high)
    case .healed(let cause):
      evidence.append(Evidence("it was ended for \(cause.rawValue)", by: .scheduler, at: now))
      return .failed(cause, .high)
    case nil:
      break
    }
    if let exit { return verdict(of: exit, &evidence) }
    evidence.append(Evidence(executorMessage, by: .executor, at: now))
    return .failed(executorCause ?? .orphaned, .medium)
  }

  private func verdict(of exit: ExitRecord, _ evidence: inout [Evidence]) -> AttemptEnd.Verdict {
    if exit.memoryLimitExceeded { return .failed(.oom, .high) }
    if let finding = exit.finding {
      evidence.append(Evidence(finding.text, by: .executor, at: exit.at))
      return .failed(finding.cause, finding.confidence)
    }
    switch exit.termination {
    case .exited(0):
      return .succeeded
    case .exited(137):
      evidence.append(
        Evidence("exit code 137 is a shell's word for SIGKILL: perhaps out of memory", by: .scheduler, at: exit.at))
      return .failed(.oom, .low)
    case .exited(let code):
      return ended(exit, code, &evidence)
    case .signalled(9):
      return Self.killed(exit, &evidence)
    case .signalled(let number):
      let signal = SignalMeaning.named(number)
      if let signal { evidence.append(signal.evidence(at: exit.at)) }
      if signal?.isOwn == true, let said = lastWords(of: exit, &evidence) { return said }
      let cause = signal?.cause ?? .signal
      noteLastWords(of: exit, cause, &evidence)
      return .failed(cause, signal?.confidence ?? .high)
    case .notStarted(let text):
      return .failed(Self.saysNotFound(text) ? .entrypointNotFound : .environmentSetup, .high)
    case .unknown:
      return .failed(.orphaned, .medium)
    }
  }

  /// An exit code that says failure: a shell's word for something, or what the program itself says.
  private func ended(_ exit: ExitRecord, _ code: Int32, _ evidence: inout [Evidence]) -> AttemptEnd.Verdict {
    let signal = SignalMeaning.shellsWord(code)
    if let signal {
      evidence.append(Evidence("exit code \(code) is a shell's word for \(signal.name)", by: .scheduler, at: exit.at))
      evidence.append(signal.evidence(at: exit.at))
    }
    if signal?.isOwn ?? true, let said = lastWords(of: exit, &evidence) { return said }
    if code == 126 || code == 127 { return .failed(.entrypointNotFound, .medium) }
    let cause = signal?.cause ?? .exitCode
    noteLastWords(of: exit, cause, &evidence)
    return .failed(cause, signal == nil ? .high : .medium)
  }

  /// The cause that a program's last words are known to mean, where they mean one.
  private func lastWords(of exit: ExitRecord, _ evidence: inout [Evidence]) -> AttemptEnd.Verdict? {
    guard let signature = ErrorSignature.matching(exit.lastStderrLine, names: documentNames),
      let cause = signature.cause
    else {
      return nil
    }
    evidence.append(signature.evidence(exit.lastStderrLine, at: exit.at))
    return .failed(cause, signature.confidence)
  }

  /// What the words say beside a cause that stands without them.
  private func noteLastWords(of exit: ExitRecord, _ cause: FailureCause, _ evidence: inout [Evidence]) {
    guard let signature = ErrorSignature.matching(exit.lastStderrLine, names: documentNames),
      signature.says(somethingOf: cause)
    else { return }
    evidence.append(signature.evidence(exit.lastStderrLine, at: exit.at))
  }

  /// Somebody else's SIGKILL. Near the limit it was the kernel's, most likely.
  private static func killed(_ exit: ExitRecord, _ evidence: inout [Evidence]) -> AttemptEnd.Verdict {
    let isNearLimit = exit.memoryLimitBytes > 0 && exit.peakMemoryBytes >= exit.memoryLimitBytes / 10 * 9
    let values = [
      "memory_limit_bytes": String(exit.memoryLimitBytes), "peak_memory_bytes": String(exit.peakMemoryBytes),
    ]
    if isNearLimit {
      evidence.append(
        Evidence(
          "SIGKILL came at nine tenths of the memory limit or more", by: .supervisor, at: exit.at, values: values))
      return .failed(.oom, .medium)
    }
    evidence.append(
      Evidence(
        "SIGKILL from outside: perhaps the kernel, out of memory (confidence low)", by: .scheduler, at: exit.at,
        values: values))
    return .failed(.signal, .low)
  }

  private static func saysNotFound(_ text: String) -> Bool {
    let text = text.lowercased()
    return ["no such file", "not found", "enoent", "permission denied", "eacces", "exec format", "not a directory"]
      .contains { text.contains($0) }
  }

  private static func evidence(of exit: ExitRecord) -> Evidence {
    var values: [String: String] = [:]
    if exit.peakMemoryBytes > 0 { values["peak_memory_bytes"] = String(exit.peakMemoryBytes) }
    if exit.memoryLimitBytes > 0 { values["memory_limit_bytes"] = String(exit.memoryLimitBytes) }
    if !exit.lastStderrLine.isEmpty { values["last_stderr_line"] = exit.lastStderrLine }
    if exit.memoryLimitExceeded {
      let (peak, limit) = Figures.apart(exit.peakMemoryBytes, exit.memoryLimitBytes)
      return Evidence(
        "its processes held \(peak), beyond the limit of \(limit); it was ended",
        by: .supervisor, at: exit.at, values: values)
    }
    switch exit.termination {
    case .exited(let code):
      values["exit_code"] = String(code)
      return Evidence("it exited with code \(code)", by: .kernel, at: exit.at, values: values)
    case .signalled(let signal):
      values["signal"] = String(signal)
      return Evidence("it was ended by signal \(signal)", by: .kernel, at: exit.at, values: values)
    case .notStarted(let text):
      return Evidence("its entrypoint could not be started: \(text)", by: .supervisor, at: exit.at, values: values)
    case .unknown(let text):
      return Evidence("nobody knows how it ended: \(text)", by: .executor, at: exit.at, values: values)
    }
  }
}

extension AttemptEnd {
  /// What its last words were found to mean when it ended, where that says something of the cause.
  func errorSignature(of cause: FailureCause) -> ErrorSignature? {
    guard let name = evidence.last(where: \.namesErrorSignature)?.values[ErrorSignature.evidenceName],
      let signature = ErrorSignature.named(name), signature.says(somethingOf: cause)
    else { return nil }
    return signature
  }

  /// What it said itself of being out of memory, where nothing of a higher rank did.
  var oomSignature: ErrorSignature? {
    guard let exit, !exit.memoryLimitExceeded, exit.finding == nil else { return nil }
    return errorSignature(of: .oom)
  }

  /// One sentence for the job that failed with it.
  var sentence: String {
    guard case .failed(let cause, _) = verdict else { return "the attempt was \(verdict.name)" }
    if let finding = exit?.finding, finding.cause == cause { return "\(cause.rawValue): \(finding.text)" }
    switch cause {
    case .oom where exit?.memoryLimitExceeded == true:
      let (peak, limit) = Figures.apart(exit?.peakMemoryBytes ?? 0, exit?.memoryLimitBytes ?? 0)
      return "out of memory: \(peak), beyond its limit of \(limit)"
    case .oom:
      guard let said = evidence.last(where: \.namesErrorSignature) else {
        return "perhaps out of memory"
      }
      return "out of memory, \(said.observed)"
    case .exitCode, .entrypointNotFound, .environmentSetup, .signal, .resourceLimit:
      let tail = exit.map { $0.lastStderrLine.isEmpty ? "" : ": \($0.lastStderrLine)" } ?? ""
      return (evidence.first?.observed ?? cause.rawValue) + tail
    default:
      return evidence.first { $0.observer == .executor }?.observed ?? evidence.last { $0.observer != .supervisor }?
        .observed
        ?? cause.rawValue
    }
  }
}

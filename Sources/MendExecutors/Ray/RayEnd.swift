internal import MendCore

/// Decides how an attempt ended from Ray's final answer.
///
/// Ray's field `error_type` comes first, except that it cannot tell out of memory or a dead node: every non-zero exit is
/// JOB_ENTRYPOINT_COMMAND_ERROR, so Ray's own sentences are looked for as well.
struct RayEnd {
  var job: RayJob
  /// The server asked for the end, and Ray's answer proves it.
  var wasAskedFor: Bool
  /// Whether the node of its driver is alive; nil where that is not known.
  var nodeIsAlive: Bool?
  /// By the server's clock.
  var now: Instant
  /// When it was launched by the same clock; nil where that is not known.
  var earliest: Instant? = nil
  /// Its log's last lines, where they were asked for.
  var logEnd = ""

  /// Whether FAILED needs a second look. While a head fails over, Ray may report it wrongly, but never with an exit code.
  static func isDoubtful(_ job: RayJob) -> Bool {
    job.status == .failed && job.driverExitCode == nil && kind(of: job) != .environment
      && kind(of: job) != .startTimeout
  }

  /// Whether the driver failed and the log lines in Ray's message are only those of its workers.
  static func isUnexplained(_ job: RayJob) -> Bool {
    guard job.status == .failed, kind(of: job) == .entrypoint, job.driverExitCode ?? 1 > 0 else { return false }
    return RayEnd(job: job, wasAskedFor: false, now: Instant(milliseconds: 0)).isUntold
      && job.message.split(whereSeparator: \.isNewline).contains { RayLogLines.isOfWorker(RayLogLines.plain($0)) }
  }

  private var isUntold: Bool { told == nil && crash == nil }

  /// Whether its entrypoint was started, even if no look found it running.
  var hasRun: Bool { job.status == .succeeded || job.driverExitCode != nil }

  func observation(_ key: AttemptKey) -> Observation {
    switch job.status {
    case .succeeded:
      return .ended(key, exit(.exited(0)), wasAskedFor ? EndReceipt(processes: 0, how: "it had ended by itself") : nil)
    case .stopped:
      return stopped(key)
    case .failed:
      return failed(key)
    case .pending, .running, .other:
      return diedWithItsNode(key)
    }
  }

  /// Ends a job that Ray still reports in its last state: what kept its state died with the node.
  private func diedWithItsNode(_ key: AttemptKey) -> Observation {
    let text = "Ray says \(job.status.text), and that its node \(job.driverNodeID) is dead"
    let finding = ExitRecord.Finding(cause: .nodeFailure, confidence: .medium, text: text)
    return .ended(
      key, exit(.unknown(text), finding),
      wasAskedFor ? EndReceipt(processes: 0, how: "its node is dead, Ray says") : nil)
  }

  private func stopped(_ key: AttemptKey) -> Observation {
    let text = "Ray says STOPPED"
    if wasAskedFor {
      return .ended(
        key, exit(.unknown(text)),
        EndReceipt(processes: 1, how: "ended by Ray (SIGTERM, then SIGKILL); it says STOPPED"))
    }
    // Somebody's decision, not a fault: it is not tried again by itself.
    let finding = ExitRecord.Finding(
      cause: .signal, confidence: .medium,
      text: "\(text), but this server did not ask for that: \(Self.cut(job.message))")
    return .ended(key, exit(.unknown(text), finding), nil)
  }

  private func failed(_ key: AttemptKey) -> Observation {
    switch Self.kind(of: job) {
    case .environment: return neverRan(key, .environmentSetup)
    case .startTimeout: return neverRan(key, .startTimeout)
    case .notPlaced: return neverRan(key, told ?? .engineFault)
    case .notStarted:
      return .ended(key, exit(.notStarted(Self.cut(lastLine))), receipt)
    case .entrypoint:
      return .ended(key, exit(termination, (told ?? crash).map { finding($0) }), receipt)
    case .supervisor, .unknown:
      let cause = told ?? (nodeIsAlive == false ? .nodeFailure : .engineFault)
      return .ended(key, exit(termination, finding(cause)), receipt)
    }
  }

  /// Ends a job of which nothing ran, so that it has no exit.
  private func neverRan(_ key: AttemptKey, _ cause: FailureCause) -> Observation {
    var message = "Ray \(job.errorType): \(Self.cut(job.message))"
    if cause == .environmentSetup, let reason = environmentReason { message += "; \(Self.cut(reason))" }
    if cause == .startTimeout, !job.runtimeParts.isEmpty {
      // Ray's account goes on for long, and does not name this.
      let first = job.message.split(separator: ". ", maxSplits: 1).first ?? ""
      message =
        "Ray \(job.errorType): \(Self.cut(first)); its runtime environment "
        + "(\(job.runtimeParts.joined(separator: ", "))) is created within that time, too"
    }
    if wasAskedFor {
      return .ended(key, exit(.notStarted(message)), EndReceipt(processes: 0, how: "Ray had not started it"))
    }
    return .launchFailed(key, cause, message: message)
  }

  private var receipt: EndReceipt? {
    wasAskedFor ? EndReceipt(processes: 0, how: "it had ended by itself: Ray says FAILED") : nil
  }

  private func exit(_ termination: ExitRecord.Termination, _ finding: ExitRecord.Finding? = nil) -> ExitRecord {
    // The cluster's clock may be ahead of the server's or behind it: no end is in the future, nor before its beginning.
    let told = job.endTime > 0 ? min(Instant(milliseconds: job.endTime), now) : now
    let at = max(told, earliest ?? told)
    // What Ray says of a supervisor's death is no line of the entrypoint's.
    let isItsOwn = job.status == .failed && Self.kind(of: job) != .supervisor
    return ExitRecord(
      termination: termination, at: at, lastStderrLine: isItsOwn ? Self.cut(lastLine) : "", finding: finding)
  }

  private func finding(_ cause: FailureCause) -> ExitRecord.Finding {
    var text = "Ray \(job.errorType.isEmpty ? "says" : job.errorType + ":") \(Self.cut(telling))"
    if let figures = RayWords.memoryFigures(in: allText), cause == .oom { text += "; \(figures)" }
    if nodeIsAlive == false { text += "; its node \(job.driverNodeID) is dead" }
    // Of several causes that Ray lists none is known to be the one.
    let isGuess = told == nil && nodeIsAlive != false && RayWords.causes(in: allText) != nil
    if isGuess, let causes = RayWords.causes(in: allText) {
      text += "; Ray knows no more than what it may be: \(causes)"
    }
    return ExitRecord.Finding(cause: cause, confidence: isGuess ? .low : .medium, text: text)
  }

  /// What a tool that made the environment said, where it is not Ray's first line.
  private var environmentReason: Substring? {
    job.message.split(whereSeparator: \.isNewline).dropFirst().last { line in
      ["ERROR: ", "Error: ", "error: ", "No matching distribution found"].contains { line.contains($0) }
    }
  }

  private var termination: ExitRecord.Termination {
    guard let code = job.driverExitCode ?? codeInMessage else { return .unknown(Self.cut(job.message)) }
    // A shell's own signal comes as a negative code, as Python has it.
    return code < 0 ? .signalled(-code) : .exited(code)
  }

  private var codeInMessage: Int32? {
    guard let text = job.message.split(separator: "failed with exit code ", maxSplits: 1).dropFirst().first else {
      return nil
    }
    return Int32(text.prefix { $0 == "-" || $0.isNumber })
  }

  // MARK: what the texts say

  private enum Kind { case environment, startTimeout, notPlaced, notStarted, entrypoint, supervisor, unknown }

  private static func kind(of job: RayJob) -> Kind {
    switch job.errorType {
    case "RUNTIME_ENV_SETUP_FAILURE": return .environment
    case "JOB_SUPERVISOR_ACTOR_START_TIMEOUT": return .startTimeout
    case "JOB_SUPERVISOR_ACTOR_START_FAILURE":
      // Ray reads the environment itself only then: a part of it that is malformed or not there ends in this traceback.
      return job.message.contains("runtime_env") ? .environment : .notPlaced
    case "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE": return .notPlaced
    case "JOB_ENTRYPOINT_COMMAND_ERROR": return .entrypoint
    case "JOB_ENTRYPOINT_COMMAND_START_ERROR": return .notStarted
    case "JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE": return .supervisor
    default: return kindByText(job)
    }
  }

  /// Older versions have no error_type.
  private static func kindByText(_ job: RayJob) -> Kind {
    let text = job.message
    if job.driverExitCode != nil || text.hasPrefix("Job entrypoint command failed with exit code") {
      return .entrypoint
    }
    if text.hasPrefix("runtime_env setup failed") { return .environment }
    if text.hasPrefix("Job supervisor actor failed to start within") { return .startTimeout }
    if text.hasPrefix("Job supervisor actor could not be scheduled") { return .notPlaced }
    if text.hasPrefix("Job supervisor actor died") { return .supervisor }
    return .unknown
  }

  private var crash: FailureCause? { RayWords.isCrash(in: judged, isLog: isOfEntrypoint) ? .signal : nil }

  /// What Ray says, and what its log adds: the error that the driver ended by.
  private var allText: String { logEnd.isEmpty ? job.message : "\(job.message)\n\(RayLogLines.lastError(of: logEnd))" }

  /// The cause that a sentence of Ray's names, in the message or in the log's tail that it carries.
  private var told: FailureCause? { RayWords.cause(in: judged, isLog: isOfEntrypoint) }

  private var isOfEntrypoint: Bool { Self.kind(of: job) == .entrypoint }

  /// Where the cause is looked for: in the log's end itself, where that was asked for.
  private var judged: String { logEnd.isEmpty ? job.message : RayWords.replacingLog(of: job.message, by: logEnd) }

  /// The line that names the cause, or the first.
  private var telling: Substring {
    let lines = allText.split(whereSeparator: \.isNewline)
    let sentences = RayWords.sentences.flatMap(\.1) + RayWords.crashes
    return lines.first { line in sentences.contains { line.contains($0) } } ?? lines.first ?? "no message"
  }

  /// The last line that the entrypoint wrote, of those that the message carries; of a driver whose workers wrote behind
  /// it, its error.
  private var lastLine: Substring {
    if let error = RayLogLines.lastError(of: logEnd).split(whereSeparator: \.isNewline).first { return error }
    var text = Substring(job.message)
    // Ray writes to the same log, and what is buffered comes behind it: the entrypoint itself, which may have lines.
    if let start = text.firstRange(of: "Running entrypoint for job \(job.submissionID): \(job.entrypoint)") {
      text = Substring(text[..<start.lowerBound] + text[start.upperBound...])
    }
    let lines = text.split(whereSeparator: \.isNewline).filter { !$0.allSatisfy(\.isWhitespace) && !Self.isRays($0) }
    return lines.last ?? job.message.split(whereSeparator: \.isNewline).first ?? ""
  }

  private static func isRays(_ line: Substring) -> Bool {
    line.hasPrefix("Running entrypoint for job ") || line.hasPrefix("Job entrypoint command failed with exit code ")
      || (line.contains(" job_manager.py:") && line.hasSuffix("Runtime env is setting up."))
  }

  private static func cut(_ text: some StringProtocol) -> String {
    String(RayLogLines.plain(text.split(whereSeparator: \.isNewline).first.map { Substring($0) } ?? "").prefix(500))
  }
}

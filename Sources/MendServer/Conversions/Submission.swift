import MendAPI
import MendCore

extension SubmissionParams {
  /// - Parameter textBytes: the most bytes of the command, and of the names of its environment; what is longer is cut.
  init(_ parameters: SubmissionParameters, textBytes: Int) {
    self.init()
    entrypoint =
      switch parameters.work {
      case .documentCommand(let text), .entrypoint(let text): DiagnosisDetail.cut(text, to: textBytes)
      }
    deploymentMode = MendAPI.ExecutorKind(parameters.executor)
    requiresGpu = parameters.resources.requiresGPU
    numCpus = parameters.resources.cpus
    memoryBytes = parameters.resources.memoryBytes
    priority = Int32(clamping: parameters.priority)
    extractorName = parameters.extractorName
    var bytes = 0
    for name in parameters.environment.keys.sorted() {
      bytes += name.utf8.count + 4
      if bytes > textBytes { break }
      envNames.append(name)
    }
    envNamesLeftOut = Int64(parameters.environment.count - envNames.count)
    runTimeoutSeconds = parameters.runTimeout?.inSeconds ?? 0
    startWindowSeconds = parameters.startWindow?.inSeconds ?? 0
    limits = MendAPI.AttemptLimits(parameters.resources.limits)
  }
}

extension AttemptDiagnostic {
  init(_ attempt: Attempt, of job: Job, in batch: Batch, detail: DiagnosisDetail) {
    self.init()
    self.attempt = Int32(clamping: attempt.number)
    intendedAt = GoogleTimestamp(attempt.intendedAt)
    startedAt = GoogleTimestamp(attempt.startedAt)
    if let bytes = detail.attemptText {
      submissionParams = SubmissionParams(batch.shownParameters(of: attempt, job), textBytes: bytes)
    }
    launchID = AttemptKey(batch: batch.key, job: job.id, number: attempt.number).description
    node = attempt.handle?.node ?? ""
    pid = attempt.handle?.pid ?? 0
    staleReports = Int64(attempt.staleReports)
    switch attempt.state {
    case .intended: state = .intended
    case .starting: state = .starting
    case .running: state = .running
    case .ending(let reason, _):
      state = .ending
      endedBy = reason.askedBy
    case .ended(let end):
      state = .ended
      endedAt = GoogleTimestamp(end.at)
      endedBy = end.askedBy
      exit = end.exit.map { MendAPI.ExitRecord($0, end: end) }
      if let cause = end.cause {
        failureCategory = MendAPI.FailureCategory(cause.category)
        failureCause = MendAPI.FailureCause(cause)
      }
    }
  }
}

extension MendAPI.ExitRecord {
  init(_ record: MendCore.ExitRecord, end: AttemptEnd) {
    self.init()
    switch record.termination {
    case .exited(let code): exitCode = code
    case .signalled(let number): signal = number
    case .notStarted(let text), .unknown(let text): message = text
    }
    peakMemoryBytes = record.peakMemoryBytes
    memoryLimitBytes = record.memoryLimitBytes
    memoryLimitExceeded = record.memoryLimitExceeded
    lastStderrLine = record.lastStderrLine
    cpuSeconds = record.cpuSeconds
    at = GoogleTimestamp(record.at)
    endedBy = end.askedBy
  }
}

// What is said of each cause: how an attempt ended, what to do about it, and what to do about a document. The three
// switches have no default, so that a new cause is written here.

extension DiagnosisContext {
  /// What follows "Attempt 1 of job t0-j0 (text)".
  func explanation(of cause: FailureCause, _ attempt: Attempt, _ job: Job) -> String {
    let exit = attempt.end?.exit
    let heard = attempt.end?.evidence.first { $0.observer == .executor && !$0.observed.isEmpty }?.observed
    let said = exit.flatMap { $0.lastStderrLine.isEmpty ? nil : $0.lastStderrLine } ?? heard
    let last = said.map { ": \(Figures.excerpt($0))" } ?? ""
    let timers = job.specified(in: batch)?.timers ?? Timers()
    let signature = attempt.end?.errorSignature(of: cause)
    let means = signature.map { "; \($0.meaning)" } ?? ""
    switch cause {
    case .oom where attempt.end?.oomSignature != nil:
      let limit = exit?.memoryLimitBytes ?? 0
      let peak = exit?.peakMemoryBytes ?? 0
      let held =
        MemoryAdvice.isFarBelow(peak, limit)
        ? "; it held \(Figures.bytes(peak)) at its peak, well below its limit of \(Figures.bytes(limit))" : ""
      return "ran out of memory by its own words\(last)\(means)\(held)"
    case .oom:
      let limit = exit?.memoryLimitBytes ?? 0
      let peak = exit?.peakMemoryBytes ?? 0
      let perhaps = attempt.end?.verdict == .failed(.oom, .low) ? "perhaps " : ""
      if let text = exit?.finding?.text { return perhaps + "ran out of memory: \(Figures.excerpt(text))" }
      return perhaps + "ran out of memory"
        + (peak > 0 ? ": its processes held \(Figures.bytes(peak)) at their peak" : "")
        + (limit > 0 ? (peak > 0 ? ", " : ": ") + "\(Figures.bytes(limit)) is its limit" : "")
    case .exitCode:
      if case .exited(let code)? = exit?.termination { return "ended with exit code \(code)\(last)\(means)" }
      return "ended with an exit code that says failure\(last)"
    case .signal:
      // Ended by somebody whom the executor knows no more of than what it says.
      if isEndedByOthers(attempt), let text = exit?.finding?.text { return "was ended: \(Figures.excerpt(text))" }
      return ended(exit) + last + (signature == nil ? signalMeans(exit) : means)
    case .entrypointNotFound:
      if case .notStarted(let why)? = exit?.termination { return "could not be started: \(why)" }
      if signature == nil, case .exited(126)? = exit?.termination {
        return "could not be started: its command was found and could not be run (exit code 126)\(last)"
      }
      // The executor did not even try, and says why.
      if signature == nil, exit == nil, let heard { return "could not be started: \(Figures.excerpt(heard))" }
      return signature == nil
        ? "could not be started: its command was not found\(last)" : "could not be started\(last)\(means)"
    case .preemption: return "was preempted: its executor took the room away"
    case .nodeFailure: return "died with the machine that it ran on\(last)"
    case .engineFault: return "died of a fault of its executor\(last)"
    case .environmentSetup:
      if signature != nil { return ended(exit) + last + means }
      if case .notStarted(let why)? = exit?.termination { return "could not be started: \(why)" }
      return "never ran: its environment could not be set up\(last)"
    case .startTimeout:
      // The executor's own patience may be the shorter one; then it says so itself.
      return heard.map { "was given up before it was started: \(Figures.excerpt($0))" }
        ?? "was not started within \(Figures.seconds(attempt.startWindow(timers)))"
    case .heartbeatTimeout: return "reported nothing for \(Figures.seconds(timers.heartbeat)) and was ended"
    case .progressTimeout: return "finished nothing for \(Figures.seconds(timers.progress)) and was ended"
    case .runTimeout:
      return attempt.parameters.runTimeout.map { "ran into its run timeout of \(Figures.seconds($0))" }
        ?? "ran into its run timeout"
    case .batchTimeout:
      return batch.specification.timeout.map { "was ended by the batch's timeout of \(Figures.seconds($0))" }
        ?? "was ended by the batch's timeout"
    case .orphaned:
      if case .unknown(let why)? = exit?.termination, !why.isEmpty { return "was lost: \(Figures.excerpt(why))" }
      return "was lost: its executor does not know it any more"
    case .documentErrors: return "left documents that it never reported"
    case .badInput: return "refused its input\(last)"
    case .resourceLimit:
      if let text = exit?.finding?.text ?? heard { return "was ended at one of its limits: \(text)" }
      return ended(exit) + last + (signature == nil ? signalMeans(exit) : means)
    case .throttled: return "was rate-limited by a service\(last)"
    case .serviceUnavailable: return "called a service that is down or failed\(last)"
    case .credentials: return "was refused by a service that did not accept its credentials\(last)"
    case .contention: return "conflicted with another process (a lock, or a concurrent change)\(last)"
    case .gpuFault: return "died of a fault of its GPU\(last)"
    case .documentTimeout: return "worked on a document for longer than it may"
    }
  }

  /// What follows "Attempt 1 ..." of an exit record alone.
  private func ended(_ exit: ExitRecord?) -> String {
    switch exit?.termination {
    case .signalled(let number)?: "was ended by \(Figures.signal(number))"
    case .exited(let code)?:
      SignalMeaning.shellsWord(code).map { "ended with exit code \(code), which stands for \($0.name)" }
        ?? "ended with exit code \(code)"
    case .notStarted?, .unknown?, nil: "was ended by a signal"
    }
  }

  private func signalMeans(_ exit: ExitRecord?) -> String {
    exit?.signal.map { "; \($0.meaning)" } ?? ""
  }

  /// What to do about an attempt that ended of `cause`; nil where the job goes on by itself.
  func remedy(for cause: FailureCause, attempt: Attempt?, job: Job) -> Remedy? {
    // A job that is not over goes on by its rules, and Retry would be refused: its tier runs.
    if !job.status.isFinal { return nil }
    let tier = job.id.tier
    func retry(_ description: String, _ overrides: Job.Overrides = Job.Overrides()) -> Remedy {
      Remedy(description, .retry(tier: tier, jobs: retryJobs(job), overrides, .failed))
    }
    let exit = attempt?.end?.exit
    let signature = attempt?.end?.errorSignature(of: cause)
    // What is known about the error message, then about the signal, says more than the cause. What the server ended, for
    // an outage or a timer, got its signal from the server.
    let isEndedByServer = attempt?.end?.endedFor != nil || cause.category == .timeout
    let signal = isEndedByServer ? nil : exit?.signal
    if cause != .oom, exit?.finding == nil, let what = signature?.resolution ?? signal?.resolution {
      return retry("\(what), then retry tier \(tier)")
    }
    switch cause {
    case .oom:
      return memoryRemedy(attempt: attempt, job: job)
    case .signal where isEndedByOthers(attempt):
      return retry("Find out who ended it, and why; then retry tier \(tier)")
    case .entrypointNotFound where isRefusedByExecutor(attempt):
      return Remedy("Create a new batch with a command that can be started: a retry has the same one")
    case .entrypointNotFound where exit?.termination == .exited(126):
      return retry(
        "Give the account that attempts run as the right to run the command (chmod +x), or name a file that is a "
          + "program; then retry tier \(tier)")
    case .entrypointNotFound:
      return retry(
        "Install the command where attempts run or correct its PATH (of a script that is there, look at the interpreter "
          + "in its first line), then retry tier \(tier); a command that is written wrong needs a new batch")
    case .environmentSetup:
      return retry("Correct the environment of \(job.title(in: batch)), then retry tier \(tier)")
    case .resourceLimit:
      return retry(
        "See whether it needs so much: correct it and retry tier \(tier), or submit it again with a higher limit")
    case .throttled: return retry("Run fewer at once (max_concurrent, shards), then retry tier \(tier)")
    case .serviceUnavailable: return retry("See that the service answers, then retry tier \(tier)")
    case .credentials: return retry("Correct or renew the credentials, then retry tier \(tier)")
    case .contention: return retry("Retry tier \(tier): another process held a lock or changed the same data")
    case .gpuFault: return retry("Look at the GPU and its driver where it ran, then retry tier \(tier)")
    case .exitCode, .signal, .documentErrors, .badInput, .documentTimeout:
      return retry("Correct the cause first: the same input gives the same error; then retry tier \(tier)")
    case .preemption, .nodeFailure, .engineFault:
      return retry("Retry tier \(tier): the executor failed it, not the pipeline; what is committed is kept")
    case .startTimeout:
      return retry("See that the executor has room for \(Figures.resources(job.resourcesAsked(in: batch))), then retry")
    case .heartbeatTimeout, .progressTimeout:
      return retry("Look at the documents it hung on, then retry tier \(tier); what is committed is kept")
    case .runTimeout:
      guard let limit = attempt?.parameters.runTimeout else { return retry("Retry tier \(tier)") }
      let longer = Duration.milliseconds(limit.milliseconds.multipliedReportingOverflow(by: 2).partialValue)
      return retry(
        "Retry tier \(tier) with twice the run timeout: it was ended after \(Figures.seconds(limit))",
        Job.Overrides(runTimeout: .some(longer)))
    case .batchTimeout:
      return retry(
        "Retry what is left of tier \(tier); where it takes longer than the batch may, submit it again with a longer timeout"
      )
    case .orphaned:
      if let attempt, let end = attempt.end, isOrphan(attempt, end, of: job) {
        return Remedy("Reclaim what may be left of it, and start it again", .heal(.reclaimOrphans, tier: tier))
      }
      return retry("Retry tier \(tier): nothing of the attempt runs any more; what is committed is kept")
    }
  }
}

extension DocumentCode {
  /// What to do about a document that failed with it: one sentence without a full stop.
  var resolution: String {
    switch self {
    case .failure(let cause): cause.resolution
    case .common(.formatError), .common(.unsupportedFormat): "Ensure file is in a supported format"
    case .common(.corruptedFile): "Verify file integrity and try uploading again"
    case .common(.notFound), .common(.fileNotFound): "Check that the file is still where the document's uri says"
    case .common(.emptyFile): "Check that the file was written to its end, replace it, and retry"
    case .common(.permissionDenied): "Give the account that attempts run as the right to read the file"
    case .common(.timeout): FailureCause.runTimeout.resolution
    case .other: "Read the message and the details, correct the cause, and retry"
    }
  }
}

extension FailureCause {
  fileprivate var resolution: String {
    switch self {
    case .exitCode: "Read the message, the command's last line on stderr; correct the command or the file, and retry"
    case .signal:
      "The command was killed or crashed; see that it had memory enough, run it on the file by hand, correct it, and retry"
    case .oom: "Give its job more memory where its limit was the bound, or split the file"
    case .entrypointNotFound: "Install the command where attempts run, or correct its name and PATH, and retry"
    case .badInput: "Correct the file, and retry"
    case .documentErrors: "The job ended without saying what became of the file; let it report each one, and retry"
    case .startTimeout: "The job was not started in its window; see that the executor has room, and retry"
    case .heartbeatTimeout, .progressTimeout: "The job hung on the file; look at the file first, then retry"
    case .runTimeout: "The time limit ended it; give it a longer one, or split the file, and retry"
    case .batchTimeout: "The batch's timeout ended it; retry what is left, or use a longer timeout"
    case .preemption, .nodeFailure, .engineFault, .orphaned: "Not the file's fault: retry"
    case .resourceLimit: "A limit on processor time, processes or open files ended it; correct it or raise the limit"
    case .environmentSetup: "Correct the job's environment, and retry"
    case .throttled: "Run fewer at once (max_concurrent, shards), and retry"
    case .serviceUnavailable: "See that the service answers, and retry"
    case .credentials: "Correct or renew the credentials, and retry"
    case .contention: "Another process held a lock or changed the same data: retry"
    case .gpuFault: "Look at the GPU and its driver where it ran, and retry"
    case .documentTimeout: "It took longer than a document may; look at the file, or raise the limit, and retry"
    }
  }
}

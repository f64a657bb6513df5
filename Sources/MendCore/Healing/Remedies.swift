// What to do, in a form that Retry, Heal or Cancel take as it is.

extension Remedy {
  /// The command line that does it; empty for what must be done outside of Mend.
  public func commandLine(batchID: String) -> String {
    switch call {
    case .retry(let tier, let jobs, let overrides, let scope):
      var words = ["mend retry \(batchID) --tier \(tier)"]
      words += jobs.map { "--job \($0)" }
      if let memoryBytes = overrides.memoryBytes { words.append("--memory \(Figures.size(memoryBytes))") }
      if let cpus = overrides.cpus { words.append("--cpus \(Figures.number(cpus))") }
      if overrides.requiresGPU == true { words.append("--gpu") }
      if let priority = overrides.priority { words.append("--priority \(priority)") }
      if let runTimeout = overrides.runTimeout {
        words.append("--run-timeout \(Figures.number(runTimeout?.inSeconds ?? 0))")
      }
      if scope == .all { words.append("--scope all") }
      return words.joined(separator: " ")
    case .heal(let action, let tier):
      let name = action.rawValue.split(separator: "_").joined(separator: "-")
      return "mend heal \(batchID) --action \(name)" + (tier.map { " --tier \($0)" } ?? "")
    case .cancel(.batch):
      return "mend cancel \(batchID)"
    case .cancel(.tier(let tier)):
      return "mend cancel \(batchID) --tier \(tier)"
    case .cancel(.job(let job)):
      return "mend cancel \(batchID) --job \(job)"
    case .none:
      return ""
    }
  }
}

extension DiagnosisContext {
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
    switch cause {
    case .oom:
      return memoryRemedy(attempt: attempt, job: job)
    case .signal where isEndedByOthers(attempt):
      return retry("Find out who ended it, and why; then retry tier \(tier)")
    case .entrypointNotFound where signature == nil && isRefusedByExecutor(attempt):
      return Remedy("Create a new batch with a command that can be started: a retry has the same one", .none)
    case .exitCode, .signal, .environmentSetup, .entrypointNotFound, .resourceLimit:
      // What is known of the words, then of the signal, says more than the cause.
      if exit?.finding == nil, let what = signature?.resolution ?? exit?.signal?.resolution {
        return retry("\(what), then retry tier \(tier)")
      }
      if cause == .entrypointNotFound, exit?.termination == .exited(126) {
        return retry(
          "Give the account that attempts run as the right to run the command (chmod +x), or name a file that is a "
            + "program; then retry tier \(tier)")
      }
      return commonRemedy(for: cause, job: job)
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
    case .documentErrors, .badInput:
      return commonRemedy(for: cause, job: job)
    }
  }

  /// Where no more is known than the cause.
  private func commonRemedy(for cause: FailureCause, job: Job) -> Remedy {
    let tier = job.id.tier
    let description =
      switch cause {
      case .environmentSetup: "Correct the environment of \(job.title(in: batch)), then retry tier \(tier)"
      case .entrypointNotFound:
        "Install the command where attempts run or correct its PATH (of a script that is there, look at the interpreter "
          + "in its first line), then retry tier \(tier); a command that is written wrong needs a new batch"
      case .resourceLimit:
        "See whether it needs so much: correct it and retry tier \(tier), or submit it again with a higher limit"
      default: "Correct the cause first: the same input gives the same error; then retry tier \(tier)"
      }
    return Remedy(description, .retry(tier: tier, jobs: retryJobs(job), Job.Overrides(), .failed))
  }

  /// The executor did not even try to start it, and says why.
  func isRefusedByExecutor(_ attempt: Attempt?) -> Bool {
    guard let end = attempt?.end, end.exit == nil else { return false }
    return end.evidence.contains { $0.observer == .executor && !$0.observed.isEmpty }
  }

  /// No exit was seen, and the executor itself says that it was made to end.
  func isEndedByOthers(_ attempt: Attempt?) -> Bool {
    guard let exit = attempt?.end?.exit, exit.finding?.cause == .signal, case .unknown = exit.termination else {
      return false
    }
    return true
  }

  /// Empty (the whole tier) where this is the only job of the tier that has something to be retried.
  func retryJobs(_ job: Job) -> [JobID] {
    let tier = batch.tiers.first { $0.number == job.id.tier }
    let alone = tier?.jobs.allSatisfy { $0.id == job.id || ($0.status == .succeeded && $0.failed.isEmpty) } ?? true
    return alone ? [] : [job.id]
  }
}

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

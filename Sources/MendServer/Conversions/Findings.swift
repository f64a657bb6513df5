import MendAPI
import MendCore

extension MendAPI.Evidence {
  init(_ evidence: MendCore.Evidence) {
    self.init()
    observed = evidence.observed
    observer = evidence.observer.rawValue
    at = GoogleTimestamp(evidence.at)
    values = evidence.values
  }
}

extension MendAPI.Finding {
  init(_ finding: MendCore.Finding, of batch: Batch) {
    self.init()
    if let category = finding.category { self.category = MendAPI.FailureCategory(category) }
    cause = finding.cause
    confidence = MendAPI.Confidence(finding.confidence)
    message = finding.message
    evidence = finding.evidence.map { MendAPI.Evidence($0) }
    remedy = finding.remedy.map { MendAPI.Remedy($0, batchID: batch.key.batchID) }
    tierNum = finding.tier.map { Int32(clamping: $0) }
    jobID = finding.job?.description ?? ""
    attempt = Int32(clamping: finding.attempt ?? 0)
    documentIDs = finding.documents.map { batch.documents.id(at: $0) }
  }
}

extension MendAPI.Remedy {
  init(_ remedy: MendCore.Remedy, batchID: String) {
    self.init()
    description = remedy.description
    switch remedy.call {
    case .retry(let tier, let jobs, let overrides, let scope):
      var message = RetryRemedy()
      message.tier = Int32(clamping: tier)
      message.jobs = jobs.map(\.description)
      message.memoryBytes = overrides.memoryBytes
      message.numCpus = overrides.cpus
      if let limit = overrides.runTimeout { message.runTimeoutSeconds = limit?.inSeconds ?? 0 }
      message.scope = MendAPI.RetryScope(scope)
      call = .retry(message)
      command = CommandLine.retry(batchID, tier, jobs, overrides, scope)
    case .heal(let action, let tier):
      var message = HealRemedy()
      message.action = MendAPI.HealAction(action)
      message.tier = tier.map { Int32(clamping: $0) }
      call = .heal(message)
      command = CommandLine.heal(batchID, action, tier)
    case .cancel(let scope):
      var message = CancelRemedy()
      switch scope {
      case .batch: break
      case .tier(let tier): message.tier = Int32(clamping: tier)
      case .job(let job): message.jobID = job.description
      }
      call = .cancel(message)
      command = CommandLine.cancel(batchID, scope)
    case .none: break
    }
  }
}

/// A remedy as what a person types. Ids need no quoting: they are letters, digits and hyphens.
private enum CommandLine {
  static func retry(
    _ batchID: String, _ tier: Int, _ jobs: [JobID], _ overrides: Job.Overrides, _ scope: MendCore.RetryScope
  ) -> String {
    var words = ["mend retry \(batchID) --tier \(tier)"]
    words += jobs.map { "--job \($0)" }
    if let bytes = overrides.memoryBytes { words.append("--memory \(size(bytes))") }
    if let cpus = overrides.cpus { words.append("--cpus \(number(cpus))") }
    if overrides.requiresGPU == true { words.append("--gpu") }
    if let priority = overrides.priority { words.append("--priority \(priority)") }
    if let limit = overrides.runTimeout { words.append("--run-timeout \(number(limit?.inSeconds ?? 0))") }
    if scope == .all { words.append("--scope all") }
    return words.joined(separator: " ")
  }

  static func heal(_ batchID: String, _ action: MendCore.HealAction, _ tier: Int?) -> String {
    let name = action.rawValue.split(separator: "_").joined(separator: "-")
    return "mend heal \(batchID) --action \(name)" + (tier.map { " --tier \($0)" } ?? "")
  }

  static func cancel(_ batchID: String, _ scope: CancelScope) -> String {
    switch scope {
    case .batch: "mend cancel \(batchID)"
    case .tier(let tier): "mend cancel \(batchID) --tier \(tier)"
    case .job(let job): "mend cancel \(batchID) --job \(job)"
    }
  }

  private static func size(_ bytes: Int64) -> String {
    if bytes > 0, bytes % (1 << 30) == 0 { return "\(bytes >> 30)GiB" }
    if bytes > 0, bytes % (1 << 20) == 0 { return "\(bytes >> 20)MiB" }
    return "\(bytes)"
  }

  private static func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
  }
}

extension MendAPI.HealStep {
  init(_ step: MendCore.HealStep) {
    self.init()
    switch step.operation {
    case .restartAttempt(let job, let number, _):
      action = "restart_attempt"
      target = "\(job).\(number)"
    case .killDuplicate(_, let reference):
      action = "kill_duplicate"
      target = reference
    case .reclaimOrphan(let job, let number):
      action = "reclaim_orphan"
      target = "\(job).\(number)"
    case .retryTier(let tier, _, _):
      action = "retry_tier"
      target = "tier \(tier)"
    }
    reason = step.reason
    evidence = step.evidence.map { MendAPI.Evidence($0) }
    risk = MendAPI.Risk(step.risk)
    outcome = step.outcome
  }
}

extension EndedAttempt {
  init(_ ended: Reply.Ended) {
    self.init()
    attempt = "\(ended.job).\(ended.attempt)"
    processes = Int32(clamping: ended.receipt.processes)
    how = ended.receipt.how
    jobID = ended.job.description
  }
}

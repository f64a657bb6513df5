import MendAPI
import MendCore

extension MendAPI.Evidence {
  init(_ evidence: MendCore.Evidence, detail: DiagnosisDetail = .all) {
    self.init()
    observed = detail.cut(evidence.observed)
    observer = evidence.observer.rawValue
    at = GoogleTimestamp(evidence.at)
    values = detail.cut(evidence.values)
  }
}

extension MendAPI.Finding {
  init(_ finding: MendCore.Finding, of batch: Batch, detail: DiagnosisDetail) {
    self.init()
    if let category = finding.category { self.category = MendAPI.FailureCategory(category) }
    cause = finding.cause
    confidence = MendAPI.Confidence(finding.confidence)
    message = finding.message
    evidence = finding.evidence.prefix(detail.evidence).map { MendAPI.Evidence($0, detail: detail) }
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
    command = remedy.commandLine(batchID: batchID)
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
    case .heal(let action, let tier):
      var message = HealRemedy()
      message.action = MendAPI.HealAction(action)
      message.tier = tier.map { Int32(clamping: $0) }
      call = .heal(message)
    case .cancel(let scope):
      var message = CancelRemedy()
      switch scope {
      case .batch: break
      case .tier(let tier): message.tier = Int32(clamping: tier)
      case .job(let job): message.jobID = job.description
      }
      call = .cancel(message)
    case .none: break
    }
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

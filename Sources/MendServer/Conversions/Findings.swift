import MendAPI
import MendCore
import MendProtobuf

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
    cause = finding.cause.rawValue
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
    description = remedy.call == nil ? remedy.advice.text(batchID: batchID) : remedy.description
    command = remedy.call?.commandLine(batchID: batchID) ?? ""
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
    case nil: break
    }
  }
}

extension MendAPI.HealStep {
  /// - Parameter detail: how much is shown of its texts and evidence; nil shows all.
  init(_ step: MendCore.HealStep, detail: DiagnosisDetail? = nil) {
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
    let shown = detail.map { step.evidence.prefix($0.evidence) } ?? step.evidence[...]
    evidence = shown.map { MendAPI.Evidence($0, detail: detail ?? .all) }
    risk = MendAPI.Risk(step.risk)
    outcome = step.outcome
  }

  /// The steps in so many bytes, with less evidence where that helps, and how many are left out.
  static func fitting(_ steps: [MendCore.HealStep], bytes limit: Int) -> (shown: [MendAPI.HealStep], leftOut: Int64?) {
    var shown = steps.map { MendAPI.HealStep($0) }
    for detail in DiagnosisDetail.less where shown.prefix(bytes: limit).count < shown.count {
      shown = steps.map { MendAPI.HealStep($0, detail: detail) }
    }
    shown = shown.prefix(bytes: limit)
    return (shown, shown.count < steps.count ? Int64(steps.count - shown.count) : nil)
  }
}

extension EndedAttempt {
  init(_ ended: Reply.EndedAttempt) {
    self.init()
    attempt = ended.attempt.description
    processes = Int32(clamping: ended.receipt.processes)
    how = DiagnosisDetail.cut(ended.receipt.how, to: DiagnosisDetail.all.evidenceText)
    jobID = ended.attempt.job.description
  }

  /// The attempts in so many bytes, and how many are left out.
  static func fitting(_ ended: [Reply.EndedAttempt], bytes limit: Int) -> (shown: [EndedAttempt], leftOut: Int64?) {
    let shown = ended.map { EndedAttempt($0) }.prefix(bytes: limit)
    return (shown, shown.count < ended.count ? Int64(ended.count - shown.count) : nil)
  }
}

extension Array where Element: Message {
  /// As many of the first as fit into so many bytes of an answer.
  fileprivate func prefix(bytes limit: Int) -> [Element] {
    var bytes = 0
    for (index, element) in enumerated() {
      // A tag, and a length of at most four bytes.
      bytes += element.serialized().count + 5
      if bytes > limit { return Array(self[..<index]) }
    }
    return self
  }
}

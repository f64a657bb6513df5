import MendAPI
import MendCore

extension ExecutorCapacity {
  init(_ capacity: MendCore.Capacity) {
    self.init()
    executor = MendAPI.ExecutorKind(capacity.executor)
    cpus = capacity.cpus
    memoryBytes = capacity.memoryBytes
    gpus = Int32(clamping: capacity.gpus)
  }
}

extension EventVerdict {
  init(_ summary: DiagnosisSummary, batchID: String) {
    self.init()
    health = MendAPI.Health(summary.health)
    healthReason = MendAPI.HealthReason(summary.reason)
    blockedReason = summary.blockedReason
    causes = summary.causes.map { cause in
      var entry = EventCause()
      if let category = cause.category { entry.category = MendAPI.FailureCategory(category) }
      entry.cause = cause.cause.rawValue
      entry.confidence = MendAPI.Confidence(cause.confidence)
      entry.jobID = cause.job?.description ?? ""
      entry.remedy = cause.commandLine(batchID: batchID)
      return entry
    }
  }
}

extension BatchEvent {
  init(_ record: Record) {
    self.init()
    sequence = record.sequence
    at = GoogleTimestamp(record.at)
    actor = record.who
    cause = record.cause.rawValue
    kind = record.fact.name
    let subject = record.fact.subject
    tier = subject.tier.map { Int32(clamping: $0) }
    jobID = subject.job?.description
    attempt = subject.attempt.map { Int32(clamping: $0.number) }
    let text = FactText(record)
    summary = text.line
    documents = text.documents.map(Int64.init)
    switch record.fact {
    case .healed(let heal):
      (steps, stepsLeftOut) = MendAPI.HealStep.fitting(heal.steps, bytes: BatchesServer.eventBytesPerPage)
    case .verdictChanged(let summary): verdict = EventVerdict(summary, batchID: record.batch.batchID)
    default: break
    }
  }
}

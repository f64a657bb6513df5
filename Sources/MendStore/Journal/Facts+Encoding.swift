import MendAPI
import MendCore

extension JournalRecord {
  init(_ record: Record) {
    self.init()
    sequence = record.sequence
    atMs = record.at.milliseconds
    cause = record.cause.rawValue
    actor = record.actor
    fact = JournalRecord.Fact(record.fact)
  }
}

extension JournalRecord.Fact {
  init(_ fact: MendCore.Fact) {
    switch fact {
    case .batchCreated(let specification): self = .batchCreated(JournalSpecification(specification))
    case .documentsAdded(let documents):
      var added = JournalDocumentsAdded()
      added.documents = documents.map { MendAPI.Document(journaling: $0) }
      self = .documentsAdded(added)
    case .batchStatusChanged(let fact):
      var changed = JournalBatchStatusChanged()
      changed.status = fact.status.wire
      changed.reason = fact.reason
      self = .batchStatusChanged(changed)
    case .tierStarted(let fact):
      var started = JournalTierStarted()
      started.tier = Int32(clamping: fact.tier)
      started.handed = JournalDocumentSet(fact.handed)
      self = .tierStarted(started)
    case .tierCancelRequested(let fact):
      var requested = JournalTierCancelRequested()
      requested.tier = Int32(clamping: fact.tier)
      self = .tierCancelRequested(requested)
    case .tierStatusChanged(let fact):
      var changed = JournalTierStatusChanged()
      changed.tier = Int32(clamping: fact.tier)
      changed.status = fact.status.wire
      changed.reason = fact.reason
      self = .tierStatusChanged(changed)
    case .jobStatusChanged(let fact):
      var changed = JournalJobStatusChanged()
      changed.job = JournalJob(fact.job)
      changed.status = fact.status.wire
      changed.failure = fact.failure.map { JournalJobFailure($0) }
      changed.reason = fact.reason
      self = .jobStatusChanged(changed)
    case .attemptIntended(let fact):
      var intended = JournalAttemptIntended()
      intended.attempt = JournalAttempt(fact.attempt)
      intended.token = fact.token
      intended.parameters = JournalSubmission(fact.parameters)
      self = .attemptIntended(intended)
    case .attemptTaken(let fact):
      var taken = JournalAttemptTaken()
      taken.attempt = JournalAttempt(fact.attempt)
      taken.node = fact.handle.node
      taken.pid = fact.handle.pid
      taken.reference = fact.handle.reference
      taken.waitingFor = fact.handle.waitingFor ?? ""
      self = .attemptTaken(taken)
    case .attemptStarted(let attempt): self = .attemptStarted(JournalAttempt(attempt))
    case .attemptEnding(let fact):
      self = .attemptEnding(JournalAttemptEnding(JournalAttempt(fact.attempt), fact.reason, grace: fact.grace))
    case .attemptEnded(let fact):
      self = .attemptEnded(JournalAttemptEnded(JournalAttempt(fact.attempt), fact.end))
    case .attemptBeat(let attempt): self = .attemptBeat(JournalAttempt(attempt))
    case .staleReport(let attempt): self = .staleReport(JournalAttempt(attempt))
    case .nextAttemptScheduled(let fact):
      var next = JournalNextAttempt()
      next.job = JournalJob(fact.job)
      next.atMs = fact.at.milliseconds
      self = .nextAttemptScheduled(next)
    case .documentsClaimed(let fact):
      var claimed = JournalDocuments(fact.attempt, fact.documents)
      claimed.claimID = fact.id
      self = .documentsClaimed(claimed)
    case .documentsCommitted(let fact):
      self = .documentsCommitted(JournalDocuments(fact.attempt, fact.documents))
    case .documentsReleased(let fact):
      self = .documentsReleased(JournalDocuments(fact.attempt, fact.documents))
    case .documentsFailed(let fact):
      var failed = JournalDocumentsFailed()
      failed.attempt = JournalAttempt(fact.attempt)
      for group in fact.groups { failed.append(group) }
      self = .documentsFailed(failed)
    case .workRepeated(let fact):
      var repeated = JournalWorkRepeated()
      repeated.attempt = JournalAttempt(fact.attempt)
      repeated.count = Int64(fact.count)
      self = .workRepeated(repeated)
    case .stageEntered(let fact):
      var stage = JournalStage()
      stage.attempt = JournalAttempt(fact.attempt)
      stage.name = fact.name
      self = .stageEntered(stage)
    case .stageSpent(let fact):
      var stage = JournalStage()
      stage.attempt = JournalAttempt(fact.attempt)
      stage.name = fact.name
      stage.durationMs = fact.duration.milliseconds
      self = .stageSpent(stage)
    case .collectionWritten(let fact):
      var written = JournalCollectionWritten()
      written.job = JournalJob(fact.job)
      written.collectionID = fact.collectionID
      written.count = Int64(fact.count)
      self = .collectionWritten(written)
    case .reportTaken(let fact):
      self = .reportTaken(JournalReportTaken(JournalAttempt(fact.attempt), fact.report))
    case .documentsLeftOut(let fact):
      var leftOut = JournalDocumentsLeftOut()
      leftOut.job = JournalJob(fact.job)
      leftOut.documents = JournalDocumentSet(fact.documents)
      self = .documentsLeftOut(leftOut)
    case .retried(let fact) where fact.jobs.contains(where: \.replacesOverrides):
      self = .retried(JournalRetried(fact))
    case .retried(let fact): self = .retriedJobs(JournalRetriedJobs(fact))
    case .healed(let record): self = .healed(JournalHealRecord(record))
    case .verdictChanged(let summary): self = .verdictChanged(JournalVerdictRecord(summary))
    case .notificationSettled(let outcome): self = .notificationSettled(JournalNotificationOutcome(outcome))
    }
  }
}

extension JournalDocuments {
  init(_ attempt: AttemptID, _ set: DocumentSet) {
    self.init()
    self.attempt = JournalAttempt(attempt)
    documents = JournalDocumentSet(set)
  }
}

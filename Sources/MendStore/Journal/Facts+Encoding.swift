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
    case .batchStatusChanged(let status, let reason):
      var changed = JournalBatchStatusChanged()
      changed.status = status.wire
      changed.reason = reason
      self = .batchStatusChanged(changed)
    case .tierStarted(let tier, let handed):
      var started = JournalTierStarted()
      started.tier = Int32(clamping: tier)
      started.handed = JournalDocumentSet(handed)
      self = .tierStarted(started)
    case .tierCancelRequested(let tier):
      var requested = JournalTierCancelRequested()
      requested.tier = Int32(clamping: tier)
      self = .tierCancelRequested(requested)
    case .tierStatusChanged(let tier, let status, let reason):
      var changed = JournalTierStatusChanged()
      changed.tier = Int32(clamping: tier)
      changed.status = status.wire
      changed.reason = reason
      self = .tierStatusChanged(changed)
    case .jobStatusChanged(let job, let status, let failure, let reason):
      var changed = JournalJobStatusChanged()
      changed.job = JournalJob(job)
      changed.status = status.wire
      changed.failure = failure.map { JournalJobFailure($0) }
      changed.reason = reason
      self = .jobStatusChanged(changed)
    case .attemptIntended(let job, let number, let token, let parameters):
      var intended = JournalAttemptIntended()
      intended.attempt = JournalAttempt(job, number)
      intended.token = token
      intended.parameters = JournalSubmission(parameters)
      self = .attemptIntended(intended)
    case .attemptTaken(let job, let number, let handle):
      var taken = JournalAttemptTaken()
      taken.attempt = JournalAttempt(job, number)
      taken.node = handle.node
      taken.pid = handle.pid
      taken.reference = handle.reference
      taken.waitingFor = handle.waitingFor ?? ""
      self = .attemptTaken(taken)
    case .attemptStarted(let job, let number): self = .attemptStarted(JournalAttempt(job, number))
    case .attemptEnding(let job, let number, let reason, let grace):
      self = .attemptEnding(JournalAttemptEnding(JournalAttempt(job, number), reason, grace: grace))
    case .attemptEnded(let job, let number, let end):
      self = .attemptEnded(JournalAttemptEnded(JournalAttempt(job, number), end))
    case .attemptBeat(let job, let number): self = .attemptBeat(JournalAttempt(job, number))
    case .staleReport(let job, let number): self = .staleReport(JournalAttempt(job, number))
    case .nextAttemptScheduled(let job, let at):
      var next = JournalNextAttempt()
      next.job = JournalJob(job)
      next.atMs = at.milliseconds
      self = .nextAttemptScheduled(next)
    case .documentsClaimed(let job, let number, let set, let id):
      var claimed = JournalDocuments(job, number, set)
      claimed.claimID = id
      self = .documentsClaimed(claimed)
    case .documentsCommitted(let job, let number, let set):
      self = .documentsCommitted(JournalDocuments(job, number, set))
    case .documentsReleased(let job, let number, let set):
      self = .documentsReleased(JournalDocuments(job, number, set))
    case .documentsFailed(let job, let number, let documents):
      var failed = JournalDocumentsFailed()
      failed.attempt = JournalAttempt(job, number)
      for group in documents { failed.append(group) }
      self = .documentsFailed(failed)
    case .workRepeated(let job, let number, let count):
      var repeated = JournalWorkRepeated()
      repeated.attempt = JournalAttempt(job, number)
      repeated.count = Int64(count)
      self = .workRepeated(repeated)
    case .stageEntered(let job, let number, let name):
      var stage = JournalStage()
      stage.attempt = JournalAttempt(job, number)
      stage.name = name
      self = .stageEntered(stage)
    case .stageSpent(let job, let number, let name, let duration):
      var stage = JournalStage()
      stage.attempt = JournalAttempt(job, number)
      stage.name = name
      stage.durationMs = duration.milliseconds
      self = .stageSpent(stage)
    case .collectionWritten(let job, let collectionID, let count):
      var written = JournalCollectionWritten()
      written.job = JournalJob(job)
      written.collectionID = collectionID
      written.count = Int64(count)
      self = .collectionWritten(written)
    case .reportTaken(let job, let number, let report):
      self = .reportTaken(JournalReportTaken(JournalAttempt(job, number), report))
    case .documentsLeftOut(let job, let set):
      var leftOut = JournalDocumentsLeftOut()
      leftOut.job = JournalJob(job)
      leftOut.documents = JournalDocumentSet(set)
      self = .documentsLeftOut(leftOut)
    case .retried(let tier, let jobs, let actor, let initiative) where jobs.contains(where: \.replacesOverrides):
      self = .retried(JournalRetried(tier: tier, jobs: jobs, actor: actor, by: initiative))
    case .retried(let tier, let jobs, let actor, let initiative):
      self = .retriedJobs(JournalRetriedJobs(tier: tier, jobs: jobs, actor: actor, by: initiative))
    case .healed(let record): self = .healed(JournalHealRecord(record))
    case .verdictChanged(let verdict): self = .verdictChanged(JournalVerdictRecord(verdict))
    case .notificationSettled(let outcome): self = .notificationSettled(JournalNotificationOutcome(outcome))
    }
  }
}

extension JournalDocuments {
  init(_ job: JobID, _ number: Int, _ set: DocumentSet) {
    self.init()
    attempt = JournalAttempt(job, number)
    documents = JournalDocumentSet(set)
  }
}

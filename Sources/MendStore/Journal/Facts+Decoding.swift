import MendAPI
import MendCore

extension JournalRecord {
  /// Throws for a fact, or a value in it, that this version doesn't know.
  func record(of batch: BatchKey) throws(JournalFault) -> Record {
    guard let fact else { throw JournalFault("an unknown fact") }
    let known = try fact.fact()
    guard let cause = Record.Cause(rawValue: cause) else {
      throw JournalFault("no cause \(String(cause.prefix(40)).debugDescription)")
    }
    return Record(batch: batch, sequence: sequence, at: Instant(atMs), cause: cause, actor: actor, fact: known)
  }
}

extension JournalRecord.Fact {
  func fact() throws(JournalFault) -> MendCore.Fact {
    switch self {
    case .batchCreated(let specification): return .batchCreated(try specification.specification())
    case .documentsAdded(let added): return .documentsAdded(added.documents.map(\.journaled))
    case .batchStatusChanged(let changed):
      return .batchStatusChanged(try MendCore.BatchStatus(changed.status), reason: changed.reason)
    case .tierStarted(let started):
      return .tierStarted(tier: Int(started.tier), handed: try started.handed?.documents() ?? DocumentSet())
    case .tierCancelRequested(let requested): return .tierCancelRequested(tier: Int(requested.tier))
    // As earlier versions wrote it.
    case .tierStatusChanged(let changed) where changed.status == .running && changed.reason == "cancel requested":
      return .tierCancelRequested(tier: Int(changed.tier))
    case .tierStatusChanged(let changed):
      return .tierStatusChanged(
        tier: Int(changed.tier), try MendCore.TierStatus(changed.status), reason: changed.reason)
    case .jobStatusChanged(let changed):
      return .jobStatusChanged(
        try required(changed.job, "job").job, try MendCore.JobStatus(changed.status),
        failure: try changed.failure?.failure(), reason: changed.reason)
    case .attemptIntended(let intended):
      let attempt = try required(intended.attempt, "attempt")
      return .attemptIntended(
        attempt.job, number: attempt.place, token: intended.token,
        try required(intended.parameters, "parameters").parameters())
    case .attemptTaken(let taken):
      let attempt = try required(taken.attempt, "attempt")
      return .attemptTaken(
        attempt.job, number: attempt.place,
        ExecutorHandle(
          node: taken.node, pid: taken.pid, reference: taken.reference,
          waitingFor: taken.waitingFor.isEmpty ? nil : taken.waitingFor))
    case .attemptStarted(let attempt): return .attemptStarted(attempt.job, number: attempt.place)
    case .attemptEnding(let ending):
      let attempt = try required(ending.attempt, "attempt")
      return .attemptEnding(
        attempt.job, number: attempt.place, try ending.reason(), grace: ending.graceMs.map { Duration(journaled: $0) })
    case .attemptEnded(let ended):
      let attempt = try required(ended.attempt, "attempt")
      return .attemptEnded(attempt.job, number: attempt.place, try ended.end())
    case .attemptBeat(let attempt): return .attemptBeat(attempt.job, number: attempt.place)
    case .staleReport(let attempt): return .staleReport(attempt.job, number: attempt.place)
    case .nextAttemptScheduled(let next):
      return .nextAttemptScheduled(try required(next.job, "job").job, at: Instant(next.atMs))
    case .documentsClaimed(let entry):
      let (job, number, documents) = try entry.parts()
      return .documentsClaimed(job, number: number, documents, id: entry.claimID)
    case .documentsCommitted(let entry):
      let (job, number, documents) = try entry.parts()
      return .documentsCommitted(job, number: number, documents)
    case .documentsReleased(let entry):
      let (job, number, documents) = try entry.parts()
      return .documentsReleased(job, number: number, documents)
    case .documentsFailed(let failed):
      let attempt = try required(failed.attempt, "attempt")
      return .documentsFailed(attempt.job, number: attempt.place, try failed.groups())
    case .workRepeated(let repeated):
      let attempt = try required(repeated.attempt, "attempt")
      return .workRepeated(attempt.job, number: attempt.place, count: Int(journaled: repeated.count))
    case .stageEntered(let stage):
      let attempt = try required(stage.attempt, "attempt")
      return .stageEntered(attempt.job, number: attempt.place, name: stage.name)
    case .stageSpent(let stage):
      let attempt = try required(stage.attempt, "attempt")
      return .stageSpent(attempt.job, number: attempt.place, name: stage.name, Duration(journaled: stage.durationMs))
    case .collectionWritten(let written):
      return .collectionWritten(
        try required(written.job, "job").job, collectionID: written.collectionID, count: Int(journaled: written.count))
    case .retried(let retried):
      return .retried(
        tier: Int(retried.tier), jobs: try retried.retriedJobs(), actor: retried.actor,
        by: try retried.initiative.initiative(of: retried.actor))
    case .retriedJobs(let retried):
      return .retried(
        tier: Int(retried.tier), jobs: try retried.retriedJobs(), actor: retried.actor,
        by: try retried.initiative.initiative(of: retried.actor))
    case .reportTaken(let taken):
      let attempt = try required(taken.attempt, "attempt")
      return .reportTaken(attempt.job, number: attempt.place, taken.report)
    case .documentsLeftOut(let leftOut):
      return .documentsLeftOut(
        try required(leftOut.job, "job").job, try leftOut.documents?.documents() ?? DocumentSet())
    case .healed(let record): return .healed(try record.record())
    case .verdictChanged(let verdict): return .verdictChanged(try verdict.verdict())
    case .notificationSettled(let outcome): return .notificationSettled(outcome.outcome)
    }
  }
}

extension JournalDocuments {
  fileprivate func parts() throws(JournalFault) -> (JobID, Int, DocumentSet) {
    let place = try required(attempt, "attempt")
    return (place.job, place.place, try documents?.documents() ?? DocumentSet())
  }
}

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
      return .batchStatusChanged(.init(try MendCore.BatchStatus(changed.status), reason: changed.reason))
    case .tierStarted(let started):
      return .tierStarted(.init(tier: Int(started.tier), handed: try started.handed?.documents() ?? DocumentSet()))
    case .tierCancelRequested(let requested): return .tierCancelRequested(.init(tier: Int(requested.tier)))
    // As earlier versions wrote it.
    case .tierStatusChanged(let changed) where changed.status == .running && changed.reason == "cancel requested":
      return .tierCancelRequested(.init(tier: Int(changed.tier)))
    case .tierStatusChanged(let changed):
      return .tierStatusChanged(
        .init(tier: Int(changed.tier), try MendCore.TierStatus(changed.status), reason: changed.reason))
    case .jobStatusChanged(let changed):
      return .jobStatusChanged(
        .init(
          try required(changed.job, "job").job, try MendCore.JobStatus(changed.status),
          failure: try changed.failure?.failure(), reason: changed.reason))
    case .attemptIntended(let intended):
      return .attemptIntended(
        .init(
          try required(intended.attempt), token: intended.token,
          try required(intended.parameters, "parameters").parameters()))
    case .attemptTaken(let taken):
      return .attemptTaken(
        .init(
          try required(taken.attempt),
          ExecutorHandle(
            node: taken.node, pid: taken.pid, reference: taken.reference,
            waitingFor: taken.waitingFor.isEmpty ? nil : taken.waitingFor)))
    case .attemptStarted(let attempt): return .attemptStarted(attempt.id)
    case .attemptEnding(let ending):
      return .attemptEnding(
        .init(
          try required(ending.attempt), try ending.reason(), grace: ending.graceMs.map { Duration(journaled: $0) }))
    case .attemptEnded(let ended): return .attemptEnded(.init(try required(ended.attempt), try ended.end()))
    case .attemptBeat(let attempt): return .attemptBeat(attempt.id)
    case .staleReport(let attempt): return .staleReport(attempt.id)
    case .nextAttemptScheduled(let next):
      return .nextAttemptScheduled(.init(try required(next.job, "job").job, at: Instant(next.atMs)))
    case .documentsClaimed(let entry):
      return .documentsClaimed(.init(try required(entry.attempt), try entry.set(), id: entry.claimID))
    case .documentsCommitted(let entry):
      return .documentsCommitted(.init(try required(entry.attempt), try entry.set()))
    case .documentsReleased(let entry): return .documentsReleased(.init(try required(entry.attempt), try entry.set()))
    case .documentsFailed(let failed):
      return .documentsFailed(.init(try required(failed.attempt), try failed.groups()))
    case .workRepeated(let repeated):
      return .workRepeated(.init(try required(repeated.attempt), count: Int(journaled: repeated.count)))
    case .stageEntered(let stage): return .stageEntered(.init(try required(stage.attempt), name: stage.name))
    case .stageSpent(let stage):
      return .stageSpent(
        .init(try required(stage.attempt), name: stage.name, Duration(journaled: stage.durationMs)))
    case .collectionWritten(let written):
      return .collectionWritten(
        .init(
          try required(written.job, "job").job, collectionID: written.collectionID,
          count: Int(journaled: written.count)))
    case .retried(let retried): return .retried(try retried.retried())
    case .retriedJobs(let retried): return .retried(try retried.retried())
    case .reportTaken(let taken): return .reportTaken(.init(try required(taken.attempt), taken.report))
    case .documentsLeftOut(let leftOut):
      return .documentsLeftOut(
        .init(try required(leftOut.job, "job").job, try leftOut.documents?.documents() ?? DocumentSet()))
    case .healed(let record): return .healed(try record.record())
    case .verdictChanged(let summary): return .verdictChanged(try summary.summary())
    case .notificationSettled(let outcome): return .notificationSettled(outcome.outcome)
    }
  }
}

extension JournalDocuments {
  fileprivate func set() throws(JournalFault) -> DocumentSet { try documents?.documents() ?? DocumentSet() }
}

private func required(_ attempt: JournalAttempt?) throws(JournalFault) -> AttemptID {
  try required(attempt, "attempt").id
}

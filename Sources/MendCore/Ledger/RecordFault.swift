/// Why a record cannot be part of its batch's history: the journal is damaged, or whoever wrote it or was about to is at fault.
///
/// A batch with one is set aside; the others go on.
public struct RecordFault: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Kind: Hashable, Sendable {
    /// The first record is not the batch's creation, or a later one is.
    case creation
    /// Another record was due here.
    case sequence(expected: UInt64)
    /// Named, and not there.
    case tier(Int)
    case job(JobID)
    case attempt(AttemptID)
    case document(Int)
    /// Attempts are numbered from 1 without gaps.
    case attemptNumber(AttemptID, expected: Int)
    /// What was decided breaks what must hold of every batch. No record of it is in the journal.
    case invariant(Invariant)
  }

  public var batch: BatchKey
  /// Of the record.
  public var sequence: UInt64
  public var kind: Kind

  init(batch: BatchKey, sequence: UInt64, kind: Kind) {
    self.batch = batch
    self.sequence = sequence
    self.kind = kind
  }

  init(_ record: Record, _ kind: Kind) { self.init(batch: record.batch, sequence: record.sequence, kind: kind) }

  /// `record 7 names job t1-j4, which the batch does not have`.
  public var description: String {
    switch kind {
    case .creation: "record \(sequence): a journal begins with its batch's creation, and has one only"
    case .sequence(let expected): "record \(expected) is missing, \(sequence) stands in its place"
    case .tier(let tier): "record \(sequence) names tier \(tier), which the batch does not have"
    case .job(let job): "record \(sequence) names job \(job), which the batch does not have"
    case .attempt(let attempt): "record \(sequence) names attempt \(attempt), which was never intended"
    case .document(let position): "record \(sequence) names document \(position), which the batch does not have"
    case .attemptNumber(let attempt, let expected):
      "record \(sequence) intends attempt \(attempt), where \(expected) is the next"
    case .invariant(let invariant): "what was decided at record \(sequence) cannot be: \(invariant)"
    }
  }
}

extension Batch {
  /// What is wrong with a record as this batch's next one; nil where nothing is.
  ///
  /// Of sets of documents only their ends are looked at.
  func fault(of record: Record) -> RecordFault? {
    func found(_ kind: RecordFault.Kind?) -> RecordFault? { kind.map { RecordFault(record, $0) } }
    guard record.sequence == sequence + 1 else { return found(.sequence(expected: sequence + 1)) }
    switch record.fact {
    case .batchCreated:
      return found(.creation)
    case .documentsAdded, .batchStatusChanged, .healed, .verdictChanged, .notificationSettled:
      return nil
    case .tierStarted(let fact):
      return found(unknown(fact.tier) ?? unknown(fact.handed))
    case .tierStatusChanged(let fact):
      return found(unknown(fact.tier))
    case .tierCancelRequested(let fact):
      return found(unknown(fact.tier))
    case .retried(let fact):
      if let kind = unknown(fact.tier) { return found(kind) }
      for job in fact.jobs { if let kind = unknown(job.job) ?? unknown(job.reopened) { return found(kind) } }
      return nil
    case .jobStatusChanged(let fact):
      return found(unknown(fact.job))
    case .nextAttemptScheduled(let fact):
      return found(unknown(fact.job))
    case .documentsClaimed(let fact):
      return found(unknownOrNone(fact.attempt) ?? unknown(fact.documents))
    case .documentsCommitted(let fact), .documentsReleased(let fact):
      return found(unknownOrNone(fact.attempt) ?? unknown(fact.documents))
    case .documentsFailed(let fact):
      if let kind = unknownOrNone(fact.attempt) { return found(kind) }
      for group in fact.groups { if let kind = unknown(group.documents) { return found(kind) } }
      return nil
    case .documentsLeftOut(let fact):
      return found(unknown(fact.job) ?? unknown(fact.documents))
    case .workRepeated(let fact):
      return found(unknownOrNone(fact.attempt))
    case .stageSpent(let fact):
      return found(unknownOrNone(fact.attempt))
    case .collectionWritten(let fact):
      return found(unknown(fact.job))
    case .attemptIntended(let fact):
      if let kind = unknown(fact.job) { return found(kind) }
      let next = tiers[fact.job.tier].jobs[fact.job.index].attempts.count + 1
      return found(fact.number == next ? nil : .attemptNumber(fact.attempt, expected: next))
    case .attemptTaken, .attemptStarted, .attemptBeat, .attemptEnding, .attemptEnded, .staleReport, .stageEntered,
      .reportTaken:
      return found(record.fact.attempt.flatMap(unknown))
    }
  }

  private func unknown(_ tier: Int) -> RecordFault.Kind? { tiers.indices.contains(tier) ? nil : .tier(tier) }

  private func unknown(_ job: JobID) -> RecordFault.Kind? { contains(job) ? nil : .job(job) }

  private func unknown(_ positions: DocumentSet) -> RecordFault.Kind? {
    guard let last = positions.last, last >= documents.count else { return nil }
    return .document(last)
  }

  private func unknown(_ attempt: AttemptID) -> RecordFault.Kind? {
    unknown(attempt.job) ?? (attemptIndex(attempt) == nil ? .attempt(attempt) : nil)
  }

  /// Number 0 is nobody's: what the core does to a job's documents by itself.
  private func unknownOrNone(_ attempt: AttemptID) -> RecordFault.Kind? {
    attempt.number == 0 ? unknown(attempt.job) : unknown(attempt)
  }
}

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
    case attempt(JobID, Int)
    case document(Int)
    /// Attempts are numbered from 1 without gaps.
    case attemptNumber(JobID, Int, expected: Int)
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
    case .attempt(let job, let number): "record \(sequence) names attempt \(job).\(number), which was never intended"
    case .document(let position): "record \(sequence) names document \(position), which the batch does not have"
    case .attemptNumber(let job, let number, let expected):
      "record \(sequence) intends attempt \(job).\(number), where \(expected) is the next"
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
    case .tierStarted(let tier, let handed):
      return found(unknown(tier) ?? unknown(handed))
    case .tierStatusChanged(let tier, _, _), .tierCancelRequested(let tier):
      return found(unknown(tier))
    case .retried(let tier, let jobs, _, _):
      if let kind = unknown(tier) { return found(kind) }
      for job in jobs { if let kind = unknown(job.job) ?? unknown(job.reopened) { return found(kind) } }
      return nil
    case .jobStatusChanged(let job, _, _, _), .nextAttemptScheduled(let job, _):
      return found(unknown(job))
    case .documentsClaimed(let job, let number, let set, _), .documentsCommitted(let job, let number, let set),
      .documentsReleased(let job, let number, let set):
      return found(unknown(job) ?? unknownOrNone(job, number) ?? unknown(set))
    case .documentsFailed(let job, let number, let failed):
      if let kind = unknown(job) ?? unknownOrNone(job, number) { return found(kind) }
      for group in failed { if let kind = unknown(group.documents) { return found(kind) } }
      return nil
    case .documentsLeftOut(let job, let set):
      return found(unknown(job) ?? unknown(set))
    case .workRepeated(let job, let number, _), .stageSpent(let job, let number, _, _):
      return found(unknown(job) ?? unknownOrNone(job, number))
    case .collectionWritten(let job, _, _):
      return found(unknown(job))
    case .attemptIntended(let job, let number, _, _):
      if let kind = unknown(job) { return found(kind) }
      let next = tiers[job.tier].jobs[job.index].attempts.count + 1
      return found(number == next ? nil : .attemptNumber(job, number, expected: next))
    case .attemptTaken(let job, let number, _), .attemptStarted(let job, let number),
      .attemptBeat(let job, let number),
      .attemptEnding(let job, let number, _, _), .attemptEnded(let job, let number, _),
      .staleReport(let job, let number),
      .stageEntered(let job, let number, _),
      .reportTaken(let job, let number, _):
      return found(unknown(job) ?? (attemptIndex(job, number) == nil ? .attempt(job, number) : nil))
    }
  }

  private func unknown(_ tier: Int) -> RecordFault.Kind? { tiers.indices.contains(tier) ? nil : .tier(tier) }

  private func unknown(_ job: JobID) -> RecordFault.Kind? { contains(job) ? nil : .job(job) }

  private func unknown(_ positions: DocumentSet) -> RecordFault.Kind? {
    guard let last = positions.last, last >= documents.count else { return nil }
    return .document(last)
  }

  /// Number 0 is nobody's: what the core does to a job's documents by itself.
  private func unknownOrNone(_ job: JobID, _ number: Int) -> RecordFault.Kind? {
    number == 0 || attemptIndex(job, number) != nil ? nil : .attempt(job, number)
  }
}

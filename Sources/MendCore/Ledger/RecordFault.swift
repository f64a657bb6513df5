/// Why a record cannot be the next one of its batch: the journal is damaged, or a program that wrote it has a bug.
///
/// A batch with one is set aside; the others go on.
package struct RecordFault: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Kind: Hashable, Sendable {
    /// The first record is not the batch's creation, or a later one is.
    case creation
    /// Another record was due here.
    case sequence(expected: UInt64)
    /// The record names what the batch does not have: a tier, a job, an attempt or a document.
    case tier(Int)
    case job(JobID)
    case attempt(AttemptID)
    case document(Int)
    /// Attempts are numbered from 1 without gaps.
    case attemptNumber(AttemptID, expected: Int)
    /// What was decided breaks what must hold of every batch. No record of it is in the journal.
    case invariant(Invariant)
  }

  package var batch: BatchKey
  /// Of the record.
  package var sequence: UInt64
  package var kind: Kind

  init(batch: BatchKey, sequence: UInt64, kind: Kind) {
    self.batch = batch
    self.sequence = sequence
    self.kind = kind
  }

  init(_ record: Record, _ kind: Kind) { self.init(batch: record.batch, sequence: record.sequence, kind: kind) }

  /// `record 7 names job t1-j4, which the batch does not have`.
  package var description: String {
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
    guard record.sequence == sequence + 1 else { return RecordFault(record, .sequence(expected: sequence + 1)) }
    return fault(of: record.fact).map { RecordFault(record, $0) }
  }

  private func fault(of fact: Fact) -> RecordFault.Kind? {
    switch fact {
    case .batchCreated: return .creation
    case .attemptIntended(let fact):
      guard contains(fact.job) else { return .job(fact.job) }
      let next = tiers[fact.job.tier].jobs[fact.job.index].attempts.count + 1
      return fact.number == next ? nil : .attemptNumber(fact.attempt, expected: next)
    case .retried(let fact):
      if let job = fact.jobs.first(where: { !contains($0.job) }), tiers.indices.contains(fact.tier) {
        return .job(job.job)
      }
    default: break
    }
    if let kind = missing(fact.subject) { return kind }
    return fact.lastDocument.flatMap { $0 < documents.count ? nil : .document($0) }
  }

  private func missing(_ subject: Fact.Subject) -> RecordFault.Kind? {
    switch subject {
    case .batch: return nil
    case .tier(let tier): return tiers.indices.contains(tier) ? nil : .tier(tier)
    case .job(let job): return contains(job) ? nil : .job(job)
    case .attempt(let attempt), .work(let attempt):
      guard contains(attempt.job) else { return .job(attempt.job) }
      if case .work = subject, attempt.number == 0 { return nil }
      return attemptIndex(attempt) == nil ? .attempt(attempt) : nil
    }
  }
}

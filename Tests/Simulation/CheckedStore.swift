import MendCore
import MendRuntime

/// A store that dies at a write when the world says so, and that looks at each record on its way: what holds of every
/// history.
///
/// Used from the one thread of its world.
final class CheckedStore: Store, @unchecked Sendable {
  enum Death { case none, before, after }

  private(set) var base: any Store
  private let reopened: (any Store) throws -> any Store
  /// What the next write comes to.
  var death: () -> Death = { .none }
  var broken: (String) -> Void = { _ in }
  /// Told of each record that became durable.
  var onRecord: (Record) -> Void = { _ in }
  /// Everything durable, and what it folds to.
  private(set) var journals: [BatchKey: [Record]] = [:]
  private(set) var batches: [BatchKey: Batch] = [:]
  /// Said to need no recovery, and not written to since.
  private(set) var retiredBatches: Set<BatchKey> = []
  private(set) var writes = 0

  init(_ base: any Store, reopened: @escaping (any Store) throws -> any Store) {
    self.base = base
    self.reopened = reopened
  }

  /// What a new process finds.
  func reopen() throws { base = try reopened(base) }

  func commit(_ writes: [Write]) throws(StoreError) {
    self.writes += 1
    let death = death()
    if death == .before { throw StoreError(operation: "commit", message: "the disk was gone before it") }
    try base.commit(writes)
    for case .record(let record) in writes { take(record) }
    if death == .after { throw StoreError(operation: "commit", message: "the disk was gone after it") }
  }

  private func take(_ record: Record) {
    retiredBatches.remove(record.batch)
    journals[record.batch, default: []].append(record)
    if batches[record.batch] == nil {
      batches[record.batch] = Batch.creating(record)
    } else {
      if let before = batches[record.batch] { check(record, before) }
      batches[record.batch]?.apply(record)
    }
    onRecord(record)
  }

  /// The rules of a history.
  private func check(_ record: Record, _ before: Batch) {
    let name = record.batch.batchID
    func job(_ id: JobID) -> Job { before.tiers[id.tier].jobs[id.index] }
    switch record.fact {
    case .documentsCommitted(let id, let number, let documents):
      if job(id).current?.number != number { broken("\(name) \(id).\(number) commits, and is not the current attempt") }
      if documents.contains(where: { job(id).committed.contains($0) }) {
        broken("\(name) \(id): a document is committed twice")
      }
      if before.status.isFinal { broken("\(name): a commit after \(before.status)") }
    case .documentsClaimed(let id, let number, let documents, _):
      if before.status != .running { broken("\(name) \(id): a claim while \(before.status)") }
      if job(id).current?.number != number { broken("\(name) \(id).\(number) claims, and is not the current attempt") }
      let maximum = before.specification.maxConcurrent
      let held = before.tiers.reduce(0) { $0 + $1.jobs.reduce(0) { $0 + $1.processing.count } }
      if maximum > 0, held + documents.count > maximum { broken("\(name): more than \(maximum) documents in process") }
      if documents.contains(where: { job(id).committed.contains($0) }) {
        broken("\(name) \(id): a committed document is handed out again")
      }
    case .retried(_, let jobs, let actor) where actor == "scheduler":
      for retried in jobs where retried.reopened.contains(where: { job(retried.job).committed.contains($0) }) {
        broken("\(name) \(retried.job): a committed document is done again by rule")
      }
    case .attemptIntended(let id, let number, _, _):
      if job(id).current != nil { broken("\(name) \(id).\(number) is intended beside another attempt") }
      if before.status.isFinal { broken("\(name): an attempt after \(before.status)") }
    case .attemptEnded(let id, let number, _):
      if job(id).current?.number != number { broken("\(name) \(id).\(number) ends twice") }
    case .batchStatusChanged(let status, _):
      if before.status.isFinal {
        let reopening = journals[record.batch]?.suffix(40).contains { earlier in
          if case .retried = earlier.fact { earlier.at == record.at } else { false }
        }
        if reopening != true { broken("\(name) left \(before.status) for \(status), without a retry") }
      }
      if status.isFinal, before.tiers.contains(where: { $0.jobs.contains { $0.current != nil } }) {
        broken("\(name) is \(status), and an attempt lives")
      }
      if status == .completed, before.tiers.contains(where: { $0.status != .completed }) {
        broken("\(name) is completed, and a tier is not")
      }
    case .jobStatusChanged(let id, let status, _, let reason):
      let old = job(id).status
      if old.isFinal, status != .pending || !reason.contains("retr") {
        broken("\(name) \(id) left \(old) for \(status)")
      }
    default: break
    }
  }

  // MARK: The rest is the base's

  func recover(at now: Instant) throws(StoreError) -> Recovery {
    let recovery = try base.recover(at: now)
    for batch in recovery.batches where batches[batch.key].map({ $0 != batch }) ?? true {
      broken("\(batch.key.batchID): what is recovered at \(batch.sequence) is not what its journal folds to")
    }
    return recovery
  }
  func batch(_ key: BatchKey) throws(StoreError) -> Batch? { try base.batch(key) }
  func batches(_ keys: [BatchKey]) throws(StoreError) -> [Batch?] { try base.batches(keys) }
  func keepSnapshot(of key: BatchKey, documents: DocumentTable) throws(StoreError) {
    try base.keepSnapshot(of: key, documents: documents)
  }
  func journal(of batch: BatchKey, after sequence: UInt64) throws(StoreError) -> [Record] {
    try base.journal(of: batch, after: sequence)
  }
  func retire(_ batch: BatchKey, entry: BatchListing) throws(StoreError) { try retire([entry]) }
  func retire(_ entries: [BatchListing]) throws(StoreError) {
    let death = death()
    if death == .before { throw StoreError(operation: "retire", message: "the disk was gone before it") }
    try base.retire(entries)
    retiredBatches.formUnion(entries.map(\.key))
    if death == .after { throw StoreError(operation: "retire", message: "the disk was gone after it") }
  }
  func retired(
    namespace: String, status: BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
  ) throws(StoreError) -> [BatchListing] {
    try base.retired(namespace: namespace, status: status, bucketID: bucketID, before: cursor, limit: limit)
  }
}

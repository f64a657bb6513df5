import MendCore
import MendRuntime

/// A store that dies at a write when the world says so, and that shows the world each record on its way.
///
/// Used from the one thread of its world.
final class CheckedStore: Store, @unchecked Sendable {
  enum Death { case none, before, after }

  private(set) var base: any Store
  private let reopened: (any Store) throws -> any Store
  /// What the next write comes to.
  var death: () -> Death = { .none }
  var broken: (Invariant, String) -> Void = { _, _ in }
  /// Told of each record that became durable, before the model has it and after.
  var onRecord: (Record, Model) -> Void = { _, _ in }
  var afterRecord: (Record) -> Void = { _ in }
  /// Told of each commit, whole.
  var afterCommit: ([Write]) -> Void = { _ in }
  /// Everything durable, and what it comes to by the simulator's own count.
  private(set) var journals: [BatchKey: [Record]] = [:]
  private(set) var models: [BatchKey: Model] = [:]
  private(set) var room = Room()
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
    afterCommit(writes)
    if death == .after { throw StoreError(operation: "commit", message: "the disk was gone after it") }
  }

  private func take(_ record: Record) {
    let key = record.batch
    retiredBatches.remove(key)
    journals[key, default: []].append(record)
    guard let before = models[key] else {
      models[key] = Model(record)
      if models[key] == nil { broken(.history, "\(key.batchID) begins with \(record.fact)") }
      return
    }
    if record.sequence != before.sequence + 1 {
      broken(.history, "\(key.batchID): \(record.sequence) comes after \(before.sequence)")
    }
    onRecord(record, before)
    if case .documentsFailed(let value) = record.fact { models[key]?.countDeaths(value.job, value.groups) }
    models[key]?.take(record)
    follow(record, before)
    afterRecord(record)
  }

  /// What is held, and by whom.
  private func follow(_ record: Record, _ before: Model) {
    let key = record.batch
    switch record.fact {
    case .attemptIntended(let intended): room.add(intended.parameters.resources, of: before)
    case .attemptEnded(let ended):
      if let attempt = before.attempt(ended.job, ended.number), attempt.end == nil {
        room.remove(attempt.needs, of: before)
      }
    case .batchStatusChanged:
      let change = (models[key]?.isStarted == true ? 1 : 0) - (before.isStarted ? 1 : 0)
      room.started[key.namespace, default: 0] += change
    default: break
    }
  }

  // MARK: The rest is the base's

  func recover(at now: Instant) throws(StoreError) -> Recovery {
    let recovery = try base.recover(at: now)
    for aside in recovery.setAside { broken(.recovery, "\(aside)") }
    for batch in recovery.batches where (try? Batch.folding(journals[batch.key] ?? [])) != batch {
      broken(.recovery, "\(batch.key.batchID): what is recovered at \(batch.sequence) is not what its journal folds to")
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
  func notifications(
    dueAt now: Instant, limit: Int, except batches: Set<BatchKey>
  ) throws(StoreError) -> [PendingNotification] {
    try base.notifications(dueAt: now, limit: limit, except: batches)
  }
  func outboxState(except batches: Set<BatchKey>) throws(StoreError) -> OutboxState {
    try base.outboxState(except: batches)
  }
  func putOff(_ eventID: String, attempts: Int, until: Instant) throws(StoreError) {
    try base.putOff(eventID, attempts: attempts, until: until)
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

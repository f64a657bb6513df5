import Dispatch
import MendCore
import MendRuntime
import Synchronization
import TestSupport

/// A store in front of another: keeps what was done in which order, can hold a commit up, and can fail.
final class ObservedStore: Store {
  private struct State {
    var commits: [[Write]] = []
    var retires: [[BatchListing]] = []
    var isHeld = false
    var isCommitting = false
    var failsCommit: Int?
    var failsRecovery = false
    var damaged: Set<BatchKey> = []
    var checks = 0
    var failsReads = false
    var isFull = false
    var probes = 0
    var holdsReads = false
    var heldReads = 0
  }

  private let base: any Store
  private let journal: Seen<String>
  private let state = Mutex(State())
  private let gate = DispatchSemaphore(value: 0)
  private let readGate = DispatchSemaphore(value: 0)

  init(_ base: any Store, _ journal: Seen<String>) {
    self.base = base
    self.journal = journal
  }

  var commits: [[Write]] { state.withLock { $0.commits } }
  var retires: [[BatchListing]] { state.withLock { $0.retires } }
  /// A commit waits at the gate.
  var isCommitting: Bool { state.withLock { $0.isCommitting } }

  /// From now on commits wait, until `release()`.
  func hold() { state.withLock { $0.isHeld = true } }

  func release() {
    let waits = state.withLock { state in
      state.isHeld = false
      return state.isCommitting
    }
    if waits { gate.signal() }
  }

  /// The commit with this number, counted from 0, fails; nothing of it is written.
  func fail(commit number: Int) { state.withLock { $0.failsCommit = number } }
  func failRecovery() { state.withLock { $0.failsRecovery = true } }

  /// Whether commits find no room.
  func setFull(_ isFull: Bool) { state.withLock { $0.isFull = isFull } }
  var probes: Int { state.withLock { $0.probes } }

  func probe() throws(StoreError) {
    let isFull = state.withLock { state in
      state.probes += 1
      return state.isFull
    }
    if isFull { throw Self.full }
  }

  private static let full = StoreError(operation: "commit", message: "no room", isFull: true)

  func failReads() { state.withLock { $0.failsReads = true } }

  /// From now on reads of journals wait, until `releaseReads()`.
  func holdReads() { state.withLock { $0.holdsReads = true } }

  func releaseReads() {
    let held = state.withLock { state in
      state.holdsReads = false
      defer { state.heldReads = 0 }
      return state.heldReads
    }
    for _ in 0..<held { readGate.signal() }
  }

  /// Reads that wait at the gate.
  var heldReads: Int { state.withLock { $0.heldReads } }

  func commit(_ writes: [Write]) throws(StoreError) {
    let (waits, fails) = state.withLock { state in
      state.isCommitting = state.isHeld
      return (state.isHeld, state.failsCommit == state.commits.count)
    }
    if waits { gate.wait() }
    if fails { throw StoreError(operation: "commit", message: "the disk is gone") }
    if state.withLock({ $0.isFull }) { throw Self.full }
    try base.commit(writes)
    state.withLock { state in
      state.isCommitting = false
      state.commits.append(writes)
    }
    journal.add("committed \(writes.count)")
  }

  func recover(at now: Instant) throws(StoreError) -> Recovery {
    if state.withLock({ $0.failsRecovery }) { throw StoreError(operation: "recover", message: "the disk is gone") }
    var recovery = try base.recover(at: now)
    for key in state.withLock({ $0.damaged }) {
      recovery.batches.removeAll { $0.key == key }
      recovery.setAside.append(SetAside(batch: key, ground: .journal, sequence: 2, reason: "its journal is damaged"))
    }
    return recovery
  }

  /// From now on the batch's journal can't be read.
  func damage(_ key: BatchKey) { state.withLock { _ = $0.damaged.insert(key) } }

  func batch(_ key: BatchKey) throws(StoreError) -> Batch? {
    guard !state.withLock({ $0.damaged.contains(key) }) else {
      throw StoreError(operation: "journal", message: "its journal is damaged", damaged: key, sequence: 2)
    }
    return Batch.read(try journal(of: key, after: 0))
  }

  func check() throws(StoreError) { state.withLock { $0.checks += 1 } }
  var checks: Int { state.withLock { $0.checks } }

  func journal(of batch: BatchKey, after sequence: UInt64) throws(StoreError) -> [Record] {
    let (waits, fails) = state.withLock { state in
      if state.holdsReads { state.heldReads += 1 }
      return (state.holdsReads, state.failsReads)
    }
    if waits { readGate.wait() }
    if fails { throw StoreError(operation: "journal", message: "the disk is gone") }
    return try base.journal(of: batch, after: sequence)
  }

  func prune(finishedBefore: Instant, limit: Int) throws(StoreError) -> [BatchKey] {
    try base.prune(finishedBefore: finishedBefore, limit: limit)
  }

  func retire(_ batch: BatchKey, entry: BatchListing) throws(StoreError) { try retire([entry]) }

  func retire(_ entries: [BatchListing]) throws(StoreError) {
    try base.retire(entries)
    state.withLock { $0.retires.append(entries) }
  }

  func retired(
    namespace: String, status: BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
  ) throws(StoreError) -> [BatchListing] {
    try base.retired(namespace: namespace, status: status, bucketID: bucketID, before: cursor, limit: limit)
  }
}

extension Batch {
  /// Of a journal that is whole.
  fileprivate static func read(_ records: [Record]) -> Batch? { try? Batch.folding(records) }
}

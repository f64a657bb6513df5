package import MendCore
package import MendRuntime
import Synchronization

/// A store that keeps everything in memory, for the simulator and for tests. It passes the same tests as every store.
package final class MemoryStore: Store {
  private struct State {
    var journals: [BatchKey: [Record]] = [:]
    /// The batches in the order of their creation.
    var order: [BatchKey] = []
    var retired: [BatchKey: BatchListing] = [:]
    /// The remembered answers in the order in which they were given.
    var idempotency: [IdempotencyEntry] = []
    var outbox: [PendingNotification] = []
    /// The histories of starts by slot.
    var starts: [Int: StartHistory] = [:]
    /// Snapshots of batches, as bytes.
    var snapshots: [BatchKey: [UInt8]] = [:]
  }

  private let state = Mutex(State())

  package init() {}

  package func commit(_ writes: [Write]) throws(StoreError) {
    try state.withLock { state throws(StoreError) in
      try Self.check(writes, state)
      for write in writes {
        switch write {
        case .record(let record):
          if state.journals[record.batch] == nil { state.order.append(record.batch) }
          state.journals[record.batch, default: []].append(record)
          state.retired[record.batch] = nil
          if case .notificationSettled(let outcome) = record.fact {
            state.outbox.removeAll { $0.notification.eventID == outcome.eventID }
          }
        case .notification(let notification):
          state.outbox.append(PendingNotification(notification: notification, attempts: 0))
        case .idempotency(let entry):
          state.idempotency.removeAll { $0.namespace == entry.namespace && $0.key == entry.key }
          state.idempotency.append(entry)
        case .start(let history):
          state.starts[history.slot] = history
        }
      }
    }
  }

  /// Throws if a record does not continue its batch's journal, before anything is written.
  private static func check(_ writes: [Write], _ state: State) throws(StoreError) {
    var last: [BatchKey: UInt64] = [:]
    for case .record(let record) in writes {
      let before = last[record.batch] ?? UInt64(state.journals[record.batch]?.count ?? 0)
      guard record.sequence == before + 1 else {
        throw StoreError(
          operation: "commit", message: "record \(record.sequence) of \(record.batch.batchID) after \(before)")
      }
      last[record.batch] = record.sequence
    }
  }

  package func recover(at now: Instant) throws(StoreError) -> Recovery {
    try state.withLock { state throws(StoreError) in
      var batches: [Batch] = []
      var setAside: [SetAside] = []
      for key in state.order where state.retired[key] == nil {
        do throws(StoreError) {
          if let batch = try fold(key, state) { batches.append(batch) }
        } catch {
          guard let aside = SetAside(error) else { throw error }
          setAside.append(aside)
        }
      }
      return Recovery(
        batches: batches, idempotency: state.idempotency.filter { $0.expires > now },
        starts: state.starts.sorted { $0.key < $1.key }.map(\.value), setAside: setAside)
    }
  }

  /// Makes a batch from its snapshot and the later records, or from its whole journal if there is no snapshot.
  private func fold(_ key: BatchKey, _ state: State) throws(StoreError) -> Batch? {
    guard let journal = state.journals[key] else { return nil }
    guard let snapshot = state.snapshots[key] else { return try folded(journal) }
    var batch: Batch
    do {
      batch = try SnapshotDecoder.decode(Batch.self, from: snapshot)
    } catch {
      throw StoreError(operation: "recover", message: "the snapshot of \(key.batchID): \(error)")
    }
    for record in journal.dropFirst(Int(batch.sequence)) { try apply(record, to: &batch) }
    return batch
  }

  private func folded(_ journal: [Record]) throws(StoreError) -> Batch? {
    do throws(RecordFault) {
      return try Batch.folding(journal)
    } catch {
      throw StoreError(operation: "recover", error)
    }
  }

  private func apply(_ record: Record, to batch: inout Batch) throws(StoreError) {
    do throws(RecordFault) {
      try batch.apply(record)
    } catch {
      throw StoreError(operation: "recover", error)
    }
  }

  package func keepSnapshot(of key: BatchKey, documents: DocumentTable) throws(StoreError) {
    try state.withLock { state throws(StoreError) in
      guard let batch = try fold(key, state), batch.status != .created else { return }
      do {
        state.snapshots[key] = try SnapshotEncoder.encode(batch)
      } catch {
        throw StoreError(operation: "snapshot", message: "of \(key.batchID): \(error)")
      }
    }
  }

  package func journal(of batch: BatchKey, after sequence: UInt64) throws(StoreError) -> [Record] {
    state.withLock { state in
      guard let journal = state.journals[batch], sequence < UInt64(journal.count) else { return [] }
      return Array(journal[Int(sequence)...])
    }
  }

  package func notifications(
    dueAt now: Instant, limit: Int, except batches: Set<BatchKey>
  ) throws(StoreError) -> [PendingNotification] {
    state.withLock { state in
      let due = state.outbox.lazy.filter { $0.notification.at <= now && !batches.contains($0.notification.batch) }
      return Array(due.prefix(limit))
    }
  }

  package func outboxState(except batches: Set<BatchKey>) throws(StoreError) -> OutboxState {
    state.withLock { state in
      let waiting = state.outbox.filter { !batches.contains($0.notification.batch) }
      return OutboxState(count: waiting.count, next: waiting.first?.notification.at)
    }
  }

  package func retire(_ batch: BatchKey, entry: BatchListing) throws(StoreError) {
    try state.withLock { state throws(StoreError) in
      guard state.journals[batch] != nil else {
        throw StoreError(operation: "retire", message: "there is no batch \(batch.batchID)")
      }
      state.retired[batch] = entry
    }
  }

  package func retired(
    namespace: String, status: BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
  ) throws(StoreError) -> [BatchListing] {
    state.withLock { state in
      let found = state.retired.values.filter { listing in
        guard listing.key.namespace == namespace, status == nil || listing.status == status,
          bucketID == nil || listing.bucketID == bucketID
        else { return false }
        return cursor.map { (listing.createdAt, listing.key.batchID) < ($0.createdAt, $0.batchID) } ?? true
      }
      return Array(found.sorted { ($0.createdAt, $0.key.batchID) > ($1.createdAt, $1.key.batchID) }.prefix(limit))
    }
  }
}

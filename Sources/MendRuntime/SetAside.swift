package import MendCore
import Synchronization

/// A batch that the server keeps its hands off, and why: nothing of it is started, ended, changed or told.
package struct SetAside: Error, Sendable, Hashable, CustomStringConvertible {
  package enum Ground: String, Sendable, Hashable, CaseIterable {
    /// Its journal can't be read or folded.
    case journal
    /// What was decided for it cannot be so.
    case decision
    /// The server crashed over it again and again.
    case crash
    /// An administrator did it.
    case administrator
  }

  package var batch: BatchKey
  package var ground: Ground
  /// Of the record that is at fault, where one is known.
  package var sequence: UInt64?
  /// One sentence.
  package var reason: String

  package init(batch: BatchKey, ground: Ground, sequence: UInt64? = nil, reason: String) {
    self.batch = batch
    self.ground = ground
    self.sequence = sequence
    self.reason = reason
  }

  /// Nil where more than one batch's journal is at fault.
  package init?(_ error: StoreError) {
    guard let batch = error.damaged else { return nil }
    self.init(batch: batch, ground: .journal, sequence: error.sequence, reason: error.message)
  }

  package var description: String { "\(batch.namespace)/\(batch.batchID) is set aside: \(reason)" }

  var refusal: Refusal { .setAside(batchID: batch.batchID, reason) }
}

/// The batches that are set aside, for the writer and for readers.
final class SetAsideBatches: Sendable {
  private let state = Mutex<[BatchKey: SetAside]>([:])
  /// So that who asks all the time asks no lock while there is none.
  private let total = Atomic<Int>(0)

  var count: Int { total.load(ordering: .relaxed) }

  subscript(key: BatchKey) -> SetAside? { count == 0 ? nil : state.withLock { $0[key] } }

  /// False where it was set aside before.
  func insert(_ aside: SetAside) -> Bool {
    state.withLock { state in
      guard state.updateValue(aside, forKey: aside.batch) == nil else { return false }
      total.store(state.count, ordering: .relaxed)
      return true
    }
  }

  /// For a writer that begins anew.
  func removeAll() {
    state.withLock { state in
      state = [:]
      total.store(0, ordering: .relaxed)
    }
  }

  var keys: Set<BatchKey> { count == 0 ? [] : state.withLock { Set($0.keys) } }

  var all: [SetAside] { state.withLock { $0.values.sorted { $0.batch < $1.batch } } }
}

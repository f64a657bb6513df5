import MendCore
import Synchronization

/// The views that readers take: of live batches the newest, of retired ones a bounded cache; and who waits for a
/// change.
///
/// The lock is held for a look-up or a swap, never for work on a batch. Views are handed over in boxes, so that a batch
/// is copied outside of it.
final class PublishedViews: Sendable {
  final class Box: Sendable {
    let view: BatchView
    init(_ view: BatchView) { self.view = view }
  }

  /// What a wait for a change came to.
  enum WaitOutcome: Sendable {
    case changedOrCancelled
    /// `watchersLimit` others wait already.
    case full
  }

  fileprivate struct Waiter {
    var after: UInt64
    var continuation: CheckedContinuation<WaitOutcome, Never>
  }

  fileprivate struct State {
    var live: [BatchKey: Box] = [:]
    /// Per namespace, oldest first.
    var places: [String: [Place]] = [:]
    /// What the batches of each namespace hold and wait for.
    var usages: [String: NamespaceUsage] = [:]
    var retired: RetiredViews
    var waiters: [BatchKey: [UInt64: Waiter]] = [:]
    var waiterCount = 0
    var lastWaiter: UInt64 = 0
  }

  /// Where a live batch stands in its namespace's list.
  struct Place: Comparable {
    var createdAt: Instant
    var batchID: String

    static func < (left: Place, right: Place) -> Bool {
      (left.createdAt, left.batchID) < (right.createdAt, right.batchID)
    }
  }

  private let settings: RuntimeSettings
  private let state: Mutex<State>

  init(settings: RuntimeSettings) {
    self.settings = settings
    state = Mutex(
      State(
        retired: RetiredViews(
          viewsLimit: settings.retiredViewsLimit, documentsLimit: settings.retiredDocumentsLimit)))
  }

  // MARK: - The writer

  /// Makes these the newest views, all at once, and wakes who waited for them.
  func publish(_ batches: [Batch]) {
    let boxes = batches.map { Box(BatchView(batch: $0)) }
    let (woken, replaced) = state.withLock { state in
      var woken: [CheckedContinuation<WaitOutcome, Never>] = []
      var replaced: [Box] = []
      for box in boxes {
        let key = box.view.batch.key
        let old = state.live.updateValue(box, forKey: key)
        state.usages[key.namespace, default: NamespaceUsage()].replace(old?.view.batch, by: box.view.batch)
        if let old {
          replaced.append(old)
        } else {
          state.places[key.namespace, default: []].insert(Place(box.view.batch))
          if let old = state.retired.remove(key) { replaced.append(old) }
        }
        state.takeWaiters(of: key, below: box.view.batch.sequence, into: &woken)
      }
      return (woken, replaced)
    }
    // The old values' storage is freed out here.
    _ = consume replaced
    for continuation in woken { continuation.resume(returning: .changedOrCancelled) }
  }

  /// Moves a live batch's view to the cache of retired ones.
  func retire(_ key: BatchKey) {
    let evicted = state.withLock { state -> [Box] in
      guard let box = state.live.removeValue(forKey: key) else { return [] }
      state.places[key.namespace]?.remove(Place(box.view.batch))
      if state.places[key.namespace]?.isEmpty == true { state.places[key.namespace] = nil }
      state.usages[key.namespace]?.replace(box.view.batch, by: nil)
      if state.usages[key.namespace]?.isEmpty == true { state.usages[key.namespace] = nil }
      return state.retired.insert(box)
    }
    _ = consume evicted
  }

  /// A retired batch is gone for good.
  func forget(_ key: BatchKey) {
    let gone = state.withLock { $0.retired.remove(key) }
    _ = consume gone
  }

  /// Nothing is told of a batch any more, and who waits for a change of it looks again.
  func setAside(_ key: BatchKey) {
    retire(key)
    forget(key)
    let woken = state.withLock { state in
      var woken: [CheckedContinuation<WaitOutcome, Never>] = []
      state.takeWaiters(of: key, below: .max, into: &woken)
      return woken
    }
    for continuation in woken { continuation.resume(returning: .changedOrCancelled) }
  }

  // MARK: - Readers

  /// The newest view of a live batch, or a kept one of a retired batch.
  func view(of key: BatchKey) -> BatchView? {
    state.withLock { state in state.live[key] ?? state.retired.use(key) }?.view
  }

  /// What a live batch stands among; nothing is known of one that is retired.
  func batchContext(of batch: Batch) -> BatchContext {
    guard !batch.status.isFinal else { return BatchContext() }
    return state.withLock { $0.usages[batch.key.namespace] }?.batchContext(of: batch) ?? BatchContext()
  }

  /// Keeps a retired batch's view that a reader folded.
  func keepRetired(_ view: BatchView) {
    let box = Box(view)
    let evicted = state.withLock { state in
      state.live[view.batch.key] == nil ? state.retired.insert(box) : []
    }
    _ = consume evicted
  }

  /// Live batches of a namespace, newest first, strictly before `cursor`.
  func list(
    namespace: String, status: BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
  ) -> [BatchView] {
    var found: [BatchView] = []
    var position = cursor.map { Place(createdAt: $0.createdAt, batchID: $0.batchID) }
    // In pieces, so that a filter that matches little doesn't hold the lock for the whole namespace.
    while found.count < limit {
      let boxes = state.withLock { state -> [Box] in
        guard let places = state.places[namespace] else { return [] }
        let end = position.map { places.firstIndex(notBelow: $0) } ?? places.count
        return places[max(0, end - 256)..<end].reversed().compactMap {
          state.live[BatchKey(namespace: namespace, batchID: $0.batchID)]
        }
      }
      guard let last = boxes.last else { break }
      position = Place(last.view.batch)
      for box in boxes where found.count < limit {
        if let status, box.view.batch.status != status { continue }
        if let bucketID, box.view.batch.specification.bucketID != bucketID { continue }
        found.append(box.view)
      }
    }
    return found
  }

  /// Returns when a view with a later sequence was published, or at cancellation.
  func changed(_ key: BatchKey, after sequence: UInt64) async -> WaitOutcome {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let outcome = state.withLock { state -> WaitOutcome? in
          if Task.isCancelled { return .changedOrCancelled }
          if let box = state.live[key], box.view.batch.sequence > sequence { return .changedOrCancelled }
          guard state.waiterCount < settings.watchersLimit else { return .full }
          state.waiters[key, default: [:]][id] = Waiter(after: sequence, continuation: continuation)
          state.waiterCount += 1
          return nil
        }
        if let outcome { continuation.resume(returning: outcome) }
      }
    } onCancel: {
      state.withLock { $0.takeWaiter(id, of: key) }?.resume(returning: .changedOrCancelled)
    }
  }

  func report(in statistics: inout RuntimeStatistics) {
    state.withLock { statistics.watchers = $0.waiterCount }
  }
}

extension PublishedViews.State {
  fileprivate mutating func takeWaiters(
    of key: BatchKey, below sequence: UInt64,
    into woken: inout [CheckedContinuation<PublishedViews.WaitOutcome, Never>]
  ) {
    guard waiterCount > 0, var waiting = waiters.removeValue(forKey: key) else { return }
    for (id, waiter) in waiting where waiter.after < sequence {
      waiting[id] = nil
      waiterCount -= 1
      woken.append(waiter.continuation)
    }
    if !waiting.isEmpty { waiters[key] = waiting }
  }

  fileprivate mutating func takeWaiter(
    _ id: UInt64, of key: BatchKey
  ) -> CheckedContinuation<PublishedViews.WaitOutcome, Never>? {
    guard let waiter = waiters[key]?.removeValue(forKey: id) else { return nil }
    if waiters[key]?.isEmpty == true { waiters[key] = nil }
    waiterCount -= 1
    return waiter.continuation
  }
}

extension PublishedViews.Place {
  init(_ batch: Batch) { self.init(createdAt: batch.createdAt, batchID: batch.key.batchID) }
}

extension [PublishedViews.Place] {
  /// The first of the sorted places that is not before `place`.
  func firstIndex(notBelow place: PublishedViews.Place) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < place { low = middle + 1 } else { high = middle }
    }
    return low
  }

  mutating func insert(_ place: PublishedViews.Place) { insert(place, at: firstIndex(notBelow: place)) }

  mutating func remove(_ place: PublishedViews.Place) {
    let index = firstIndex(notBelow: place)
    if index < count, self[index] == place { remove(at: index) }
  }
}

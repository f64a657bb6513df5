import Dispatch
import Glibc
import Logging
import MendCore
import Synchronization

/// Has snapshots of large batches made, one after the other, on a thread of its own beside the writer. Between them the
/// store looks for damage in what a start does not read.
final class Snapshotter: Sendable {
  private struct Order: Sendable {
    var key: BatchKey
    var documents: DocumentTable
  }

  private enum Work: Sendable {
    case snapshot(Order)
    case look(from: Int64)
  }

  private struct State {
    /// At most one a batch.
    var waiting: [Order] = []
    /// Where the store is to look for damage next.
    var place: Int64?
    /// Where a look failed; it is tried again after the next snapshot.
    var failed: Int64?
    /// Whether the last work was a look: looks and snapshots take turns.
    var hasLooked = false
    var maker: CheckedContinuation<Void, Never>?

    mutating func takeMaker() -> CheckedContinuation<Void, Never>? {
      defer { maker = nil }
      return maker
    }

    mutating func takeWork() -> Work? {
      if let next = place, !hasLooked || waiting.isEmpty {
        (place, hasLooked) = (nil, true)
        return .look(from: next)
      }
      guard !waiting.isEmpty else { return nil }
      hasLooked = false
      return .snapshot(waiting.removeFirst())
    }
  }

  private let limit: Int
  private let store: any Store
  private let logger: Logger
  private let state = Mutex(State())
  private let queue = DispatchQueue(label: "mend.snapshotter")

  init(limit: Int, store: any Store, logger: Logger) {
    self.limit = limit
    self.store = store
    self.logger = logger
  }

  /// False where too many wait already.
  func order(_ batch: Batch) -> Bool {
    let (isTaken, maker) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
      if state.waiting.contains(where: { $0.key == batch.key }) { return (true, nil) }
      guard state.waiting.count < limit else { return (false, nil) }
      state.waiting.append(Order(key: batch.key, documents: batch.documents))
      return (true, state.takeMaker())
    }
    maker?.resume()
    return isTaken
  }

  /// From now on the store looks for damage, from its beginning.
  func lookForDamage() {
    let maker = state.withLock { state in
      (state.place, state.failed) = (0, nil)
      return state.takeMaker()
    }
    maker?.resume()
  }

  /// Does what is ordered until the task is cancelled; what waits then is left out.
  ///
  /// - Parameter tell: takes what is found damaged.
  func run(_ tell: @escaping @Sendable (String) -> Void) async {
    while !Task.isCancelled {
      guard let work = state.withLock({ $0.takeWork() }) else {
        await ordered()
        continue
      }
      await withCheckedContinuation { continuation in
        queue.async {
          switch work {
          case .snapshot(let order): self.make(order)
          case .look(let place): self.look(from: place, tell)
          }
          continuation.resume()
        }
      }
    }
  }

  /// Gives freed memory back, beside the writer.
  func giveMemoryBack() { queue.async { Memory.giveBack() } }

  private func ordered() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let returnsNow = state.withLock { state in
          if Task.isCancelled || !state.waiting.isEmpty || state.place != nil { return true }
          state.maker = continuation
          return false
        }
        if returnsNow { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.takeMaker() }?.resume()
    }
  }

  private func look(from place: Int64, _ tell: (String) -> Void) {
    do throws(StoreError) {
      let next = try store.lookThrough(from: place)
      // A look that was begun anew meanwhile goes on from there.
      state.withLock { $0.place = $0.place ?? next }
    } catch {
      logger.warning("a look for damage in the journal failed", metadata: ["error": "\(error)"])
      state.withLock { $0.failed = place }
    }
    for loss in store.takeLosses() { tell(loss) }
  }

  private func make(_ order: Order) {
    let began = ContinuousClock.now
    let metadata: Logger.Metadata = ["namespace": "\(order.key.namespace)", "batch": "\(order.key.batchID)"]
    do throws(StoreError) {
      try store.keepSnapshot(of: order.key, documents: order.documents)
      logger.debug("snapshot made", metadata: metadata.merging(["took": "\(ContinuousClock.now - began)"]) { $1 })
    } catch {
      // The journal has everything all the same; recovery takes longer.
      logger.warning("a snapshot failed", metadata: metadata.merging(["error": "\(error)"]) { $1 })
    }
    state.withLock { state in
      state.place = state.place ?? state.failed
      state.failed = nil
    }
    Memory.giveBack()
  }
}

/// The process's own memory.
enum Memory {
  /// `malloc_trim`, which Swift's module of the C library leaves out; nil in another C library.
  private static let trim: (@convention(c) (Int) -> Int32)? = {
    guard let symbol = dlsym(nil, "malloc_trim") else { return nil }
    return unsafeBitCast(symbol, to: (@convention(c) (Int) -> Int32).self)
  }()

  /// Gives pages that were freed back to the system: after work on many documents they would count as the server's for
  /// good.
  static func giveBack() {
    _ = trim?(0)
  }
}

import Dispatch
import Synchronization

/// Why something could not be read. Nothing was changed, and the caller may ask again.
package enum ReadError: Error, Sendable, Hashable, CustomStringConvertible {
  case store(StoreError)
  /// As many reads wait already as `RuntimeSettings.readsLimit` allows.
  case exhausted(limit: Int)
  /// The batch is set aside.
  case setAside(SetAside)

  package var description: String {
    switch self {
    case .store(let error): error.description
    case .setAside(let aside): aside.description
    case .exhausted(let limit): "\(limit) reads of the journal already wait"
    }
  }
}

/// Reads the journal for callers, on threads that may block: their own is an event loop's, or one of the few of the
/// cooperative pool.
///
/// At most `readersLimit` reads run and `readsLimit` wait, first come, first served. A read that was begun is carried
/// out, whether its caller still waits or not.
final class JournalReader: Sendable {
  private struct State {
    var running = 0
    var waiting: [@Sendable () -> Void] = []
    /// How many of `waiting` are taken already.
    var taken = 0
    var reads: UInt64 = 0
    var refused: UInt64 = 0

    var waitingCount: Int { waiting.count - taken }

    mutating func next() -> (@Sendable () -> Void)? {
      guard taken < waiting.count else { return nil }
      defer {
        taken += 1
        // Now and then, so that a queue that is never empty stays short.
        if taken == waiting.count || taken >= 64 {
          waiting.removeFirst(taken)
          taken = 0
        }
      }
      return waiting[taken]
    }
  }

  private let settings: RuntimeSettings
  private let state = Mutex(State())
  private let queue = DispatchQueue(label: "mend.journal-reader", attributes: .concurrent)

  init(settings: RuntimeSettings) { self.settings = settings }

  func read<Value: Sendable>(
    _ body: @escaping @Sendable () throws(StoreError) -> Value
  ) async throws(ReadError) -> Value {
    let result: Result<Value, ReadError> = await withCheckedContinuation { continuation in
      let read: @Sendable () -> Void = {
        do throws(StoreError) {
          continuation.resume(returning: .success(try body()))
        } catch {
          continuation.resume(returning: .failure(.store(error)))
        }
      }
      switch state.withLock({ admit(read, in: &$0) }) {
      case .runs: queue.async { self.run(read) }
      case .waits: break
      case .refused: continuation.resume(returning: .failure(.exhausted(limit: settings.readsLimit)))
      }
    }
    return try result.get()
  }

  private enum Admission {
    case runs, waits, refused
  }

  private func admit(_ read: @escaping @Sendable () -> Void, in state: inout State) -> Admission {
    if state.running < settings.readersLimit {
      state.running += 1
      state.reads += 1
      return .runs
    }
    guard state.waitingCount < settings.readsLimit else {
      state.refused += 1
      return .refused
    }
    state.waiting.append(read)
    state.reads += 1
    return .waits
  }

  /// Runs one reader: this read, then those that wait.
  private func run(_ first: @Sendable () -> Void) {
    first()
    while let read = state.withLock({ state in
      let next = state.next()
      if next == nil { state.running -= 1 }
      return next
    }) {
      read()
    }
  }

  func report(in statistics: inout RuntimeStatistics) {
    state.withLock { state in
      statistics.reads = state.reads
      statistics.readsRefused = state.refused
      statistics.readsWaiting = state.waitingCount
    }
  }
}

import Synchronization

/// A one-time signal that the server is draining, or about to, for tasks that wait for something else.
final class Drain: Sendable {
  private struct State {
    var hasBegun = false
    var lastWaiter: UInt64 = 0
    var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
  }

  private let state = Mutex(State())

  var hasBegun: Bool { state.withLock { $0.hasBegun } }

  /// Wakes every waiting task, now and later.
  func begin() {
    let waiting = state.withLock { state in
      defer { state.waiting = [:] }
      state.hasBegun = true
      return state.waiting.values
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Returns when the drain begins, or when the task is cancelled.
  func wait() async {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.hasBegun || Task.isCancelled { return true }
          state.waiting[id] = continuation
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
    }
  }
}

internal import MendCore
internal import MendRuntime
internal import Synchronization

/// What one loop waits at, for a ring or for a time.
final class SimulatedBell: Sendable {
  private struct State {
    /// It rang, and nobody has waited since.
    var hasRung = false
    var waiting: CheckedContinuation<Void, Never>?

    mutating func take() -> CheckedContinuation<Void, Never>? {
      defer { waiting = nil }
      return waiting
    }
  }

  private let state = Mutex(State())

  func ring() {
    let waiting = state.withLock { state in
      state.hasRung = state.waiting == nil
      return state.take()
    }
    waiting?.resume()
  }

  /// Returns at once where it rang meanwhile; also when the task is cancelled.
  func wait(until deadline: Instant, clock: any Clock) async {
    await withTaskGroup(of: Void.self) { group in
      if deadline < .distantFuture { group.addTask { await clock.sleep(until: deadline) } }
      group.addTask { await self.wait() }
      await group.next()
      group.cancelAll()
    }
  }

  private func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let returnsNow = state.withLock { state in
          if state.hasRung || Task.isCancelled {
            state.hasRung = false
            return true
          }
          state.waiting = continuation
          return false
        }
        if returnsNow { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.take() }?.resume()
    }
  }
}

internal import Synchronization

/// Wakes one waiter. A ring that nobody waits for is kept, once.
final class RayBell: Sendable {
  private struct State {
    var hasRung = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  func ring() {
    let waiter = state.withLock { state in
      state.hasRung = state.waiter == nil
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }

  /// Returns at a ring, at the deadline, or at cancellation.
  func wait(until deadline: ContinuousClock.Instant) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { try? await ContinuousClock().sleep(until: deadline) }
      group.addTask { await self.rung() }
      await group.next()
      group.cancelAll()
    }
  }

  private func rung() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let returnsNow = state.withLock { state in
          if state.hasRung || Task.isCancelled {
            state.hasRung = false
            return true
          }
          state.waiter = continuation
          return false
        }
        if returnsNow { continuation.resume() }
      }
    } onCancel: {
      state.withLock { state in
        defer { state.waiter = nil }
        return state.waiter
      }?.resume()
    }
  }
}

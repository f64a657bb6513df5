package import MendCore
import Synchronization

/// Wakes one waiter, who may come before or after it is told to: what a loop waits at, for news or for a time.
package final class Wakeup: Sendable {
  private struct State {
    var isSet = false
    var waiter: CheckedContinuation<Void, Never>?

    mutating func takeWaiter() -> CheckedContinuation<Void, Never>? {
      defer { waiter = nil }
      return waiter
    }
  }

  private let state = Mutex(State())

  package init() {}

  package func set() {
    let waiter = state.withLock { state in
      state.isSet = state.waiter == nil
      return state.takeWaiter()
    }
    waiter?.resume()
  }

  /// Returns once it was set since the last wait, at `deadline`, or at cancellation.
  package func wait(until deadline: Instant, clock: any Clock) async {
    if deadline == .distantFuture { return await wait() }
    await wait { await clock.sleep(until: deadline) }
  }

  /// The same by the machine's own clock.
  package func wait(until deadline: ContinuousClock.Instant) async {
    await wait { try? await ContinuousClock().sleep(until: deadline) }
  }

  private func wait(or pause: @escaping @Sendable () async -> Void) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await pause() }
      group.addTask { await self.wait() }
      await group.next()
      group.cancelAll()
    }
  }

  private func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let returnsNow = state.withLock { state in
          if state.isSet || Task.isCancelled {
            state.isSet = false
            return true
          }
          state.waiter = continuation
          return false
        }
        if returnsNow { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.takeWaiter() }?.resume()
    }
  }
}

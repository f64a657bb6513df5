import MendCore
import Synchronization

/// The time of the next tick: the writer sets it, and one ticker sleeps until then.
///
/// Only an earlier deadline wakes the ticker. After a later one was set, it wakes once too early and sleeps again.
final class Alarm: Sendable {
  private struct State {
    var deadline = Instant.distantFuture
    /// The deadline that the ticker sleeps for.
    var armed = Instant.distantFuture
    var ticker: CheckedContinuation<Void, Never>?

    mutating func takeTicker() -> CheckedContinuation<Void, Never>? {
      defer { ticker = nil }
      return ticker
    }
  }

  private let state = Mutex(State())

  func set(_ deadline: Instant) {
    let ticker = state.withLock { state in
      state.deadline = deadline
      return deadline < state.armed ? state.takeTicker() : nil
    }
    ticker?.resume()
  }

  /// The deadline that was set last.
  var deadline: Instant { state.withLock { $0.deadline } }

  /// Calls `ring` once for each deadline that comes, until the task is cancelled.
  func run(clock: any Clock, ring: () -> Void) async {
    while !Task.isCancelled {
      let armed = state.withLock { state in
        state.armed = state.deadline
        return state.armed
      }
      await withTaskGroup(of: Void.self) { group in
        if armed < .distantFuture { group.addTask { await clock.sleep(until: armed) } }
        group.addTask { await self.movedEarlier() }
        await group.next()
        group.cancelAll()
      }
      let now = clock.now()
      let isDue = state.withLock { state in
        guard state.deadline <= now else { return false }
        state.deadline = .distantFuture
        return true
      }
      if isDue, !Task.isCancelled { ring() }
    }
  }

  /// Returns when an earlier deadline is set, or when the task is cancelled.
  private func movedEarlier() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let returnsNow = state.withLock { state in
          if Task.isCancelled || state.deadline < state.armed { return true }
          state.ticker = continuation
          return false
        }
        if returnsNow { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.takeTicker() }?.resume()
    }
  }
}

import MendCore
import MendRuntime
import Synchronization

/// Time that moves when a test says so.
final class ManualClock: Clock {
  private struct State {
    var now: Instant
    var lastSleeper = 0
    var sleepers: [Int: (deadline: Instant, continuation: CheckedContinuation<Void, Never>)] = [:]
  }

  private let state: Mutex<State>

  init(_ milliseconds: Int64 = 1_790_000_000_000) { state = Mutex(State(now: Instant(milliseconds: milliseconds))) }

  func now() -> Instant { state.withLock { $0.now } }

  /// Deadlines that are slept for.
  var sleepers: [Instant] { state.withLock { $0.sleepers.values.map(\.deadline).sorted() } }

  func advance(by duration: Duration) {
    let due = state.withLock { state in
      state.now = state.now + duration
      let now = state.now
      let due = state.sleepers.filter { $0.value.deadline <= now }
      for id in due.keys { state.sleepers[id] = nil }
      return due.values.sorted { $0.deadline < $1.deadline }.map(\.continuation)
    }
    for continuation in due { continuation.resume() }
  }

  func sleep(until deadline: Instant) async {
    let id = state.withLock { state in
      state.lastSleeper += 1
      return state.lastSleeper
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let returnsNow = state.withLock { state in
          if Task.isCancelled || state.now >= deadline { return true }
          state.sleepers[id] = (deadline, continuation)
          return false
        }
        if returnsNow { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.sleepers.removeValue(forKey: id) }?.continuation.resume()
    }
  }
}

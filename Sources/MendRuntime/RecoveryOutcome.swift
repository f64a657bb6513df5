import Synchronization

/// Whether recovery is over, and how it went; for who waits for it.
final class RecoveryOutcome: Sendable {
  private struct State {
    var outcome: Bool?
    var waiting: [CheckedContinuation<Bool, Never>] = []
  }

  private let state = Mutex(State())

  /// The first word holds.
  func settle(_ hasRecovered: Bool) {
    let waiting = state.withLock { state in
      if state.outcome == nil { state.outcome = hasRecovered }
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume(returning: hasRecovered) }
  }

  func wait() async -> Bool {
    await withCheckedContinuation { continuation in
      let outcome = state.withLock { state in
        if state.outcome == nil { state.waiting.append(continuation) }
        return state.outcome
      }
      if let outcome { continuation.resume(returning: outcome) }
    }
  }
}

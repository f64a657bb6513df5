internal import Synchronization

/// Answers one question for many callers at once. Those that come while an answer is on its way share the next one, so
/// that nobody gets an answer to a question that was asked before their own.
final class SharedAnswer<Value: Sendable>: Sendable {
  private typealias Caller = CheckedContinuation<Value?, Never>

  private struct State {
    var isAsking = false
    /// Callers that share the answer that is on its way.
    var sharing: [Caller] = []
    /// Callers that came since it was asked for.
    var waiting: [Caller] = []
  }

  private let ask: @Sendable () async -> Value
  private let state = Mutex(State())

  /// How many wait for an answer that is not asked for yet.
  var waitingCount: Int { state.withLock { $0.waiting.count } }

  init(_ ask: @escaping @Sendable () async -> Value) { self.ask = ask }

  func value() async -> Value {
    let shared: Value? = await withCheckedContinuation { caller in
      let asks = state.withLock { state in
        if state.isAsking { state.waiting.append(caller) }
        defer { state.isAsking = true }
        return !state.isAsking
      }
      if asks { caller.resume(returning: nil) }
    }
    if let shared { return shared }
    // Nil: it is this caller who asks.
    let value = await ask()
    let (sharing, next) = state.withLock { state in
      let sharing = state.sharing
      let next = state.waiting.first
      state.sharing = Array(state.waiting.dropFirst())
      state.waiting = []
      state.isAsking = next != nil
      return (sharing, next)
    }
    for caller in sharing { caller.resume(returning: value) }
    next?.resume(returning: nil)
    return value
  }
}

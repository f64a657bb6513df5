import Synchronization

/// What others have shown to a test, in order.
public final class Seen<Value: Sendable>: Sendable {
  private struct State {
    var values: [Value] = []
    var waiting: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
  }
  private let state = Mutex(State())

  public init() {}

  public var all: [Value] { state.withLock { $0.values } }
  public var count: Int { state.withLock { $0.values.count } }

  /// The number of the value, from 1.
  @discardableResult
  public func add(_ value: Value) -> Int {
    let (count, woken) = state.withLock { state in
      state.values.append(value)
      let count = state.values.count
      let woken = state.waiting.filter { $0.count <= count }
      state.waiting.removeAll { $0.count <= count }
      return (count, woken)
    }
    for waiter in woken { waiter.continuation.resume() }
    return count
  }

  /// What came since it was asked last.
  public func take() -> [Value] {
    state.withLock { state in
      defer { state.values = [] }
      return state.values
    }
  }

  /// Waits until there are so many.
  public func wait(for count: Int) async {
    await withCheckedContinuation { continuation in
      let isThere = state.withLock { state in
        if state.values.count >= count { return true }
        state.waiting.append((count, continuation))
        return false
      }
      if isThere { continuation.resume() }
    }
  }
}

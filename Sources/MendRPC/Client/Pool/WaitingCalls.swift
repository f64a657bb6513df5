internal import NIOCore

/// Calls that wait for a place, in order of arrival. Its owner bounds it.
///
/// A call that leaves is only marked and skipped later, so that leaving costs the same at any position.
struct WaitingCalls {
  private var order: [PoolState.CallID] = []
  private var head = 0
  private var patience: [PoolState.CallID: PoolState.Patience] = [:]
  /// A lower bound of the deadlines; it may be the deadline of a call that left.
  private(set) var earliestDeadline: NIODeadline?

  var count: Int { patience.count }
  var isEmpty: Bool { patience.isEmpty }

  mutating func append(_ call: PoolState.CallID, _ patience: PoolState.Patience) {
    if order.count > 64, order.count > 2 * self.patience.count { compact() }
    order.append(call)
    self.patience[call] = patience
    if let deadline = patience.deadline { earliestDeadline = min(earliestDeadline ?? deadline, deadline) }
  }

  mutating func popFirst() -> PoolState.CallID? {
    while head < order.count {
      let call = order[head]
      head += 1
      if remove(call) != nil { return call }
    }
    return nil
  }

  mutating func remove(_ call: PoolState.CallID) -> PoolState.Patience? {
    guard let found = patience.removeValue(forKey: call) else { return nil }
    if patience.isEmpty {
      order.removeAll(keepingCapacity: true)
      head = 0
      earliestDeadline = nil
    }
    return found
  }

  mutating func removeAll() -> [PoolState.CallID] { remove { _ in true } }

  /// Removes the calls that do not wait for an unreachable server.
  mutating func removeImpatient() -> [PoolState.CallID] { remove { !$0.waitsForReady } }

  mutating func removeExpired(_ now: NIODeadline) -> [PoolState.CallID] {
    guard let earliestDeadline, earliestDeadline <= now else { return [] }
    let expired = remove { $0.deadline.map { $0 <= now } ?? false }
    self.earliestDeadline = patience.values.compactMap(\.deadline).min()
    return expired
  }

  /// In order of arrival.
  private mutating func remove(_ condition: (PoolState.Patience) -> Bool) -> [PoolState.CallID] {
    let leaving = order[head...].filter { call in patience[call].map(condition) ?? false }
    for call in leaving { _ = remove(call) }
    return leaving
  }

  private mutating func compact() {
    order = order[head...].filter { patience[$0] != nil }
    head = 0
  }
}

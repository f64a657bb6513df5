/// Calls that wait for a stream of their connection, in order of arrival. Its owner bounds it.
struct CallQueue {
  private var calls: [ClientCall] = []
  private var head = 0

  var count: Int { calls.count - head }
  var isEmpty: Bool { head == calls.count }

  mutating func append(_ call: ClientCall) { calls.append(call) }

  mutating func popFirst() -> ClientCall? {
    guard head < calls.count else { return nil }
    defer {
      head += 1
      if head == calls.count {
        calls.removeAll(keepingCapacity: true)
        head = 0
      } else if head > 1024 {
        calls.removeFirst(head)
        head = 0
      }
    }
    return calls[head]
  }

  mutating func remove(_ call: ClientCall) {
    if let index = calls[head...].firstIndex(where: { $0 === call }) { calls.remove(at: index) }
  }

  /// Removes all calls and returns them.
  mutating func removeAll() -> [ClientCall] {
    defer {
      calls = []
      head = 0
    }
    return Array(calls[head...])
  }

  var all: ArraySlice<ClientCall> { calls[head...] }
}

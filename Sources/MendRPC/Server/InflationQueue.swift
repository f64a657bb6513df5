internal import NIOCore

/// Decompresses the requests of one loop, one after the other and a bounded number of bytes between two polls of the
/// sockets: a few kilobytes that become megabytes delay their own call, not those of others.
///
/// At most one decompressed request is in memory here. Requests that wait stay compressed in their streams; there are
/// at most as many as open calls.
final class InflationQueue: @unchecked Sendable {
  // Unchecked: used on its loop's thread alone.
  /// Some 0.3 to 0.6 ms of work. Messages of up to a few hundred kilobytes take one turn.
  static let bytesPerTurn = 256 * 1024
  /// Long enough for the loop to poll its sockets; a task that is due at once would run before that.
  private static let pause = TimeAmount.microseconds(50)

  private let loop: any EventLoop
  private var left = bytesPerTurn
  private var isScheduled = false
  private var waiting: [ServerCall] = []
  private var head = 0
  private var current: (call: ServerCall, bytes: [UInt8], inflation: Gzip.Inflation)?

  init(_ loop: any EventLoop) {
    self.loop = loop
  }

  /// Decompresses the message that begins the call's request, which is complete. True when that is done; otherwise it
  /// will be, unless the call ends before, and `ServerConnection.inflated(_:)` is told.
  func add(_ call: ServerCall) -> Bool {
    if current == nil, head == waiting.count, left > 0, goOn(with: call) { return true }
    if current?.call !== call { waiting.append(call) }
    schedule()
    return false
  }

  /// Spends the rest of this turn on the call's message. True when the message is done.
  private func goOn(with call: ServerCall) -> Bool {
    let (bytes, inflation) = current.map { ($0.bytes, $0.inflation) } ?? call.beginInflation()
    let result = inflation.advance(bytes.span.bytes, &left)
    current = result == nil ? (call, bytes, inflation) : nil
    if let result { call.endInflation(result, compressedBytes: bytes.count) }
    schedule()
    return result != nil
  }

  private func schedule() {
    guard !isScheduled else { return }
    isScheduled = true
    loop.scheduleTask(in: Self.pause) { self.takeTurn() }
  }

  private func takeTurn() {
    isScheduled = false
    left = Self.bytesPerTurn
    while left > 0, let call = current?.call ?? nextWaiting() {
      if call.state.isOver {
        current = nil
      } else if goOn(with: call) {
        call.connection.inflated(call)
      }
    }
    if current != nil || head < waiting.count { schedule() }
  }

  private func nextWaiting() -> ServerCall? {
    guard head < waiting.count else {
      waiting.removeAll(keepingCapacity: waiting.count <= Self.keptCapacity)
      head = 0
      return nil
    }
    defer { head += 1 }
    return waiting[head]
  }

  private static let keptCapacity = 64
}

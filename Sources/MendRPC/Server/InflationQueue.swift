internal import NIOCore

/// The compressed requests of one loop: decompressed one after the other, a bounded number of bytes between two looks at
/// the sockets, so that a few kilobytes that are megabytes cost their sender's call time and not everybody's.
///
/// Holds at most one decompressed request. Those that wait are as many as calls are open, and stay compressed in their
/// streams until it is their turn.
final class InflationQueue: @unchecked Sendable {
  // Unchecked: used on its loop's thread alone.
  /// A third of a millisecond or two; messages of up to a few hundred kilobytes don't notice.
  static let bytesPerTurn = 256 * 1024
  /// Long enough for the loop to look at its sockets in between: what is due at once would run before.
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

  /// Spends what is left of this turn on the call's message; true when it is done.
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
      if call.isOver || call.failure != nil {
        current = nil
      } else if goOn(with: call) {
        call.connection.inflated(call)
      }
    }
    if current != nil || head < waiting.count { schedule() }
  }

  private func nextWaiting() -> ServerCall? {
    guard head < waiting.count else {
      waiting.removeAll(keepingCapacity: waiting.count <= Self.keptPlaces)
      head = 0
      return nil
    }
    defer { head += 1 }
    return waiting[head]
  }

  private static let keptPlaces = 64
}

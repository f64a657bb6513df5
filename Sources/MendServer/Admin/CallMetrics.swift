import Logging
import MendRPC
import Synchronization

/// Counts calls as they end, by method and code, with their durations. Called by the RPC server on its loops.
final class CallMetrics: ServerObserver {
  /// Upper bounds in seconds, from the time of a cached answer to that of a cancel.
  static let bounds: [Double] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
  ]

  private static let boundsNanoseconds = bounds.map { Int64(($0 * 1e9).rounded()) }

  /// The figures of one method. Atomics, because loops count side by side and the figures need not be consistent.
  private final class Method: Sendable {
    let name: String
    /// Calls by code. gRPC's codes are 0 to 16; anything else counts as UNKNOWN.
    let codes: InlineArray<17, Atomic<UInt64>> = InlineArray { _ in Atomic(0) }
    /// Calls within each of `bounds`; the last one counts those beyond all bounds.
    let buckets: InlineArray<18, Atomic<UInt64>> = InlineArray { _ in Atomic(0) }
    let nanoseconds = Atomic<UInt64>(0)
    let active = Atomic<Int>(0)
    let requestBytes = Atomic<UInt64>(0)
    let responseBytes = Atomic<UInt64>(0)

    init(_ descriptor: MethodDescriptor) { name = "\(descriptor.service)/\(descriptor.method)" }
  }

  private struct Connections {
    var open = 0
    var opened: UInt64 = 0
    var bytesReceived: UInt64 = 0
    var bytesSent: UInt64 = 0
    var rejected: [StatusCode: UInt64] = [:]
  }

  /// By the method's ordinal.
  private let methods: [Method]
  private let connections = Mutex(Connections())
  private let tls: TLSFigures?
  private let logger: Logger?
  /// When a connection that could not be accepted was last logged.
  private let shortage = Mutex<ContinuousClock.Instant?>(nil)

  /// - Parameter methods: all methods of the server, as in `Router.methods`. A call of another method is not counted by its
  ///   name, which anybody could invent.
  init(_ methods: [MethodDescriptor], tls: TLSFigures? = nil, logger: Logger? = nil) {
    self.methods = methods.map(Method.init)
    self.tls = tls
    self.logger = logger
  }

  /// Called ten times a second while it lasts; one line a minute is enough.
  func acceptFailed(at address: ServerAddress, _ why: String) {
    let isTold = shortage.withLock { last in
      let now = ContinuousClock.now
      if let last, now - last < .seconds(60) { return true }
      last = now
      return false
    }
    guard !isTold else { return }
    logger?.warning(
      "connections wait because none can be accepted; raise the limit on open files (ulimit -n), or close connections",
      metadata: ["address": "\(address)", "reason": "\(why)"])
  }

  func connectionOpened(_ peer: PeerAddress) {
    connections.withLock {
      $0.open += 1
      $0.opened += 1
    }
  }

  func connectionClosed(_ peer: PeerAddress, bytesReceived: Int, bytesSent: Int) {
    connections.withLock {
      $0.open -= 1
      $0.bytesReceived += UInt64(clamping: bytesReceived)
      $0.bytesSent += UInt64(clamping: bytesSent)
    }
  }

  func handshakeFailed(_ peer: PeerAddress, _ fault: HandshakeFault) { tls?.handshakeFailed(peer, fault) }

  func callStarted(_ method: MethodDescriptor, ordinal: Int) {
    guard ordinal < methods.count else { return }
    methods[ordinal].active.wrappingAdd(1, ordering: .relaxed)
  }

  func callFinished(
    _ method: MethodDescriptor, ordinal: Int, _ code: StatusCode, nanoseconds: Int64, requestBytes: Int,
    responseBytes: Int
  ) {
    guard ordinal < methods.count else { return }
    var bucket = 0
    while bucket < Self.boundsNanoseconds.count, nanoseconds > Self.boundsNanoseconds[bucket] { bucket += 1 }
    let figures = methods[ordinal]
    figures.active.wrappingSubtract(1, ordering: .relaxed)
    figures.codes[figures.codes.indices.contains(code.rawValue) ? code.rawValue : 2].wrappingAdd(1, ordering: .relaxed)
    figures.buckets[bucket].wrappingAdd(1, ordering: .relaxed)
    figures.nanoseconds.wrappingAdd(UInt64(clamping: nanoseconds), ordering: .relaxed)
    figures.requestBytes.wrappingAdd(UInt64(clamping: requestBytes), ordering: .relaxed)
    figures.responseBytes.wrappingAdd(UInt64(clamping: responseBytes), ordering: .relaxed)
  }

  func callRejected(_ code: StatusCode) {
    connections.withLock { $0.rejected[code, default: 0] += 1 }
  }

  func write(to text: inout PrometheusWriter) {
    let all = methods.sorted { $0.name < $1.name }
    text.family("mend_rpc_calls_total", .counter, "Calls that ended, by method and status code.")
    for method in all {
      for code in method.codes.indices {
        let count = method.codes[code].load(ordering: .relaxed)
        guard count > 0 else { continue }
        text.sample(["method": method.name, "code": StatusCode(rawValue: code).description], Double(count))
      }
    }
    text.family("mend_rpc_active_calls", .gauge, "Calls that are being answered.")
    for method in all { text.sample(["method": method.name], Double(method.active.load(ordering: .relaxed))) }
    text.family("mend_rpc_call_seconds", .histogram, "Time from a call's headers to its status.")
    for method in all {
      let buckets = method.buckets.indices.map { method.buckets[$0].load(ordering: .relaxed) }
      guard buckets.contains(where: { $0 > 0 }) else { continue }
      text.histogram(
        ["method": method.name], bounds: Self.bounds, buckets: buckets,
        sum: Double(method.nanoseconds.load(ordering: .relaxed)) / 1e9)
    }
    text.family("mend_rpc_request_bytes_total", .counter, "Request messages with their prefixes, by method.")
    for method in all { text.sample(["method": method.name], Double(method.requestBytes.load(ordering: .relaxed))) }
    text.family("mend_rpc_response_bytes_total", .counter, "Response messages with their prefixes, by method.")
    for method in all { text.sample(["method": method.name], Double(method.responseBytes.load(ordering: .relaxed))) }
    let connections = connections.withLock { $0 }
    text.family(
      "mend_rpc_rejected_calls_total", .counter, "Calls that reached no method: unknown, malformed or refused.")
    for (code, count) in connections.rejected.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      text.sample(["code": code.description], Double(count))
    }
    text.gauge("mend_rpc_connections", "Connections that are open.", Double(connections.open))
    text.counter("mend_rpc_connections_total", "Connections since the start.", Double(connections.opened))
    text.counter(
      "mend_rpc_received_bytes_total", "Bytes received on connections that ended.", Double(connections.bytesReceived))
    text.counter("mend_rpc_sent_bytes_total", "Bytes sent on connections that ended.", Double(connections.bytesSent))
    tls?.write(to: &text)
  }
}

import MendRPC
import Synchronization

/// Counts calls as they end: by method and code, with their durations. Told by the RPC server, on its loops.
final class CallMetrics: ServerObserver {
  /// Upper bounds in seconds. From what a cached answer takes to what a cancel may.
  static let bounds: [Double] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
  ]

  private static let boundsNanoseconds = bounds.map { Int64(($0 * 1e9).rounded()) }

  private struct Figures {
    /// By code; gRPC's are 0 to 16, anything else counts as UNKNOWN.
    var codes = [UInt64](repeating: 0, count: 17)
    /// Calls up to each bound and no further; the last one is beyond all.
    var buckets = [UInt64](repeating: 0, count: CallMetrics.bounds.count + 1)
    var nanoseconds: UInt64 = 0
    var active = 0
    var requestBytes: UInt64 = 0
    var responseBytes: UInt64 = 0
  }

  /// One method's figures, behind a lock of their own: a busy method waits for itself only.
  private final class Method: Sendable {
    let name: String
    let figures = Mutex(Figures())
    init(_ descriptor: MethodDescriptor) { name = "\(descriptor.service)/\(descriptor.method)" }
  }

  private struct Connections {
    var open = 0
    var opened: UInt64 = 0
    var bytesReceived: UInt64 = 0
    var bytesSent: UInt64 = 0
    var rejected: [StatusCode: UInt64] = [:]
  }

  /// By ordinal.
  private let methods: [Method]
  private let connections = Mutex(Connections())

  /// - Parameter methods: all that the server answers, as `Router.methods` has them; a call of another one is not
  ///   counted by its name, which anybody could make up.
  init(_ methods: [MethodDescriptor]) {
    self.methods = methods.map(Method.init)
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

  func callStarted(_ method: MethodDescriptor, ordinal: Int) {
    guard ordinal < methods.count else { return }
    methods[ordinal].figures.withLock { $0.active += 1 }
  }

  func callFinished(
    _ method: MethodDescriptor, ordinal: Int, _ code: StatusCode, nanoseconds: Int64, requestBytes: Int,
    responseBytes: Int
  ) {
    guard ordinal < methods.count else { return }
    var bucket = 0
    while bucket < Self.boundsNanoseconds.count, nanoseconds > Self.boundsNanoseconds[bucket] { bucket += 1 }
    methods[ordinal].figures.withLock { figures in
      figures.active -= 1
      figures.codes[figures.codes.indices.contains(code.rawValue) ? code.rawValue : 2] += 1
      figures.buckets[bucket] += 1
      figures.nanoseconds &+= UInt64(clamping: nanoseconds)
      figures.requestBytes += UInt64(clamping: requestBytes)
      figures.responseBytes += UInt64(clamping: responseBytes)
    }
  }

  func callRejected(_ code: StatusCode) {
    connections.withLock { $0.rejected[code, default: 0] += 1 }
  }

  func write(to text: inout PrometheusText) {
    let all = methods.sorted { $0.name < $1.name }.map { ($0.name, $0.figures.withLock { $0 }) }
    text.family("mend_rpc_calls_total", .counter, "Calls that ended, by method and status code.")
    for (name, figures) in all {
      for (code, count) in figures.codes.enumerated() where count > 0 {
        text.sample(["method": name, "code": StatusCode(rawValue: code).description], Double(count))
      }
    }
    text.family("mend_rpc_active_calls", .gauge, "Calls that are being answered.")
    for (name, figures) in all { text.sample(["method": name], Double(figures.active)) }
    text.family("mend_rpc_call_seconds", .histogram, "Time from a call's headers to its status.")
    for (name, figures) in all where figures.buckets.contains(where: { $0 > 0 }) {
      text.histogram(
        ["method": name], bounds: Self.bounds, buckets: figures.buckets, sum: Double(figures.nanoseconds) / 1e9)
    }
    text.family("mend_rpc_request_bytes_total", .counter, "Request messages with their prefixes, by method.")
    for (name, figures) in all { text.sample(["method": name], Double(figures.requestBytes)) }
    text.family("mend_rpc_response_bytes_total", .counter, "Response messages with their prefixes, by method.")
    for (name, figures) in all { text.sample(["method": name], Double(figures.responseBytes)) }
    let connections = connections.withLock { $0 }
    text.family("mend_rpc_rejected_calls_total", .counter, "Calls that reached no method: unknown or malformed.")
    for (code, count) in connections.rejected.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      text.sample(["code": code.description], Double(count))
    }
    text.gauge("mend_rpc_connections", "Connections that are open.", Double(connections.open))
    text.counter("mend_rpc_connections_total", "Connections since the start.", Double(connections.opened))
    text.counter(
      "mend_rpc_received_bytes_total", "Bytes received on connections that ended.", Double(connections.bytesReceived))
    text.counter("mend_rpc_sent_bytes_total", "Bytes sent on connections that ended.", Double(connections.bytesSent))
  }
}

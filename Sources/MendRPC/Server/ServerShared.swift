internal import MendHTTP2
internal import NIOCore
internal import Synchronization

/// The state that all connections of one server share, on all of its loops.
final class ServerShared: Sendable {
  let routes: RouteTable
  let limits: ServerLimits
  let keepalive: ServerKeepalive
  let sessionLimits: HTTP2Limits
  let authorize: (@Sendable (MethodDescriptor, Metadata, PeerAddress) throws(RPCError) -> CallIdentity?)?
  let explain: (@Sendable (RPCError, MethodDescriptor?) -> RPCError)?
  let compression: CompressionPolicy
  let observer: (any ServerObserver)?
  /// Whether there is an observer; cheaper to read than `observer`.
  let isObserved: Bool

  private struct State {
    var connections: [ObjectIdentifier: ServerConnection] = [:]
    /// The number of connections by host.
    var countByHost: [String: Int] = [:]
    var waiting: [CheckedContinuation<Void, Never>] = []
    var isShuttingDown = false
  }
  private let state = Mutex(State())
  /// Bytes of requests and responses that wait on all connections; up to 4 KiB of each are not counted yet.
  let heldBytes = Atomic(0)

  init(_ router: Router, _ configuration: ServerConfiguration) {
    routes = router.table()
    limits = configuration.limits
    keepalive = configuration.keepalive
    authorize = configuration.authorize
    explain = configuration.explain
    compression = configuration.compression
    observer = configuration.observer
    isObserved = configuration.observer != nil
    var session = HTTP2Limits()
    session.maxConcurrentStreams = limits.maxConcurrentStreams
    session.maxHeaderListBytes = min(limits.maxMetadataBytes, 1 << 30)
    session.maxHeaderBlockBytes = max(session.maxHeaderBlockBytes, 4 * session.maxHeaderListBytes)
    session.keptHeaderBytes = limits.keptMetadataBytes
    session.controlFrames = RateLimit(burst: limits.controlFrameBurst, perSecond: limits.controlFramesPerSecond)
    session.resetsReceived = RateLimit(burst: limits.cancelBurst, perSecond: limits.cancelsPerSecond)
    session.faultsReceived = RateLimit(burst: limits.faultBurst, perSecond: limits.faultsPerSecond)
    session.maxContinuationFrames = limits.maxContinuationFrames
    session.maxSpareWindowUpdates = limits.maxSpareWindowUpdates
    session.maxOutboundFrames = limits.maxUnsentFrames
    sessionLimits = session
  }

  var connectionCount: Int { state.withLock { $0.connections.count } }

  /// Whether one more connection of this peer is within the limits.
  func admits(_ peer: PeerAddress) -> Bool {
    state.withLock { state in
      guard state.connections.count < limits.maxConnections else { return false }
      guard case .inet(let host, _) = peer else { return true }
      return state.countByHost[host, default: 0] < limits.maxConnectionsPerAddress
    }
  }

  func connectionStarted(_ connection: ServerConnection) {
    let isShuttingDown = state.withLock { state in
      state.connections[ObjectIdentifier(connection)] = connection
      if case .inet(let host, _) = connection.peer { state.countByHost[host, default: 0] += 1 }
      return state.isShuttingDown
    }
    observer?.connectionOpened(connection.peer)
    if isShuttingDown { connection.shutDown() }
  }

  /// The channel is closed and every task of the connection has returned.
  func connectionEnded(_ connection: ServerConnection) {
    let counters = connection.session.counters
    observer?.connectionClosed(
      connection.peer, bytesReceived: counters.bytesReceived, bytesSent: counters.bytesSent)
    let waiting = state.withLock { state in
      if state.connections.removeValue(forKey: ObjectIdentifier(connection)) != nil,
        case .inet(let host, _) = connection.peer
      {
        let left = state.countByHost[host, default: 1] - 1
        state.countByHost[host] = left > 0 ? left : nil
      }
      guard state.connections.isEmpty else { return [CheckedContinuation<Void, Never>]() }
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Asks every connection, and those that are still being accepted, to end when their calls have.
  func shutDownConnections() {
    let connections = state.withLock { state in
      state.isShuttingDown = true
      return Array(state.connections.values)
    }
    for connection in connections { connection.loop.execute { connection.shutDown() } }
  }

  func closeConnections() {
    for connection in state.withLock({ Array($0.connections.values) }) {
      connection.loop.execute { connection.close() }
    }
  }

  /// Gives up on connections whose handlers don't return.
  func abandonConnections() {
    let waiting = state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  func waitForConnections() async {
    await withCheckedContinuation { continuation in
      let isEmpty = state.withLock { state in
        if state.connections.isEmpty { return true }
        state.waiting.append(continuation)
        return false
      }
      if isEmpty { continuation.resume() }
    }
  }
}

/// The settings of a pool of connections to one server, each limit with its default and the reason for it.
public struct PoolConfiguration: Hashable, Sendable {
  /// The settings of each connection.
  public var connection = ClientConfiguration()

  /// Connections that take calls. One carries as many calls as the server allows on it (100 and more), so a few are
  /// many thousand calls; another is made only when all are full.
  public var maxConnections = 8
  /// Connections that wait for their last calls after a GOAWAY. Beyond this number the oldest is closed and its calls
  /// fail, so that a server that keeps sending GOAWAY collects no sockets.
  public var maxDrainingConnections = 16
  /// Calls that wait for a connection or for room on one; further ones fail with RESOURCE_EXHAUSTED.
  public var maxQueuedCalls = 10_000
  /// How often a call that the server certainly has not begun is sent again on its own (gRPC's A6, transparent retry).
  /// A server that goes away refuses a call once or twice. One whose stream was refused is sent again once.
  public var maxTransparentRetries = 5

  /// A connection without calls is closed after this time; the next call makes another. Less than the 30 minutes after
  /// which servers close idle connections, so that the two do not cross.
  public var idleTimeout: Duration? = .seconds(600)
  public var backoff = ConnectionBackoff()
  /// The seed of the backoff's jitter; nil takes one from the system.
  public var seed: UInt64?

  public init() {}
}

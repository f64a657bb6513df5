/// How a pool of connections to one server behaves. Every bound has a default and its reason.
public struct PoolConfiguration: Hashable, Sendable {
  /// What holds for each connection.
  public var connection = ClientConfiguration()

  /// Connections that take calls. One carries as many calls as the server allows on it (100 and more), so a few are
  /// many thousand calls; another is made only when all are full.
  public var maxConnections = 8
  /// Connections that a server said goodbye on and that wait for their last calls. Beyond it the oldest is closed, and
  /// its calls fail: a server that says goodbye on and on may not gather sockets.
  public var maxDrainingConnections = 16
  /// Calls that wait for a connection or for room on one; further ones fail with RESOURCE_EXHAUSTED.
  public var maxQueuedCalls = 10_000
  /// How often a call that the server certainly has not begun is sent again on its own (gRPC's A6, transparent retry).
  /// A server that goes away refuses a call once or twice. One whose stream was refused is sent again once.
  public var maxTransparentRetries = 5

  /// A connection without calls is closed after this time, and made again by the next call. Below the 30 minutes after
  /// which servers close theirs, so that both don't meet on the way.
  public var idleTimeout: Duration? = .seconds(600)
  public var backoff = ConnectionBackoff()
  /// What the backoff's jitter is drawn from; nil draws a seed from the system.
  public var seed: UInt64?

  public init() {}
}

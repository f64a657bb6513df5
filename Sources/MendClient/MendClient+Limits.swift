internal import MendRPC

extension MendClient {
  /// Every bound of the client, by name.
  public struct Limits: Sendable, Hashable {
    /// How often one call is made at most, the first time included.
    public var attemptsPerCall = 4
    /// The first wait before a call is made again; it doubles each time, with jitter.
    public var backoffMinimum: Duration = .milliseconds(50)
    public var backoffMaximum: Duration = .seconds(2)
    /// A call that fails takes a token, one that succeeds gives `retryTokenRatio` back; at half of these or fewer no
    /// call is made again, so that clients don't hold down a server that struggles (gRPC's A6). As many calls as half
    /// of them may be under way when a server restarts, and all are made again.
    public var retryTokensMaximum: Double = 1000
    public var retryTokenRatio = 0.1
    /// How long a call that may be repeated waits for a server that it had reached and lost.
    public var reconnectPatience: Duration = .seconds(5)
    /// How long a watch that has begun goes on looking for its server before it fails.
    public var watchReconnectTime: Duration = .seconds(300)

    /// Connecting, with TLS and the first exchange.
    public var connectTimeout: Duration = .seconds(10)
    /// Between the beginnings of two attempts to connect: the first wait and the longest. Each is 1.6 times the one
    /// before, give or take a fifth (gRPC's connection backoff).
    public var connectBackoffMinimum: Duration = .seconds(1)
    public var connectBackoffMaximum: Duration = .seconds(120)
    /// Connections at once. Another is made when all are full, so most clients have one.
    public var connectionsMaximum = 8
    /// Calls at once on one connection, where the server allows more.
    public var callsPerConnection = 1000
    /// Calls that wait for room; further ones fail with RESOURCE_EXHAUSTED.
    public var callsWaitingMaximum = 10_000
    /// A connection without calls is closed after this time, and made again by the next call; nil keeps it.
    public var idleTimeout: Duration? = .seconds(600)
    /// A connection with calls that was silent for this long is pinged; nil never pings. Servers take pings every five
    /// minutes; one that has too many of them anyway is pinged half as often.
    public var keepaliveInterval: Duration? = .seconds(300)
    /// It is lost when nothing comes within this time then.
    public var keepaliveTimeout: Duration = .seconds(20)

    /// One call without a time of its own, all attempts together; watches have none.
    public var callTimeout: Duration = .seconds(60)
    /// A cancel waits until processes are proven gone; this is added to its grace period.
    public var cancelTimeout: Duration = .seconds(120)
    /// Bytes of documents in one AddDocuments: well below the 4 MiB that a server takes as one message.
    public var documentBytesPerCall = 2 * 1024 * 1024
    /// Documents in one AddDocuments.
    public var documentsPerCall = 20_000
    /// Bytes of one request; a server takes 4 MiB and says so, this bounds what a mistake costs here.
    public var requestBytesMaximum = 64 * 1024 * 1024
    /// Bytes of one answer.
    public var responseBytesMaximum = 64 * 1024 * 1024
    /// Bytes of one call's metadata, either way.
    public var metadataBytesMaximum = 32 * 1024
    /// Bytes of one watch that its reader has not taken: beyond it the server has to wait.
    public var streamBytesMaximum = 256 * 1024
    /// Bytes of answers that wait on one connection, all calls together.
    public var bufferedBytesMaximum = 256 * 1024 * 1024

    public init() {}

    func pool(_ security: Security) -> PoolConfiguration {
      var connection = ClientConfiguration()
      connection.limits.maxRequestBytes = requestBytesMaximum
      connection.limits.maxResponseBytes = responseBytesMaximum
      connection.limits.maxMetadataBytes = metadataBytesMaximum
      connection.limits.maxConcurrentCalls = callsPerConnection
      connection.limits.streamWindowBytes = streamBytesMaximum
      connection.limits.maxBufferedResponseBytes = bufferedBytesMaximum
      connection.connectTimeout = connectTimeout
      connection.keepaliveInterval = keepaliveInterval
      connection.keepaliveTimeout = keepaliveTimeout
      if case .tls(let files) = security {
        connection.tls = ClientTLS(
          trustRootsFile: files.trustedAuthorities, serverName: files.serverName,
          certificateChainFile: files.certificate, privateKeyFile: files.key)
      }
      var pool = PoolConfiguration()
      pool.connection = connection
      pool.maxConnections = connectionsMaximum
      pool.maxQueuedCalls = callsWaitingMaximum
      pool.idleTimeout = idleTimeout
      pool.backoff.initial = connectBackoffMinimum
      pool.backoff.maximum = connectBackoffMaximum
      return pool
    }
  }
}

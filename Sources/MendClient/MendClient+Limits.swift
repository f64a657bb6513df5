internal import MendRPC

extension MendClient {
  /// Every limit of the client, by name.
  public struct Limits: Sendable, Hashable {
    /// The most attempts of one call, including the first.
    public var attemptsPerCall = 4
    /// The first wait before a call is repeated; it doubles each time, with jitter.
    public var backoffMinimum: Duration = .milliseconds(50)
    public var backoffMaximum: Duration = .seconds(2)
    /// The retry budget (gRPC's A6). A call that fails takes a token; one that succeeds gives `retryTokenRatio` back.
    /// At half of the tokens or fewer no call is repeated, so that clients do not hold down a server that struggles. If
    /// up to half as many calls are open when a server restarts, all of them are repeated.
    public var retryTokensMaximum: Double = 1000
    public var retryTokenRatio = 0.1
    /// How long a repeatable call waits for a server that it had reached and lost.
    public var reconnectPatience: Duration = .seconds(5)
    /// How long a watch that has begun tries to reach its server again before it fails.
    public var watchReconnectTime: Duration = .seconds(300)

    /// The time for connecting, including TLS and the first exchange.
    public var connectTimeout: Duration = .seconds(10)
    /// The first and the longest wait between the starts of two attempts to connect. Each wait is 1.6 times the one
    /// before, plus or minus a fifth (gRPC's connection backoff).
    public var connectBackoffMinimum: Duration = .seconds(1)
    public var connectBackoffMaximum: Duration = .seconds(120)
    /// The most connections. Another is opened when all are full, so most clients have one.
    public var connectionsMaximum = 8
    /// The most calls at once on one connection, if the server allows more.
    public var callsPerConnection = 1000
    /// The most calls that wait for a stream; further ones fail with RESOURCE_EXHAUSTED.
    public var callsWaitingMaximum = 10_000
    /// A connection without calls is closed after this time, and the next call opens another; nil keeps it open.
    public var idleTimeout: Duration? = .seconds(600)
    /// A connection with calls is pinged after this much silence; nil never pings. Servers accept a ping every five
    /// minutes; a server that complains is pinged half as often.
    public var keepaliveInterval: Duration? = .seconds(300)
    /// The connection counts as lost if nothing arrives within this time after a ping.
    public var keepaliveTimeout: Duration = .seconds(20)

    /// The timeout of a call that sets none, over all attempts. Watches have no timeout.
    public var callTimeout: Duration = .seconds(60)
    /// Added to the grace period of a cancel, which waits until processes are proven gone.
    public var cancelTimeout: Duration = .seconds(120)
    /// Bytes of documents in one AddDocuments: well below a server's limit of 4 MiB for a message.
    public var documentBytesPerCall = 2 * 1024 * 1024
    /// Documents in one AddDocuments.
    public var documentsPerCall = 20_000
    /// Bytes of one request. A server refuses more than 4 MiB; this limit bounds what a mistake costs the client.
    public var requestBytesMaximum = 64 * 1024 * 1024
    /// Bytes of one answer.
    public var responseBytesMaximum = 64 * 1024 * 1024
    /// Bytes of one call's metadata, in either direction.
    public var metadataBytesMaximum = 32 * 1024
    /// Unread bytes of one watch. Beyond this the server has to wait.
    public var streamBytesMaximum = 256 * 1024
    /// Unread bytes of answers on one connection, over all calls.
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

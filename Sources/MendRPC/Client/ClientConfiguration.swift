/// The settings of one connection to a server.
public struct ClientConfiguration: Hashable, Sendable {
  public var tls: ClientTLS?
  public var limits = ClientLimits()
  /// Pings a connection that was silent for this long while calls are open; nil never pings. Servers end connections
  /// that ping more often than they allow, commonly every five minutes (gRPC's A8).
  public var keepaliveInterval: Duration?
  /// A ping that isn't answered in this time ends the connection. Over TCP, bytes that aren't acknowledged in this time
  /// do as well, where the system can (TCP_USER_TIMEOUT; gRPC's A18).
  public var keepaliveTimeout = Duration.seconds(20)
  /// Pings also while no call is open. Many servers treat that as abuse.
  public var keepaliveWithoutCalls = false
  /// The time for connecting, TLS and the server's first SETTINGS.
  public var connectTimeout = Duration.seconds(10)
  public var userAgent = "mend-swift"
  /// How requests are sent; a call may choose otherwise (``CallOptions/compression``). A server that doesn't take it
  /// answers UNIMPLEMENTED.
  public var compression = CompressionPolicy.none
  /// Tells the server that responses may be compressed. Off, because the header costs every call and most servers are
  /// near; compressed responses are read whatever this says.
  public var acceptsGzip = false
  /// Numeric addresses to use for any name, instead of asking the system.
  package var knownAddresses: [ServerAddress] = []
  /// The id of a connection's first stream. Tests of the last ids begin higher than 1.
  package var firstStreamID: Int32 = 1

  public init() {}
}

/// TLS towards a server: its name and its certificate are always verified.
public struct ClientTLS: Hashable, Sendable {
  /// PEM file of the authorities to trust; nil trusts the system's.
  public var trustRootsFile: String?
  /// The name in the server's certificate, if it isn't the host to connect to.
  public var serverName: String?
  /// PEM files of this client's own certificate, for servers that ask for one.
  public var certificateChainFile: String?
  public var privateKeyFile: String?

  public init(
    trustRootsFile: String? = nil, serverName: String? = nil, certificateChainFile: String? = nil,
    privateKeyFile: String? = nil
  ) {
    self.trustRootsFile = trustRootsFile
    self.serverName = serverName
    self.certificateChainFile = certificateChainFile
    self.privateKeyFile = privateKeyFile
  }
}

/// The limits of one connection. Exceeding one fails with RESOURCE_EXHAUSTED, and the error names the figure and the
/// limit.
public struct ClientLimits: Hashable, Sendable {
  /// One response message; gRPC's usual limit.
  public var maxResponseBytes = 4 * 1024 * 1024
  /// One request message. Servers commonly accept 4 MiB and report larger ones themselves; this bounds the cost of a
  /// mistake.
  public var maxRequestBytes = 64 * 1024 * 1024
  /// The metadata of a response or a request, as RFC 9113 6.5.2 counts it. A server may announce less.
  public var maxMetadataBytes = 32 * 1024
  /// Open calls, even if the server allows more: each holds a few hundred bytes at either end. Mend's server allows as
  /// many, other gRPC servers 100.
  public var maxConcurrentCalls = 1000
  /// Calls that wait because no more may be open.
  public var maxQueuedCalls = 10_000
  /// Request bytes that wait on one call before its writer suspends; it continues at half of them.
  public var requestHighWaterBytes = 64 * 1024
  /// Bytes that the server may send on one call before its reader has taken them: a slow reader holds its server back
  /// instead of using memory. A larger message is still received whole.
  public var streamWindowBytes = 256 * 1024
  /// The same for all calls together before they were looked at: far more than one call's. It is given back at once, so
  /// that calls that nobody reads can't stall the others; `maxBufferedResponseBytes` bounds what they hold.
  public var connectionWindowBytes = 16 * 1024 * 1024
  /// Response bytes that wait on all calls together, incomplete unary responses included.
  public var maxBufferedResponseBytes = 256 * 1024 * 1024

  public init() {}
}

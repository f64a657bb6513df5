/// How one connection to a server behaves.
public struct ClientConfiguration: Hashable, Sendable {
  public var tls: ClientTLS?
  public var limits = ClientLimits()
  /// Pings a connection that was silent for this long while calls are open; nil never pings. Servers end connections
  /// that ping more often than they allow, commonly every five minutes.
  public var keepaliveInterval: Duration?
  /// A ping that isn't answered in this time ends the connection.
  public var keepaliveTimeout = Duration.seconds(20)
  /// The time for connecting, TLS and the server's first SETTINGS.
  public var connectTimeout = Duration.seconds(10)
  public var userAgent = "mend-swift"

  public init() {}
}

/// TLS towards a server: its name and its certificate are always verified.
public struct ClientTLS: Hashable, Sendable {
  /// PEM file of the authorities to trust; nil trusts the system's.
  public var trustRootsFile: String?
  /// The name that the server's certificate has to bear, where it isn't the host that is connected to.
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

/// What one connection takes from its server and its callers at most.
public struct ClientLimits: Hashable, Sendable {
  /// One response message; gRPC's usual limit.
  public var maxResponseBytes = 4 * 1024 * 1024
  /// A response's metadata, as RFC 9113 6.5.2 counts it.
  public var maxMetadataBytes = 32 * 1024
  /// Calls that wait because the server allows no more streams; further ones fail with RESOURCE_EXHAUSTED.
  public var maxQueuedCalls = 10_000
  /// Request bytes that wait on one call before its writer suspends; it goes on at half of them.
  public var requestHighWaterBytes = 64 * 1024

  public init() {}
}

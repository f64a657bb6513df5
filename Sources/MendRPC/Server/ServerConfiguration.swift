/// A server's listeners, limits, rules and observer.
public struct ServerConfiguration: Sendable {
  public var listeners: [Listener]
  public var limits = ServerLimits()
  public var keepalive = ServerKeepalive()
  /// Event loops, if the server makes its own. One thread each.
  public var threadCount = 1

  /// Decides whether a call may begin, and who makes it: ``ServerContext/identity``. Runs on the connection's loop
  /// before the request's messages are read, so it must be cheap and never wait. What it throws ends the call.
  public var authorize: (@Sendable (MethodDescriptor, Metadata, PeerAddress) throws(RPCError) -> CallIdentity?)?
  /// Completes an error without details before it is sent, as with a `google.rpc.Status`: those of this library (an
  /// unknown method, a message over the limit, a deadline) have none. The method is nil where none was found. Runs on
  /// the connection's loop, for errors only.
  public var explain: (@Sendable (RPCError, MethodDescriptor?) -> RPCError)?
  /// How responses are sent to callers that say that they take it; a handler may choose otherwise for its call
  /// (``ServerContext/setCompression(_:)``). Requests may be compressed whatever this says.
  public var compression = CompressionPolicy.none
  public var observer: (any ServerObserver)?

  public init(listeners: [Listener] = []) {
    self.listeners = listeners
  }
}

/// One address to listen on.
public struct Listener: Hashable, Sendable {
  /// For TCP, port 0 picks a free port. For a Unix socket, a file for its owner only (mode 0600): one that nobody
  /// listens on is replaced; anything else that stands at the path is left alone and refuses the start.
  public var address: ServerAddress
  public var tls: ServerTLS?

  public static func tcp(host: String, port: Int, tls: ServerTLS? = nil) -> Listener {
    Listener(address: .tcp(host: host, port: port), tls: tls)
  }

  public static func unix(path: String) -> Listener {
    Listener(address: .unix(path: path), tls: nil)
  }
}

/// PEM files for a listener that speaks TLS (1.2 or later, ALPN `h2`).
public struct ServerTLS: Hashable, Sendable {
  public var certificateChainFile: String
  public var privateKeyFile: String
  /// If set, callers must have a certificate signed by this CA.
  public var clientAuthorityFile: String?

  public init(certificateChainFile: String, privateKeyFile: String, clientAuthorityFile: String? = nil) {
    self.certificateChainFile = certificateChainFile
    self.privateKeyFile = privateKeyFile
    self.clientAuthorityFile = clientAuthorityFile
  }
}

/// The limits of one server, each with its default and the reason for it.
public struct ServerLimits: Hashable, Sendable {
  /// Connections at once; more are closed as they arrive. Each costs about 20 KB when idle.
  public var maxConnections = 10_000
  /// Connections of one address at once, so that none can take them all; half of all, because all
  /// callers behind a proxy have one address. Unix sockets are not counted.
  public var maxConnectionsPerAddress = 5_000
  /// Calls that one connection may have open.
  public var maxConcurrentStreams = 1000
  /// Handlers of one connection that run at once, including those whose calls have ended: callers that start and cancel
  /// calls (CVE-2023-44487) cannot pile up work. Twice the streams, because a handler may need a moment to stop.
  public var maxRunningCalls = 2000
  /// One request message; gRPC's usual limit.
  public var maxRequestBytes = 4 * 1024 * 1024
  /// A request's metadata, as RFC 9113 6.5.2 counts it. A call with up to four times as much gets an error; above
  /// that its stream is reset.
  public var maxMetadataBytes = 16 * 1024
  /// Memory of one call's metadata that its connection keeps for the next call: a token and a trace take less. Larger
  /// memory is given back, or one long list on each of many calls would cost memory for ever.
  public var keptMetadataBytes = 3 * 1024
  /// Request bytes of one connection that wait for the rest of their message or for their handler. A caller may
  /// send as much again before it learns.
  public var maxBufferedRequestBytes = 16 * 1024 * 1024
  /// Response bytes that wait on one call before its writer suspends; it continues at half of them.
  public var responseHighWaterBytes = 64 * 1024
  /// Response bytes that wait on all calls of one connection before all of its writers suspend.
  public var maxBufferedResponseBytes = 16 * 1024 * 1024
  /// Response bytes that wait on one connection before further calls are refused: unary answers have no writer to
  /// suspend. Sixteen of the largest answers, so that only callers that don't read meet it.
  public var maxUnsentResponseBytes = 64 * 1024 * 1024
  /// Bytes of calls on all connections together, since the limits of one connection times the number of connections
  /// exceed any machine. Counted are waiting requests and responses, the metadata of open calls, 4 KiB for each call,
  /// and 512 bytes for each frame that the caller has not read. Above the limit, connections that hold more than 64 KiB
  /// of it have calls refused, unfinished requests ended and writers suspended; others are served.
  public var maxHeldBytes = 512 * 1024 * 1024

  /// The time for TLS, the preface, the first SETTINGS and the acknowledgement of the server's.
  public var handshakeTimeout = Duration.seconds(10)
  /// The time for a request's headers, from their beginning: they need a few packets at most.
  public var headersTimeout = Duration.seconds(10)
  /// The time for a unary request.
  public var requestTimeout = Duration.seconds(60)
  /// A connection that takes none of the waiting bytes for this long is closed with its calls, whether its socket is
  /// full or its window used up.
  public var stallTimeout = Duration.seconds(120)
  /// A connection without calls is closed, gracefully, after this time; nil keeps it.
  public var idleTimeout: Duration? = .seconds(1800)
  /// A connection of this age is closed, gracefully, so that callers spread anew; nil keeps it.
  public var maxConnectionAge: Duration?

  /// Frames per second and connection that ask for work and carry no call (PING, SETTINGS, PRIORITY, CONTINUATION,
  /// empty DATA, unknown types), with a burst: a client that measures its line with a ping per answer stays below.
  public var controlFrameBurst = 2000, controlFramesPerSecond = 200
  /// Calls that callers may cancel. Honest callers do that, so the limit is generous.
  public var cancelBurst = 2000, cancelsPerSecond = 200
  /// Broken frames that cost only their stream (CVE-2025-8671).
  public var faultBurst = 200, faultsPerSecond = 10
  /// CONTINUATION frames of one header list (CVE-2024-28182), however few bytes they carry: 64 of 16 KB hold more than
  /// any list that is taken.
  public var maxContinuationFrames = 64
  /// WINDOW_UPDATE frames beyond ten for each sent DATA frame and two for each call; no caller needs more.
  public var maxSpareWindowUpdates = 10_000
  /// Frames (acknowledgements, resets) that wait for a caller that doesn't read: more than the rates above allow, so it
  /// bounds them whatever their settings are.
  public var maxUnsentFrames = 10_000

  public init() {}
}

/// Pings in both directions.
public struct ServerKeepalive: Hashable, Sendable {
  /// A connection that was silent for this long is pinged; nil never pings.
  public var interval: Duration? = .seconds(300)
  /// It is closed when it doesn't answer in this time.
  public var timeout = Duration.seconds(20)
  /// Callers may ping this often while the server sends nothing.
  public var minPingInterval = Duration.seconds(300)
  /// Pings above that rate that are forgiven; then GOAWAY(ENHANCE_YOUR_CALM), as gRPC has it. Sending a response
  /// starts the count anew.
  public var maxPingStrikes = 2

  public init() {}
}

/// Observes a server, on its event loops: its methods must be cheap and never wait.
public protocol ServerObserver: AnyObject, Sendable {
  func connectionOpened(_ peer: PeerAddress)
  /// A connection could not be accepted, because descriptors or memory are exhausted. None is accepted for a tenth of a
  /// second; then this may be called again.
  func acceptFailed(at address: ServerAddress, _ why: String)
  func connectionClosed(_ peer: PeerAddress, bytesReceived: Int, bytesSent: Int)
  /// The connection is closed next.
  func handshakeFailed(_ peer: PeerAddress, _ fault: HandshakeFault)
  /// `ordinal` is the method's index in `Router.methods`, so that metrics by method need no look-up.
  func callStarted(_ method: MethodDescriptor, ordinal: Int)
  /// `nanoseconds` since its headers arrived. `requestBytes` and `responseBytes` are messages with their prefixes.
  func callFinished(
    _ method: MethodDescriptor, ordinal: Int, _ code: StatusCode, nanoseconds: Int64, requestBytes: Int,
    responseBytes: Int)
  /// A call that reached no handler: unknown, unauthorized or malformed.
  func callRejected(_ code: StatusCode)
}

extension ServerObserver {
  public func connectionOpened(_ peer: PeerAddress) {}
  public func acceptFailed(at address: ServerAddress, _ why: String) {}
  public func connectionClosed(_ peer: PeerAddress, bytesReceived: Int, bytesSent: Int) {}
  public func handshakeFailed(_ peer: PeerAddress, _ fault: HandshakeFault) {}
  public func callStarted(_ method: MethodDescriptor, ordinal: Int) {}
  public func callFinished(
    _ method: MethodDescriptor, ordinal: Int, _ code: StatusCode, nanoseconds: Int64, requestBytes: Int,
    responseBytes: Int
  ) {}
  public func callRejected(_ code: StatusCode) {}
}

internal import MendHTTP2
public import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// One HTTP/2 connection to a server, and all calls over it at once.
///
/// It never reconnects: once it is lost or the server said goodbye, calls fail with UNAVAILABLE, and whoever owns the
/// connection makes another. Calls beyond what the server allows at once wait in a bounded queue. Dropping the last
/// reference closes it.
public final class ClientConnection: RPCChannel {
  /// What becomes of a connection, in this order; phases may be passed over.
  public enum Phase: Hashable, Sendable {
    case connecting
    case ready
    /// Open calls go on, new ones fail with this error.
    case draining(RPCError)
    /// Calls fail with this error.
    case closed(RPCError)
  }

  private struct State {
    var phase = Phase.connecting
    var observers: [@Sendable (RPCError) -> Void] = []
    var starting: CheckedContinuation<Void, Never>?
  }

  private final class Shared: Sendable {
    let state = Mutex(State())

    func enter(_ phase: Phase) {
      let (starting, observers) = state.withLock { state in
        state.phase = phase
        defer {
          state.starting = nil
          if case .closed = phase { state.observers = [] }
        }
        return (state.starting, state.observers)
      }
      starting?.resume()
      if case .closed(let error) = phase { for observer in observers { observer(error) } }
    }
  }

  /// Where it leads.
  public let address: ServerAddress
  private let handler: ClientHandler
  private let shared: Shared
  private let fixedHeaders: HeaderBlock

  private init(_ handler: ClientHandler, _ shared: Shared) {
    self.handler = handler
    self.shared = shared
    address = handler.address
    fixedHeaders = Self.fixedHeaders(handler.address, handler.configuration)
  }

  deinit {
    handler.loop.execute { [handler] in handler.close() }
  }

  public var phase: Phase { shared.state.withLock { $0.phase } }

  /// Calls `body` once when the connection is closed, at once if it is; on any thread, and it must not wait.
  public func onClose(_ body: @escaping @Sendable (RPCError) -> Void) {
    let error: RPCError? = shared.state.withLock { state in
      if case .closed(let error) = state.phase { return error }
      state.observers.append(body)
      return nil
    }
    if let error { body(error) }
  }

  /// Takes no more calls, lets the open ones end, and returns when the connection is closed.
  public func close() async {
    await withCheckedContinuation { continuation in
      onClose { _ in continuation.resume() }
      handler.loop.execute { [handler] in
        handler.closeGracefully(RPCError(.cancelled, "the connection to \(handler.address) was closed by its owner"))
      }
    }
  }

  /// Connects, and waits until the server speaks HTTP/2. Throws UNAVAILABLE, with where and why, when it can't within
  /// ``ClientConfiguration/connectTimeout``, and CANCELLED when its task is cancelled.
  public static func connect(
    to address: ServerAddress, configuration: ClientConfiguration = ClientConfiguration(),
    on group: (any EventLoopGroup)? = nil
  ) async throws(RPCError) -> ClientConnection {
    try await open(address, configuration, group) { bootstrap in
      switch address {
      case .tcp(let host, let port):
        try await bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1).connect(host: host, port: port).get()
      case .unix(let path):
        try await bootstrap.connect(unixDomainSocketPath: path).get()
      }
    }
  }

  /// Over a socket that is connected already and becomes the connection's.
  static func adopt(_ descriptor: CInt, configuration: ClientConfiguration, on group: (any EventLoopGroup)?)
    async throws(RPCError) -> ClientConnection
  {
    try await open(.unix(path: "in-process"), configuration, group) { bootstrap in
      try await bootstrap.withConnectedSocket(descriptor).get()
    }
  }

  private static func open(
    _ address: ServerAddress, _ configuration: ClientConfiguration, _ group: (any EventLoopGroup)?,
    _ connect: (ClientBootstrap) async throws -> any Channel
  ) async throws(RPCError) -> ClientConnection {
    let tls = try configuration.tls.map { files throws(RPCError) in try TLSContexts.client(files) }
    let shared = Shared()
    let loop = (group ?? MultiThreadedEventLoopGroup.singleton).next()
    let bootstrap = ClientBootstrap(group: loop).connectTimeout(TimeAmount(configuration.connectTimeout))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if let tls {
            try channel.pipeline.syncOperations.addHandler(
              NIOSSLClientHandler(context: tls, serverHostname: Self.serverName(address, configuration)))
          }
          try channel.pipeline.syncOperations.addHandler(
            ClientHandler(channel, address, configuration) { shared.enter($0) })
        }
      }
    let handler: ClientHandler
    do {
      let channel = try await connect(bootstrap)
      handler = try await loop.submit { try channel.pipeline.syncOperations.handler(type: ClientHandler.self) }.get()
    } catch {
      var failure = RPCError(.unavailable, "can't connect to \(address): \(error)")
      failure.isSafeToRetry = true
      throw failure
    }
    let connection = ClientConnection(handler, shared)
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isDecided = shared.state.withLock { state in
          guard case .connecting = state.phase else { return true }
          state.starting = continuation
          return false
        }
        if isDecided { continuation.resume() }
      }
    } onCancel: {
      loop.execute { handler.close() }
    }
    if Task.isCancelled { throw RPCError(.cancelled, "connecting to \(address) was cancelled") }
    switch connection.phase {
    case .closed(let error), .draining(let error): throw error
    case .connecting, .ready: return connection
    }
  }

  private static func serverName(_ address: ServerAddress, _ configuration: ClientConfiguration) -> String? {
    if let name = configuration.tls?.serverName { return name }
    // A numeric host is no name that TLS could send; the certificate is checked against the address then.
    guard case .tcp(let host, _) = address, (try? SocketAddress(ipAddress: host, port: 0)) == nil else { return nil }
    return host
  }

  private static func fixedHeaders(_ address: ServerAddress, _ configuration: ClientConfiguration) -> HeaderBlock {
    var block = HeaderBlock()
    block.append(":method", "POST")
    block.append(":scheme", configuration.tls == nil ? "http" : "https")
    switch address {
    case .tcp: block.append(":authority", configuration.tls?.serverName ?? address.description)
    case .unix: block.append(":authority", "localhost")
    }
    return block
  }
}

// MARK: Calls

extension ClientConnection {
  public func unary<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, _ request: I, options: CallOptions
  ) async throws(RPCError) -> O {
    let call = makeCall(method, options, Self.frame(request))
    return try Self.decode(try await call.response().get())
  }

  public func serverStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, _ request: I, options: CallOptions
  ) async throws(RPCError) -> ResponseStream<O> {
    let call = makeCall(method, options, Self.frame(request))
    try await call.started()
    return ResponseStream(call)
  }

  public func clientStreaming<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void
  ) async throws(RPCError) -> O {
    let call = makeCall(method, options, nil)
    try await call.started()
    call.startRequests(requests)
    return try Self.decode(try await call.response().get())
  }

  public func bidirectional<I: RPCMessage, O: RPCMessage>(
    _ method: MethodDescriptor, options: CallOptions,
    requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void
  ) async throws(RPCError) -> ResponseStream<O> {
    let call = makeCall(method, options, nil)
    try await call.started()
    call.startRequests(requests)
    return ResponseStream(call)
  }

  private func makeCall(_ method: MethodDescriptor, _ options: CallOptions, _ onlyRequest: [UInt8]?) -> ClientCall {
    var headers = fixedHeaders
    headers.append(":path", method.path)
    headers.append("te", "trailers")
    headers.append("content-type", "application/grpc")
    if options.metadata["user-agent"] == nil { headers.append("user-agent", handler.configuration.userAgent) }
    options.metadata.append(to: &headers)
    return ClientCall(handler, method, options, headers: headers, onlyRequest: onlyRequest)
  }

  private static func frame(_ message: some RPCMessage) -> [UInt8] {
    var frame: [UInt8] = []
    MessageFraming.append(to: &frame) { message.encodePayload(into: &$0) }
    return frame
  }

  private static func decode<O: RPCMessage>(_ payload: [UInt8]) throws(RPCError) -> O {
    do {
      return try O.decode(payload: payload.span.bytes)
    } catch {
      throw RPCError(.internal, "the response is not a \(O.self): \(error.message)")
    }
  }
}

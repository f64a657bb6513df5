internal import NIOCore
internal import NIOPosix
internal import NIOSSL

internal import Glibc

/// Makes connections to one address.
struct Dialer: Sendable {
  let address: ServerAddress
  let configuration: ClientConfiguration
  /// Succeeds when the socket is connected. TLS and the server's first SETTINGS follow; the handler reports them to its
  /// owner. Fails with an `RPCError`: UNAVAILABLE that says where and why, FAILED_PRECONDITION for TLS
  /// files that can't be used.
  func dial(on loop: any EventLoop, over descriptor: CInt? = nil) -> EventLoopFuture<ClientHandler> {
    tlsContext(on: loop).flatMap { tls in
      let bootstrap = ClientBootstrap(group: loop).connectTimeout(TimeAmount(configuration.connectTimeout))
        .resolver(KnownAddresses(configuration.knownAddresses, loop))
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture { try addHandlers(to: channel, tls) }
        }
      return connect(bootstrap, descriptor).flatMapThrowing { channel in
        try channel.pipeline.syncOperations.handler(type: ClientHandler.self)
      }
    }.flatMapErrorThrowing { error in
      if let error = error as? RPCError { throw error }
      let loss = ConnectionLoss(error)
      throw RPCError.notBegun("can't connect to \(address): \(loss.message)", fault: loss.fault)
    }
  }

  private func connect(_ bootstrap: ClientBootstrap, _ descriptor: CInt?) -> EventLoopFuture<any Channel> {
    if let descriptor { return bootstrap.withConnectedSocket(descriptor) }
    switch address {
    case .tcp(let host, let port):
      var bootstrap = bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1)
      if configuration.keepaliveInterval != nil {
        // Bytes that the server's machine doesn't acknowledge in this time end the connection.
        let milliseconds = TimeAmount(configuration.keepaliveTimeout).nanoseconds / 1_000_000
        bootstrap = bootstrap.channelOption(
          .tcpOption(.init(rawValue: TCP_USER_TIMEOUT)), value: Int(max(1, min(milliseconds, Int64(CInt.max)))))
      }
      return bootstrap.connect(host: host, port: port)
    case .unix(let path):
      return bootstrap.connect(unixDomainSocketPath: path)
    }
  }

  private func addHandlers(to channel: any Channel, _ tls: NIOSSLContext?) throws {
    if let tls {
      try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: tls, serverHostname: serverName))
    }
    try channel.pipeline.syncOperations.addHandler(ClientHandler(channel, address, configuration))
  }

  /// Reads the files for each connection, so that renewed ones are used, and never on an event loop.
  private func tlsContext(on loop: any EventLoop) -> EventLoopFuture<NIOSSLContext?> {
    guard let files = configuration.tls else { return loop.makeSucceededFuture(nil) }
    return NIOThreadPool.singleton.runIfActive(eventLoop: loop) { try TLSContexts.client(files) }
  }

  private var serverName: String? {
    if let name = configuration.tls?.serverName { return name }
    // TLS can't send an address as a name; the certificate is checked against the address then.
    guard case .tcp(let host, _) = address, (try? SocketAddress(ipAddress: host, port: 0)) == nil else { return nil }
    return host
  }
}

/// Resolves any name to the known addresses.
private final class KnownAddresses: Resolver, Sendable {
  private let addresses: [SocketAddress]
  private let loop: any EventLoop

  /// Nil if no addresses are known, so that the system resolves names.
  init?(_ known: [ServerAddress], _ loop: any EventLoop) {
    guard !known.isEmpty else { return nil }
    addresses = known.compactMap { address in
      guard case .tcp(let host, let port) = address else { return nil }
      return try? SocketAddress(ipAddress: host, port: port)
    }
    self.loop = loop
  }

  func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
    loop.makeSucceededFuture(addresses.filter { $0.protocol == .inet })
  }

  func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
    loop.makeSucceededFuture(addresses.filter { $0.protocol == .inet6 })
  }

  func cancelQueries() {}
}

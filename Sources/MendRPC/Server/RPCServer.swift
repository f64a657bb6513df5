internal import MendHTTP2
public import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

internal import Glibc

/// A gRPC server: listeners, their connections, and the handlers of a ``Router``.
///
/// `start()` binds, `shutdown(gracePeriod:)` ends everything that it started: the listeners, the connections, the
/// handlers' tasks, and the event loops if they are its own. A server is started once.
public final class RPCServer: Sendable {
  private enum Phase {
    case idle
    case running(listeners: [any Channel], socketFiles: [String])
    case shuttingDown
    case shutDown
  }
  private struct State {
    var phase = Phase.idle
    var certificates: [ServerCertificates] = []
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let configuration: ServerConfiguration
  private let shared: ServerShared
  private let group: any EventLoopGroup
  private let ownsGroup: Bool
  private let state = Mutex(State())

  /// Runs on `group`, or on event loops of its own (``ServerConfiguration/threadCount``).
  public init(router: Router, configuration: ServerConfiguration, on group: (any EventLoopGroup)? = nil) {
    self.configuration = configuration
    shared = ServerShared(router, configuration)
    ownsGroup = group == nil
    self.group = group ?? MultiThreadedEventLoopGroup(numberOfThreads: max(1, configuration.threadCount))
  }

  /// Connections that are open, or closed with handlers that have not returned.
  public var connectionCount: Int { shared.connectionCount }

  /// Listens on every address of the configuration; answers where, with the ports that were picked.
  ///
  /// All or nothing: when one address can't be had, those before it are given up again. Throws FAILED_PRECONDITION for
  /// TLS files that can't be used, ALREADY_EXISTS for a file that is no socket, NOT_FOUND for a socket whose directory
  /// is missing, and UNAVAILABLE for every other address that can't be taken.
  ///
  /// - Parameter accepting: false takes the addresses and lets callers wait in the system's queues until `accept()`.
  @discardableResult
  public func start(accepting: Bool = true) async throws(RPCError) -> [PeerAddress] {
    let mayStart = state.withLock { state in
      guard case .idle = state.phase else { return false }
      state.phase = .running(listeners: [], socketFiles: [])
      return true
    }
    guard mayStart else { throw RPCError(.failedPrecondition, "the server was already started") }
    var channels: [any Channel] = []
    var files: [String] = []
    var addresses: [PeerAddress] = []
    do throws(RPCError) {
      for listener in configuration.listeners {
        let channel = try await bind(listener, accepting)
        channels.append(channel)
        switch listener.address {
        case .unix(let path):
          files.append(path)
          addresses.append(.unix(path: path))
        case .tcp(let host, let port):
          addresses.append(.inet(host: host, port: channel.localAddress?.port ?? port))
        }
      }
    } catch {
      for path in files { SocketFile.remove(path) }
      for channel in channels { _ = try? await channel.close() }
      state.withLock { state in
        state.phase = .idle
        state.certificates = []
      }
      throw error
    }
    state.withLock { $0.phase = .running(listeners: channels, socketFiles: files) }
    return addresses
  }

  /// Takes connections from now on, where `start(accepting: false)` has only taken the addresses.
  public func accept() async {
    let listeners = state.withLock { state in
      guard case .running(let listeners, _) = state.phase else { return [any Channel]() }
      return listeners
    }
    // One that is closed already has nothing to accept.
    for channel in listeners { try? await channel.setOption(.autoRead, value: true).get() }
  }

  /// Waits until a call of `shutdown(gracePeriod:)` has finished.
  public func waitUntilShutdown() async {
    await withCheckedContinuation { continuation in
      let isDone = state.withLock { state in
        if case .shutDown = state.phase { return true }
        state.waiting.append(continuation)
        return false
      }
      if isDone { continuation.resume() }
    }
  }

  /// Takes no new connections and no new calls (GOAWAY), lets the open calls end, and returns when all have.
  ///
  /// After `gracePeriod` the connections are closed and their handlers cancelled; handlers that don't return within
  /// five more seconds are left behind. Calling it again waits for the first call.
  public func shutdown(gracePeriod: Duration = .seconds(30)) async {
    let running: (listeners: [any Channel], files: [String])? = state.withLock { state in
      switch state.phase {
      case .running(let listeners, let files):
        // Claimed: a second caller finds nothing to do.
        state.phase = .shuttingDown
        return (listeners, files)
      case .idle:
        state.phase = .shuttingDown
        return ([], [])
      case .shuttingDown, .shutDown:
        return nil
      }
    }
    guard let running else { return await waitUntilShutdown() }
    // First its name: once nobody answers at it, it may be another server's.
    for path in running.files { SocketFile.remove(path) }
    for channel in running.listeners { _ = try? await channel.close() }
    shared.shutDownConnections()
    let timer = group.next()
    let close = timer.scheduleTask(in: TimeAmount(gracePeriod)) { [shared] in shared.closeConnections() }
    let abandon = timer.scheduleTask(in: TimeAmount(gracePeriod) + .seconds(5)) { [shared] in
      shared.abandonConnections()
    }
    await shared.waitForConnections()
    close.cancel()
    abandon.cancel()
    // Tasks that were left behind still need their loops.
    if ownsGroup, shared.connectionCount == 0 { _ = try? await group.shutdownGracefully() }
    let waiting = state.withLock { state in
      state.phase = .shutDown
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// A connection to this server that needs no listener: one end of a socket pair. Handlers see the peer
  /// ``PeerAddress/inProcess``; everything else is as over any socket.
  public func connectInProcess(
    configuration: ClientConfiguration = ClientConfiguration(), on clientGroup: (any EventLoopGroup)? = nil
  ) async throws(RPCError) -> ClientConnection {
    let (ours, theirs) = try SocketFile.pair()
    do {
      _ = try await ClientBootstrap(group: group)
        .channelInitializer { [shared] channel in
          channel.eventLoop.makeCompletedFuture { try Self.addHandlers(to: channel, shared, nil, peer: .inProcess) }
        }
        .withConnectedSocket(ours).get()
    } catch {
      SocketFile.close(theirs)
      throw RPCError(.unavailable, "can't connect in process: \(error)")
    }
    return try await ClientConnection.adopt(theirs, configuration: configuration, on: clientGroup)
  }

  // MARK: Certificates

  /// Looks at the files of every TLS listener, and reads them again where they changed, or all with `always`. New
  /// connections get what was read; those that are open live on. Reads the disk: not for an event loop.
  public func reloadCertificates(always: Bool = false) -> [(files: ServerTLS, outcome: CertificateReload)] {
    let now = Int64(time(nil))
    return state.withLock { $0.certificates }.map { ($0.files, $0.reload(always: always, now: now)) }
  }

  /// When the certificates in use end to be valid, in seconds since the Unix epoch; by certificate file.
  public var certificateExpiries: [String: Int64] {
    Dictionary(
      state.withLock { $0.certificates }.map { ($0.files.certificateChainFile, $0.expiresAt) }, uniquingKeysWith: min)
  }

  // MARK: Listening

  private func bind(_ listener: Listener, _ accepting: Bool) async throws(RPCError) -> any Channel {
    let tls = try listener.tls.map { files throws(RPCError) in try ServerCertificates(files) }
    if let tls { state.withLock { $0.certificates.append(tls) } }
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelInitializer { [shared] channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(AcceptPause(listener.address, shared.observer))
        }
      }
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.autoRead, value: accepting)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      // A channel keeps its read buffer. It grows as reads fill it, and begins at what most calls take. The largest
      // read is a turn of the loop: hundreds of calls, if they are as small as can be, and then others have theirs.
      .childChannelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 512, maximum: 16 * 1024)
      )
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelInitializer { [shared] channel in
        channel.eventLoop.makeCompletedFuture {
          let peer = Self.peer(of: channel, at: listener.address)
          try Self.addHandlers(to: channel, shared, tls?.context, peer: peer)
        }
      }
    do {
      switch listener.address {
      case .tcp(let host, let port):
        return try await bootstrap.childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
          .bind(host: host, port: port).get()
      case .unix(let path):
        try SocketFile.prepare(path)
        let channel = try await bootstrap.bind(unixDomainSocketPath: path).get()
        try SocketFile.restrict(path)
        return channel
      }
    } catch let error as RPCError {
      throw error
    } catch let error as IOError {
      let reason = String(cString: strerror(error.errnoCode))
      throw RPCError(
        error.errnoCode == ENOENT ? .notFound : .unavailable, "can't listen on \(listener.address): \(reason)")
    } catch {
      throw RPCError(.unavailable, "can't listen on \(listener.address): \(ConnectionLoss(error).message)")
    }
  }

  private static func peer(of channel: any Channel, at address: ServerAddress) -> PeerAddress {
    switch address {
    case .unix(let path): .unix(path: path)
    case .tcp: .inet(host: channel.remoteAddress?.ipAddress ?? "unknown", port: channel.remoteAddress?.port ?? 0)
    }
  }

  private static func addHandlers(
    to channel: any Channel, _ shared: ServerShared, _ tls: NIOSSLContext?, peer: PeerAddress
  ) throws {
    guard shared.admits(peer) else {
      channel.close(promise: nil)
      return
    }
    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
    try channel.pipeline.syncOperations.addHandler(
      ServerConnection(shared, channel, peer: peer, isSecure: tls != nil))
  }
}

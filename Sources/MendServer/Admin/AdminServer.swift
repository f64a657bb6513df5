import Glibc
import MendRPC
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Plain HTTP/1.1 for probes and scrapers, on its own address. Started once, stopped once.
final class AdminServer: Sendable {
  /// The most connections. For one more, the connection that has been idle longest is closed.
  static let maxConnections = 64

  private let pages: AdminPages
  private let state = Mutex(State())

  private struct State {
    var listener: (any Channel)?
    var isStopped = false
    var connections: [ObjectIdentifier: Connection] = [:]
    var lastUse: UInt64 = 0

    mutating func use() -> UInt64 {
      lastUse += 1
      return lastUse
    }
  }

  private struct Connection {
    var channel: any Channel
    /// Grows with each new connection and each answer.
    var use: UInt64
  }

  init(_ pages: AdminPages) { self.pages = pages }

  /// Starts listening and returns the address, with the chosen port for port 0.
  func start(host: String, port: Int, on group: any EventLoopGroup) async throws(MendServerError) -> PeerAddress {
    do {
      let channel = try await ServerBootstrap(group: group)
        .serverChannelInitializer { [pages] channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(AcceptPause(.tcp(host: host, port: port), pages.calls))
          }
        }
        .serverChannelOption(.backlog, value: 64)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .childChannelInitializer { [self] channel in
          guard add(channel) else { return channel.close() }
          channel.closeFuture.whenComplete { [self] _ in remove(channel) }
          return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
            let id = ObjectIdentifier(channel)
            try channel.pipeline.syncOperations.addHandler(AdminHandler(pages) { [self] in noteUse(id) })
          }
        }
        .bind(host: host, port: port).get()
      state.withLock { $0.listener = channel }
      return .inet(host: host, port: channel.localAddress?.port ?? port)
    } catch {
      let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
      throw MendServerError.cannotListen(RPCError(.unavailable, "admin on \(host):\(port): \(reason)"))
    }
  }

  func stop() async {
    let channels = state.withLock { state in
      state.isStopped = true
      return (state.listener.map { [$0] } ?? []) + state.connections.values.map(\.channel)
    }
    for channel in channels { try? await channel.close() }
  }

  private func add(_ channel: any Channel) -> Bool {
    let (isAdded, oldest) = state.withLock { state -> (Bool, (any Channel)?) in
      guard !state.isStopped else { return (false, nil) }
      var oldest: (any Channel)?
      if state.connections.count >= Self.maxConnections,
        let (id, connection) = state.connections.min(by: { $0.value.use < $1.value.use })
      {
        state.connections[id] = nil
        oldest = connection.channel
      }
      state.connections[ObjectIdentifier(channel)] = Connection(channel: channel, use: state.use())
      return (true, oldest)
    }
    oldest?.close(promise: nil)
    return isAdded
  }

  private func noteUse(_ id: ObjectIdentifier) {
    state.withLock { state in
      let use = state.use()
      state.connections[id]?.use = use
    }
  }

  private func remove(_ channel: any Channel) {
    state.withLock { _ = $0.connections.removeValue(forKey: ObjectIdentifier(channel)) }
  }
}

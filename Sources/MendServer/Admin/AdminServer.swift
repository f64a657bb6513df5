import MendRPC
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Plain HTTP/1.1 for machines, on an address of its own. Started once, stopped once.
final class AdminServer: Sendable {
  /// Probes and scrapers are few; what is more is closed as it arrives.
  static let maxConnections = 64

  private let pages: AdminPages
  private let state = Mutex(State())

  private struct State {
    var listener: (any Channel)?
    var isStopped = false
    var connections: [ObjectIdentifier: any Channel] = [:]
  }

  init(_ pages: AdminPages) { self.pages = pages }

  /// Answers with the address, whose port is picked for port 0.
  func start(host: String, port: Int, on group: any EventLoopGroup) async throws(MendServerError) -> PeerAddress {
    do {
      let channel = try await ServerBootstrap(group: group)
        .serverChannelOption(.backlog, value: 64)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .childChannelInitializer { [self] channel in
          guard add(channel) else { return channel.close() }
          channel.closeFuture.whenComplete { [self] _ in remove(channel) }
          return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
            try channel.pipeline.syncOperations.addHandler(AdminHandler(pages))
          }
        }
        .bind(host: host, port: port).get()
      state.withLock { $0.listener = channel }
      return .inet(host: host, port: channel.localAddress?.port ?? port)
    } catch {
      throw MendServerError.cannotListen("admin on \(host):\(port): \(error)")
    }
  }

  func stop() async {
    let channels = state.withLock { state in
      state.isStopped = true
      return (state.listener.map { [$0] } ?? []) + state.connections.values
    }
    for channel in channels { try? await channel.close() }
  }

  private func add(_ channel: any Channel) -> Bool {
    state.withLock { state in
      guard !state.isStopped, state.connections.count < Self.maxConnections else { return false }
      state.connections[ObjectIdentifier(channel)] = channel
      return true
    }
  }

  private func remove(_ channel: any Channel) {
    state.withLock { _ = $0.connections.removeValue(forKey: ObjectIdentifier(channel)) }
  }
}

import MendServer
import Synchronization

/// A server that knows whether it has ended.
final class ServedServer: Sendable {
  private let server: MendServer
  private let ended = Atomic<Bool>(false)

  init(_ server: MendServer) { self.server = server }

  var hasEnded: Bool { ended.load(ordering: .relaxed) }

  func shutdown() { server.shutdown() }

  /// Reloads certificates and tokens.
  func reload() { server.reload() }

  func run(onReady: @escaping @Sendable (MendServer.Addresses) async -> Void) async throws {
    defer { ended.store(true, ordering: .relaxed) }
    try await server.run(onReady: onReady)
  }
}

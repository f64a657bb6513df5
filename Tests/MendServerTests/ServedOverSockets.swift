import MendRPC
import MendRuntime
import TestSupport

@testable import MendServer

/// A whole server on a free port, and a connection to it.
enum ServedOverSockets {
  /// Ends both after `body`.
  static func run(
    tokens: Tokens? = nil, _ body: @Sendable (MendServer, ClientConnection) async throws -> Void
  ) async throws {
    let directory = try TemporaryDirectory()
    let runtime = try Harness.makeRuntime(in: directory.path, executor: ScriptedExecutor())
    var configuration = MendServer.Configuration(listeners: [.tcp(host: "127.0.0.1", port: 0)])
    configuration.threadCount = 1
    configuration.drainTimeout = .seconds(5)
    let server = MendServer(configuration: configuration, runtime: runtime, tokens: tokens, logger: Harness.quiet)
    try await run(server) { try await body(server, $0) }
  }

  /// For a server that is set up otherwise.
  static func run(_ server: MendServer, _ body: @Sendable (ClientConnection) async throws -> Void) async throws {
    let (ready, announce) = AsyncStream.makeStream(of: MendServer.Addresses.self)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        defer { announce.finish() }
        try await server.run { announce.yield($0) }
      }
      do {
        var iterator = ready.makeAsyncIterator()
        guard case .inet(_, let port)? = await iterator.next()?.calls.first else { throw NothingThrown() }
        let channel = try await ClientConnection.connect(to: .tcp(host: "127.0.0.1", port: port))
        try await body(channel)
        await channel.close()
      } catch {
        server.shutdown()
        throw error
      }
      server.shutdown()
      try await group.waitForAll()
    }
  }
}

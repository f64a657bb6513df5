import MendAPI
import MendClient
import MendRPC

/// A real server on loopback with handlers of the test's own.
struct FakeServer: ~Copyable {
  let server: RPCServer
  let endpoint: Endpoint

  init(_ router: Router, port: Int = 0) async throws {
    server = RPCServer(
      router: router, configuration: ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: port)]))
    let addresses = try await server.start()
    endpoint = try Endpoint("\(addresses[0])")
  }

  var port: Int {
    if case .tcp(_, let port) = endpoint { port } else { 0 }
  }

  func stop() async { await server.shutdown(gracePeriod: .zero) }
}

extension MendClient {
  static func impatient(_ endpoint: Endpoint) -> MendClient {
    var settings = Settings()
    settings.limits.backoffMinimum = .milliseconds(1)
    settings.limits.backoffMaximum = .milliseconds(2)
    settings.limits.connectBackoffMinimum = .milliseconds(1)
    settings.limits.connectBackoffMaximum = .milliseconds(20)
    return MendClient(endpoint, settings: settings)
  }
}

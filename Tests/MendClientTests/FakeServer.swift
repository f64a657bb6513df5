import MendAPI
import MendClient
import MendRPC
import Synchronization

/// A real server on loopback with handlers of the test's own.
struct FakeServer: ~Copyable {
  let server: RPCServer
  let endpoint: Endpoint

  init(_ router: Router) async throws {
    server = RPCServer(
      router: router, configuration: ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: 0)]))
    let addresses = try await server.start()
    endpoint = try Endpoint("\(addresses[0])")
  }

  func stop() async { await server.shutdown(gracePeriod: .zero) }
}

/// What handlers have seen, in order.
final class Seen<Value: Sendable>: Sendable {
  private let values = Mutex<[Value]>([])

  /// The number of the value, from 1.
  @discardableResult
  func add(_ value: Value) -> Int {
    values.withLock { values in
      values.append(value)
      return values.count
    }
  }

  var all: [Value] { values.withLock { $0 } }
}

extension MendClient {
  static func impatient(_ endpoint: Endpoint) -> MendClient {
    var settings = Settings()
    settings.limits.backoffMinimum = .milliseconds(1)
    settings.limits.backoffMaximum = .milliseconds(2)
    return MendClient(endpoint, settings: settings)
  }
}

internal import MendRPC
internal import Synchronization

/// Has the one connection to a server: made by the first call that needs it, and again after it was lost.
///
/// Calls that come while it is made wait for the same one; a call whose connecting failed says why to all of them.
final class Connector: Sendable {
  private struct State {
    var connection: ClientConnection?
    var isConnecting = false
    var waiting: [CheckedContinuation<Result<ClientConnection, MendError>, Never>] = []
  }

  private enum Turn {
    case use(ClientConnection)
    case connect
    case wait
  }

  private let address: MendRPC.ServerAddress
  private let configuration: ClientConfiguration
  private let state = Mutex(State())

  init(_ endpoint: Endpoint, _ security: MendClient.Security, _ limits: MendClient.Limits) {
    address =
      switch endpoint {
      case .tcp(let host, let port): .tcp(host: host, port: port)
      case .unix(let path): .unix(path: path)
      }
    var configuration = ClientConfiguration()
    configuration.limits.maxResponseBytes = limits.responseBytesMaximum
    configuration.connectTimeout = limits.connectTimeout
    // Finds out that a server is gone without a word while a watch waits for it; not oftener than servers commonly allow.
    configuration.keepaliveInterval = .seconds(300)
    if case .tls(let files) = security {
      configuration.tls = ClientTLS(
        trustRootsFile: files.trustedAuthorities, serverName: files.serverName,
        certificateChainFile: files.certificate, privateKeyFile: files.key)
    }
    self.configuration = configuration
  }

  func connection() async throws(MendError) -> ClientConnection {
    while true {
      switch state.withLock({ Self.turn(&$0) }) {
      case .use(let connection):
        return connection
      case .connect:
        let made = await connect()
        let waiting = state.withLock { state in
          state.isConnecting = false
          state.connection = try? made.get()
          defer { state.waiting = [] }
          return state.waiting
        }
        for continuation in waiting { continuation.resume(returning: made) }
        return try made.get()
      case .wait:
        let made: Result<ClientConnection, MendError> = await withCheckedContinuation { continuation in
          let isDone = state.withLock { state in
            guard state.isConnecting else { return true }
            state.waiting.append(continuation)
            return false
          }
          if isDone { continuation.resume(returning: .failure(MendError(.cancelled, ""))) }
        }
        do throws(MendError) {
          return try made.get()
        } catch {
          // The connecting task was cancelled, not this one: its turn to try.
          guard error.code == .cancelled, !Task.isCancelled else { throw error }
        }
      }
    }
  }

  func close() async {
    let connection = state.withLock { state in
      defer { state.connection = nil }
      return state.connection
    }
    await connection?.close()
  }

  private static func turn(_ state: inout State) -> Turn {
    if let connection = state.connection {
      switch connection.phase {
      case .connecting, .ready: return .use(connection)
      case .draining, .closed: state.connection = nil
      }
    }
    if state.isConnecting { return .wait }
    state.isConnecting = true
    return .connect
  }

  private func connect() async -> Result<ClientConnection, MendError> {
    do throws(RPCError) {
      return .success(try await ClientConnection.connect(to: address, configuration: configuration))
    } catch {
      return .failure(MendError(error))
    }
  }
}

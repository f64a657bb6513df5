import Foundation
import MendRPC

/// Serves grpc.testing.TestService until its standard input ends: in plain text, over TLS where files are given, and on
/// a Unix socket. Prints where, in one line. Or is the client of another's server: a line for each case.
@main
enum InteropServer {
  static func main() async {
    let arguments = CommandLine.arguments
    if arguments.count > 2, arguments[1] == "client" { await runClient(Array(arguments.dropFirst(2))) }
    guard arguments.count == 2 || arguments.count == 4 else {
      fail("usage: interop-server SOCKET [CERTIFICATE.pem KEY.pem] | client PORT [AUTHORITY.pem SERVER-NAME]")
    }
    var listeners: [Listener] = [.tcp(host: "127.0.0.1", port: 0), .unix(path: arguments[1])]
    if arguments.count == 4 {
      let tls = ServerTLS(certificateChainFile: arguments[2], privateKeyFile: arguments[3])
      listeners.append(.tcp(host: "127.0.0.1", port: 0, tls: tls))
    }
    var router = Router()
    router.register(InteropTestService())
    let server = RPCServer(router: router, configuration: ServerConfiguration(listeners: listeners))
    do throws(RPCError) {
      let addresses = try await server.start()
      let ports = addresses.compactMap { if case .inet(_, let port) = $0 { port } else { nil } }
      let line = "ready plain=\(ports[0]) tls=\(ports.count > 1 ? ports[1] : 0)\n"
      FileHandle.standardOutput.write(Data(line.utf8))
    } catch {
      fail(error.message)
    }
    // Whoever started it holds the other end: it can't outlive its test.
    while readLine() != nil {}
    await server.shutdown(gracePeriod: .seconds(1))
  }

  /// Every case against a server on this machine; exits 1 if one failed.
  private static func runClient(_ arguments: [String]) async -> Never {
    guard let port = Int(arguments[0]), arguments.count == 1 || arguments.count == 3 else {
      fail("usage: interop-server client PORT [AUTHORITY.pem SERVER-NAME]")
    }
    var configuration = ClientConfiguration()
    if arguments.count == 3 { configuration.tls = ClientTLS(trustRootsFile: arguments[1], serverName: arguments[2]) }
    var failed = false
    do throws(RPCError) {
      let connection = try await ClientConnection.connect(
        to: .tcp(host: "127.0.0.1", port: port), configuration: configuration)
      let client = InteropClient(connection)
      for (name, run) in InteropClient.cases {
        do {
          try await run(client)
          say("ok \(name)")
        } catch {
          failed = true
          say("FAIL \(name) \((error as? InteropClient.Fault)?.text ?? "\(error)")")
        }
      }
      await connection.close()
    } catch {
      fail(error.message)
    }
    exit(failed ? 1 : 0)
  }

  private static func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
  }

  private static func fail(_ message: String) -> Never {
    FileHandle.standardError.write(Data("interop-server: \(message)\n".utf8))
    exit(1)
  }
}

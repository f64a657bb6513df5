import Foundation
import MendRPC

/// Serves grpc.testing.TestService until its standard input ends: in plain text, over TLS where files are given, and on
/// a Unix socket. Prints where, in one line.
@main
enum InteropServer {
  static func main() async {
    let arguments = CommandLine.arguments
    guard arguments.count == 2 || arguments.count == 4 else {
      fail("usage: interop-server SOCKET [CERTIFICATE.pem KEY.pem]")
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

  private static func fail(_ message: String) -> Never {
    FileHandle.standardError.write(Data("interop-server: \(message)\n".utf8))
    exit(1)
  }
}

import Foundation
import MendRPC
import TestSupport
import Testing

@Suite struct ListenerTests {
  private func echo(_ client: ClientConnection) async throws {
    let response: RawMessage = try await client.unary(Methods.echo, RawMessage([1, 2]), options: CallOptions())
    #expect(response == RawMessage([1, 2]))
  }

  @Test("A Unix socket is its owner's alone, replaces a dead one, and refuses to replace a living one")
  func unixSocket() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/mend.sock"
    for _ in 0..<2 {
      try await withServer(server: { $0.listeners = [.unix(path: path)] }) { client, _ in
        try await echo(client)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let second = RPCServer(
          router: Router(), configuration: ServerConfiguration(listeners: [.unix(path: path)]))
        let error = await status { () async throws(RPCError) -> [PeerAddress] in try await second.start() }
        #expect(error?.message == "another server listens on \(path)")
        await second.shutdown(gracePeriod: .zero)
        try await echo(client)
      }
      #expect(!FileManager.default.fileExists(atPath: path))
      // A socket file that nobody listens on any more.
      try bindAndForget(path)
    }
  }

  @Test("A server answers in its own process without a listener")
  func inProcess() async throws {
    let server = RPCServer(router: makeRouter(Witness()), configuration: ServerConfiguration())
    let client = try await server.connectInProcess()
    try await echo(client)
    await client.close()
    await server.shutdown(gracePeriod: .zero)
    #expect(server.connectionCount == 0)
  }

  @Test("A file that is no socket is left alone")
  func occupiedPath() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/file"
    try Data("precious".utf8).write(to: URL(fileURLWithPath: path))
    let server = RPCServer(router: Router(), configuration: ServerConfiguration(listeners: [.unix(path: path)]))
    let error = await status { () async throws(RPCError) -> [PeerAddress] in try await server.start() }
    #expect(error?.code == .alreadyExists)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "precious")
    await server.shutdown(gracePeriod: .zero)
  }

  @Test("What can't be listened on is named, in the system's words and no others")
  func unavailable() async throws {
    let directory = try TemporaryDirectory()
    let taken = try DeadPort()
    for (listener, code, words) in [
      (Listener.unix(path: directory.path + "/nowhere/s"), StatusCode.notFound, "No such file or directory"),
      (Listener.tcp(host: "127.0.0.1", port: taken.port), .unavailable, "Address already in use"),
    ] {
      let server = RPCServer(router: Router(), configuration: ServerConfiguration(listeners: [listener]))
      let error = await status { () async throws(RPCError) -> [PeerAddress] in try await server.start() }
      #expect(error?.code == code)
      #expect(error?.message == "can't listen on \(listener.address): \(words)")
      await server.shutdown(gracePeriod: .zero)
    }
  }

  @Test("Calls go over TLS, and an unknown certificate is refused")
  func tls() async throws {
    let directory = try TemporaryDirectory()
    let (certificate, key) = try TestCertificate.make(in: directory.path)
    try await withServer(
      server: {
        $0.listeners = [
          .tcp(host: "127.0.0.1", port: 0, tls: ServerTLS(certificateChainFile: certificate, privateKeyFile: key))
        ]
      },
      client: { $0.tls = ClientTLS(trustRootsFile: certificate, serverName: "localhost") }
    ) { client, _ in
      try await echo(client)
      var stranger = ClientConfiguration()
      stranger.tls = ClientTLS(serverName: "localhost")
      let error = await status { () async throws(RPCError) -> ClientConnection in
        try await ClientConnection.connect(to: client.address, configuration: stranger)
      }
      #expect(error?.code == .unavailable)
    }
  }

  @Test("A listener with a client authority refuses callers without a certificate")
  func mutualTLS() async throws {
    let directory = try TemporaryDirectory()
    let (certificate, key) = try TestCertificate.make(in: directory.path)
    let tls = ServerTLS(certificateChainFile: certificate, privateKeyFile: key, clientAuthorityFile: certificate)
    try await withServer(
      server: { $0.listeners = [.tcp(host: "127.0.0.1", port: 0, tls: tls)] },
      client: {
        $0.tls = ClientTLS(
          trustRootsFile: certificate, serverName: "localhost", certificateChainFile: certificate, privateKeyFile: key)
      }
    ) { client, _ in
      try await echo(client)
      var stranger = ClientConfiguration()
      stranger.tls = ClientTLS(trustRootsFile: certificate, serverName: "localhost")
      let error = await status { () async throws(RPCError) -> ClientConnection in
        try await ClientConnection.connect(to: client.address, configuration: stranger)
      }
      #expect(error?.code == .unavailable)
    }
  }
}

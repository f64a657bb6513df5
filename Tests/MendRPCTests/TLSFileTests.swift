import Foundation
import MendRPC
import TestSupport
import Testing

/// TLS files that can't be used, on both sides: which file, and what is wrong with it.
@Suite struct TLSFileTests {
  private func clientError(_ tls: ClientTLS) async -> RPCError? {
    var configuration = ClientConfiguration()
    configuration.tls = tls
    return await status { [configuration] () async throws(RPCError) -> ClientConnection in
      try await ClientConnection.connect(to: .tcp(host: "127.0.0.1", port: 1), configuration: configuration)
    }
  }

  private func serverError(_ tls: ServerTLS) async -> RPCError? {
    let server = RPCServer(
      router: Router(), configuration: ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: 0, tls: tls)]))
    let error = await status { () async throws(RPCError) -> [PeerAddress] in try await server.start() }
    await server.shutdown(gracePeriod: .zero)
    return error
  }

  @Test("Every file is named with what is wrong with it")
  func words() async throws {
    let directory = try TemporaryDirectory()
    let base = directory.path + "/"
    for name in ["a", "b"] {
      _ = try TestCertificate.make(in: directory.path, certificate: "\(name).pem", key: "\(name).key")
    }
    try openssl("x509", "-in", "a.pem", "-outform", "der", "-out", "a.der", in: directory.path)
    try openssl(
      "pkey", "-in", "a.key", "-aes256", "-passout", "pass:secret", "-out", "locked.key", in: directory.path)
    try "hello".write(toFile: base + "text", atomically: true, encoding: .utf8)
    let certificate = try String(contentsOfFile: base + "a.pem", encoding: .utf8)
    try certificate.replacing("M", with: "!").write(toFile: base + "damaged.pem", atomically: true, encoding: .utf8)

    let authorities: [(file: String, words: String)] = [
      ("none.pem", "No such file or directory"),
      ("text", "it has no PEM certificate (-----BEGIN CERTIFICATE-----)"),
      (
        "a.der", "it is DER, not PEM; convert it: openssl x509 -inform der -in \(base)a.der (or openssl pkey for a key)"
      ),
      ("a.key", "it has no PEM certificate (-----BEGIN CERTIFICATE-----); it has: PRIVATE KEY"),
      ("damaged.pem", "a certificate in it is damaged: its base64 or what it encodes can't be read"),
    ]
    for (file, words) in authorities {
      let client = await clientError(ClientTLS(trustRootsFile: base + file))
      #expect(client?.code == .failedPrecondition)
      #expect(client?.message == "can't use \(base + file) as TLS trusted authorities: \(words)")
      let server = await serverError(
        ServerTLS(
          certificateChainFile: base + "a.pem", privateKeyFile: base + "a.key", clientAuthorityFile: base + file))
      #expect(server?.code == .failedPrecondition)
      #expect(server?.message == "can't use \(base + file) as TLS authority for clients: \(words)")
    }

    let keys: [(file: String, words: String)] = [
      ("none.key", "No such file or directory"),
      ("a.pem", "it has no PEM private key (-----BEGIN PRIVATE KEY-----); it has: CERTIFICATE"),
      (
        "locked.key",
        "the key is encrypted with a passphrase; write it without one: openssl pkey -in \(base)locked.key -out FILE"
      ),
      ("b.key", "it is not the key of the certificate in \(base)a.pem"),
    ]
    for (file, words) in keys {
      let expected = "can't use \(base + file) as TLS private key: \(words)"
      #expect(
        await clientError(ClientTLS(certificateChainFile: base + "a.pem", privateKeyFile: base + file))?.message
          == expected)
      #expect(
        await serverError(ServerTLS(certificateChainFile: base + "a.pem", privateKeyFile: base + file))?.message
          == expected)
    }
    let swapped = await serverError(ServerTLS(certificateChainFile: base + "text", privateKeyFile: base + "a.key"))
    #expect(swapped?.message.hasPrefix("can't use \(base)text as TLS certificate: ") == true)
  }

  @Test("A handshake that fails says why, and keeps the library's name for it")
  func handshake() async throws {
    let directory = try TemporaryDirectory()
    let base = directory.path + "/"
    for name in ["a", "b"] {
      _ = try TestCertificate.make(in: directory.path, certificate: "\(name).pem", key: "\(name).key")
    }
    let tls = ServerTLS(certificateChainFile: base + "a.pem", privateKeyFile: base + "a.key")
    let server = RPCServer(
      router: Router(), configuration: ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: 0, tls: tls)]))
    let address = try #require(try await server.start().first?.serverAddress)
    var stranger = ClientConfiguration()
    stranger.tls = ClientTLS(trustRootsFile: base + "b.pem", serverName: "localhost")
    let untrusted = await status { [stranger] () async throws(RPCError) -> ClientConnection in
      try await ClientConnection.connect(to: address, configuration: stranger)
    }
    #expect(untrusted?.code == .unavailable)
    #expect(untrusted?.message.contains("the peer's certificate is not trusted") == true)
    #expect(untrusted?.message.contains("CERTIFICATE_VERIFY_FAILED") == true)
    #expect(untrusted?.connectionFault == .untrustedCertificate)
    await server.shutdown(gracePeriod: .zero)

    let plain = RPCServer(
      router: Router(), configuration: ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: 0)]))
    let plainAddress = try #require(try await plain.start().first?.serverAddress)
    let withoutTLS = await status { [stranger] () async throws(RPCError) -> ClientConnection in
      try await ClientConnection.connect(to: plainAddress, configuration: stranger)
    }
    #expect(withoutTLS?.message.contains("the peer does not use TLS (WRONG_VERSION_NUMBER)") == true)
    #expect(withoutTLS?.connectionFault == .noTLS)
    await plain.shutdown(gracePeriod: .zero)
  }
}

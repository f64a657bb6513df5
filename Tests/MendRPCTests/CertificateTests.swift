import Foundation
import MendRPC
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport
import Testing

/// What a server's observer was told of handshakes.
private final class Handshakes: ServerObserver {
  let faults = Mutex<[HandshakeFault]>([])

  func handshakeFailed(_ peer: PeerAddress, _ fault: HandshakeFault) { faults.withLock { $0.append(fault) } }
}

@Suite("Certificates", .timeLimit(.minutes(2)))
struct CertificateTests {
  /// An authority's own files in a directory, and what it signs.
  private struct Authority {
    let directory: String
    let name: String
    var certificate: String { "\(directory)/\(name).pem" }

    init(_ name: String, in directory: String) throws {
      self.directory = directory
      self.name = name
      try openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
        "/CN=\(name)", "-keyout", "\(name).key", "-out", "\(name).pem", in: directory)
    }

    /// A certificate for localhost and its key. `days` below 0 is one that has expired.
    func sign(_ leaf: String, days: Int = 2) throws -> (certificate: String, key: String) {
      try "subjectAltName=DNS:localhost\n".write(toFile: directory + "/names", atomically: true, encoding: .utf8)
      try openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=\(leaf)", "-keyout",
        "\(leaf).key", "-out", "\(leaf).csr", in: directory)
      // openssl's `x509` takes no past: `ca` would, with a database around it. A day of -1 ends yesterday.
      try openssl(
        "x509", "-req", "-in", "\(leaf).csr", "-CA", "\(name).pem", "-CAkey", "\(name).key", "-CAcreateserial", "-days",
        "\(days)", "-extfile", "names", "-out", "\(leaf).pem", in: directory)
      return ("\(directory)/\(leaf).pem", "\(directory)/\(leaf).key")
    }
  }

  private func copy(_ from: (certificate: String, key: String), to: (certificate: String, key: String)) throws {
    for (from, to) in [(from.certificate, to.certificate), (from.key, to.key)] {
      try FileManager.default.contents(atPath: from)?.write(to: URL(fileURLWithPath: to), options: .atomic)
    }
  }

  private func connect(_ address: PeerAddress?, _ trusted: Authority) async -> RPCError? {
    var configuration = ClientConfiguration()
    configuration.tls = ClientTLS(trustRootsFile: trusted.certificate, serverName: "localhost")
    return await connect(address, configuration)
  }

  /// Connects, calls and closes; the error, if there was one.
  private func connect(_ address: PeerAddress?, _ configuration: ClientConfiguration) async -> RPCError? {
    await status { () async throws(RPCError) -> RawMessage in
      guard let address = address?.serverAddress else { throw RPCError(.internal, "no address") }
      let client = try await ClientConnection.connect(to: address, configuration: configuration)
      do throws(RPCError) {
        let answer: RawMessage = try await client.unary(
          Methods.echo, RawMessage([1]), options: CallOptions())
        await client.close()
        return answer
      } catch {
        await client.close()
        throw error
      }
    }
  }

  private func serve(
    _ tls: ServerTLS, observer: Handshakes = Handshakes(), _ body: (RPCServer, PeerAddress?) async throws -> Void
  ) async throws {
    var configuration = ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: 0, tls: tls)])
    configuration.observer = observer
    let server = RPCServer(router: makeRouter(Witness()), configuration: configuration)
    let address = try await server.start().first
    do { try await body(server, address) } catch {
      await server.shutdown(gracePeriod: .zero)
      throw error
    }
    await server.shutdown(gracePeriod: .zero)
  }

  @Test("new connections get a new certificate, and open ones live on")
  func reload() async throws {
    let directory = try TemporaryDirectory()
    let (old, new) = (try Authority("old", in: directory.path), try Authority("new", in: directory.path))
    let used = (certificate: directory.path + "/used.pem", key: directory.path + "/used.key")
    try copy(try old.sign("first"), to: used)
    let files = ServerTLS(certificateChainFile: used.certificate, privateKeyFile: used.key)
    try await serve(files) { server, address in
      #expect(server.reloadCertificates().map(\.outcome) == [.unchanged])
      var configuration = ClientConfiguration()
      configuration.tls = ClientTLS(trustRootsFile: old.certificate, serverName: "localhost")
      let open = try await ClientConnection.connect(
        to: try #require(address?.serverAddress), configuration: configuration)
      #expect(await connect(address, new)?.code == .unavailable)

      try copy(try new.sign("second"), to: used)
      guard case .reloaded(let expiry)? = server.reloadCertificates().first?.outcome else {
        Issue.record("not reloaded")
        return
      }
      #expect(server.certificateExpiries == [used.certificate: expiry])
      #expect(server.reloadCertificates().map(\.outcome) == [.unchanged])
      #expect(await connect(address, new) == nil)
      #expect(await connect(address, old)?.code == .unavailable)
      let answer: RawMessage = try await open.unary(Methods.echo, RawMessage([7]), options: CallOptions())
      #expect(answer.bytes == [7])
      await open.close()
    }
  }

  @Test("broken, foreign and expired files are refused once each, and what was good stays")
  func broken() async throws {
    let directory = try TemporaryDirectory()
    let authority = try Authority("ca", in: directory.path)
    let used = (certificate: directory.path + "/used.pem", key: directory.path + "/used.key")
    let good = try authority.sign("good")
    try copy(good, to: used)
    let files = ServerTLS(certificateChainFile: used.certificate, privateKeyFile: used.key)
    try await serve(files) { server, address in
      func refusal() -> String? {
        guard case .refused(let error)? = server.reloadCertificates().first?.outcome else { return nil }
        return error.message
      }
      try "no certificate".write(toFile: used.certificate, atomically: true, encoding: .utf8)
      #expect(refusal()?.contains(used.certificate) == true)
      #expect(refusal() == nil, "told of once")
      try FileManager.default.removeItem(atPath: used.certificate)
      #expect(refusal()?.contains(used.certificate) == true)
      // The key is another certificate's: what a look sees that comes between two copies.
      try copy((try authority.sign("other").certificate, good.key), to: used)
      #expect(refusal()?.contains("key") == true)
      try copy(try authority.sign("late", days: -1), to: used)
      #expect(refusal()?.contains("expired") == true)
      #expect(await connect(address, authority) == nil)
      try copy(try authority.sign("better"), to: used)
      guard case .reloaded = server.reloadCertificates().first?.outcome else {
        Issue.record("a good file after a broken one is not taken")
        return
      }
      #expect(await connect(address, authority) == nil)
      // Asked to, it reads what has not changed.
      guard case .reloaded = server.reloadCertificates(always: true).first?.outcome else {
        Issue.record("not read again")
        return
      }
    }
  }

  @Test("a caller's certificate that is missing, foreign or expired is named as that")
  func callers() async throws {
    let directory = try TemporaryDirectory()
    let (ours, theirs) = (try Authority("ours", in: directory.path), try Authority("theirs", in: directory.path))
    let server = try ours.sign("server")
    let callers: [(HandshakeFault.Reason?, (certificate: String, key: String)?)] = [
      (nil, try ours.sign("caller")), (.noCertificate, nil), (.unknownAuthority, try theirs.sign("stranger")),
      (.expired, try ours.sign("late", days: -1)),
    ]
    let files = ServerTLS(
      certificateChainFile: server.certificate, privateKeyFile: server.key, clientAuthorityFile: ours.certificate)
    let observer = Handshakes()
    try await serve(files, observer: observer) { _, address in
      for (reason, caller) in callers {
        observer.faults.withLock { $0 = [] }
        var configuration = ClientConfiguration()
        configuration.tls = ClientTLS(
          trustRootsFile: ours.certificate, serverName: "localhost", certificateChainFile: caller?.certificate,
          privateKeyFile: caller?.key)
        let error = await connect(address, configuration)
        if let reason {
          #expect(error != nil)
          #expect(await eventually { observer.faults.withLock { !$0.isEmpty } })
          let fault = observer.faults.withLock { $0.first }
          #expect(fault?.reason == reason, "\(fault?.message ?? "")")
        } else {
          #expect(error == nil)
        }
      }
      // And who speaks no TLS at all.
      observer.faults.withLock { $0 = [] }
      _ = await connect(address, ClientConfiguration())
      #expect(await eventually { observer.faults.withLock { !$0.isEmpty } })
      #expect(observer.faults.withLock { $0.first?.reason } == .plaintext)
    }
  }

  @Test("an authority that changes counts for the next caller")
  func authority() async throws {
    let directory = try TemporaryDirectory()
    let (ours, theirs) = (try Authority("ours", in: directory.path), try Authority("theirs", in: directory.path))
    let server = try ours.sign("server")
    let stranger = try theirs.sign("stranger")
    let roots = directory.path + "/roots.pem"
    try FileManager.default.copyItem(atPath: ours.certificate, toPath: roots)
    let files = ServerTLS(
      certificateChainFile: server.certificate, privateKeyFile: server.key, clientAuthorityFile: roots)
    try await serve(files) { server, address in
      var configuration = ClientConfiguration()
      configuration.tls = ClientTLS(
        trustRootsFile: ours.certificate, serverName: "localhost", certificateChainFile: stranger.certificate,
        privateKeyFile: stranger.key)
      #expect(await connect(address, configuration) != nil)
      try FileManager.default.contents(atPath: theirs.certificate)?.write(to: URL(fileURLWithPath: roots))
      guard case .reloaded = server.reloadCertificates().first?.outcome else {
        Issue.record("not reloaded")
        return
      }
      #expect(await connect(address, configuration) == nil)
    }
  }

  @Test("certificates that change under load cost no connection")
  func underLoad() async throws {
    let directory = try TemporaryDirectory()
    let authority = try Authority("ca", in: directory.path)
    let used = (certificate: directory.path + "/used.pem", key: directory.path + "/used.key")
    let versions = [try authority.sign("first"), try authority.sign("second")]
    try copy(versions[0], to: used)
    let files = ServerTLS(certificateChainFile: used.certificate, privateKeyFile: used.key)
    try await serve(files) { server, address in
      let witness = Witness()
      try await withThrowingTaskGroup(of: [RPCError?].self) { group in
        for _ in 0..<4 {
          group.addTask {
            var errors: [RPCError?] = []
            let deadline = ContinuousClock.now + .seconds(120)
            while !witness.isReleased.withLock({ $0 }) || errors.isEmpty {
              // The test below failed, or waits for something that does not come.
              guard !Task.isCancelled, ContinuousClock.now < deadline else { break }
              errors.append(await connect(address, authority))
            }
            return errors
          }
        }
        for turn in 1...20 {
          try copy(versions[turn % 2], to: used)
          guard case .reloaded = server.reloadCertificates().first?.outcome else {
            Issue.record("turn \(turn) was not reloaded")
            break
          }
          #expect(await connect(address, authority) == nil)
        }
        witness.isReleased.withLock { $0 = true }
        for try await errors in group { #expect(errors.allSatisfy { $0 == nil }, "\(errors.compactMap(\.self))") }
      }
    }
  }

  /// Shakes hands with whatever TLS this is; the bytes that came until the end, none where the handshake failed.
  private func shakeHands(
    _ address: PeerAddress?, _ trusted: Authority, saying first: String, _ change: (inout TLSConfiguration) -> Void
  ) async throws -> String {
    guard case .inet(let host, let port)? = address else { return "no address" }
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.trustRoots = .file(trusted.certificate)
    change(&configuration)
    let context = try NIOSSLContext(configuration: configuration)
    let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .connect(host: host, port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            NIOSSLClientHandler(context: context, serverHostname: "localhost"))
          return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    var text = ""
    do {
      try await channel.executeThenClose { inbound, outbound in
        try await outbound.write(ByteBuffer(string: first))
        for try await buffer in inbound { text += String(buffer: buffer) }
      }
    } catch {
      // How the connection ends is the server's business.
    }
    return text
  }

  @Test("TLS that is too old or not for HTTP/2 is refused, and the log is told why")
  func oldOrForeign() async throws {
    let directory = try TemporaryDirectory()
    let authority = try Authority("ca", in: directory.path)
    let server = try authority.sign("server")
    let observer = Handshakes()
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    try await serve(
      ServerTLS(certificateChainFile: server.certificate, privateKeyFile: server.key), observer: observer
    ) { _, address in
      func fault(_ first: String, _ change: (inout TLSConfiguration) -> Void) async throws -> (String, HandshakeFault?)
      {
        observer.faults.withLock { $0 = [] }
        let text = try await shakeHands(address, authority, saying: first, change)
        #expect(await eventually { observer.faults.withLock { !$0.isEmpty } })
        return (text, observer.faults.withLock { $0.first })
      }
      let old = try await fault(preface) {
        $0.minimumTLSVersion = .tlsv1
        $0.maximumTLSVersion = .tlsv11
      }
      #expect(old.0.isEmpty && old.1?.reason == .version)
      for protocols in [[], ["http/1.1"], ["h2c", "spdy/3"]] {
        let foreign = try await fault(preface) { $0.applicationProtocols = protocols }
        #expect(foreign.0.isEmpty && foreign.1?.reason == .withoutHTTP2, "\(protocols): \(foreign)")
      }
      let browser = try await fault("GET / HTTP/1.1\r\nhost: x\r\n\r\n") { $0.applicationProtocols = ["http/1.1"] }
      #expect(browser.0.hasPrefix("HTTP/1.1 505 "))
      #expect(browser.1?.reason == .withoutHTTP2)
      #expect(await connect(address, authority) == nil)
    }
  }

  /// Nothing but the time limit of handshakes would end such a connection: it reads no GOAWAY and answers no PING.
  @Test("a silent caller whose TLS turns out not to be for HTTP/2 does not hold a shutdown up")
  func foreignDuringShutdown() async throws {
    let directory = try TemporaryDirectory()
    let authority = try Authority("ca", in: directory.path)
    let files = try authority.sign("server")
    try await serve(ServerTLS(certificateChainFile: files.certificate, privateKeyFile: files.key)) { server, address in
      guard case .inet(let host, let port)? = address else { return }
      let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
        .connect(host: host, port: port).get()
      #expect(await eventually { server.connectionCount == 1 })
      let start = ContinuousClock.now
      let shutdown = Task { await server.shutdown(gracePeriod: .seconds(60)) }
      #expect(await eventually { await connect(address, authority)?.connectionFault == .refused })
      var configuration = TLSConfiguration.makeClientConfiguration()
      configuration.trustRoots = .file(authority.certificate)
      let context = try NIOSSLContext(configuration: configuration)
      let isAdded = channel.eventLoop.submit {
        try channel.pipeline.syncOperations.addHandler(
          NIOSSLClientHandler(context: context, serverHostname: "localhost"))
      }
      try await isAdded.get()
      await shutdown.value
      #expect(ContinuousClock.now - start < .seconds(5))
      try? await channel.close()
    }
  }

  @Test("a server whose TLS is not for HTTP/2 is refused by the client, in words")
  func serverWithoutALPN() async throws {
    let directory = try TemporaryDirectory()
    let authority = try Authority("ca", in: directory.path)
    let files = try authority.sign("server")
    var tls = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(files.certificate).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(file: files.key, format: .pem)))
    for protocols in [[], ["http/1.1"]] {
      tls.applicationProtocols = protocols
      let context = try NIOSSLContext(configuration: tls)
      let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
          }
        }
        .bind(host: "127.0.0.1", port: 0).get()
      let error = await connect(.inet(host: "127.0.0.1", port: listener.localAddress?.port ?? 0), authority)
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("ALPN h2") == true, "\(error?.message ?? "")")
      try await listener.close()
    }
  }
}

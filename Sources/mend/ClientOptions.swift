import ArgumentParser
import Glibc
import MendClient
import MendRPC

/// The options of all commands that call a server: its address, and who the caller is.
struct ClientOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The server's address (MEND_SERVER; default 127.0.0.1:7443).",
      valueName: "HOST:PORT|unix:PATH"))
  var server: String?

  @Option(help: ArgumentHelp("The caller's token (MEND_TOKEN).", valueName: "token"))
  var token: String?

  @Option(help: ArgumentHelp("The namespace (MEND_NAMESPACE; default 'default').", valueName: "name"))
  var namespace: String?

  @Option(
    name: .customLong("tls-ca"),
    help: ArgumentHelp(
      "Connect by TLS and trust the CA certificates in this PEM file; 'system' uses the system's (MEND_TLS_CA).",
      valueName: "file"))
  var tlsCA: String?

  @Option(
    name: .customLong("tls-cert"), help: ArgumentHelp("A client certificate (PEM; MEND_TLS_CERT).", valueName: "file"))
  var tlsCertificate: String?

  @Option(
    name: .customLong("tls-key"),
    help: ArgumentHelp("The client certificate's private key (PEM; MEND_TLS_KEY).", valueName: "file"))
  var tlsKey: String?

  /// A client for these options and the environment.
  func client() throws -> MendClient {
    try MendClient.make(
      server: server ?? Environment["MEND_SERVER"], token: token ?? Environment["MEND_TOKEN"],
      namespace: namespace ?? Environment["MEND_NAMESPACE"], tlsCA: tlsCA ?? Environment["MEND_TLS_CA"],
      tlsCertificate: tlsCertificate ?? Environment["MEND_TLS_CERT"], tlsKey: tlsKey ?? Environment["MEND_TLS_KEY"])
  }

  /// Runs `body` with a client, and turns its failures into messages and statuses of the command line.
  func withClient<Result>(_ body: (MendClient) async throws -> Result) async throws -> Result {
    let client = try client()
    do {
      let result = try await body(client)
      await client.close()
      return result
    } catch let error as MendError {
      await client.close()
      throw ProgramError(error, server: client.server)
    } catch {
      await client.close()
      throw error
    }
  }
}

/// How an answer is printed.
struct OutputOptions: ParsableArguments {
  @Option(name: [.short, .long], help: "How to print the answer: table, json (one document) or jsonl (JSON lines).")
  var output: Format = .table
}

/// The program's environment; an empty value counts as missing.
enum Environment {
  static subscript(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    let text = String(cString: value)
    return text.isEmpty ? nil : text
  }
}

extension MendClient {
  static func programSettings(token: String? = nil, namespace: String? = nil) -> Settings {
    var settings = Settings(token: token, namespace: namespace)
    settings.limits = .program
    return settings
  }

  static func make(
    server: String?, token: String?, namespace: String?, tlsCA: String?, tlsCertificate: String?, tlsKey: String?
  ) throws -> MendClient {
    let address: Endpoint
    do {
      address = try server.map { text throws(MendError) in try Endpoint(text) } ?? .standard
    } catch {
      throw ProgramError.usage(error.message)
    }
    guard (tlsCertificate == nil) == (tlsKey == nil) else {
      throw ProgramError.usage("--tls-cert and --tls-key must be given together")
    }
    var settings = programSettings(token: token, namespace: namespace)
    if tlsCA != nil || tlsCertificate != nil {
      for file in [tlsCA == "system" ? nil : tlsCA, tlsCertificate, tlsKey].compactMap(\.self) {
        try FileDocuments.checkReadable(file)
      }
      settings.security = .tls(
        TLSFiles(
          trustedAuthorities: tlsCA == "system" ? nil : tlsCA, certificate: tlsCertificate, key: tlsKey))
    }
    return MendClient(address, settings: settings)
  }
}

extension MendClient.Limits {
  /// Limits for a program with one connection and a person who waits for it: it reconnects sooner than a service that
  /// is one of thousands.
  static var program: Self {
    var limits = Self()
    limits.connectBackoffMinimum = .milliseconds(50)
    limits.connectBackoffMaximum = .seconds(2)
    limits.reconnectPatience = .seconds(2)
    return limits
  }
}

extension ProgramError {
  /// The server's message, with the exit status for scripts.
  init(_ error: MendError, server: Endpoint) {
    switch error.code {
    case _ where error.fault == .settings:
      self = .usage(error.message)
    case .unavailable where error.fault != .connection:
      self.init(.refused, "the server at \(server) cannot do it now: \(error.message)")
    case .unavailable:
      let start =
        switch server {
        case .tcp(_, let port): "mend serve --data DIR --listen 127.0.0.1:\(port)"
        case .unix: "mend serve --data DIR"
        }
      self.init(
        .noServer,
        "no server reachable at \(server) (\(Self.reason(error))); start one: \(start); "
          + "or name another: --server HOST:PORT")
    case .deadlineExceeded:
      self.init(.refused, "the server at \(server) did not answer in time (\(error.message))")
    case .unauthenticated:
      self.init(
        .refused, "\(error.message.isEmpty ? "the server requires a token" : error.message) (--token or MEND_TOKEN)")
    default:
      self.init(.refused, error.message.isEmpty ? "the server said \(error.code)" : error.message)
    }
  }

  /// The same inside an attempt, which finds its server by variables and cannot start one.
  init(ofAttempt error: MendError, server: Endpoint) {
    guard error.code == .unavailable, error.fault == .connection else {
      self.init(error, server: server)
      return
    }
    let reason =
      switch error.connectionFault {
      case .untrustedCertificate?:
        """
        its certificate is not trusted by what MEND_TLS_CA holds: give the server's certificate authority to \
        mend serve --worker-tls-ca
        """
      case .certificateRequired?:
        "it requires a client certificate: MEND_TLS_CERT and MEND_TLS_KEY name files on this node"
      case .noTLS?: "it does not use TLS, but MEND_TLS_CA is set"
      default: "\(Self.reason(error)); the same may be reported again when it is back"
      }
    self.init(.noServer, "this attempt's server cannot be reached at MEND_ENDPOINT \(server): \(reason)")
  }

  /// Why the server cannot be reached, and what to do about it.
  private static func reason(_ error: MendError) -> String {
    switch error.connectionFault {
    case .untrustedCertificate?: "its certificate is not trusted; name the CA that signed it: --tls-ca FILE"
    case .certificateRequired?: "it requires a client certificate: --tls-cert FILE --tls-key FILE"
    case .noTLS?: "it does not use TLS: leave out --tls-ca"
    case .refused?: "connection refused"
    case .notFound?: "no such file or directory"
    case .notPermitted?: "permission denied"
    case .noRoute?: "no route to host"
    case .timedOut?: "timed out"
    case nil: error.message
    }
  }
}

internal import NIOCore
internal import NIOSSL

/// TLS contexts from PEM files; always TLS 1.2 or later with ALPN `h2`. What can't be used is FAILED_PRECONDITION, with
/// the file's path and what is wrong with it.
enum TLSContexts {
  /// How long a side that has closed waits for the other's close_notify. It need not wait at all (RFC 8446 6.1): HTTP/2
  /// says itself when it is over. What is still under way gets a moment, but no shutdown waits for a peer that is gone.
  private static let closeTimeout = TimeAmount.milliseconds(250)

  /// For TLS 1.2: keys that no later theft of the server's key opens, and encryption that authenticates, which is what
  /// RFC 9113 appendix A leaves. Of these the client's favourite is taken: BoringSSL has an order of the server's, and
  /// NIOSSL no way to ask for it.
  private static let cipherSuites: [NIOTLSCipher] = [
    .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, .TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
  ]

  struct Server {
    var context: NIOSSLContext
    /// When the first certificate of the chain ends to be valid, in seconds since the Unix epoch.
    var expiresAt: Int64
  }

  static func server(_ files: ServerTLS) throws(RPCError) -> Server {
    let (chain, key) = try identity(files.certificateChainFile, files.privateKeyFile)
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain.map { .certificate($0) }, privateKey: key)
    configuration.minimumTLSVersion = .tlsv12
    configuration.cipherSuiteValues = cipherSuites
    configuration.applicationProtocols = ["h2"]
    configuration.shutdownTimeout = closeTimeout
    if let authority = files.clientAuthorityFile {
      let roots = try TLSFile(purpose: "authority for clients", path: authority).certificates()
      configuration.trustRoots = .certificates(roots)
      configuration.certificateVerification = .noHostnameVerification
    }
    return Server(
      context: try context(configuration, files.certificateChainFile, files.privateKeyFile),
      expiresAt: chain.first.map { Int64($0.notValidAfter) } ?? .max)
  }

  static func client(_ files: ClientTLS) throws(RPCError) -> NIOSSLContext {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv12
    configuration.cipherSuiteValues = cipherSuites
    configuration.applicationProtocols = ["h2"]
    configuration.shutdownTimeout = closeTimeout
    if let roots = files.trustRootsFile {
      configuration.trustRoots = .certificates(
        try TLSFile(purpose: "trusted authorities", path: roots).certificates())
    }
    if let chain = files.certificateChainFile, let key = files.privateKeyFile {
      let (certificates, privateKey) = try identity(chain, key)
      configuration.certificateChain = certificates.map { .certificate($0) }
      configuration.privateKey = privateKey
    }
    return try context(configuration, files.certificateChainFile ?? "", files.privateKeyFile ?? "")
  }

  private static func identity(
    _ chain: String, _ key: String
  ) throws(RPCError) -> ([NIOSSLCertificate], NIOSSLPrivateKeySource) {
    (
      try TLSFile(purpose: "certificate", path: chain).certificates(),
      .privateKey(try TLSFile(purpose: "private key", path: key).privateKey())
    )
  }

  private static func context(
    _ configuration: TLSConfiguration, _ chain: String, _ key: String
  ) throws(RPCError) -> NIOSSLContext {
    do {
      return try NIOSSLContext(configuration: configuration)
    } catch {
      let text = "\(error)"
      // Both were read without fault, so that they don't belong together is what is left.
      guard text.contains("_MISMATCH") || text.contains("failedToLoadPrivateKey") else {
        throw RPCError(.failedPrecondition, "can't set up TLS: \(text)")
      }
      throw TLSFile(purpose: "private key", path: key)
        .fault("it is not the key of the certificate in \(chain)")
    }
  }
}

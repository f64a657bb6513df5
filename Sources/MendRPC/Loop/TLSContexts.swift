internal import NIOSSL

/// TLS contexts from PEM files; always TLS 1.2 or later with ALPN `h2`.
enum TLSContexts {
  static func server(_ files: ServerTLS) throws(RPCError) -> NIOSSLContext {
    do {
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMFile(files.certificateChainFile).map { .certificate($0) },
        privateKey: .privateKey(try NIOSSLPrivateKey(file: files.privateKeyFile, format: .pem)))
      configuration.minimumTLSVersion = .tlsv12
      configuration.applicationProtocols = ["h2"]
      if let authority = files.clientAuthorityFile {
        configuration.trustRoots = .file(authority)
        configuration.certificateVerification = .noHostnameVerification
      }
      return try NIOSSLContext(configuration: configuration)
    } catch {
      throw RPCError(.failedPrecondition, "can't use \(files.certificateChainFile) for TLS: \(error)")
    }
  }

  static func client(_ files: ClientTLS) throws(RPCError) -> NIOSSLContext {
    do {
      var configuration = TLSConfiguration.makeClientConfiguration()
      configuration.minimumTLSVersion = .tlsv12
      configuration.applicationProtocols = ["h2"]
      if let roots = files.trustRootsFile { configuration.trustRoots = .file(roots) }
      if let chain = files.certificateChainFile, let key = files.privateKeyFile {
        configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(chain).map { .certificate($0) }
        configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
      }
      return try NIOSSLContext(configuration: configuration)
    } catch {
      throw RPCError(.failedPrecondition, "can't set up TLS: \(error)")
    }
  }
}

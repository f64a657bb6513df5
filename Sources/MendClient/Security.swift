extension MendClient {
  /// How the connection to the server is protected.
  public enum Security: Sendable, Hashable {
    /// Not at all: for the same machine and for trusted networks.
    case plaintext
    /// TLS 1.2 or later; the server's name and certificate are always verified.
    case tls(TLSFiles)
  }

  /// PEM files for TLS.
  public struct TLSFiles: Sendable, Hashable {
    /// The CA certificates to trust; nil uses the system's.
    public var trustedAuthorities: String?
    /// The name in the server's certificate, if it differs from the host.
    public var serverName: String?
    /// The client's certificate and its private key, for servers that require one.
    public var certificate: String?
    public var key: String?

    public init(
      trustedAuthorities: String? = nil, serverName: String? = nil, certificate: String? = nil, key: String? = nil
    ) {
      self.trustedAuthorities = trustedAuthorities
      self.serverName = serverName
      self.certificate = certificate
      self.key = key
    }
  }
}

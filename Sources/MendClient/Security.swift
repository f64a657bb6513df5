extension MendClient {
  /// What stands between the client and its server.
  public enum Security: Sendable, Hashable {
    /// Nothing: for the same machine and for networks that are trusted.
    case plaintext
    /// TLS 1.2 or later; the server's name and certificate are always verified.
    case tls(TLSFiles)
  }

  /// PEM files for TLS.
  public struct TLSFiles: Sendable, Hashable {
    /// The authorities to trust; nil is the system's.
    public var trustedAuthorities: String?
    /// The name that the server's certificate bears, where it isn't the host that is connected to.
    public var serverName: String?
    /// This client's own certificate and its key, for servers that ask for one.
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

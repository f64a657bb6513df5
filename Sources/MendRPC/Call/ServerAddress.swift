/// An address that a server listens on.
public enum ServerAddress: Hashable, Sendable, CustomStringConvertible {
  case tcp(host: String, port: Int)
  case unix(path: String)

  public var description: String {
    switch self {
    case .tcp(let host, let port): PeerAddress.inet(host: host, port: port).description
    case .unix(let path): "unix:\(path)"
    }
  }
}

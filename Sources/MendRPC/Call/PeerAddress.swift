/// The other end of a connection.
public enum PeerAddress: Hashable, Sendable, CustomStringConvertible {
  case inet(host: String, port: Int)
  case unix(path: String)
  case inProcess

  public var description: String {
    switch self {
    case .inet(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    case .inProcess: "in-process"
    }
  }
}

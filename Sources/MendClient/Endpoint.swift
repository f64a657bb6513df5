/// The address of a Mend server: `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.
public enum Endpoint: Sendable, Hashable, CustomStringConvertible {
  case tcp(host: String, port: Int)
  case unix(path: String)

  /// The default address of `mend serve`.
  public static let standard = Endpoint.tcp(host: "127.0.0.1", port: 7443)

  /// The longest path of a Unix socket, in bytes (unix(7): sun_path without its final zero).
  public static let unixPathMaximum = 107

  /// Parses what `description` writes.
  ///
  /// - Throws: `MendError` with INVALID_ARGUMENT that says which form is expected.
  public init(_ text: String) throws(MendError) {
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst(5))
      guard !path.isEmpty else { throw Self.malformed(text, "the path after 'unix:' is missing") }
      guard path.utf8.count <= Self.unixPathMaximum else {
        throw Self.malformed(
          text,
          "a Unix socket's path may have \(Self.unixPathMaximum) bytes; this one has \(path.utf8.count); use a shorter one"
        )
      }
      self = .unix(path: path)
      return
    }
    guard !text.contains("://") else {
      throw Self.malformed(text, "it is a URL; expected HOST:PORT or unix:PATH, such as \(Self.standard)")
    }
    guard let colon = text.lastIndex(of: ":") else {
      throw Self.malformed(text, "expected HOST:PORT or unix:PATH")
    }
    var host = text[..<colon]
    guard let port = Int(text[text.index(after: colon)...]), (0...65_535).contains(port) else {
      throw Self.malformed(text, "the port must be a number from 0 to 65535")
    }
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      throw Self.malformed(text, "an IPv6 address must be in brackets: [::1]:7443")
    }
    guard !host.isEmpty else { throw Self.malformed(text, "expected HOST:PORT or unix:PATH") }
    self = .tcp(host: String(host), port: port)
  }

  public var description: String {
    switch self {
    case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  /// Whether only processes on the same machine can reach it.
  public var isLocal: Bool {
    switch self {
    case .unix: true
    case .tcp(let host, _): host == "localhost" || host == "::1" || host.hasPrefix("127.")
    }
  }

  private static func malformed(_ text: String, _ why: String) -> MendError {
    MendError(.invalidArgument, "'\(text)' is not a server address: \(why)")
  }
}

internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Why a connection could not be made or was lost, in words for people instead of a transport's long account.
enum ConnectionFault {
  static func words(_ error: any Error) -> String {
    switch error {
    case let error as RPCError: error.message
    case let error as IOError: system(error)
    case let error as NIOConnectionError: all(error)
    case ChannelError.connectTimeout(let time): "no answer after \(Duration(time))"
    case let error as NIOSSLError: handshake("\(error)")
    case let error as BoringSSLError: handshake("\(error)")
    case let error as NIOSSLExtraError: handshake("\(error)")
    default: "\(error)"
    }
  }

  /// "Connection refused (errno: 111)", without the call that said so.
  private static func system(_ error: IOError) -> String {
    let text = error.description
    guard let range = text.firstRange(of: "): ") else { return text }
    // The library closes a bracket that it has not opened.
    return String(text[range.upperBound...]).replacing(") (errno", with: " (errno")
  }

  /// One reason where all addresses of a name had the same.
  private static func all(_ error: NIOConnectionError) -> String {
    var reasons: [String] = []
    for single in error.connectionErrors {
      let reason = words(single.error)
      if !reasons.contains(reason) { reasons.append(reason) }
    }
    guard reasons.isEmpty else { return reasons.joined(separator: "; ") }
    return "no address is known for the name \(error.host)"
  }

  /// What answers in HTTP/1, as a proxy or another kind of server does; nil for everything else.
  static func http1(_ first: ByteBuffer) -> String? {
    let text = String(decoding: first.readableBytesView.prefix(100), as: UTF8.self)
    guard text.hasPrefix("HTTP/1") else { return nil }
    let line = text.prefix { !$0.isNewline }
    return "it does not speak HTTP/2, it answers \(line)"
  }

  static let noALPN = "the other side speaks TLS, but did not agree to HTTP/2 (ALPN h2)"

  static func hungUp(hasTLS: Bool) -> String {
    hasTLS
      ? "it hung up before it said a word of HTTP/2"
      : "it hung up before it said a word of HTTP/2, as a server does that wants TLS"
  }

  /// The library's names stay in brackets, for those who look them up.
  private static func handshake(_ text: String) -> String {
    let known: [(sign: String, words: String)] = [
      (
        "CERTIFICATE_VERIFY_FAILED",
        "the other side's certificate is not trusted: none of the trusted authorities signed it, or it is not valid now"
      ),
      ("unableToValidateCertificate", "the other side's certificate is not trusted"),
      ("failedToValidateHostname", "the server's certificate is for another name"),
      ("CERTIFICATE_REQUIRED", "the server asks for a client certificate, and none was given"),
      ("BAD_CERTIFICATE", "the other side does not accept the certificate it was shown"),
      ("UNKNOWN_CA", "the other side does not know the authority that signed the certificate it was shown"),
      ("CERTIFICATE_EXPIRED", "the certificate has expired"),
      ("WRONG_VERSION_NUMBER", "the other side does not speak TLS"),
      ("NO_APPLICATION_PROTOCOL", "the other side speaks TLS, but not HTTP/2 (ALPN h2)"),
      ("EOF during handshake", "the other side hung up amid the handshake: it may speak no TLS"),
      ("PROTOCOL_VERSION", "the other side takes no TLS version that is spoken here (1.2 and later)"),
      ("uncleanShutdown", "the other side hung up without TLS's goodbye"),
    ]
    guard let known = known.first(where: { text.contains($0.sign) }) else { return "TLS failed: \(text)" }
    return "\(known.words) (\(known.sign))"
  }
}

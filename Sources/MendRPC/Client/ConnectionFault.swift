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
    return "the name \(error.host) cannot be resolved"
  }

  /// What answers in HTTP/1, as a proxy or another kind of server does; nil for everything else.
  static func http1(_ first: ByteBuffer) -> String? {
    let text = String(decoding: first.readableBytesView.prefix(100), as: UTF8.self)
    guard text.hasPrefix("HTTP/1") else { return nil }
    let line = text.prefix { !$0.isNewline }
    return "it does not use HTTP/2; it answers \(line)"
  }

  static let noALPN = "the peer uses TLS but did not agree to HTTP/2 (ALPN h2)"

  static func hungUp(hasTLS: Bool) -> String {
    hasTLS
      ? "it closed the connection before sending an HTTP/2 frame"
      : "it closed the connection before sending an HTTP/2 frame; perhaps it requires TLS"
  }

  /// The library's names stay in brackets, for those who look them up.
  private static func handshake(_ text: String) -> String {
    let known: [(sign: String, words: String)] = [
      (
        "CERTIFICATE_VERIFY_FAILED",
        "the peer's certificate is not trusted: no trusted CA signed it, or it is not valid now"
      ),
      ("unableToValidateCertificate", "the peer's certificate is not trusted"),
      ("failedToValidateHostname", "the server's certificate is for another name"),
      ("CERTIFICATE_REQUIRED", "the server requires a client certificate, and none was given"),
      ("BAD_CERTIFICATE", "the peer does not accept the certificate that it was sent"),
      ("UNKNOWN_CA", "the peer does not know the CA that signed the certificate that it was sent"),
      ("CERTIFICATE_EXPIRED", "the certificate has expired"),
      ("WRONG_VERSION_NUMBER", "the peer does not use TLS"),
      ("NO_APPLICATION_PROTOCOL", "the peer uses TLS but not HTTP/2 (ALPN h2)"),
      ("EOF during handshake", "the peer closed the connection during the handshake; perhaps it does not use TLS"),
      ("PROTOCOL_VERSION", "the peer supports none of the TLS versions supported here (1.2 and later)"),
      ("uncleanShutdown", "the peer closed the connection without close_notify"),
    ]
    guard let known = known.first(where: { text.contains($0.sign) }) else { return "TLS failed: \(text)" }
    return "\(known.words) (\(known.sign))"
  }
}

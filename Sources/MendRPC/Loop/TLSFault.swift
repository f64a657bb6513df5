/// Why a TLS handshake or a TLS connection failed. Only this reads what BoringSSL says.
enum TLSFault {
  /// The caller showed no certificate, and the server asked for one.
  case callerHasNoCertificate
  case untrustedCertificate, wrongName
  /// The peer asks for a certificate.
  case certificateRequired
  /// The peer does not accept this side's certificate.
  case certificateRefused, unknownAuthority, expiredCertificate
  case noTLS, noHTTP2
  /// A record or a message of TLS that does not belong where it came: a broken one, or no TLS at all.
  case unexpectedMessage
  case version
  /// The peer went away during the handshake.
  case closed
  /// The peer went away without TLS's goodbye.
  case uncleanShutdown

  private static let signs: [(sign: String, fault: TLSFault)] = [
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", .callerHasNoCertificate),
    ("CERTIFICATE_VERIFY_FAILED", .untrustedCertificate), ("failedToValidateHostname", .wrongName),
    ("CERTIFICATE_REQUIRED", .certificateRequired), ("BAD_CERTIFICATE", .certificateRefused),
    ("UNKNOWN_CA", .unknownAuthority), ("CERTIFICATE_EXPIRED", .expiredCertificate),
    ("ALERT_CERTIFICATE", .certificateRefused), ("ALERT_UNSUPPORTED_CERTIFICATE", .certificateRefused),
    ("WRONG_VERSION_NUMBER", .noTLS), ("HTTP_REQUEST", .unexpectedMessage), ("UNEXPECTED_RECORD", .unexpectedMessage),
    ("UNEXPECTED_MESSAGE", .unexpectedMessage), ("NO_APPLICATION_PROTOCOL", .noHTTP2),
    ("UNSUPPORTED_PROTOCOL", .version), ("VERSION_TOO_LOW", .version), ("PROTOCOL_VERSION", .version),
    ("EOF during handshake", .closed), ("eofDuringHandshake", .closed), ("uncleanShutdown", .uncleanShutdown),
  ]

  /// The first known sign in the library's text, and what it means.
  static func find(in text: String) -> (sign: String, fault: TLSFault)? {
    signs.first { text.contains($0.sign) }
  }

  /// A message for people.
  var message: String {
    switch self {
    case .callerHasNoCertificate: "the caller sent no certificate, and this listener requires one"
    case .untrustedCertificate:
      "the peer's certificate is not trusted: no trusted CA signed it, or it is not valid now"
    case .wrongName: "the server's certificate is for another name"
    case .certificateRequired: "the server requires a client certificate, and none was given"
    case .certificateRefused: "the peer does not accept the certificate that it was sent"
    case .unknownAuthority: "the peer does not know the CA that signed the certificate that it was sent"
    case .expiredCertificate: "the certificate has expired"
    case .noTLS: "the peer does not use TLS"
    case .noHTTP2: "the peer uses TLS but not HTTP/2 (ALPN h2)"
    case .unexpectedMessage: "one side sent an unexpected TLS message"
    case .version: "the peer supports none of the TLS versions supported here (1.2 and later)"
    case .closed: "the peer closed the connection during the handshake; perhaps it does not use TLS"
    case .uncleanShutdown: "the peer closed the connection without close_notify"
    }
  }
}

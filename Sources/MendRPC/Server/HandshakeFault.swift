internal import NIOCore
internal import NIOSSL

internal import Glibc

/// Why a caller's TLS handshake failed, for the log of whoever looks after the server. The caller itself is told an alert.
public struct HandshakeFault: Sendable, Hashable {
  /// What it comes to; a label of metrics.
  public enum Reason: String, Sendable, Hashable, CaseIterable {
    /// This listener wants a certificate of its callers, and this one showed none.
    case noCertificate = "no_certificate"
    /// The caller's certificate is not signed by the authority that is asked for.
    case unknownAuthority = "unknown_authority"
    /// The caller's certificate is not valid any more.
    case expired
    /// The caller's certificate is not valid yet.
    case notYetValid = "not_yet_valid"
    /// The caller does not accept this server's certificate.
    case refusedByCaller = "refused_by_caller"
    /// The caller does not speak TLS.
    case plaintext
    /// The caller's TLS is older than what is taken (1.2).
    case version
    /// The caller did not ask for HTTP/2 in TLS (ALPN `h2`).
    case withoutHTTP2 = "without_http2"
    /// The caller went away.
    case closed
    case other
  }

  static let withoutHTTP2 = HandshakeFault(
    .withoutHTTP2, "the caller did not offer HTTP/2 in TLS (ALPN h2), the only supported protocol")

  public var reason: Reason
  /// One sentence for people.
  public var message: String

  /// Nil for an error that is none of a handshake.
  init?(_ error: any Error, certificate: NIOSSLCertificate?, now: Int64) {
    guard case .handshakeFailed(let cause)? = error as? NIOSSLError else { return nil }
    let text = String(describing: cause)
    func has(_ names: String...) -> Bool { names.contains { text.contains($0) } }
    if has("PEER_DID_NOT_RETURN_A_CERTIFICATE") {
      self.init(.noCertificate, "the caller sent no certificate, and this listener requires one")
    } else if has("CERTIFICATE_VERIFY_FAILED") {
      self.init(refused: certificate, now: now)
    } else if has("ALERT_UNKNOWN_CA", "ALERT_CERTIFICATE", "ALERT_BAD_CERTIFICATE", "ALERT_UNSUPPORTED_CERTIFICATE") {
      self.init(.refusedByCaller, "the caller does not accept this server's certificate: \(text)")
    } else if has("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_RECORD", "UNEXPECTED_MESSAGE") {
      self.init(.plaintext, "the caller does not use TLS: \(text)")
    } else if has("UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW") {
      self.init(.version, "the caller offers no TLS version from 1.2 on: \(text)")
    } else if has("eofDuringHandshake") {
      self.init(.closed, "the caller closed the connection")
    } else {
      self.init(.other, text)
    }
  }

  private init(_ reason: Reason, _ message: String) {
    self.reason = reason
    self.message = message
  }

  /// The library says only that it does not verify; what is wrong with it can be seen.
  private init(refused certificate: NIOSSLCertificate?, now: Int64) {
    guard let certificate else {
      self.init(.unknownAuthority, "the caller's certificate is not signed by the required CA")
      return
    }
    let serial = certificate.serialNumber.map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
    let who = "the caller's certificate (serial \(serial))"
    if Int64(certificate.notValidAfter) < now {
      self.init(.expired, "\(who) expired \(now - Int64(certificate.notValidAfter)) s ago")
    } else if Int64(certificate.notValidBefore) > now {
      self.init(.notYetValid, "\(who) becomes valid only in \(Int64(certificate.notValidBefore) - now) s")
    } else {
      self.init(.unknownAuthority, "\(who) is not signed by the required CA")
    }
  }
}

extension ServerConnection {
  /// Tells the observer why a handshake failed, where that is what the error is about.
  func tellHandshakeFault(_ error: any Error, _ context: ChannelHandlerContext) {
    guard facts.isSecure, let observer = server.observer else { return }
    let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()
    if let fault = HandshakeFault(error, certificate: certificate, now: Int64(time(nil))) {
      observer.handshakeFailed(peer, fault)
    }
  }
}

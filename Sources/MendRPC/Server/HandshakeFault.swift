internal import NIOCore
internal import NIOSSL

internal import Glibc

/// Why a caller's TLS handshake failed, for the server's log. The caller gets a TLS alert.
public struct HandshakeFault: Sendable, Hashable {
  /// The reason as a label of metrics.
  public enum Reason: String, Sendable, Hashable, CaseIterable {
    /// The listener requires a certificate, and the caller sent none.
    case noCertificate = "no_certificate"
    /// The caller's certificate is not signed by the required CA.
    case unknownAuthority = "unknown_authority"
    /// The caller's certificate has expired.
    case expired
    /// The caller's certificate is not valid yet.
    case notYetValid = "not_yet_valid"
    /// The caller does not accept this server's certificate.
    case refusedByCaller = "refused_by_caller"
    /// The caller does not speak TLS.
    case plaintext
    /// The caller's TLS is older than 1.2.
    case version
    /// The caller did not ask for HTTP/2 in TLS (ALPN `h2`).
    case withoutHTTP2 = "without_http2"
    /// The caller closed the connection.
    case closed
    case other
  }

  static let withoutHTTP2 = HandshakeFault(
    .withoutHTTP2, "the caller did not offer HTTP/2 in TLS (ALPN h2), the only supported protocol")

  public var reason: Reason
  /// One sentence for people.
  public var message: String

  /// Nil for an error that is not about a handshake.
  init?(_ error: any Error, certificate: NIOSSLCertificate?, now: Int64) {
    guard case .handshakeFailed(let cause)? = error as? NIOSSLError else { return nil }
    let text = String(describing: cause)
    switch TLSFault.find(in: text)?.fault {
    case .callerHasNoCertificate?: self.init(.noCertificate, TLSFault.callerHasNoCertificate.message)
    case .untrustedCertificate?: self.init(refused: certificate, now: now)
    case .unknownAuthority?, .certificateRefused?, .certificateRequired?, .expiredCertificate?:
      self.init(.refusedByCaller, "the caller does not accept this server's certificate: \(text)")
    // What does not belong in the handshake of a caller is most often plain text.
    case .noTLS?, .unexpectedMessage?: self.init(.plaintext, "the caller does not use TLS: \(text)")
    case .version?: self.init(.version, "the caller offers no TLS version from 1.2 on: \(text)")
    case .closed?: self.init(.closed, "the caller closed the connection")
    case .wrongName?, .noHTTP2?, .uncleanShutdown?, nil: self.init(.other, text)
    }
  }

  private init(_ reason: Reason, _ message: String) {
    self.reason = reason
    self.message = message
  }

  /// The library says only that the certificate was not verified; its dates say more.
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
  /// Tells the observer why a handshake failed, if the error is about one.
  func tellHandshakeFault(_ error: any Error, _ context: ChannelHandlerContext) {
    guard facts.isSecure, let observer = server.observer else { return }
    let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()
    if let fault = HandshakeFault(error, certificate: certificate, now: Int64(time(nil))) {
      observer.handshakeFailed(peer, fault)
    }
  }
}

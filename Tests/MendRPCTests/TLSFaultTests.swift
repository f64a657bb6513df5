import Testing

@testable import MendRPC

/// What a client makes of BoringSSL's errors.
@Suite struct TLSFaultTests {
  private func loss(_ sign: String, isHandshake: Bool) -> ConnectionLoss {
    ConnectionLoss(
      tls: "sslError([Error: 1 error:1:SSL routines:OPENSSL_internal:\(sign) at x:1])", isHandshake: isHandshake)
  }

  @Test("Three faults of TLS are not waited for: an untrusted certificate, a missing one, and a server without TLS")
  func trust() {
    let signs: [(String, ConnectionFault)] = [
      ("CERTIFICATE_VERIFY_FAILED", .untrustedCertificate), ("TLSV1_ALERT_CERTIFICATE_REQUIRED", .certificateRequired),
      ("WRONG_VERSION_NUMBER", .noTLS),
    ]
    for (sign, fault) in signs {
      #expect(loss(sign, isHandshake: true).fault == fault)
      #expect(fault.isOfTrust)
    }
    // TLS 1.3 looks at the client's certificate after the client's handshake.
    #expect(loss("TLSV1_ALERT_CERTIFICATE_REQUIRED", isHandshake: false).fault == .certificateRequired)
  }

  @Test(
    "A broken message of TLS does not mean that the server uses none",
    arguments: ["UNEXPECTED_MESSAGE", "UNEXPECTED_RECORD", "HTTP_REQUEST"])
  func broken(sign: String) {
    for isHandshake in [true, false] {
      let loss = loss(sign, isHandshake: isHandshake)
      #expect(loss.fault == nil)
      #expect(loss.message == "one side sent an unexpected TLS message (\(sign))")
    }
  }

  @Test("A record that breaks after the handshake does not mean that the server uses no TLS")
  func brokenLater() {
    let loss = loss("WRONG_VERSION_NUMBER", isHandshake: false)
    #expect(loss.fault == nil)
    #expect(loss.message == "one side sent an unexpected TLS message (WRONG_VERSION_NUMBER)")
  }
}

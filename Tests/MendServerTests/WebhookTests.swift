import Crypto
import Foundation
import MendCore
import Testing

@testable import MendServer

/// Where notifications may go, and what proves that they are ours.
@Suite struct WebhookTests {
  let secret = Array("0123456789abcdef".utf8)

  @Test("a signature is that of RFC 4231's algorithm over timestamp, event and body")
  func signature() {
    // Python: hmac.new(b"0123456789abcdef", b"1790000000.n.b.7.{}", "sha256").hexdigest()
    let signed = Webhook.signature(Array("{}".utf8), eventID: "n.b.7", at: 1_790_000_000, SymmetricKey(data: secret))
    #expect(signed == "63335deb48c7be97097c432770274924a545a31a5dcf13a492111ae7867a17f0")
  }

  @Test(
    "addresses that are none, of another kind, or a cloud's own are refused",
    arguments: [
      "", "hooks", "ftp://h/", "file:///etc/passwd", "http://", "http://u:p@h/", "http://169.254.169.254/latest",
      "http://[fe80::1]/", "http://metadata.google.internal/", "HTTP://169.254.0.1",
    ])
  func refused(_ url: String) {
    #expect(throws: WebhookError.self) { try WebhookSettings(url: url, secret: secret) }
  }

  @Test("http and https are taken, and a secret that can be guessed is not")
  func taken() throws {
    _ = try WebhookSettings(url: "https://hooks.example.com/mend?x=1", secret: secret)
    _ = try WebhookSettings(url: "http://127.0.0.1:8080/", secret: secret)
    let error = #expect(throws: WebhookError.self) {
      try WebhookSettings(url: "https://h/", secret: Array("hunter2".utf8))
    }
    #expect(error?.description.contains("hunter2") == false)
  }
}

import Crypto
import Foundation
import MendCore
import NIOCore
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
      "http://[fe80::1]/", "http://metadata.google.internal/", "HTTP://169.254.0.1", "http://2852039166/",
      "http://0xA9FEA9FE/", "http://0xa9.0xfe.0xa9.0xfe/", "http://0251.0376.0251.0376/", "http://169.254.43518/",
      "http://169.16689662/", "http://169.254.169.254./", "http://[::ffff:169.254.169.254]/", "http://[::ffff:a9fe:1]/",
      "http://[::169.254.1.1]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::1]/", "http://[febf::1]/",
      "http://[fe90::1]/", "http://[FE80:0:0::1]/", "http://[fd00:ec2::254]/", "http://[fd00:ec2:0:0::0254]/",
      "http://100.100.100.200/", "http://instance-data/", "http://METADATA.google.internal./", "http://metadata/",
    ])
  func refused(_ url: String) {
    #expect(throws: WebhookError.self) { try WebhookSettings(url: url, secret: secret) }
  }

  @Test("http and https are taken, and a secret that can be guessed is not")
  func taken() throws {
    _ = try WebhookSettings(url: "https://hooks.example.com/mend?x=1", secret: secret)
    for url in [
      "http://127.0.0.1:8080/", "http://[::1]/", "http://10.0.0.1/", "http://[fc00::1]/", "http://[fec0::1]/",
      "http://169.253.1.1/", "http://170/", "http://169.example.com/", "http://metadata.example.com/",
    ] { _ = try WebhookSettings(url: url, secret: secret) }
    let error = #expect(throws: WebhookError.self) {
      try WebhookSettings(url: "https://h/", secret: Array("hunter2".utf8))
    }
    #expect(error?.description.contains("hunter2") == false)
  }

  @Test("a name that leads to such an address is sent nothing")
  func resolved() throws {
    for (address, isForbidden) in [
      ("169.254.169.254", true), ("fe80::1", true), ("::ffff:169.254.1.1", true), ("127.0.0.1", false), ("::1", false),
    ] { #expect(try ReceiverAddress.isForbidden(SocketAddress(ipAddress: address, port: 80)) == isForbidden) }
  }

  @Test("waits grow to half an hour, and add up to about an hour and a half")
  func waits() throws {
    let settings = try WebhookSettings(url: "https://h/", secret: secret)
    let waits = (1..<settings.attemptsLimit).map { settings.wait(after: $0) }
    #expect(waits.first == .seconds(1) && waits.last == .seconds(1800))
    #expect(zip(waits, waits.dropFirst()).allSatisfy { $0 <= $1 })
    // Each is up to a fifth shorter by chance.
    let whole = waits.reduce(.zero, +)
    #expect(whole * 0.9 > .seconds(80 * 60) && whole < .seconds(100 * 60))
  }
}

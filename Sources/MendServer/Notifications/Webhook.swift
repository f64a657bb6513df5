import Crypto
import Foundation
import MendCore

/// The receiver of notifications, and the secret that signs them.
package struct WebhookSettings: Sendable {
  /// An http or https URL, set by the operator of the server, never by a caller.
  let url: URL
  let secret: SymmetricKey

  /// The most requests at once.
  package var concurrency = 8
  /// The timeout of one request, from its start to the head of its answer.
  package var timeout: Duration = .seconds(10)
  /// How often a notification is sent before it is given up: for over an hour and a half, as waits grow.
  package var attemptsLimit = 14
  /// The wait after the first failure. It doubles each time, up to `longestBackoff`, less a random part of up to a
  /// fifth.
  package var backoff: Duration = .seconds(1)
  package var longestBackoff: Duration = .seconds(1800)
  /// The most notifications that wait; beyond it the next due ones are given up.
  package var outboxLimit = 10_000
  package var userAgent = "mend"

  package static let shortestSecret = 16

  /// - Throws: `WebhookError` that says what is wrong with the address or the secret, without quoting the secret.
  package init(url text: String, secret: [UInt8]) throws(WebhookError) {
    guard let url = URL(string: text), let scheme = url.scheme?.lowercased(), let host = url.host, !host.isEmpty else {
      throw WebhookError("it is no address such as https://hooks.example.com/mend")
    }
    guard scheme == "https" || scheme == "http" else {
      throw WebhookError("it begins with neither https:// nor http://")
    }
    guard url.user == nil, url.password == nil else {
      throw WebhookError("it must not contain a user name; the signature proves the sender")
    }
    guard !ReceiverAddress.isForbidden(name: host) else {
      throw WebhookError("\(host) is a cloud metadata or link-local address; nothing is sent there")
    }
    guard secret.count >= Self.shortestSecret else {
      throw WebhookError("the secret has \(secret.count) bytes; at least \(Self.shortestSecret) are needed")
    }
    self.url = url
    self.secret = SymmetricKey(data: secret)
  }

  /// The wait after `attempts` attempts, before the random part is subtracted.
  func wait(after attempts: Int) -> Duration {
    var wait = backoff
    for _ in 1..<max(1, attempts) where wait < longestBackoff { wait = wait * 2 }
    return min(wait, longestBackoff)
  }
}

package struct WebhookError: Error, Sendable, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

/// Sends signed requests, each on its own connection.
final class Webhook: Sendable {
  enum Outcome: Sendable, Hashable {
    case delivered(status: Int)
    /// A failure that is worth another attempt.
    case failed(String)
    /// The receiver answered 410: it wants no more notifications.
    case gone
  }

  private let settings: WebhookSettings
  private let caller: WebhookCaller

  init(_ settings: WebhookSettings) {
    self.settings = settings
    caller = WebhookCaller(settings.url, timeout: settings.timeout)
  }

  /// - Parameter at: seconds since the Unix epoch; signed, so that a receiver can refuse what is old.
  func send(_ body: [UInt8], eventID: String, attempt: Int, at: Int64) async -> Outcome {
    let headers = [
      ("Content-Type", "application/json"), ("User-Agent", settings.userAgent), ("Mend-Event-Id", eventID),
      ("Mend-Timestamp", String(at)), ("Mend-Attempt", String(attempt)),
      ("Mend-Signature", "v1=" + Self.signature(body, eventID: eventID, at: at, settings.secret)),
    ]
    do throws(WebhookError) {
      let status = try await caller.post(body, headers)
      switch status {
      case 200...299: return .delivered(status: status)
      case 410: return .gone
      case 300...399: return .failed("status \(status): redirections are not followed")
      default: return .failed("status \(status)")
      }
    } catch {
      return .failed(error.description)
    }
  }

  /// Hexadecimal HMAC-SHA256 over `TIMESTAMP.EVENT_ID.BODY`.
  static func signature(_ body: [UInt8], eventID: String, at: Int64, _ secret: SymmetricKey) -> String {
    var code = HMAC<SHA256>(key: secret)
    code.update(data: Array("\(at).\(eventID).".utf8))
    code.update(data: body)
    return code.finalize().map { byte in
      let digits = String(byte, radix: 16)
      return byte < 16 ? "0" + digits : digits
    }.joined()
  }
}

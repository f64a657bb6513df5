import Crypto
import Foundation
import MendCore

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Where notifications go, and with which secret they are signed.
public struct WebhookSettings: Sendable {
  /// http or https, chosen by whoever runs the server; never by a caller.
  let url: URL
  let secret: SymmetricKey

  /// Requests at once.
  public var concurrency = 8
  /// One request, from its start to the last byte of its answer.
  public var timeout: Duration = .seconds(10)
  /// Times that a notification is sent before it is given up.
  public var attemptsLimit = 12
  /// The wait after the first failure; it doubles with each one, up to `longestBackoff`, less up to a fifth by chance.
  public var backoff: Duration = .seconds(1)
  public var longestBackoff: Duration = .seconds(1800)
  /// Notifications that wait; beyond it the next due ones are given up.
  public var outboxLimit = 10_000
  public var userAgent = "mend"

  public static let shortestSecret = 16

  /// - Throws: `WebhookError` that says what is wrong with the address or the secret, without repeating the secret.
  public init(url text: String, secret: [UInt8]) throws(WebhookError) {
    guard let url = URL(string: text), let scheme = url.scheme?.lowercased(), let host = url.host, !host.isEmpty else {
      throw WebhookError("it is no address such as https://hooks.example.com/mend")
    }
    guard scheme == "https" || scheme == "http" else {
      throw WebhookError("it begins with neither https:// nor http://")
    }
    guard url.user == nil, url.password == nil else {
      throw WebhookError("it holds a user name; what proves the sender is the signature")
    }
    guard !Self.isMetadataService(host.lowercased()) else {
      throw WebhookError("\(host) is where clouds answer machines about themselves; nothing is sent there")
    }
    guard secret.count >= Self.shortestSecret else {
      throw WebhookError("the secret has \(secret.count) bytes; at least \(Self.shortestSecret) are needed")
    }
    self.url = url
    self.secret = SymmetricKey(data: secret)
  }

  /// Link-local addresses, and the names that clouds have for them.
  private static func isMetadataService(_ host: String) -> Bool {
    let host = host.trimmingCharacters(in: CharacterSet(charactersIn: "[]."))
    return host.hasPrefix("169.254.") || host.hasPrefix("fe80:") || host == "fd00:ec2::254"
      || host == "metadata.google.internal" || host == "metadata"
  }
}

public struct WebhookError: Error, Sendable, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}

/// Sends signed requests.
final class Webhook: Sendable {
  enum Outcome: Sendable, Hashable {
    case delivered(status: Int)
    /// Worth another attempt.
    case failed(String)
    /// The receiver wants no more of it: 410.
    case gone
  }

  private let settings: WebhookSettings
  private let session: URLSession

  init(_ settings: WebhookSettings) {
    self.settings = settings
    let configuration = URLSessionConfiguration.ephemeral
    configuration.httpCookieAcceptPolicy = .never
    configuration.urlCache = nil
    configuration.timeoutIntervalForRequest = settings.timeout / .seconds(1)
    configuration.timeoutIntervalForResource = settings.timeout / .seconds(1)
    configuration.httpMaximumConnectionsPerHost = settings.concurrency
    session = URLSession(configuration: configuration, delegate: NoRedirections(), delegateQueue: nil)
  }

  deinit { session.invalidateAndCancel() }

  /// - Parameter at: seconds since the Unix epoch; signed, so that a receiver can refuse what is old.
  func send(_ body: [UInt8], eventID: String, attempt: Int, at: Int64) async -> Outcome {
    var request = URLRequest(url: settings.url, timeoutInterval: settings.timeout / .seconds(1))
    request.httpMethod = "POST"
    request.httpBody = Data(body)
    request.setValue("application/json", forHTTPHeaderField: "Content-Type")
    request.setValue(settings.userAgent, forHTTPHeaderField: "User-Agent")
    request.setValue(eventID, forHTTPHeaderField: "Mend-Event-Id")
    request.setValue(String(at), forHTTPHeaderField: "Mend-Timestamp")
    request.setValue(String(attempt), forHTTPHeaderField: "Mend-Attempt")
    request.setValue(
      "v1=" + Self.signature(body, eventID: eventID, at: at, settings.secret), forHTTPHeaderField: "Mend-Signature")
    // Not the async convenience: it follows redirections.
    return await perform(request)
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

  private func perform(_ request: URLRequest) async -> Outcome {
    let result: (URLResponse?, (any Error)?)
    let box = CancellableTask()
    result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let task = session.dataTask(with: request) { _, response, error in
          continuation.resume(returning: (response, error))
        }
        box.start(task)
      }
    } onCancel: {
      box.cancel()
    }
    if let error = result.1 { return .failed(Self.text(of: error)) }
    guard let response = result.0 as? HTTPURLResponse else { return .failed("the answer is not HTTP") }
    switch response.statusCode {
    case 200...299: return .delivered(status: response.statusCode)
    case 410: return .gone
    case 300...399: return .failed("status \(response.statusCode): redirections are not followed")
    default: return .failed("status \(response.statusCode)")
    }
  }

  /// Without the address, which may hold what is nobody's business.
  private static func text(of error: any Error) -> String {
    guard let error = error as? URLError else { return "the connection failed" }
    return switch error.code {
    case .timedOut: "no answer in time"
    case .cannotConnectToHost: "the receiver cannot be reached"
    case .cannotFindHost, .dnsLookupFailed: "the receiver's name is not known"
    case .networkConnectionLost: "the connection was lost"
    case .secureConnectionFailed, .serverCertificateUntrusted, .serverCertificateHasBadDate,
      .serverCertificateNotYetValid, .serverCertificateHasUnknownRoot:
      "the receiver's certificate is not trusted"
    case .cancelled: "cancelled"
    default: "the connection failed (\(error.code.rawValue))"
    }
  }
}

/// A redirection is not followed: it would carry the signed body elsewhere.
private final class NoRedirections: NSObject, URLSessionTaskDelegate, Sendable {
  func urlSession(
    _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
    newRequest request: URLRequest, completionHandler: @escaping @Sendable (URLRequest?) -> Void
  ) {
    completionHandler(nil)
  }
}

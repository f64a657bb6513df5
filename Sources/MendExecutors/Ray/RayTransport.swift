internal import Foundation
internal import FoundationNetworking
internal import Synchronization

struct RayRequest: Hashable, Sendable {
  var method: String
  /// Below the base URL, with a leading slash, percent-encoded.
  var path: String
  var body: [UInt8]? = nil
}

struct RayResponse: Hashable, Sendable {
  var status: Int
  var body: [UInt8]
}

/// Carries one request; every status is an answer.
protocol RayTransport: Sendable {
  func send(_ request: RayRequest) async throws(RayError) -> RayResponse
}

/// HTTP through URLSession, with a bound on time and size that holds for every call. TLS by the URL's scheme.
final class HTTPRayTransport: RayTransport {
  private let base: String
  private let token: String?
  private let timeout: Duration
  private let session: URLSession
  private let collector: AnswerCollector

  /// - Parameters:
  ///   - base: `http://HOST:PORT` or `https://...`, with a path where a proxy has one, without a slash at the end.
  ///   - timeout: for one call from its start to the last byte of its answer.
  init(base: String, token: String?, timeout: Duration, answerLimitBytes: Int) {
    self.base = base
    self.token = token
    self.timeout = timeout
    collector = AnswerCollector(limit: answerLimitBytes)
    let configuration = URLSessionConfiguration.ephemeral
    configuration.httpCookieAcceptPolicy = .never
    configuration.urlCache = nil
    configuration.timeoutIntervalForRequest = timeout.inSecondsOfFoundation
    configuration.timeoutIntervalForResource = timeout.inSecondsOfFoundation
    configuration.httpMaximumConnectionsPerHost = 16
    session = URLSession(configuration: configuration, delegate: collector, delegateQueue: nil)
  }

  deinit { session.invalidateAndCancel() }

  func send(_ request: RayRequest) async throws(RayError) -> RayResponse {
    guard let url = URL(string: base + request.path) else {
      throw .refused(status: 400, "\(base)\(request.path) is no URL")
    }
    var message = URLRequest(url: url, timeoutInterval: timeout.inSecondsOfFoundation)
    message.httpMethod = request.method
    message.setValue("application/json", forHTTPHeaderField: "Accept")
    if let token { message.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization") }
    if let body = request.body {
      message.httpBody = Data(body)
      message.setValue("application/json", forHTTPHeaderField: "Content-Type")
    }
    let task = session.dataTask(with: message)
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        collector.expect(task.taskIdentifier, continuation)
        task.resume()
      }
    } onCancel: {
      task.cancel()
    }
    return try result.get()
  }
}

/// Gathers answers up to a bound; one that grows beyond it is cut off.
private final class AnswerCollector: NSObject, URLSessionDataDelegate, Sendable {
  typealias Continuation = CheckedContinuation<Result<RayResponse, RayError>, Never>

  private struct Answer {
    var continuation: Continuation
    var body: [UInt8] = []
    var isTooLong = false
  }

  private let limit: Int
  private let answers = Mutex<[Int: Answer]>([:])

  init(limit: Int) { self.limit = limit }

  func expect(_ identifier: Int, _ continuation: Continuation) {
    answers.withLock { $0[identifier] = Answer(continuation: continuation) }
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    let isTooLong = answers.withLock { answers in
      guard var answer = answers.removeValue(forKey: dataTask.taskIdentifier) else { return false }
      answer.isTooLong = answer.isTooLong || answer.body.count + data.count > limit
      if !answer.isTooLong { answer.body.append(contentsOf: data) }
      answers[dataTask.taskIdentifier] = answer
      return answer.isTooLong
    }
    if isTooLong { dataTask.cancel() }
  }

  /// A redirection is not followed: it would carry the token elsewhere.
  func urlSession(
    _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
    newRequest request: URLRequest, completionHandler: @escaping @Sendable (URLRequest?) -> Void
  ) {
    completionHandler(nil)
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    guard let answer = answers.withLock({ $0.removeValue(forKey: task.taskIdentifier) }) else { return }
    answer.continuation.resume(returning: result(of: answer, task.response, error))
  }

  private func result(
    of answer: Answer, _ response: URLResponse?, _ error: (any Error)?
  ) -> Result<RayResponse, RayError> {
    if answer.isTooLong { return .failure(.unknown("the answer is longer than \(limit) bytes")) }
    if let error {
      let text =
        switch error as? URLError {
        case let failure? where failure.code == .timedOut: "nothing came in time"
        case let failure?: failure.localizedDescription
        case nil: "\(error)"
        }
      return .failure(Self.hasNotArrived(error) ? .unreachable(text) : .unknown(text))
    }
    guard let response = response as? HTTPURLResponse else { return .failure(.unknown("the answer is not HTTP")) }
    return .success(RayResponse(status: response.statusCode, body: answer.body))
  }

  /// Where the connection itself failed, nothing was sent.
  private static func hasNotArrived(_ error: any Error) -> Bool {
    switch (error as? URLError)?.code {
    case .cannotConnectToHost, .cannotFindHost, .dnsLookupFailed, .notConnectedToInternet, .secureConnectionFailed,
      .serverCertificateUntrusted, .serverCertificateHasBadDate, .serverCertificateNotYetValid,
      .serverCertificateHasUnknownRoot, .badURL, .unsupportedURL:
      true
    default: false
    }
  }
}

extension Duration {
  fileprivate var inSecondsOfFoundation: Double { self / .seconds(1) }
}

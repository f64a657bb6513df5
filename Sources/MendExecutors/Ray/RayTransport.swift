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
  /// As its header has it, in small letters; empty where there is none.
  var mediaType = ""
  /// Of a long answer its end, where that was asked for.
  var body: [UInt8]
  /// Bytes that came before `body` and were not kept.
  var leftOutBytes: Int64 = 0
}

/// Carries one request; every status is an answer.
protocol RayTransport: Sendable {
  /// - Parameter keepingEnd: nil: an answer beyond the transport's limit is an error. Else an answer of any length is
  ///   taken, its last so many bytes are kept, and there is more time for it.
  func send(_ request: RayRequest, keepingEnd: Int?) async throws(RayError) -> RayResponse
}

extension RayTransport {
  func send(_ request: RayRequest) async throws(RayError) -> RayResponse { try await send(request, keepingEnd: nil) }
}

/// HTTP through URLSession, with a bound on time and size that holds for every call. TLS by the URL's scheme.
final class HTTPRayTransport: RayTransport {
  private let base: String
  private let token: @Sendable () -> String?
  private let answers: Line
  private let logs: Line

  /// - Parameters:
  ///   - base: `http://HOST:PORT` or `https://...`, with a path where a proxy has one, without a slash at the end.
  ///   - timeout: for one call from its start to the last byte of its answer.
  init(
    base: String, token: @escaping @Sendable () -> String?, timeout: Duration, answerLimitBytes: Int,
    logTimeout: Duration = .seconds(60)
  ) {
    self.base = base
    self.token = token
    answers = Line(timeout: timeout, limit: answerLimitBytes)
    logs = Line(timeout: logTimeout, limit: answerLimitBytes)
  }

  /// A session has one bound on time for all that it carries.
  private final class Line: Sendable {
    let timeout: Double
    let session: URLSession
    let collector: AnswerCollector

    init(timeout: Duration, limit: Int) {
      self.timeout = timeout / .seconds(1)
      collector = AnswerCollector(limit: limit)
      let configuration = URLSessionConfiguration.ephemeral
      configuration.httpCookieAcceptPolicy = .never
      configuration.urlCache = nil
      configuration.timeoutIntervalForRequest = self.timeout
      configuration.timeoutIntervalForResource = self.timeout
      configuration.httpMaximumConnectionsPerHost = 16
      session = URLSession(configuration: configuration, delegate: collector, delegateQueue: nil)
    }

    deinit { session.invalidateAndCancel() }
  }

  func send(_ request: RayRequest, keepingEnd: Int?) async throws(RayError) -> RayResponse {
    let line = keepingEnd == nil ? answers : logs
    guard let url = URL(string: base + request.path) else {
      throw .refused(status: 400, "\(base)\(request.path) is not a URL")
    }
    var message = URLRequest(url: url, timeoutInterval: line.timeout)
    message.httpMethod = request.method
    message.setValue("application/json", forHTTPHeaderField: "Accept")
    if let token = token() { message.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization") }
    if let body = request.body {
      message.httpBody = Data(body)
      message.setValue("application/json", forHTTPHeaderField: "Content-Type")
    }
    let task = line.session.dataTask(with: message)
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        line.collector.expect(task.taskIdentifier, continuation, keepingEnd: keepingEnd)
        task.resume()
      }
    } onCancel: {
      task.cancel()
    }
    return try result.get()
  }
}

/// Gathers answers up to a bound; one that grows beyond it is cut off, or loses its beginning.
private final class AnswerCollector: NSObject, URLSessionDataDelegate, Sendable {
  typealias Continuation = CheckedContinuation<Result<RayResponse, RayError>, Never>

  private struct Answer {
    var continuation: Continuation
    var keepingEnd: Int?
    var body: [UInt8] = []
    var leftOut: Int64 = 0
    var isTooLong = false

    var received: Int64 { leftOut + Int64(body.count) }

    mutating func append(_ data: Data, limit: Int) {
      guard let keepingEnd else {
        isTooLong = isTooLong || body.count + data.count > limit
        if !isTooLong { body.append(contentsOf: data) }
        return
      }
      body.append(contentsOf: data)
      // Moved down once in a while, not with every piece.
      if body.count > 2 * keepingEnd { cut(to: keepingEnd) }
    }

    mutating func cut(to count: Int) {
      let surplus = body.count - count
      guard surplus > 0 else { return }
      body.removeFirst(surplus)
      leftOut += Int64(surplus)
    }
  }

  private let limit: Int
  private let answers = Mutex<[Int: Answer]>([:])

  init(limit: Int) { self.limit = limit }

  func expect(_ identifier: Int, _ continuation: Continuation, keepingEnd: Int?) {
    answers.withLock { $0[identifier] = Answer(continuation: continuation, keepingEnd: keepingEnd) }
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    let isTooLong = answers.withLock { answers in
      guard var answer = answers.removeValue(forKey: dataTask.taskIdentifier) else { return false }
      answer.append(data, limit: limit)
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
        case let failure? where failure.code == .timedOut:
          answer.received == 0
            ? "no answer in time" : "the answer was incomplete after \(answer.received) bytes when its time was over"
        case let failure?: failure.localizedDescription
        case nil: "\(error)"
        }
      if let text = Self.distrust(text) { return .failure(.unreachable(text)) }
      return .failure(Self.hasNotArrived(error) ? .unreachable(text) : .unknown(text))
    }
    guard let response = response as? HTTPURLResponse else { return .failure(.unknown("the answer is not HTTP")) }
    var answer = answer
    if let keepingEnd = answer.keepingEnd { answer.cut(to: keepingEnd) }
    return .success(
      RayResponse(
        status: response.statusCode, mediaType: response.mimeType?.lowercased() ?? "", body: answer.body,
        leftOutBytes: answer.leftOut))
  }

  /// Why TLS was not agreed on, and what to do; nil for other errors. URLSession has one code for these and for others,
  /// so the library below it is read.
  private static func distrust(_ text: String) -> String? {
    if text.contains("SSL certificate problem") {
      return
        "its certificate is not trusted (\(text)); this server uses its machine's CA certificates: add Ray's CA to them "
        + "(Debian: /usr/local/share/ca-certificates, update-ca-certificates)"
    }
    if text.contains("certificate subject name") { return "its certificate is for another name (\(text))" }
    if text.contains("wrong version number") { return "it does not use TLS (\(text)); should its URL be http://?" }
    return nil
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

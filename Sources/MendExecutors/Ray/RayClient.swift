internal import FoundationEssentials
internal import MendProtobuf

/// The part of Ray's Jobs API that an executor needs.
protocol RayJobs: Sendable {
  /// Returns when Ray has taken the job. After any error it may have been taken all the same.
  func submit(_ submission: RaySubmission) async throws(RayError)
  /// Nil: Ray answered, and knows no such job.
  func job(_ id: String) async throws(RayError) -> RayJob?
  func jobs() async throws(RayError) -> [RayJob]
  /// Asks it to end; false where it had ended, or is not known. True is no proof of its end.
  func stop(_ id: String) async throws(RayError) -> Bool
  /// Deletes the record of a job that has ended; false where Ray knows no such job. A live one is refused.
  func delete(_ id: String) async throws(RayError) -> Bool
  /// What the driver has written so far, its two streams in one, byte by byte; of a long log the last `keepingEnd`
  /// bytes. Nil: Ray answered, and knows no such job.
  ///
  /// - Parameter lines: only so many of the last lines, at a place that is not known; nil: all.
  func log(_ id: String, keepingEnd: Int, lines: Int?) async throws(RayError) -> RayLog?
  func version() async throws(RayError) -> RayVersion
  func nodes() async throws(RayError) -> [RayNode]
  func status() async throws(RayError) -> RayClusterStatus
}

struct RayLog: Hashable, Sendable {
  /// The place in the log of the first byte here; more than 0 where its beginning is left out.
  var start: Int64
  var bytes: [UInt8]

  var end: Int64 { start + Int64(bytes.count) }
}

/// Ray's Jobs API over HTTP, tolerant of what it does not know.
struct RayClient: RayJobs {
  private let transport: any RayTransport

  init(_ transport: any RayTransport) { self.transport = transport }

  func submit(_ submission: RaySubmission) async throws(RayError) {
    let body = Array(submission.json.compact().utf8)
    let answer = try await ask(RayRequest(method: "POST", path: "/api/jobs/", body: body))
    // A page to sign in at is a 200 as well; only Ray repeats the name.
    guard try Self.decode(Submitted.self, answer).submissionID == submission.submissionID else {
      throw .unknown("an answer to a submission that names another job")
    }
  }

  func job(_ id: String) async throws(RayError) -> RayJob? {
    let response = try await send(RayRequest(method: "GET", path: Self.path(of: id)))
    if Self.saysUnknown(response, id) { return nil }
    return try Self.decode(RayJob.self, try Self.check(response))
  }

  func jobs() async throws(RayError) -> [RayJob] {
    try Self.decode(TolerantList<RayJob>.self, try await ask(RayRequest(method: "GET", path: "/api/jobs/"))).elements
  }

  func stop(_ id: String) async throws(RayError) -> Bool {
    let response = try await send(RayRequest(method: "POST", path: Self.path(of: id) + "/stop"))
    if Self.saysUnknown(response, id) { return false }
    return try Self.decode(Stopped.self, try Self.check(response)).stopped
  }

  func delete(_ id: String) async throws(RayError) -> Bool {
    let response = try await send(RayRequest(method: "DELETE", path: Self.path(of: id)))
    if Self.saysUnknown(response, id) { return false }
    return try Self.decode(Deleted.self, try Self.check(response)).deleted
  }

  func log(_ id: String, keepingEnd: Int, lines: Int?) async throws(RayError) -> RayLog? {
    guard let job = try await job(id) else { return nil }
    let node = job.driverNodeID
    if node.isEmpty { return RayLog(start: 0, bytes: []) }
    do throws(RayError) {
      return try await log(id, on: node, keepingEnd: keepingEnd, lines: lines)
    } catch {
      guard case .unknown(let text) = error else { throw error }
      throw .unknown(
        "the log was not read to its end (\(text)), and Ray returns all of it or nothing; read it where it is, "
          + "job-driver-\(id).log among the logs of Ray's session on node \(node)")
    }
  }

  private func log(
    _ id: String, on node: String, keepingEnd: Int, lines: Int?
  ) async throws(RayError) -> RayLog? {
    // The state API streams the file as it is. The Jobs API reads all of it into memory, as text: it fails at bytes that
    // are not UTF-8, and a long log takes the dashboard's memory. Older versions have only that.
    if node.allSatisfy({ $0.isASCII && $0.isHexDigit }) {
      let path =
        "/api/v0/logs/file?node_id=\(node)&filename=job-driver-\(id).log&lines=\(lines ?? -1)&timeout=60&format=text"
      let file = try await transport.send(RayRequest(method: "GET", path: path), keepingEnd: keepingEnd)
      if file.status == 200, file.mediaType != "text/html" { return RayLog(start: file.leftOutBytes, bytes: file.body) }
      // The Jobs API would answer with an empty text.
      if file.status == 500, String(decoding: file.body, as: UTF8.self).contains("A file is not found") { return nil }
    }
    let text = try Self.decode(Logs.self, try await ask(RayRequest(method: "GET", path: Self.path(of: id) + "/logs")))
      .logs
    let end = Array(text.utf8.suffix(keepingEnd))
    return RayLog(start: Int64(text.utf8.count - end.count), bytes: end)
  }

  func version() async throws(RayError) -> RayVersion {
    try Self.decode(RayVersion.self, try await ask(RayRequest(method: "GET", path: "/api/version")))
  }

  func nodes() async throws(RayError) -> [RayNode] {
    // Without a limit Ray names a hundred of them.
    let response = try await send(RayRequest(method: "GET", path: "/api/v0/nodes?limit=10000"))
    if response.status == 404 {
      return try Self.decode(
        RayNodeSummary.self, try await ask(RayRequest(method: "GET", path: "/nodes?view=summary"))
      ).nodes
    }
    return try Self.decode(RayNodeList.self, try Self.check(response)).nodes
  }

  func status() async throws(RayError) -> RayClusterStatus {
    try Self.decode(RayClusterStatus.self, try await ask(RayRequest(method: "GET", path: "/api/cluster_status")))
  }

  private struct Submitted: Decodable {
    var submissionID: String
    private enum CodingKeys: String, CodingKey { case submissionID = "submission_id" }
  }
  private struct Stopped: Decodable { var stopped: Bool }
  private struct Deleted: Decodable { var deleted: Bool }
  private struct Logs: Decodable { var logs: String }

  /// An attempt's own id needs no escapes; one that somebody made up may.
  private static func path(of id: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var path = Array("/api/jobs/".utf8)
    for byte in id.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
        path.append(byte)
      default:
        path += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: path, as: UTF8.self)
  }

  private func send(_ request: RayRequest) async throws(RayError) -> RayResponse { try await transport.send(request) }

  private func ask(_ request: RayRequest) async throws(RayError) -> [UInt8] {
    try Self.check(try await send(request))
  }

  /// A proxy's 404 does not name the job; Ray's does: "Job ID does not exist".
  private static func saysUnknown(_ response: RayResponse, _ id: String) -> Bool {
    response.status == 404 && String(decoding: response.body, as: UTF8.self).contains(" \(id) ")
  }

  private static func check(_ response: RayResponse) throws(RayError) -> [UInt8] {
    switch response.status {
    case 200..<300: return response.body
    case 401, 403: throw .denied(words(of: response))
    // A gateway's: nobody knows whether Ray got it.
    case 300..<400, 408, 502...504: throw .unknown("status \(response.status): \(words(of: response))")
    default: throw .refused(status: response.status, words(of: response))
    }
  }

  private static func decode<T: Decodable>(_ type: T.Type, _ body: [UInt8]) throws(RayError) -> T {
    do {
      return try JSONDecoder().decode(type, from: Data(body))
    } catch {
      throw .unknown("an answer of \(body.count) bytes that is not Ray's")
    }
  }

  /// Errors are plain text, often a traceback: its last lines say what was wrong.
  static func words(of response: RayResponse) -> String {
    let lines = String(decoding: response.body, as: UTF8.self).split(whereSeparator: \.isNewline)
      .map { $0.drop(while: \.isWhitespace) }.filter { !$0.isEmpty && $0 != "." }
    let last = lines.last { $0.contains("Error: ") } ?? lines.last ?? "no words"
    return String(last.prefix(500))
  }
}

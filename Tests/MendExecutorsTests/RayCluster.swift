import Glibc
import MendCore
import Testing

@testable import MendExecutors

/// The real head that the conformance suite runs on as well, and what its tests do to it behind the executor's back.
enum Cluster {
  static var url: String? { variable("MEND_RAY_URL") }
  static var token: String? { variable("MEND_RAY_TOKEN") }

  private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  private static func transport() throws -> HTTPRayTransport {
    HTTPRayTransport(base: try #require(url), token: { token }, timeout: .seconds(10), answerLimitBytes: 1 << 20)
  }

  /// As somebody who stops it by Ray's API and deletes its record.
  static func remove(_ id: String) async throws {
    let transport = try transport()
    _ = try await RayClient(transport).stop(id)
    try await waitForEnd(of: id)
    let answer = try await transport.send(RayRequest(method: "DELETE", path: "/api/jobs/\(id)"))
    #expect(answer.status == 200)
  }

  /// The test's time limit is the deadline.
  static func waitForEnd(of id: String) async throws {
    let client = RayClient(try transport())
    while try await client.job(id)?.status.isFinal == false {
      try Task.checkCancellation()
      await Task.yield()
    }
  }
}

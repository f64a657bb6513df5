import MendAPI
import MendCore
import MendRPC
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendServer

@Suite("ReadLogs over a runtime", .timeLimit(.minutes(1)))
struct LogTests {
  private let call = Call(
    requestID: RequestID(prefix: "req-", number: 2), method: Batches.Methods.readLogs, namespace: "default",
    actor: "caller")

  private func request(_ change: (inout ReadLogsRequest) -> Void = { _ in }) -> ReadLogsRequest {
    var request = ReadLogsRequest()
    request.batchID = "b"
    change(&request)
    return request
  }

  private func read(_ harness: Harness, _ request: ReadLogsRequest) async throws -> Seen<ReadLogsResponse> {
    let received = Seen<ReadLogsResponse>()
    try await harness.batches.readLogs(request, call) { received.add($0) }
    return received
  }

  private func key(_ index: Int, _ number: Int = 1) -> AttemptKey {
    AttemptKey(
      batch: BatchKey(namespace: "default", batchID: "b"), job: JobID(tier: 0, index: index), number: number)
  }

  @Test("Every job's latest attempt is read, both streams, or what is asked for")
  func selection() async throws {
    try await Harness.run { harness in
      try await harness.submit("b", documents: 1, extractors: [["text", "digest"]])
      for index in 0..<2 {
        _ = await harness.executor.launched(key(index))
        harness.executor.write(key(index), .standardOutput, "out \(index)\n")
        harness.executor.write(key(index), .standardError, "err \(index)\n")
      }
      let all = try await read(harness, request())
      #expect(
        all.texts == [
          "t0-j0.1 stdout": "out 0\n", "t0-j0.1 stderr": "err 0\n", "t0-j1.1 stdout": "out 1\n",
          "t0-j1.1 stderr": "err 1\n",
        ])
      let one = try await read(
        harness,
        request {
          $0.jobID = "t0-j1"
          $0.attempt = 1
          $0.stream = .stderr
        })
      #expect(one.texts == ["t0-j1.1 stderr": "err 1\n"])
    }
  }

  @Test("A long log comes in pieces, and goes on behind the positions that are named")
  func positions() async throws {
    try await Harness.run { harness in
      try await harness.submit("b", documents: 1)
      _ = await harness.executor.launched(key(0))
      let text = String(repeating: "0123456789abcde\n", count: 10_000)
      harness.executor.write(key(0), .standardOutput, text)
      let all = try await read(harness, request())
      #expect(all.all.count == 3)
      #expect(all.texts == ["t0-j0.1 stdout": text])
      let rest = try await read(
        harness,
        request {
          var position = LogPosition()
          position.jobID = "t0-j0"
          position.attempt = 1
          position.stream = .stdout
          position.offset = 159_990
          $0.positions = [position]
        })
      #expect(rest.texts == ["t0-j0.1 stdout": "6789abcde\n"])
      #expect(rest.all.first?.offset == 159_990)
    }
  }

  @Test("Followed, logs go on until the batch is over, with all that was written")
  func follows() async throws {
    try await Harness.run { harness in
      try await harness.submit("b", documents: 1)
      let token = await harness.token("b", JobID(tier: 0, index: 0))
      harness.executor.write(key(0), .standardOutput, "one\n")
      let received = Seen<ReadLogsResponse>()
      let followed = request { $0.follow = true }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await harness.batches.readLogs(followed, call) { received.add($0) } }
        let deadline = ContinuousClock.now + .seconds(30)
        while received.all.isEmpty {
          try #require(ContinuousClock.now < deadline, "nothing of the log arrived within 30 s")
          await Task.yield()
        }
        harness.executor.write(key(0), .standardOutput, "two\n")
        _ = try await harness.claim(token, 1)
        try await harness.report(token, completed: ["d0"])
        harness.executor.write(key(0), .standardOutput, "three\n")
        harness.executor.exit(key(0), code: 0)
        try await group.waitForAll()
      }
      #expect(received.texts == ["t0-j0.1 stdout": "one\ntwo\nthree\n"])
    }
  }

  @Test("A stopping server says so, and where nothing was begun there is nothing")
  func ends() async throws {
    try await Harness.run { harness in
      try await harness.create("b", documents: 1)
      #expect(try await read(harness, request()).all.isEmpty)
      harness.drain.begin()
      let facts = try await failure { try await read(harness, request { $0.follow = true }) }
      #expect(facts.code == .unavailable)
      #expect(facts.retry != nil)
    }
  }

  @Test("Logs that are followed by many are looked at less often, so that all together cost no more")
  func manyFollowers() {
    let followers = LogFollowers()
    followers.add(1)
    #expect(followers.interval == .milliseconds(250))
    followers.add(499)
    #expect(followers.interval == .milliseconds(250))
    followers.add(3100)
    #expect(followers.interval == .milliseconds(1800))
    followers.add(-3600)
    #expect(followers.interval == .milliseconds(250))
  }

  @Test("What is not there, and what is asked for wrongly, is named")
  func faults() async throws {
    try await Harness.run { harness in
      try await harness.submit("b", documents: 1)
      _ = await harness.executor.launched(key(0))
      let batch = try await failure { try await read(harness, request { $0.batchID = "other" }) }
      #expect(batch.resource?.resourceType == "batch")
      let job = try await failure { try await read(harness, request { $0.jobID = "t0-j7" }) }
      #expect(job.resource?.resourceType == "job")
      let attempt = try await failure { try await read(harness, request { $0.attempt = 9 }) }
      #expect(attempt.resource?.resourceType == "attempt")
      for wrong in [request { $0.attempt = -1 }, request { $0.stream = .unrecognized(9) }] {
        #expect(try await failure { try await read(harness, wrong) }.code == .invalidArgument)
      }
      let position = request { $0.positions = [LogPosition()] }
      #expect(
        try await failure { try await read(harness, position) }.badRequest?.fieldViolations.first?.field
          == "positions[0].job_id")
    }
  }
}

extension Seen<ReadLogsResponse> {
  /// Each log's text, by `t0-j0.1 stdout`.
  fileprivate var texts: [String: String] {
    all.reduce(into: [:]) { texts, piece in
      let name = "\(piece.jobID).\(piece.attempt) \(piece.stream == .stderr ? "stderr" : "stdout")"
      texts[name, default: ""] += String(decoding: piece.data, as: UTF8.self)
    }
  }
}

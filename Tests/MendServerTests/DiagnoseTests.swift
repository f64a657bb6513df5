import MendAPI
import MendCore
import MendProtobuf
import MendRPC
import MendRuntime
import Testing

@testable import MendServer

@Suite("Diagnose", .timeLimit(.minutes(1)))
struct DiagnoseTests {
  @Test("a failed batch shows what, why and the remedy as a call and a command line")
  func failed() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 3)
      let job = JobID(tier: 0, index: 0)
      let token = await harness.token("b1", job)
      _ = try await harness.claim(token, 2)
      try await harness.report(token, completed: ["d0"])
      let key = AttemptKey(batch: BatchKey(namespace: "default", batchID: "b1"), job: job, number: 1)
      harness.executor.exit(key, code: 3)
      _ = try await harness.batch("b1") { $0.status == .failed }
      let answer = try await harness.diagnose("b1")
      #expect(answer.status == .failed)
      #expect(answer.bucketID == "reports")
      #expect(answer.hasFailures)
      #expect(answer.failedTierCount == 1)
      #expect(answer.failureCategory == .pipeline)
      #expect(answer.totalObjects == 3)
      #expect(answer.durationSeconds != nil)
      let tier = try #require(answer.tiers.first)
      #expect(tier.taskID == "b1/0")
      #expect(tier.status == .failed)
      #expect(tier.error != nil)
      let params = try #require(tier.submissionParams)
      #expect(params.entrypoint == "engine text")
      #expect(params.envNames == ["SECRET"])
      let attempt = try #require(tier.jobs.first?.attempts.first)
      #expect(attempt.state == .ended)
      #expect(attempt.exit?.exitCode == 3)
      #expect(attempt.launchID == "default.b1.t0-j0.1")
      #expect(!answer.findings.isEmpty)
      let remedies = answer.findings.compactMap(\.remedy).filter { $0.call != nil }
      #expect(remedies.contains { $0.command.hasPrefix("mend retry b1 --tier 0") })
      #expect(answer.generation > 0 && answer.sequence > answer.generation)
      #expect(!String(decoding: answer.serialized(), as: UTF8.self).contains("do-not-show"))
    }
  }

  @Test("the inline path gives what the other one gives, and the same bytes within a second")
  func inline() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 3)
      let view = try #require(harness.runtime.view(of: BatchKey(namespace: "default", batchID: "b1")))
      var request = DiagnoseRequest()
      request.batchID = "b1"
      var first: [UInt8] = [9]
      let outcome = try harness.batches.diagnoseInline(
        request.payload.span.bytes, harness.context(Batches.Methods.diagnose), into: &first)
      #expect(outcome == .answered)
      #expect(first.first == 9)
      let response = try DiagnoseResponse(serialized: Array(first.dropFirst()))
      #expect(response.batchID == "b1")
      #expect(response.sequence == view.batch.sequence)
    }
  }

  @Test("what is not in memory is left to the handler that may read the disk, which says what is not there")
  func declined() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 3)
      for id in ["unknown", "not an id"] {
        var request = DiagnoseRequest()
        request.batchID = id
        var response: [UInt8] = [9]
        let outcome = try harness.batches.diagnoseInline(
          request.payload.span.bytes, harness.context(Batches.Methods.diagnose), into: &response)
        #expect(outcome == .declined && response == [9])
      }
      let error = await #expect(throws: RPCError.self) { try await harness.diagnose("unknown") }
      #expect(error?.code == .notFound)
    }
  }

  @Test("a collection's expected documents stand against those that were written")
  func collections() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 4, extractors: [["text", "image"], ["index"]])
      let token = await harness.token("b1", JobID(tier: 0, index: 0))
      _ = try await harness.claim(token, 4)
      try await harness.report(token, completed: ["d0", "d1"])
      let collections = try await harness.diagnose("b1").collections
      #expect(collections.map(\.collectionID) == ["text", "image", "index"])
      #expect(collections.map(\.expectedDocuments) == [4, 4, 4])
      #expect(collections.map(\.documentCount) == [2, 0, 0])
      #expect(collections.map(\.status) == ["running", "running", "pending"])
    }
  }

  @Test("the slowest tier of a summary is told by its number")
  func slowestTier() {
    let summary = MendCore.PerformanceSummary(
      total: .seconds(9), queued: .seconds(1), documentsPerSecond: 2, slowestTier: 3, slowestExtractor: "index",
      stages: [], attempts: 4, repeatedWork: 0, peakMemoryBytes: 5)
    let message = MendAPI.PerformanceSummary(summary)
    #expect(message.slowestTier == 3 && message.slowestExtractor == "index" && message.queueSeconds == 1)
  }
}

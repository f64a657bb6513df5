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

  @Test("a count of documents written is bounded where it comes in, and the error says by what")
  func writtenBeyondTheBound() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 1)
      let token = await harness.token("b1", JobID(tier: 0, index: 0))
      func write(_ count: Int64) async throws {
        let request = ReportRequest {
          $0.attemptToken = token
          $0.written = [
            CollectionWrite {
              $0.collectionID = "text"
              $0.documentCount = count
            }
          ]
        }
        _ = try await harness.worker.report(request, context: harness.context(Worker.Methods.report))
      }
      for count in [Int64.min, -1, (1 << 53) + 1, .max] {
        let facts = try await failure { try await write(count) }
        let violation = facts.badRequest?.fieldViolations.first
        #expect(violation?.field == "written[0].document_count")
        #expect(violation?.description.contains("0 to 9007199254740992") == true)
      }
      for _ in 0..<3 { try await write(1 << 53) }
      #expect(try await harness.diagnose("b1").collections.first?.documentCount == 3 << 53)
    }
  }

  @Test("a journal that counts beyond all bounds is folded and diagnosed")
  func writtenInTheJournal() throws {
    let key = BatchKey(namespace: "n", batchID: "b")
    var extractor = MendCore.ExtractorSpecification(
      name: "text", work: .entrypoint("x"), collectionID: "texts", shards: 2,
      resources: Resources(cpus: 1, memoryBytes: 0, requiresGPU: false), environment: [:], timers: Timers(),
      retryRules: [])
    extractor.collectionID = "texts"
    let specification = MendCore.BatchSpecification(
      bucketID: "", batchName: "", priority: 50, maxConcurrent: 0, timeout: nil, notificationEnabled: false,
      executor: .local, tiers: [MendCore.TierSpecification(extractors: [extractor])], autoHeal: nil)
    let facts: [Fact] =
      [.batchCreated(specification)]
      + (0..<4).map { .collectionWritten(.init(JobID(tier: 0, index: $0 % 2), collectionID: "texts", count: .max)) }
      + (0..<4).map { .workRepeated(.init((JobID(tier: 0, index: $0 % 2)).attempt(0), count: .max)) }
    let records = facts.enumerated().map { index, fact in
      Record(batch: key, sequence: UInt64(index + 1), at: Instant(milliseconds: 1000), cause: .worker, fact: fact)
    }
    let batch = try #require(try Batch.folding(records))
    #expect(batch.collections.first?.written == .max)
    let capacity = Capacity(executor: .local, cpus: 4, memoryBytes: 1 << 30)
    let diagnosis = batch.diagnosis(
      at: Instant(milliseconds: 2000), capacity: capacity, limits: Limits())
    #expect(diagnosis.repeatedWork == .max)
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

import MendAPI
import MendCore
import MendProtobuf
import MendRPC
import MendRuntime
import Testing

@testable import MendServer

@Suite("GetBatch and ListBatches", .timeLimit(.minutes(1)))
struct GetBatchTests {
  @Test("the parts add up to the total, whatever became of the documents")
  func partsAddUp() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 10)
      let token = await harness.token("b1", JobID(tier: 0, index: 0))
      #expect(try await harness.claim(token, 4).count == 4)
      try await harness.report(token, completed: ["d0", "d1"], failed: [("d2", "format_error")])
      let progress = try #require(try await harness.getBatch("b1").progress)
      #expect(progress.completed == 2)
      #expect(progress.failed == 1)
      #expect(progress.processing == 1)
      #expect(progress.pending == 6)
      #expect(progress.total == 10)
      #expect(progress.percentage == 20)
    }
  }

  @Test("documents come in pages that are all of them, once each, in their order")
  func pages() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 25)
      var seen: [String] = []
      var token = ""
      var pages = 0
      repeat {
        let response = try await harness.getBatch("b1") {
          $0.includeJobDetails = true
          $0.pageSize = 10
          $0.pageToken = token
        }
        #expect(response.jobDetails.count <= 10)
        seen += response.jobDetails.map(\.documentID)
        token = response.nextPageToken
        pages += 1
      } while !token.isEmpty
      #expect(pages == 3)
      #expect(seen == (0..<25).map { "d\($0)" })
    }
  }

  @Test("a document's line has its fields, and its error where errors are wanted")
  func documentLine() async throws {
    try await Harness.run { harness in
      try await harness.submit("b1", documents: 2)
      let token = await harness.token("b1", JobID(tier: 0, index: 0))
      _ = try await harness.claim(token, 2)
      try await harness.report(token, completed: ["d0"], failed: [("d1", "format_error")])
      let full = try await harness.getBatch("b1") { $0.includeJobDetails = true }
      let done = try #require(full.jobDetails.first)
      #expect(done.jobID == "d0")
      #expect(done.filePath == "/srv/in box/d0.pdf")
      #expect(done.mediaType == "document")
      #expect(done.status == .completed)
      #expect(done.progress == 100)
      #expect(done.startedAt != nil && done.completedAt != nil)
      #expect(done.error == nil)
      let failed = try #require(full.jobDetails.last)
      #expect(failed.status == .failed)
      #expect(failed.error?.code == "format_error")
      #expect(failed.error?.message == "Unsupported file format")
      #expect(failed.error?.mendJobID == "t0-j0")
      #expect(failed.error?.extractorName == "text")
      #expect(full.errorSummary.first?.errorType == "format_error")
      #expect(full.errorSummary.first?.affectedFiles == ["/srv/in box/d1.pdf"])
      let bare = try await harness.getBatch("b1") {
        $0.includeJobDetails = true
        $0.includeErrors = false
      }
      #expect(bare.jobDetails.last?.error == nil)
      #expect(bare.errorSummary.isEmpty)
    }
  }

  @Test("without the flag there are no documents")
  func noDetails() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 3)
      #expect(try await harness.getBatch("b1").jobDetails.isEmpty)
    }
  }

  @Test("a field mask leaves the named fields and the batch's id")
  func mask() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 3)
      let response = try await harness.getBatch("b1") {
        $0.fields = GoogleFieldMask()
        $0.fields?.paths = ["status", "batch_name"]
      }
      var expected = GetBatchResponse()
      expected.batchID = "b1"
      expected.batchName = "Monthly Reports"
      expected.status = .created
      #expect(response == expected)
    }
  }

  @Test("naming job_details asks for them, with the next page's token")
  func maskedDetails() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 3)
      let response = try await harness.getBatch("b1") {
        $0.fields = GoogleFieldMask()
        $0.fields?.paths = ["job_details"]
        $0.pageSize = 2
      }
      #expect(response.jobDetails.count == 2)
      #expect(!response.nextPageToken.isEmpty)
      #expect(response.progress == nil)
    }
  }

  @Test("an unknown field is refused with the fields that there are")
  func unknownField() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 1)
      let facts = try await failure {
        try await harness.getBatch("b1") {
          $0.fields = GoogleFieldMask()
          $0.fields?.paths = ["progress", "colour"]
        }
      }
      #expect(facts.code == .invalidArgument)
      #expect(facts.message.contains("\"colour\""))
      #expect(facts.message.contains("batch_configuration"))
    }
  }

  @Test("the mask knows every field of the answer")
  func everyField() {
    let known = Set(StatusFields.Field.allCases.map(\.rawValue))
    #expect(known == Set(GetBatchResponse.fieldNames.map(\.schema)))
  }

  @Test("metrics_only is progress and timing")
  func metricsOnly() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 3)
      let response = try await harness.getBatch("b1") {
        $0.metricsOnly = true
        $0.includeJobDetails = true
      }
      #expect(response.progress?.total == 3)
      #expect(response.timing?.createdAt != nil)
      #expect(response.batchConfiguration == nil)
      #expect(response.jobDetails.isEmpty)
      #expect(response.batchName.isEmpty)
    }
  }

  @Test("the answer's metadata say which call it was and which API")
  func metadata() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 1)
      let first = try #require(try await harness.getBatch("b1").metadata)
      let second = try #require(try await harness.getBatch("b1").metadata)
      #expect(first.apiVersion == "1.0.0")
      #expect(first.requestID.hasPrefix("req-"))
      #expect(first.requestID != second.requestID)
      #expect(first.cacheRemaining <= first.cacheTtl)
    }
  }

  @Test(
    "page sizes and tokens that are none are refused", arguments: [(-1, ""), (1001, ""), (10, "xyz!"), (10, "ZC4")])
  func badPages(size: Int, token: String) async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 1)
      let facts = try await failure {
        try await harness.getBatch("b1") {
          $0.includeJobDetails = true
          $0.pageSize = Int32(size)
          $0.pageToken = token
        }
      }
      #expect(facts.code == .invalidArgument)
    }
  }

  @Test("a page token of one batch is none of another")
  func foreignToken() async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 3)
      let token = PageToken.document(batchID: "b2", position: 1).text
      let facts = try await failure { try await harness.getBatch("b1") { $0.pageToken = token } }
      #expect(facts.badRequest?.fieldViolations.first?.field == "page_token")
    }
  }

  @Test("a page token beyond the last document is refused", arguments: [4, 1 << 53, Int.max - 1, Int.max])
  func tokenBeyondTheEnd(position: Int) async throws {
    try await Harness.run { harness in
      try await harness.create("b1", documents: 3)
      let facts = try await failure {
        try await harness.getBatch("b1") {
          $0.includeJobDetails = true
          $0.pageToken = PageToken.document(batchID: "b1", position: position).text
        }
      }
      #expect(facts.code == .invalidArgument)
      #expect(facts.badRequest?.fieldViolations.first?.field == "page_token")
      // The place behind the last one is no mistake: a batch may have had more when the token was made.
      let last = try await harness.getBatch("b1") {
        $0.includeJobDetails = true
        $0.pageToken = PageToken.document(batchID: "b1", position: 3).text
      }
      #expect(last.jobDetails.isEmpty && last.nextPageToken.isEmpty)
    }
  }

  @Test("a namespace's batches come newest first, in pages, with filters, and no others")
  func list() async throws {
    try await Harness.run { harness in
      for number in 0..<7 { try await harness.create("b\(number)", documents: number) }
      try await harness.create("foreign", documents: 1, namespace: "team-b")
      var seen: [String] = []
      var token = ""
      repeat {
        var request = ListBatchesRequest()
        request.pageSize = 3
        request.pageToken = token
        let page = try await harness.batches.listBatches(
          request, context: harness.context(Batches.Methods.listBatches))
        seen += page.batches.map(\.batchID)
        token = page.nextPageToken
      } while !token.isEmpty
      #expect(seen.count == 7)
      #expect(Set(seen) == Set((0..<7).map { "b\($0)" }))
      var running = ListBatchesRequest()
      running.status = .running
      let none = try await harness.batches.listBatches(running, context: harness.context(Batches.Methods.listBatches))
      #expect(none.batches.isEmpty)
    }
  }
}

@Suite("Page tokens")
struct PageTokenTests {
  @Test("a token is what it was made from")
  func roundTrip() {
    for token in [
      PageToken.document(batchID: "b-1", position: 0),
      .document(batchID: String(repeating: "x", count: 64), position: 9),
      .batch(ListCursor(createdAt: Instant(milliseconds: 1_700_000_000_123), batchID: "b")),
    ] {
      #expect(PageToken(token.text) == token)
      #expect(token.text.utf8.allSatisfy { $0 != UInt8(ascii: "=") && $0 != UInt8(ascii: "/") })
    }
  }

  @Test("anything else is none")
  func rubbish() {
    for text in [
      "", "a", "%%%", Base64.encode("d.b1.-1".utf8, as: .url), Base64.encode("d.b1".utf8, as: .url),
      Base64.encode("x.b1.1".utf8, as: .url),
      Base64.encode("d.b/1.1".utf8, as: .url), String(repeating: "A", count: 1000),
    ] {
      #expect(PageToken(text) == nil)
    }
  }
}

@Suite("Fingerprints")
struct FingerprintTests {
  @Test("the same request has the same fingerprint; another field or method another one")
  func same() {
    var request = SubmitBatchRequest()
    request.batchID = "b1"
    let first = Fingerprint.of(request, Batches.Methods.submitBatch)
    #expect(first == Fingerprint.of(request, Batches.Methods.submitBatch))
    #expect(first != Fingerprint.of(request, Batches.Methods.pauseBatch))
    request.batchID = "b2"
    #expect(first != Fingerprint.of(request, Batches.Methods.submitBatch))
  }

  @Test("it is FNV-1a")
  func vectors() {
    #expect(Fingerprint.of([]) == 0xCBF2_9CE4_8422_2325)
    #expect(Fingerprint.of(Array("a".utf8)) == 0xAF63_DC4C_8601_EC8C)
    #expect(Fingerprint.of(Array("foobar".utf8)) == 0x8594_4171_F739_67E8)
  }

  @Test("a key used for the same request answers the same, for another one is refused")
  func keys() async throws {
    try await Harness.run { harness in
      var request = Harness.creation("", documents: 2)
      request.idempotencyKey = "monday"
      let context = harness.context(Batches.Methods.createBatch)
      let first = try await harness.batches.createBatch(request, context: context)
      let again = try await harness.batches.createBatch(request, context: context)
      #expect(first == again)
      request.documents = Harness.documents(3)
      let facts = try await failure { try await harness.batches.createBatch(request, context: context) }
      #expect(facts.code == .aborted)
      request.idempotencyKey = String(repeating: "k", count: 129)
      let long = try await failure { try await harness.batches.createBatch(request, context: context) }
      let violation = try #require(long.badRequest?.fieldViolations.first)
      #expect(violation.field == "idempotency_key")
      #expect(violation.description == "must have at most 128 printable ASCII characters, has 129 bytes")
    }
  }
}

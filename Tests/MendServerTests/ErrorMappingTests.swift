import MendAPI
import MendCore
import MendRPC
import Testing

@testable import MendServer

@Suite("What the core refuses becomes an error that says what to do")
struct ErrorMappingTests {
  private let call = Call(
    requestID: RequestID(prefix: "req-", number: 1), method: Batches.Methods.retry, namespace: "team-a", actor: "caller"
  )

  @Test(
    "each refusal has its code and reason",
    arguments: [
      (Refusal.invalid(field: "tiers[0].extractors[1].shards", rule: "must be 1 to 256"), 3, "VALIDATION_ERROR"),
      (.notFound(resourceType: "batch", resourceID: "b9"), 5, "NOT_FOUND"),
      (.alreadyExists(resourceType: "batch", resourceID: "b9"), 6, "ALREADY_EXISTS"),
      (.precondition("tier 0 is running", todo: "cancel it first"), 9, "PRECONDITION_FAILED"),
      (.aborted("the batch moved on", todo: "plan anew"), 10, "ABORTED"),
      (.exhausted(limit: .mailbox, "4,096 calls wait", retryAfter: .milliseconds(1500)), 8, "LIMIT_EXCEEDED"),
      (.unavailable("the server is stopping"), 14, "SHUTTING_DOWN"), (.unknownToken, 16, "UNKNOWN_ATTEMPT_TOKEN"),
      (.setAside(batchID: "b9", "record 7 is damaged"), 9, "BATCH_SET_ASIDE"),
    ])
  func codes(refusal: Refusal, code: Int, reason: String) throws {
    let facts = try ErrorFacts(call.refused(refusal, batchID: "b9"))
    #expect(facts.code.rawValue == code)
    #expect(facts.info?.reason == reason)
    #expect(facts.info?.domain == "mend")
    #expect(facts.request?.requestID == "req-1")
    #expect(!facts.message.isEmpty)
  }

  @Test(
    "an error of the call layer gets its reason, and says whether waiting helps",
    arguments: [
      (StatusCode.unimplemented, nil, "UNIMPLEMENTED", false),
      (.invalidArgument, nil, "VALIDATION_ERROR", false),
      (.resourceExhausted, "message_bytes", "LIMIT_EXCEEDED", false),
      (.resourceExhausted, "running_calls", "LIMIT_EXCEEDED", true),
      (.resourceExhausted, "buffered_request_bytes", "LIMIT_EXCEEDED", true),
      (.resourceExhausted, "held_bytes", "LIMIT_EXCEEDED", true),
      (.deadlineExceeded, nil, "DEADLINE_EXCEEDED", false),
      (.cancelled, nil, "CANCELLED", false),
      (.internal, nil, "MALFORMED_CALL", false),
      (.unavailable, nil, "SHUTTING_DOWN", true),
    ] as [(StatusCode, String?, String, Bool)])
  func callLayer(code: StatusCode, limit: String?, reason: String, waitingHelps: Bool) throws {
    var error = RPCError(code, "what was wrong")
    error.limit = limit.flatMap(LimitName.init(rawValue:))
    let explained = CallLayerErrors(requestIDs: RequestIDs(seed: 1)).explain(error, nil)
    let facts = try ErrorFacts(explained)
    #expect(facts.code == code)
    #expect(facts.message == "what was wrong")
    #expect(facts.info?.reason == reason)
    #expect(facts.info?.metadata["limit"] == limit)
    #expect((facts.retry != nil) == waitingHelps)
    #expect(facts.request?.requestID == "req-00000001-1")
    #expect(explained.metadata["mend-request-id"] == "req-00000001-1")
  }

  @Test("An error with the longest texts there are keeps all its details within what is sent")
  func bounded() throws {
    let long = String(repeating: "ü", count: 10_000)
    for refusal in [
      Refusal.invalid(field: long, rule: long), .notFound(resourceType: long, resourceID: long),
      .alreadyExists(resourceType: long, resourceID: long), .precondition(long, todo: Advice(long)),
      .aborted(long, todo: long),
      .exhausted(limit: .mailbox, long, retryAfter: .seconds(1)), .unavailable(long),
    ] {
      let error = call.refused(refusal, batchID: long)
      #expect(error.details.count <= 2000, "\(error.code)")
      let facts = try ErrorFacts(error)
      #expect(facts.info?.reason.isEmpty == false)
      #expect(facts.request?.requestID == "req-1")
      #expect(facts.message == error.message)
    }
  }

  @Test("the request id is in the trailers too")
  func requestID() {
    #expect(call.refused(.unknownToken).metadata["mend-request-id"] == "req-1")
  }

  @Test("a field's rule is a violation of that field")
  func violation() throws {
    let facts = try ErrorFacts(call.refused(.invalid(field: "tiers[0].extractors", rule: "must be 1 to 64")))
    #expect(facts.badRequest?.fieldViolations.map(\.field) == ["tiers[0].extractors"])
    #expect(facts.badRequest?.fieldViolations.map(\.description) == ["must be 1 to 64"])
    #expect(facts.message == "Invalid tiers[0].extractors: must be 1 to 64")
  }

  @Test("an unknown batch is named with its namespace")
  func unknownBatch() throws {
    let facts = try ErrorFacts(call.refused(.notFound(resourceType: "batch", resourceID: "b9")))
    #expect(facts.message.hasPrefix("batch \"b9\" not found in namespace \"team-a\""))
    #expect(facts.resource?.resourceType == "batch")
    #expect(facts.resource?.resourceName == "b9")
  }

  @Test("an unknown job is named with its batch")
  func unknownJob() throws {
    let facts = try ErrorFacts(call.refused(.notFound(resourceType: "job", resourceID: "t9-j9"), batchID: "b1"))
    #expect(facts.message.hasPrefix("job \"t9-j9\" not found in batch \"b1\""))
    #expect(facts.resource?.resourceType == "job")
  }

  @Test("a precondition has its reason as its type, and says what to do")
  func precondition() throws {
    let facts = try ErrorFacts(
      call.refused(
        .precondition(
          "never_schedulable: job t0-j0 needs 64 CPUs", todo: "ask for less", because: .neverSchedulable), batchID: "b1"
      ))
    #expect(facts.message == "never_schedulable: job t0-j0 needs 64 CPUs; ask for less")
    let violation = try #require(facts.precondition?.violations.first)
    #expect(violation.type == "never_schedulable")
    #expect(violation.subject == "b1")
    #expect(violation.description == "ask for less")
  }

  @Test("a limit says when to come back, or that waiting does not help")
  func limits() throws {
    let full = try ErrorFacts(call.refused(.exhausted(limit: .mailbox, "full", retryAfter: .milliseconds(1500))))
    #expect(full.retry?.retryDelay?.seconds == 1)
    #expect(full.retry?.retryDelay?.nanos == 500_000_000)
    #expect(full.info?.metadata["limit"] == "mailbox")
    let never = try ErrorFacts(call.refused(.exhausted(limit: .documentsPerBatch, "full", retryAfter: nil)))
    #expect(never.retry == nil)
    #expect(never.message.contains("waiting does not help"))
  }

  @Test("an internal fault tells the operation and where to look, never the inside")
  func internalFault() throws {
    let facts = try ErrorFacts(call.internalFault())
    #expect(facts.code == .internal)
    #expect(facts.info?.reason == "PROCESSING_ERROR")
    #expect(facts.info?.metadata["operation"] == "retry")
    #expect(facts.message.contains("req-1"))
  }

  @Test("what a caller sent is quoted short and without control characters")
  func quoting() {
    #expect("a\nb\u{7F}".quotedShort == "\"a?b?\"")
    #expect(String(repeating: "x", count: 200).quotedShort.utf8.count == 85)
  }

  @Test("an invalid batch id is refused with the rule for ids")
  func invalidBatchID() async throws {
    try await Harness.run { harness in
      let facts = try await failure { try await harness.diagnose("batch@123") }
      #expect(facts.code == .invalidArgument)
      #expect(facts.message.hasPrefix("Invalid batch ID: \"batch@123\""))
      let violation = try #require(facts.badRequest?.fieldViolations.first)
      #expect(violation.field == "batch_id")
      #expect(violation.description.hasPrefix("Batch ID must be alphanumeric with hyphens only"))
    }
  }

  @Test("a foreign batch is answered exactly as an unknown one")
  func foreign() async throws {
    try await Harness.run { harness in
      try await harness.create("theirs", documents: 1, namespace: "team-b")
      func ask(_ batchID: String) async throws -> ErrorFacts {
        try await failure { try await harness.diagnose(batchID) }
      }
      let foreign = try await ask("theirs")
      let unknown = try await ask("nobodys")
      #expect(foreign.code == .notFound)
      #expect(foreign.message.replacing("theirs", with: "nobodys") == unknown.message)
      #expect(foreign.info?.reason == unknown.info?.reason)
    }
  }

  @Test("the core's rules come out with the field's path")
  func corePaths() async throws {
    try await Harness.run { harness in
      var request = Harness.creation("b1", documents: 1)
      request.batch?.priority = 200
      let facts = try await failure {
        try await harness.batches.createBatch(request, context: harness.context(Batches.Methods.createBatch))
      }
      #expect(facts.code == .invalidArgument)
      #expect(facts.badRequest?.fieldViolations.first?.field == "priority")
    }
  }

  @Test("spans of time that are none are refused before the core")
  func spans() async throws {
    try await Harness.run { harness in
      for seconds in [-1, Double.nan, .infinity] {
        var request = Harness.creation("b1", documents: 1)
        request.batch?.timeoutSeconds = seconds
        let facts = try await failure {
          try await harness.batches.createBatch(request, context: harness.context(Batches.Methods.createBatch))
        }
        #expect(facts.badRequest?.fieldViolations.first?.field == "timeout_seconds")
      }
    }
  }
}

import MendAPI
import MendClient
import MendProtobuf
import MendRPC
import TestSupport
import Testing

@Suite("Calls")
struct CallTests {
  @Test("The key of a further call of a change fits, whatever the first one's length")
  func furtherKeys() {
    let longest = String(repeating: "k", count: 128)
    let second = MendClient.idempotencyKey("submit", after: longest)
    #expect(second.utf8.count <= 128 && second != MendClient.idempotencyKey("submit", after: "k"))
    #expect(second == MendClient.idempotencyKey("submit", after: longest))
  }

  @Test("A change without a key gets one, and keeps it when it is sent again")
  func keys() async throws {
    let seen = Seen<String>()
    var router = Router()
    router.unary(Batches.Methods.retry) { (request: RetryRequest, _) throws(RPCError) -> RetryResponse in
      guard seen.add(request.idempotencyKey) > 2 else { throw RPCError(.unavailable, "not now") }
      return RetryResponse()
    }
    let server = try await FakeServer(router)
    let client = MendClient.impatient(server.endpoint)
    _ = try await client.retry(RetryRequest())
    #expect(seen.all.count == 3)
    #expect(Set(seen.all).count == 1)
    #expect(seen.all[0].count == 32)
    await client.close()
    await server.stop()
  }

  @Test("A claim whose answer may be lost is not made twice")
  func claims() async throws {
    let seen = Seen<Int32>()
    var router = Router()
    router.unary(Worker.Methods.claimDocuments) {
      (request: ClaimDocumentsRequest, _) throws(RPCError) -> ClaimDocumentsResponse in
      seen.add(request.maxDocuments)
      throw RPCError(.unavailable, "gone")
    }
    let server = try await FakeServer(router)
    let client = MendClient.impatient(server.endpoint)
    await #expect(throws: MendError.self) { try await client.claimDocuments(token: "t", maximum: 4) }
    #expect(seen.all == [4])
    await client.close()
    await server.stop()
  }

  @Test("Token and namespace go with every call, and an error's details arrive")
  func metadata() async throws {
    let seen = Seen<String>()
    var router = Router()
    router.unary(Batches.Methods.diagnose) { (_: DiagnoseRequest, context) throws(RPCError) -> DiagnoseResponse in
      seen.add(context.metadata["authorization"] ?? "")
      seen.add(context.metadata["mend-namespace"] ?? "")
      throw RPCError(.notFound, "batch \"b\" not found", details: Self.status(resource: "b"))
    }
    let server = try await FakeServer(router)
    let client = MendClient(server.endpoint, settings: .init(token: "secret", namespace: "reports"))
    do throws(MendError) {
      _ = try await client.diagnose("b")
      Issue.record("it answered")
    } catch {
      #expect(error.code == .notFound)
      #expect(!error.isRetryable)
      #expect(error.details.resourceType == "batch")
      #expect(error.details.resourceID == "b")
      #expect(error.details.requestID == "req-1")
    }
    #expect(seen.all == ["Bearer secret", "reports"])
    await client.close()
    await server.stop()
  }

  @Test("Documents go in several calls that each fit a message, and arrive in order")
  func chunks() async throws {
    let seen = Seen<[String]>()
    var router = Router()
    router.unary(Batches.Methods.addDocuments) {
      (request: AddDocumentsRequest, _) throws(RPCError) -> AddDocumentsResponse in
      seen.add(request.documents.map(\.documentID))
      var response = AddDocumentsResponse()
      response.added = Int64(request.documents.count)
      response.totalObjects = Int64(seen.all.reduce(0) { $0 + $1.count })
      return response
    }
    let server = try await FakeServer(router)
    var settings = MendClient.Settings()
    settings.limits.documentsPerCall = 3
    let client = MendClient(server.endpoint, settings: settings)
    var request = AddDocumentsRequest()
    request.batchID = "b"
    request.documents = (0..<8).map { number in
      var document = Document()
      document.documentID = "d\(number)"
      return document
    }
    let answer = try await client.addDocuments(request)
    #expect(seen.all == [["d0", "d1", "d2"], ["d3", "d4", "d5"], ["d6", "d7"]])
    #expect(answer.added == 8)
    #expect(answer.totalObjects == 8)
    await client.close()
    await server.stop()
  }

  @Test("Where nobody listens a call says so, and is retryable")
  func nobody() async throws {
    let server = try await FakeServer(Router())
    let endpoint = server.endpoint
    await server.stop()
    let client = MendClient.impatient(endpoint)
    do throws(MendError) {
      _ = try await client.diagnose("b")
      Issue.record("it answered")
    } catch {
      #expect(error.code == .unavailable)
      #expect(error.isRetryable)
      #expect(error.fault == .connection)
      #expect(error.isRepeatSafe)
      #expect(error.message == "can't connect to \(endpoint): Connection refused (errno: 111)")
    }
    // At once: there was one attempt, and no wait for another.
    #expect(client.statistics.connectFailures == 1)
    #expect(client.statistics.retries == 0)
  }

  @Test("What the server says about sending again is obeyed, and tries are numbered")
  func pushback() async throws {
    let seen = Seen<String>()
    var router = Router()
    router.unary(Batches.Methods.diagnose) { (request: DiagnoseRequest, context) throws(RPCError) -> DiagnoseResponse in
      guard seen.add(request.batchID) < 3 else { return DiagnoseResponse() }
      throw RPCError(.unavailable, "busy", details: Self.retryInfo(nanoseconds: 2_000_000))
    }
    let server = try await FakeServer(router)
    let client = MendClient.impatient(server.endpoint)
    _ = try await client.diagnose("b")
    #expect(seen.all == ["b", "b", "b"])
    #expect(client.statistics.retries == 2)
    await client.close()
    await server.stop()
  }

  @Test("A call that may be repeated survives a restart of its server, and one without a key of the caller's says so")
  func restart() async throws {
    let seen = Seen<String>()
    let (entered, release) = (Seen<Int>(), Seen<Int>())
    var router = Router()
    router.unary(Batches.Methods.retry) { (request: RetryRequest, _) async throws(RPCError) -> RetryResponse in
      seen.add(request.idempotencyKey)
      if entered.add(1) == 1 {
        let deadline = ContinuousClock.now + .seconds(60)
        while release.all.isEmpty, !Task.isCancelled, ContinuousClock.now < deadline { await Task.yield() }
        throw RPCError(.cancelled, "killed")
      }
      return RetryResponse()
    }
    let first = try await FakeServer(router)
    let client = MendClient.impatient(first.endpoint)
    let port = first.port
    let call = Task { try await client.retry(RetryRequest()) }
    #expect(await eventually { !entered.all.isEmpty })
    // The call is open when the server goes without a goodbye to it.
    await first.stop()
    release.add(1)
    let second = try await FakeServer(router, port: port)
    _ = try await call.value
    #expect(Set(seen.all).count == 1)
    #expect(seen.all.count == 2)
    #expect(client.statistics.retries >= 1)
    await client.close()
    await second.stop()
  }

  @Test("A client that waits for its server finds it when it comes; one that doesn't is told at once")
  func waitForReady() async throws {
    var router = Router()
    router.unary(Batches.Methods.diagnose) { (_: DiagnoseRequest, _) throws(RPCError) -> DiagnoseResponse in
      DiagnoseResponse()
    }
    let placeholder = try await FakeServer(router)
    let (endpoint, port) = (placeholder.endpoint, placeholder.port)
    await placeholder.stop()
    var settings = MendClient.impatient(endpoint).settings
    settings.waitForReady = true
    let client = MendClient(endpoint, settings: settings)
    let call = Task { try await client.diagnose("b") }
    #expect(await eventually { client.statistics.connectFailures > 2 })
    await #expect(throws: MendError.self) { try await MendClient.impatient(endpoint).diagnose("b") }
    let server = try await FakeServer(router, port: port)
    _ = try await call.value
    await client.close()
    await server.stop()
  }

  @Test("A TLS file that can't be used is the settings' fault, by its name and what is wrong")
  func tlsFile() async throws {
    var settings = MendClient.Settings()
    settings.security = .tls(.init(trustedAuthorities: "/dev/null"))
    let client = MendClient(.standard, settings: settings)
    do throws(MendError) {
      _ = try await client.diagnose("b")
      Issue.record("it answered")
    } catch {
      #expect(error.fault == .settings)
      #expect(error.code == .failedPrecondition)
      #expect(error.message == "can't use /dev/null as TLS trusted authorities: it is empty")
    }
  }

  @Test("Cancelling the task ends a call that waits to be made again")
  func cancelledRetry() async throws {
    let seen = Seen<Int>()
    var router = Router()
    router.unary(Batches.Methods.diagnose) { (_: DiagnoseRequest, _) throws(RPCError) -> DiagnoseResponse in
      seen.add(1)
      throw RPCError(.unavailable, "busy", details: Self.retryInfo(nanoseconds: 900_000_000, seconds: 49))
    }
    let server = try await FakeServer(router)
    let client = MendClient.impatient(server.endpoint)
    let call = Task { try await client.diagnose("b") }
    #expect(await eventually { client.statistics.retries == 1 })
    call.cancel()
    do {
      _ = try await call.value
      Issue.record("it answered")
    } catch {
      #expect((error as? MendError)?.code == .cancelled)
    }
    #expect(seen.all.count == 1)
    await client.close()
    await server.stop()
  }

  private static func retryInfo(nanoseconds: Int32, seconds: Int64 = 0) -> [UInt8] {
    var delay = GoogleDuration()
    delay.seconds = seconds
    delay.nanos = nanoseconds
    var info = GoogleRetryInfo()
    info.retryDelay = delay
    var status = GoogleStatus()
    status.details = [any(info)]
    return status.serialized()
  }

  private static func status(resource: String) -> [UInt8] {
    var info = GoogleResourceInfo()
    info.resourceType = "batch"
    info.resourceName = resource
    var request = GoogleRequestInfo()
    request.requestID = "req-1"
    var status = GoogleStatus()
    status.details = [any(info), any(request)]
    return status.serialized()
  }

  private static func any(_ message: some Message) -> GoogleAny {
    var any = GoogleAny()
    any.typeURL = "type.googleapis.com/\(type(of: message).protobufName)"
    any.value = message.serialized()
    return any
  }
}

/// What a client sends, as its server sees it.
@Suite("What is sent")
struct SentTests {
  @Test(
    "A token is sent without the blanks and line breaks around it",
    arguments: ["mend_1", " mend_1", "mend_1\n", "\tmend_1\r\n", "mend_1 \n\n"])
  func token(_ text: String) async throws {
    let seen = Seen<String?>()
    var router = Router()
    router.unary(Batches.Methods.getBatch) {
      (_: GetBatchRequest, context) async throws(RPCError) -> GetBatchResponse in
      seen.add(context.metadata["authorization"])
      seen.add(context.metadata["mend-namespace"])
      return GetBatchResponse()
    }
    let server = try await FakeServer(router)
    let client = MendClient(server.endpoint, settings: MendClient.Settings(token: text, namespace: " team-a\n"))
    _ = try await client.getBatch(GetBatchRequest())
    #expect(seen.all == ["Bearer mend_1", "team-a"])
    await client.close()
    await server.stop()
  }

  @Test("A claim with a word of its own is made again where its answer was lost, one without is not")
  func claims() async throws {
    let calls = Seen<String>()
    var router = Router()
    router.unary(Worker.Methods.claimDocuments) {
      (request: ClaimDocumentsRequest, _) async throws(RPCError) -> ClaimDocumentsResponse in
      if calls.add(request.claimID) % 2 == 1 { throw RPCError(.unavailable, "lost") }
      return ClaimDocumentsResponse()
    }
    let server = try await FakeServer(router)
    let client = MendClient.impatient(server.endpoint)
    _ = try await client.claimDocuments(token: "t", maximum: 1, claimID: "c1")
    #expect(calls.all == ["c1", "c1"])
    await #expect(throws: MendError.self) { _ = try await client.claimDocuments(token: "t", maximum: 1) }
    #expect(calls.all == ["c1", "c1", ""])
    await client.close()
    await server.stop()
  }

  @Test("The keys of a change's further calls are always the same, within bounds, and nobody's own")
  func keys() async throws {
    let seen = Seen<String>()
    var router = Router()
    router.unary(Batches.Methods.addDocuments) {
      (request: AddDocumentsRequest, _) async throws(RPCError) -> AddDocumentsResponse in
      seen.add(request.idempotencyKey)
      return AddDocumentsResponse()
    }
    let server = try await FakeServer(router)
    var settings = MendClient.Settings()
    settings.limits.documentsPerCall = 1
    let client = MendClient(server.endpoint, settings: settings)
    var request = AddDocumentsRequest()
    request.documents = [Document(), Document(), Document()]
    for key in ["KEY", "KEY", String(repeating: "k", count: 128), "KEY-1"] {
      request.idempotencyKey = key
      _ = try await client.addDocuments(request)
    }
    #expect(seen.all.count == 12)
    #expect(Array(seen.all[0..<3]) == Array(seen.all[3..<6]))
    #expect(seen.all.allSatisfy { $0.utf8.count <= 128 })
    #expect(Set(seen.all).count == 9)
    await client.close()
    await server.stop()
  }
}

import Foundation
import Logging
import MendAPI
import MendCore
import MendProtobuf
import MendRPC
import MendRuntime
import MendStore
import TestSupport
import Testing

@testable import MendServer

/// Both services over a real runtime, on a SQLite journal in a directory of its own.
struct Harness: Sendable {
  let runtime: Runtime
  let executor: ScriptedExecutor
  let gate: Gate
  let drain: Drain
  let batches: BatchesServer
  let worker: WorkerServer
  let router: Router

  /// Runs `body` beside the runtime, and stops it afterwards.
  static func run(
    tokens: Tokens? = nil, limits: Limits = Limits(), _ body: @Sendable (Harness) async throws -> Void
  ) async throws {
    let directory = try TemporaryDirectory()
    try await run(in: directory.path, tokens: tokens, limits: limits, body)
  }

  /// The same on a directory that may hold a journal already.
  static func run(
    in directory: String, tokens: Tokens? = nil, limits: Limits = Limits(),
    _ body: @Sendable (Harness) async throws -> Void
  ) async throws {
    let executor = ScriptedExecutor()
    let runtime = try await reopenRuntime(in: directory, executor: executor, limits: limits)
    let harness = Harness(runtime: runtime, executor: executor, tokens: tokens)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await runtime.run() }
      do {
        try await body(harness)
      } catch {
        group.cancelAll()
        throw error
      }
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  static let capacity = Capacity(executor: .local, cpus: 4, memoryBytes: 8 << 30, gpus: 1)

  static func makeRuntime(
    in directory: String, executor: any Executor, limits: Limits = Limits(), capacity: Capacity = capacity
  ) throws -> Runtime {
    let store = try SQLiteStore(directory: directory)
    return Runtime(
      core: Core(limits: limits, capacity: capacity, generator: SystemRandomNumberGenerator()), store: store,
      executor: executor, clock: SystemClock(), logger: quiet)
  }

  /// A directory's last owner may need a moment to let go of it: its writer's thread ends after its `run`.
  static func reopenRuntime(
    in directory: String, executor: any Executor, limits: Limits, capacity: Capacity = capacity
  ) async throws -> Runtime {
    let deadline = ContinuousClock.now + .seconds(10)
    while true {
      do {
        return try makeRuntime(in: directory, executor: executor, limits: limits, capacity: capacity)
      } catch  where ContinuousClock.now < deadline {
        await Task.yield()
      }
    }
  }

  static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  private init(runtime: Runtime, executor: ScriptedExecutor, tokens: Tokens?) {
    self.runtime = runtime
    self.executor = executor
    drain = Drain()
    gate = Gate(tokens: tokens)
    batches = BatchesServer(runtime: runtime, gate: gate, drain: drain, logger: Self.quiet)
    worker = WorkerServer(runtime: runtime, gate: gate, logger: Self.quiet)
    var router = Router()
    batches.install(in: &router)
    router.register(worker)
    self.router = router
  }

  func context(_ method: MethodDescriptor, _ metadata: Metadata = [:], peer: PeerAddress = .inProcess) -> ServerContext
  {
    ServerContext(method: method, metadata: metadata, peer: peer)
  }

  // MARK: - Moves that many tests begin with

  /// A batch of `documents`, with one tier an entry of `extractors`, submitted.
  func submit(
    _ batchID: String, documents count: Int, extractors: [[String]] = [["text"]], namespace: String = "default",
    rules: [MendAPI.RetryRule] = []
  ) async throws {
    try await create(batchID, documents: count, extractors: extractors, namespace: namespace, rules: rules)
    var request = SubmitBatchRequest()
    request.batchID = batchID
    _ = try await batches.submitBatch(
      request, context: context(Batches.Methods.submitBatch, ["mend-namespace": namespace]))
  }

  func create(
    _ batchID: String, documents count: Int, extractors: [[String]] = [["text"]], namespace: String = "default",
    rules: [MendAPI.RetryRule] = []
  ) async throws {
    let request = Self.creation(batchID, documents: count, extractors: extractors, rules: rules)
    _ = try await batches.createBatch(
      request, context: context(Batches.Methods.createBatch, ["mend-namespace": namespace]))
  }

  static func creation(
    _ batchID: String, documents count: Int, extractors: [[String]] = [["text"]], rules: [MendAPI.RetryRule] = []
  ) -> CreateBatchRequest {
    var request = CreateBatchRequest()
    request.batchID = batchID
    var specification = MendAPI.BatchSpecification()
    specification.bucketID = "reports"
    specification.batchName = "Monthly Reports"
    specification.tiers = extractors.map { names in
      var tier = MendAPI.TierSpecification()
      tier.extractors = names.map { name in
        var extractor = MendAPI.ExtractorSpecification()
        extractor.extractorName = name
        extractor.entrypoint = "engine \(name)"
        extractor.env = ["SECRET": "do-not-show"]
        extractor.retry = rules
        return extractor
      }
      return tier
    }
    request.batch = specification
    request.documents = documents(count)
    return request
  }

  static func documents(_ count: Int, from first: Int = 0) -> [MendAPI.Document] {
    (first..<(first + count)).map { number in
      var document = MendAPI.Document()
      document.documentID = "d\(number)"
      document.uri = "file:///srv/in%20box/d\(number).pdf"
      document.mediaType = "document"
      return document
    }
  }

  /// The current attempt's token, once the job was launched.
  func token(_ batchID: String, _ job: JobID, attempt: Int = 1) async -> String {
    let key = AttemptKey(batch: BatchKey(namespace: "default", batchID: batchID), job: job, number: attempt)
    return await executor.launched(key).token
  }

  func claim(_ token: String, _ count: Int) async throws -> [String] {
    var request = ClaimDocumentsRequest()
    request.attemptToken = token
    request.maxDocuments = Int32(count)
    let response = try await worker.claimDocuments(request, context: context(Worker.Methods.claimDocuments))
    return response.documents.map(\.documentID)
  }

  @discardableResult
  func report(
    _ token: String, completed: [String] = [], failed: [(id: String, code: String)] = []
  ) async throws -> ReportResponse {
    var request = ReportRequest()
    request.attemptToken = token
    request.completed = completed
    request.failed = failed.map { entry in
      var failure = DocumentFailure()
      failure.documentID = entry.id
      failure.code = entry.code
      failure.message = "Unsupported file format"
      return failure
    }
    return try await worker.report(request, context: context(Worker.Methods.report))
  }

  /// Waits until the batch is what it is to be; the test's time limit ends a wait that never ends.
  func batch(_ batchID: String, until condition: (Batch) -> Bool) async throws -> Batch {
    let key = BatchKey(namespace: "default", batchID: batchID)
    var view = try #require(runtime.view(of: key))
    while !condition(view.batch) {
      try Task.checkCancellation()
      view = try #require(
        try await runtime.view(of: key, after: view.batch.sequence, until: runtime.now() + .seconds(1)))
    }
    return view.batch
  }

  func getBatch(_ batchID: String, _ change: (inout GetBatchRequest) -> Void = { _ in }) async throws
    -> GetBatchResponse
  {
    var request = GetBatchRequest()
    request.batchID = batchID
    change(&request)
    return try await batches.getBatch(request, context: context(Batches.Methods.getBatch))
  }

  func diagnose(_ batchID: String) async throws -> DiagnoseResponse {
    var request = DiagnoseRequest()
    request.batchID = batchID
    return try await batches.diagnose(request, context: context(Batches.Methods.diagnose))
  }
}

/// What an error says to programs.
struct ErrorFacts {
  var code: StatusCode
  var message: String
  var info: GoogleErrorInfo?
  var badRequest: GoogleBadRequest?
  var resource: GoogleResourceInfo?
  var precondition: GooglePreconditionFailure?
  var retry: GoogleRetryInfo?
  var request: GoogleRequestInfo?

  init(_ error: RPCError) throws {
    code = error.code
    message = error.message
    let status = try GoogleStatus(serialized: error.details)
    #expect(status.code == Int32(error.code.rawValue))
    #expect(status.message == error.message)
    for detail in status.details {
      switch detail.typeURL.split(separator: ".").last {
      case "ErrorInfo": info = try GoogleErrorInfo(serialized: detail.value)
      case "BadRequest": badRequest = try GoogleBadRequest(serialized: detail.value)
      case "ResourceInfo": resource = try GoogleResourceInfo(serialized: detail.value)
      case "PreconditionFailure": precondition = try GooglePreconditionFailure(serialized: detail.value)
      case "RetryInfo": retry = try GoogleRetryInfo(serialized: detail.value)
      case "RequestInfo": request = try GoogleRequestInfo(serialized: detail.value)
      default: Issue.record("an unknown detail: \(detail.typeURL)")
      }
    }
  }
}

/// The error that a call ends with.
func failure<T>(of call: () async throws -> T) async throws -> ErrorFacts {
  do {
    _ = try await call()
  } catch let error as RPCError {
    return try ErrorFacts(error)
  }
  throw NothingThrown()
}

struct NothingThrown: Error {}

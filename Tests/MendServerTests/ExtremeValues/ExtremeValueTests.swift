import Foundation
import MendAPI
import MendCore
import MendRPC
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendServer

/// Every field of every call is filled with what nobody sane would send, one at a time, on a whole server: it lives, it
/// answers, it names the field, and what it wrote down can be read again. Fields are found by the schemas' descriptors.
@Suite("Extreme values", .timeLimit(.minutes(5)))
struct ExtremeValueTests {
  @Test("Each is answered, and what it leaves behind is served and recovered")
  func everyField() async throws {
    let directory = try TemporaryDirectory()
    try await served(in: directory.path) { server, subject in
      try await subject.prepare()
      var count = (calls: 0, fields: 0, values: 0)
      let schema = DescribedSchema()
      for method in server.router.methods {
        let name = try #require(schema.requests["\(method.service)/\(method.method)"])
        let paths = schema.paths(in: name)
        count.calls += 1
        count.fields += paths.count
        for path in paths { count.values += try await subject.fill(path, of: method, in: schema) }
      }
      print("extreme values: \(count.calls) calls, \(count.fields) fields, \(count.values) values")
      #expect(count.calls >= 23 && count.fields > 100 && count.values > 1000)
      try await subject.readEverything()
    }
    try await served(in: directory.path) { _, subject in try await subject.readEverything() }
  }

  private func served(
    in directory: String, _ body: @Sendable (MendServer, Subject) async throws -> Void
  ) async throws {
    let executor = ScriptedExecutor()
    // Nothing waits for room.
    let capacity = Capacity(executor: .local, cpus: 100_000, memoryBytes: 1 << 55, gpus: 10_000)
    let runtime = try await Harness.reopenRuntime(
      in: directory, executor: executor, limits: Limits(), capacity: capacity)
    var configuration = MendServer.Configuration(listeners: [.tcp(host: "127.0.0.1", port: 0)])
    configuration.threadCount = 1
    let server = MendServer(configuration: configuration, runtime: runtime, logger: Harness.quiet)
    try await ServedOverSockets.run(server) { channel in
      try await body(server, Subject(channel: channel, executor: executor, runtime: runtime))
    }
  }
}

extension ExtremeValueTests {
  /// A server with batches, jobs, attempts and a worker in it, and requests that are right.
  struct Subject: Sendable {
    let channel: ClientConnection
    let executor: ScriptedExecutor
    let runtime: Runtime

    private var options: CallOptions {
      var options = CallOptions()
      options.timeout = .seconds(10)
      return options
    }

    /// `main` runs, with documents in process; `failed` has failed; `over` is cancelled.
    func prepare() async throws {
      for id in ["main", "failed", "over", "pausable"] { try await submit(id, documents: id == "main" ? 3000 : 3) }
      var claim = ClaimDocumentsRequest()
      claim.attemptToken = await token("main")
      claim.maxDocuments = 2000
      let _: ClaimDocumentsResponse = try await channel.unary(Worker.Methods.claimDocuments, claim, options: options)
      try await fail("failed")
      var cancel = CancelBatchRequest()
      cancel.batchID = "over"
      let _: CancelResponse = try await channel.unary(Batches.Methods.cancelBatch, cancel, options: options)
    }

    private func submit(_ id: String, documents: Int) async throws {
      var creation = Harness.creation(id, documents: documents)
      creation.batch?.tiers[0].extractors[0].numCpus = 0.001
      creation.batch?.tiers[0].extractors[0].collectionID = "texts"
      let _: CreateBatchResponse = try await channel.unary(Batches.Methods.createBatch, creation, options: options)
      var submission = SubmitBatchRequest()
      submission.batchID = id
      let _: SubmitBatchResponse = try await channel.unary(Batches.Methods.submitBatch, submission, options: options)
    }

    func create(_ id: String) async throws {
      let creation = Harness.creation(id, documents: 1)
      let _: CreateBatchResponse = try await channel.unary(Batches.Methods.createBatch, creation, options: options)
    }

    /// A batch that runs, with an attempt.
    func start(_ id: String) async throws {
      try await submit(id, documents: 1)
      _ = await token(id)
    }

    func mainToken() async -> String { await token("main") }

    private func token(_ batchID: String) async -> String {
      let key = BatchKey(namespace: "default", batchID: batchID)
      return await executor.launched(AttemptKey(batch: key, job: JobID(tier: 0, index: 0), number: 1)).token
    }

    /// Ends whatever runs of a batch by an error, until it is over.
    private func fail(_ batchID: String) async throws {
      let key = BatchKey(namespace: "default", batchID: batchID)
      while let view = runtime.view(of: key), !view.batch.status.isFinal {
        for job in view.batch.tiers.flatMap(\.jobs) {
          if let current = job.current {
            executor.exit(AttemptKey(batch: key, job: job.id, number: current.number), code: 1)
          }
        }
        _ = try await runtime.view(of: key, after: view.batch.sequence, until: runtime.now() + .seconds(1))
      }
    }

    // MARK: One field

    /// How many values were sent.
    func fill(
      _ path: [DescribedSchema.Field], of method: MethodDescriptor, in schema: DescribedSchema
    ) async throws -> Int {
      guard let field = path.last else { return 0 }
      let usual = WireMessage(try await request(method, number: Self.nextNumber)).values(path[...])
      let values = ExtremeValue.all(for: field, usual: usual)
      for value in values {
        var message = WireMessage(try await request(method, number: Self.nextNumber))
        message.set(path[...], to: value.values)
        let what = "\(method.method) \(path.map(\.name).joined(separator: ".")) = \(value.name)"
        if Self.showsCases { FileHandle.standardError.write(Data("\(what)\n".utf8)) }
        do throws(RPCError) {
          try await call(method, message.bytes)
          try await settle(method, message)
        } catch {
          try check(error, what, path, method, value)
        }
      }
      return values.count
    }

    /// For a server that ends: what it was sent last.
    private static let showsCases = ProcessInfo.processInfo.environment["MEND_SHOW_CASES"] != nil

    private static let numbers = Atomic(3000)

    private static var nextNumber: Int { numbers.wrappingAdd(1, ordering: .relaxed).newValue }

    private func call(_ method: MethodDescriptor, _ bytes: [UInt8]) async throws(RPCError) {
      let request = RawMessage(bytes)
      switch method.shape {
      case .unary:
        let _: RawMessage = try await channel.unary(method, request, options: options)
      case .serverStreaming:
        var options = options
        options.timeout = .seconds(1)
        let stream: ResponseStream<RawMessage> = try await channel.serverStreaming(method, request, options: options)
        var isAnswered = false
        do throws(RPCError) {
          for try await _ in stream {
            isAnswered = true
            // It has no end of its own.
            if method == GRPCHealth.Methods.watch { return }
          }
        } catch {
          // What runs has no end yet.
          guard isAnswered, error.code == .deadlineExceeded else { throw error }
        }
      case .clientStreaming, .bidirectional:
        try await channel.bidirectional(method, options: options) {
          (requests: RequestWriter<RawMessage>) async throws(RPCError) in
          try await requests.write(request)
        } responses: { (stream: ResponseStream<RawMessage>) async throws(RPCError) in
          for try await _ in stream {}
        }
      }
    }

    /// The server lives and says what was wrong.
    private func check(
      _ error: RPCError, _ what: String, _ path: [DescribedSchema.Field], _ method: MethodDescriptor,
      _ value: ExtremeValue
    ) throws {
      switch error.code {
      case .invalidArgument, .outOfRange:
        let violations = try ErrorFacts(error).badRequest?.fieldViolations.map(\.field) ?? []
        let isNamed = path.contains { field in violations.contains { $0.contains(field.name) } }
        // Bytes that are no message have no field yet.
        let isMalformed = value.name == "no UTF-8" && error.message.contains("UTF-8")
        // What an empty message lacks is named by its own field.
        let isLacking = value.name == "an empty message" && !violations.isEmpty
        #expect(isNamed || isMalformed || isLacking, "\(what): \(error.message) names \(violations)")
      case .notFound, .alreadyExists, .failedPrecondition, .aborted, .resourceExhausted, .unauthenticated: break
      default: Issue.record("\(what): \(error.code) \(error.message)")
      }
    }

    /// What was taken goes on: a batch is submitted, what was retried fails again.
    private func settle(_ method: MethodDescriptor, _ message: WireMessage) async throws(RPCError) {
      switch method {
      case Batches.Methods.createBatch:
        var submission = SubmitBatchRequest()
        submission.batchID = message.text(1)
        guard !submission.batchID.isEmpty else { return }
        do throws(RPCError) {
          let _: SubmitBatchResponse = try await channel.unary(
            Batches.Methods.submitBatch, submission, options: options)
        } catch {
          // What can never start is refused here.
          guard error.code == .failedPrecondition else { throw error }
        }
      case Batches.Methods.retry:
        do {
          try await fail("failed")
        } catch {
          throw RPCError(.internal, "\(error)")
        }
      default: break
      }
    }

    // MARK: What is there afterwards

    func readEverything() async throws {
      var list = ListBatchesRequest()
      list.pageSize = 500
      var seen = 0
      repeat {
        let page: ListBatchesResponse = try await channel.unary(Batches.Methods.listBatches, list, options: options)
        for entry in page.batches {
          seen += 1
          var diagnose = DiagnoseRequest()
          diagnose.batchID = entry.batchID
          let _: DiagnoseResponse = try await channel.unary(Batches.Methods.diagnose, diagnose, options: options)
          var get = GetBatchRequest()
          get.batchID = entry.batchID
          get.includeJobDetails = true
          let _: GetBatchResponse = try await channel.unary(Batches.Methods.getBatch, get, options: options)
          var events = ListEventsRequest()
          events.batchID = entry.batchID
          events.includeRecords = true
          let _: ListEventsResponse = try await channel.unary(Batches.Methods.listEvents, events, options: options)
        }
        list.pageToken = page.nextPageToken
      } while !list.pageToken.isEmpty
      #expect(seen > 4)
    }
  }
}

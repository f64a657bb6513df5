import Foundation
import MendAPI
import MendCore
import MendRPC
import MendRuntime
import MendStore
import Synchronization
import TestSupport
import Testing

@testable import MendServer

@Suite("Who may call what", .timeLimit(.minutes(1)))
struct AccessTests {
  /// Every method of the server, and the roles that may call it.
  private static let table: [String: Set<Role>] = {
    let readers: Set<Role> = [.viewer, .operator, .admin]
    let writers: Set<Role> = [.operator, .admin]
    let workers: Set<Role> = [.worker, .admin]
    let everybody = Set(Role.allCases)
    return [
      "/mend.v1.Batches/GetBatch": readers, "/mend.v1.Batches/ListBatches": readers,
      "/mend.v1.Batches/Diagnose": readers, "/mend.v1.Batches/WatchProgress": readers,
      "/mend.v1.Batches/ReadLogs": readers, "/mend.v1.Batches/ListEvents": readers,
      "/mend.v1.Batches/CreateBatch": writers, "/mend.v1.Batches/AddDocuments": writers,
      "/mend.v1.Batches/SubmitBatch": writers, "/mend.v1.Batches/Retry": writers, "/mend.v1.Batches/Heal": writers,
      "/mend.v1.Batches/CancelJob": writers, "/mend.v1.Batches/CancelTier": writers,
      "/mend.v1.Batches/CancelBatch": writers, "/mend.v1.Batches/PauseBatch": writers,
      "/mend.v1.Batches/ResumeBatch": writers,
      "/mend.v1.Worker/StartAttempt": workers, "/mend.v1.Worker/ClaimDocuments": workers,
      "/mend.v1.Worker/Report": workers,
      "/grpc.health.v1.Health/Check": everybody, "/grpc.health.v1.Health/Watch": everybody,
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": everybody,
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": everybody,
    ]
  }()

  /// How a call with an empty request ends; nil for OK. Streams are ended by their first message.
  private func code(_ method: MethodDescriptor, _ options: CallOptions, _ channel: ClientConnection) async
    -> StatusCode?
  {
    do throws(RPCError) {
      switch method.shape {
      case .unary:
        let _: RawMessage = try await channel.unary(method, RawMessage([]), options: options)
      case .serverStreaming:
        let stream: ResponseStream<RawMessage> = try await channel.serverStreaming(
          method, RawMessage([]), options: options)
        for try await _ in stream { break }
      case .clientStreaming, .bidirectional:
        try await channel.bidirectional(method, options: options) {
          (requests: RequestWriter<RawMessage>) async throws(RPCError) in
          try await requests.write(RawMessage([]))
        } responses: { (stream: ResponseStream<RawMessage>) async throws(RPCError) in
          for try await _ in stream { break }
        }
      }
      return nil
    } catch {
      return error.code
    }
  }

  @Test("each method lets in the roles that it is for, over the wire, and nobody without a token")
  func table() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/tokens"
    var secrets: [Role: String] = [:]
    for role in Role.allCases {
      let (secret, entry) = Tokens.create(namespace: "default", role: role, at: 0)
      secrets[role] = secret
      try Tokens.append(entry, to: path)
    }
    let known = secrets
    try await ServedOverSockets.run(tokens: try Tokens(path: path, logger: Harness.quiet)) { server, channel in
      let methods = server.router.methods
      #expect(Set(methods.map(\.path)) == Set(Self.table.keys))
      #expect(Set(AccessRule.all.keys) == Set(Self.table.keys))
      for method in methods {
        let allowed = try #require(Self.table[method.path])
        let nobody = await code(method, CallOptions(), channel)
        #expect((nobody == .unauthenticated) == (allowed != Set(Role.allCases)), "\(method.path) without a token")
        for role in Role.allCases {
          var options = CallOptions()
          options.metadata = ["authorization": "Bearer \(known[role] ?? "")"]
          let refused = await code(method, options, channel) == .permissionDenied
          #expect(refused != allowed.contains(role), "\(method.path) as \(role)")
        }
      }
    }
  }

  @Test("a stranger's request is refused before it has arrived")
  func early() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/tokens"
    try Tokens.append(Tokens.create(namespace: "default", role: .viewer, at: 0).entry, to: path)
    try await ServedOverSockets.run(tokens: try Tokens(path: path, logger: Harness.quiet)) { _, channel in
      // It never sends its message, and still has its answer.
      let error = await #expect(throws: RPCError.self) {
        try await channel.bidirectional(Batches.Methods.createBatch, options: CallOptions()) {
          (_: RequestWriter<RawMessage>) async throws(RPCError) in
          let deadline = ContinuousClock.now + .seconds(30)
          while !Task.isCancelled, ContinuousClock.now < deadline { await Task.yield() }
          guard Task.isCancelled else { throw RPCError(.deadlineExceeded, "no answer came within 30 s") }
        } responses: { (stream: ResponseStream<RawMessage>) async throws(RPCError) in
          for try await _ in stream {}
        }
      }
      #expect(error?.code == .unauthenticated)
    }
  }

  // MARK: - Foreign ids

  /// A store that counts what is read of it.
  private final class CountingStore: Store {
    private let store: SQLiteStore
    let reads = Mutex(0)

    init(_ store: SQLiteStore) { self.store = store }

    func commit(_ writes: [Write]) throws(StoreError) { try store.commit(writes) }
    func recover(at now: Instant) throws(StoreError) -> Recovery { try store.recover(at: now) }
    func retire(_ batch: BatchKey, entry: BatchListing) throws(StoreError) { try store.retire(batch, entry: entry) }
    func retire(_ entries: [BatchListing]) throws(StoreError) { try store.retire(entries) }
    func journal(of batch: BatchKey, after sequence: UInt64) throws(StoreError) -> [Record] {
      reads.withLock { $0 += 1 }
      return try store.journal(of: batch, after: sequence)
    }
    func batch(_ key: BatchKey) throws(StoreError) -> Batch? {
      reads.withLock { $0 += 1 }
      return try store.batch(key)
    }
    func batches(_ keys: [BatchKey]) throws(StoreError) -> [Batch?] {
      reads.withLock { $0 += keys.count }
      return try store.batches(keys)
    }
    func retired(
      namespace: String, status: MendCore.BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
    ) throws(StoreError) -> [BatchListing] {
      reads.withLock { $0 += 1 }
      return try store.retired(
        namespace: namespace, status: status, bucketID: bucketID, before: cursor, limit: limit)
    }
  }

  /// What a call says about an id, with the id and the request id taken out, and what it read.
  private struct Told: Equatable {
    var code: StatusCode
    var message: String
    var resourceType: String?
    var reads: Int
  }

  @Test("a foreign id answers as an unknown one: the same words, and as many reads of the store")
  func foreign() async throws {
    let directory = try TemporaryDirectory()
    let store = CountingStore(try SQLiteStore(directory: directory.path))
    let runtime = Runtime(
      core: Core(
        capacity: Capacity(executor: .local, cpus: 4, memoryBytes: 8 << 30), generator: SystemRandomNumberGenerator()),
      store: store, executor: ScriptedExecutor(), clock: SystemClock(), logger: Harness.quiet)
    let batches = BatchesServer(runtime: runtime, gate: Gate(), drain: Drain(), logger: Harness.quiet)
    var router = Router()
    batches.install(in: &router)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await runtime.run() }
      func context(_ method: MethodDescriptor, _ namespace: String) -> ServerContext {
        ServerContext(method: method, metadata: ["mend-namespace": namespace])
      }
      for id in ["live", "retired"] {
        _ = try await batches.createBatch(
          Harness.creation(id, documents: 1), context: context(Batches.Methods.createBatch, "theirs"))
      }
      var cancel = CancelBatchRequest()
      cancel.batchID = "retired"
      _ = try await batches.cancelBatch(cancel, context: context(Batches.Methods.cancelBatch, "theirs"))

      let calls = Self.calls(batches)
      for (name, call) in calls {
        func told(_ id: String) async throws -> Told {
          let before = store.reads.withLock { $0 }
          let facts = try await failure { try await call(id) { context($0, "mine") } }
          return Told(
            code: facts.code, message: facts.message.replacingOccurrences(of: id, with: "ID"),
            resourceType: facts.resource?.resourceType, reads: store.reads.withLock { $0 } - before)
        }
        let unknown = try await told("nobody")
        #expect(unknown.code == .notFound, "\(name)")
        for id in ["live", "retired"] { #expect(try await told(id) == unknown, "\(name) of a foreign \(id) batch") }
      }
      group.cancelAll()
    }
  }

  private typealias Asked = @Sendable (_ id: String, (MethodDescriptor) -> ServerContext) async throws -> Void

  /// Every call that names a batch.
  private static func calls(_ batches: BatchesServer) -> [(String, Asked)] {
    [
      (
        "GetBatch",
        { id, context in
          var request = GetBatchRequest()
          request.batchID = id
          _ = try await batches.getBatch(request, context: context(Batches.Methods.getBatch))
        }
      ),
      (
        "Diagnose",
        { id, context in
          var request = DiagnoseRequest()
          request.batchID = id
          _ = try await batches.diagnose(request, context: context(Batches.Methods.diagnose))
        }
      ),
      (
        "AddDocuments",
        { id, context in
          var request = AddDocumentsRequest()
          request.batchID = id
          request.documents = Harness.documents(1)
          _ = try await batches.addDocuments(request, context: context(Batches.Methods.addDocuments))
        }
      ),
      (
        "SubmitBatch",
        { id, context in
          var request = SubmitBatchRequest()
          request.batchID = id
          _ = try await batches.submitBatch(request, context: context(Batches.Methods.submitBatch))
        }
      ),
      (
        "Retry",
        { id, context in
          var request = RetryRequest()
          request.batchID = id
          request.tier = 0
          _ = try await batches.retry(request, context: context(Batches.Methods.retry))
        }
      ),
      (
        "Heal",
        { id, context in
          var request = HealRequest()
          request.batchID = id
          request.action = .auto
          _ = try await batches.heal(request, context: context(Batches.Methods.heal))
        }
      ),
      (
        "CancelJob",
        { id, context in
          var request = CancelJobRequest()
          request.batchID = id
          request.jobID = "t0-j0"
          _ = try await batches.cancelJob(request, context: context(Batches.Methods.cancelJob))
        }
      ),
      (
        "CancelTier",
        { id, context in
          var request = CancelTierRequest()
          request.batchID = id
          request.tier = 0
          _ = try await batches.cancelTier(request, context: context(Batches.Methods.cancelTier))
        }
      ),
      (
        "CancelBatch",
        { id, context in
          var request = CancelBatchRequest()
          request.batchID = id
          _ = try await batches.cancelBatch(request, context: context(Batches.Methods.cancelBatch))
        }
      ),
      (
        "PauseBatch",
        { id, context in
          var request = PauseBatchRequest()
          request.batchID = id
          _ = try await batches.pauseBatch(request, context: context(Batches.Methods.pauseBatch))
        }
      ),
      (
        "ResumeBatch",
        { id, context in
          var request = ResumeBatchRequest()
          request.batchID = id
          _ = try await batches.resumeBatch(request, context: context(Batches.Methods.resumeBatch))
        }
      ),
    ]
  }
}

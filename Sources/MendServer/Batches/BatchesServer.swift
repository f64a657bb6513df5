import Logging
import MendAPI
import MendCore
import MendRPC
import MendRuntime

/// mend.v1.Batches over a runtime: it checks requests, converts them into commands, and converts replies into answers.
///
/// Nothing is decided here. An answer is sent when what it says is durable.
struct BatchesServer: BatchesService {
  let runtime: Runtime
  let gate: Gate
  let drain: Drain
  /// The address of Ray's dashboard, for links; empty if there is none.
  var dashboard = ""
  let followers = LogFollowers()
  let logger: Logger

  /// Registers every method, and Diagnose also as an inline handler for batches in memory.
  func install(in router: inout Router) {
    router.register(self)
    router.inlineUnary(
      Batches.Methods.diagnose,
      { payload, context, response throws(RPCError) in try self.diagnoseInline(payload, context, into: &response) },
      otherwise: { request, context async throws(RPCError) in try await self.diagnose(request, context: context) })
  }

  /// The newest view, read from the disk if necessary. A foreign batch is treated as an unknown one.
  func view(of batchID: String, _ call: Call) async throws(RPCError) -> BatchView {
    let found: BatchView?
    do throws(ReadError) {
      found = try await runtime.loadedView(of: call.key(batchID))
    } catch {
      throw unreadable(call, error)
    }
    guard let found else { throw call.notFound("batch", batchID) }
    return found
  }

  /// The error of a failed read: busy, or a fault of the store, which is logged in full and reported in part.
  func unreadable(_ call: Call, _ error: ReadError) -> RPCError {
    switch error {
    case .store(let error): failed(call, error)
    case .setAside(let aside):
      call.refused(.setAside(batchID: aside.batch.batchID, aside.reason))
    case .exhausted:
      call.refused(.exhausted(limit: .reads, error.description, retryAfter: .seconds(1)))
    }
  }

  func createBatch(
    _ request: CreateBatchRequest, context: ServerContext
  ) async throws(RPCError) -> CreateBatchResponse {
    try await perform(request, context, isNew: true) { call throws(RPCError) in
      guard let message = request.batch else {
        throw call.invalid("batch", "is required: the batch's tiers, with their extractors")
      }
      let specification = try call.checked { () throws(FieldViolation) in
        try MendCore.BatchSpecification(message, executor: runtime.capacities.standard.executor)
      }
      return .createBatch(
        batchID: request.batchID, specification, documents: request.documents.map { MendCore.Document($0) })
    }
  }

  func addDocuments(
    _ request: AddDocumentsRequest, context: ServerContext
  ) async throws(RPCError) -> AddDocumentsResponse {
    try await perform(request, context) { _ in
      .addDocuments(batchID: request.batchID, request.documents.map { MendCore.Document($0) })
    }
  }

  func submitBatch(_ request: SubmitBatchRequest, context: ServerContext) async throws(RPCError) -> SubmitBatchResponse
  {
    try await perform(request, context) { _ in .submitBatch(batchID: request.batchID) }
  }

  func pauseBatch(_ request: PauseBatchRequest, context: ServerContext) async throws(RPCError) -> PauseBatchResponse {
    try await perform(request, context) { _ in .pauseBatch(batchID: request.batchID) }
  }

  func resumeBatch(_ request: ResumeBatchRequest, context: ServerContext) async throws(RPCError) -> ResumeBatchResponse
  {
    try await perform(request, context) { _ in .resumeBatch(batchID: request.batchID) }
  }
}

extension CreateBatchRequest: ChangeRequest {}
extension AddDocumentsRequest: ChangeRequest {}
extension SubmitBatchRequest: ChangeRequest {}
extension PauseBatchRequest: ChangeRequest {}
extension ResumeBatchRequest: ChangeRequest {}

extension CreateBatchResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .created(let created) = reply else { return nil }
    self.init()
    batchID = created.batchID
    status = MendAPI.BatchStatus(created.status)
    totalObjects = Int64(created.totalObjects)
  }
}

extension AddDocumentsResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .documentsAdded(let documents) = reply else { return nil }
    self.init()
    batchID = documents.batchID
    added = Int64(documents.added)
    totalObjects = Int64(documents.totalObjects)
  }
}

extension SubmitBatchResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .submitted(let submitted) = reply else { return nil }
    self.init()
    batchID = submitted.batchID
    status = MendAPI.BatchStatus(submitted.status)
    queuePosition = Int64(submitted.queuePosition)
  }
}

extension PauseBatchResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .status(let now) = reply else { return nil }
    self.init()
    batchID = now.batchID
    status = MendAPI.BatchStatus(now.status)
  }
}

extension ResumeBatchResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .status(let now) = reply else { return nil }
    self.init()
    batchID = now.batchID
    status = MendAPI.BatchStatus(now.status)
  }
}

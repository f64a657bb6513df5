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
  let dashboard: String
  let followers = LogFollowers()
  let logger: Logger

  init(runtime: Runtime, gate: Gate, drain: Drain, dashboard: String = "", logger: Logger) {
    self.runtime = runtime
    self.gate = gate
    self.drain = drain
    self.dashboard = dashboard
    self.logger = logger
  }

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
      call.refused(.exhausted(limit: "reads", error.description, retryAfter: .seconds(1)))
    }
  }

  func createBatch(
    _ request: CreateBatchRequest, context: ServerContext
  ) async throws(RPCError) -> CreateBatchResponse {
    let call = try gate.admit(context, "create_batch")
    guard request.batchID.isEmpty || Identifier.isValid(request.batchID) else {
      throw call.invalidBatchID(request.batchID)
    }
    guard let message = request.batch else {
      throw call.invalid("batch", "is required: the batch's tiers, with their extractors")
    }
    let specification = try call.checked { () throws(FieldViolation) in
      try MendCore.BatchSpecification(message, executor: runtime.capacities.standard.executor)
    }
    let documents = request.documents.map { MendCore.Document($0) }
    var plain = request
    plain.idempotencyKey = ""
    let command = try command(call, key: request.idempotencyKey, plain, Batches.Methods.createBatch) {
      .createBatch(batchID: request.batchID, specification, documents: documents)
    }
    guard case .created(let batchID, let status, let total) = try await perform(command, call, request.batchID) else {
      throw unexpected(call)
    }
    var response = CreateBatchResponse()
    response.batchID = batchID
    response.status = MendAPI.BatchStatus(status)
    response.totalObjects = Int64(total)
    return response
  }

  func addDocuments(
    _ request: AddDocumentsRequest, context: ServerContext
  ) async throws(RPCError) -> AddDocumentsResponse {
    let call = try gate.admit(context, "add_documents")
    try call.check(batchID: request.batchID)
    let documents = request.documents.map { MendCore.Document($0) }
    var plain = request
    plain.idempotencyKey = ""
    let command = try command(call, key: request.idempotencyKey, plain, Batches.Methods.addDocuments) {
      .addDocuments(batchID: request.batchID, documents)
    }
    guard case .documentsAdded(let batchID, let added, let total) = try await perform(command, call, request.batchID)
    else { throw unexpected(call) }
    var response = AddDocumentsResponse()
    response.batchID = batchID
    response.added = Int64(added)
    response.totalObjects = Int64(total)
    return response
  }

  func submitBatch(
    _ request: SubmitBatchRequest, context: ServerContext
  ) async throws(RPCError) -> SubmitBatchResponse {
    let call = try gate.admit(context, "submit_batch")
    try call.check(batchID: request.batchID)
    var plain = request
    plain.idempotencyKey = ""
    let command = try command(call, key: request.idempotencyKey, plain, Batches.Methods.submitBatch) {
      .submitBatch(batchID: request.batchID)
    }
    guard case .submitted(let batchID, let status, let position) = try await perform(command, call, request.batchID)
    else { throw unexpected(call) }
    var response = SubmitBatchResponse()
    response.batchID = batchID
    response.status = MendAPI.BatchStatus(status)
    response.queuePosition = Int64(position)
    return response
  }

  func pauseBatch(
    _ request: PauseBatchRequest, context: ServerContext
  ) async throws(RPCError) -> PauseBatchResponse {
    let call = try gate.admit(context, "pause_batch")
    try call.check(batchID: request.batchID)
    var plain = request
    plain.idempotencyKey = ""
    let command = try command(call, key: request.idempotencyKey, plain, Batches.Methods.pauseBatch) {
      .pauseBatch(batchID: request.batchID)
    }
    guard case .status(let batchID, let status) = try await perform(command, call, request.batchID) else {
      throw unexpected(call)
    }
    var response = PauseBatchResponse()
    response.batchID = batchID
    response.status = MendAPI.BatchStatus(status)
    return response
  }

  func resumeBatch(
    _ request: ResumeBatchRequest, context: ServerContext
  ) async throws(RPCError) -> ResumeBatchResponse {
    let call = try gate.admit(context, "resume_batch")
    try call.check(batchID: request.batchID)
    var plain = request
    plain.idempotencyKey = ""
    let command = try command(call, key: request.idempotencyKey, plain, Batches.Methods.resumeBatch) {
      .resumeBatch(batchID: request.batchID)
    }
    guard case .status(let batchID, let status) = try await perform(command, call, request.batchID) else {
      throw unexpected(call)
    }
    var response = ResumeBatchResponse()
    response.batchID = batchID
    response.status = MendAPI.BatchStatus(status)
    return response
  }
}

import Logging
import MendAPI
import MendCore
import MendRPC
import MendRuntime

// Every call that changes something takes this way: its request is checked and becomes a command of the core, and the
// core's reply becomes its response.

/// A request that changes a batch.
protocol ChangeRequest: RPCMessage {
  var batchID: String { get }
  var idempotencyKey: String { get set }
}

/// A response that is made from a reply of the core; nil if the reply answers another kind of call.
protocol ReplyMessage: RPCMessage {
  init?(_ reply: Reply)
}

extension BatchesServer {
  /// - Parameters:
  ///   - isNew: the batch does not exist yet, and the core can pick its id.
  ///   - operation: checks the rest of the request, and returns what the core is to do.
  func perform<Response: ReplyMessage>(
    _ request: some ChangeRequest, _ context: ServerContext, isNew: Bool = false,
    operation: (Call) throws(RPCError) -> Command.Operation
  ) async throws(RPCError) -> Response {
    let call = try gate.admit(context)
    if !isNew || !request.batchID.isEmpty { try call.check(batchID: request.batchID) }
    let operation = try operation(call)
    let key = request.idempotencyKey
    if let rule = Command.rule(brokenBy: key) { throw call.invalid("idempotency_key", rule) }
    // The key stands for the rest of the request.
    var content = request
    content.idempotencyKey = ""
    let command = Command(
      namespace: call.namespace, idempotencyKey: key,
      fingerprint: key.isEmpty ? 0 : Fingerprint.of(content, call.method),
      actor: call.actor, operation: operation)
    return try call.response(to: await runtime.command(command), batchID: request.batchID, logger)
  }

  /// An error of the store: logged in full, reported in part.
  func failed(_ call: Call, _ error: any Error) -> RPCError {
    logger.error(
      "call failed",
      metadata: [
        "request_id": "\(call.requestID)", "operation": "\(call.operation)", "namespace": "\(call.namespace)",
        "error": "\(error)",
      ])
    return call.internalFault()
  }
}

extension Call {
  func response<Response: ReplyMessage>(
    to answer: Result<Reply, Refusal>, batchID: String? = nil, _ logger: Logger
  ) throws(RPCError) -> Response {
    switch answer {
    case .failure(let refusal): throw refused(refusal, batchID: batchID)
    case .success(let reply):
      if let response = Response(reply) { return response }
      // A bug in Mend.
      logger.critical(
        "the core's reply does not answer the call",
        metadata: ["request_id": "\(requestID)", "operation": "\(operation)"])
      throw internalFault()
    }
  }

  func check(batchID: String) throws(RPCError) {
    guard Identifier.isValid(batchID) else { throw invalidBatchID(batchID) }
  }

  /// A page size: 1 to the maximum; 0 means the default.
  func pageSize(_ value: Int32, _ size: (standard: Int, maximum: Int)) throws(RPCError) -> Int {
    guard (0...size.maximum).contains(Int(value)) else {
      throw invalid("page_size", "must be 0 (for \(size.standard)) to \(size.maximum), is \(value)")
    }
    return value == 0 ? size.standard : Int(value)
  }

  /// Runs checks on a request's fields; a violation becomes INVALID_ARGUMENT.
  func checked<T>(_ body: () throws(FieldViolation) -> T) throws(RPCError) -> T {
    do throws(FieldViolation) {
      return try body()
    } catch {
      throw invalid(error.field, error.rule)
    }
  }
}

import Logging
import MendAPI
import MendCore
import MendRPC
import MendRuntime

// The way of every call that changes something: it is checked, passed to the core, and its answer or refusal returned.

extension BatchesServer {
  /// - Parameter plain: the request without its idempotency key; the key stands for this content.
  func command(
    _ call: Call, key: String, _ plain: some RPCMessage, _ method: MethodDescriptor,
    operation: () -> Command.Operation
  ) throws(RPCError) -> Command {
    if let rule = Command.rule(brokenBy: key) { throw call.invalid("idempotency_key", rule) }
    return Command(
      namespace: call.namespace, idempotencyKey: key, fingerprint: key.isEmpty ? 0 : Fingerprint.of(plain, method),
      actor: call.actor, operation: operation())
  }

  func perform(_ command: Command, _ call: Call, _ batchID: String) async throws(RPCError) -> Reply {
    switch await runtime.command(command) {
    case .success(let reply): return reply
    case .failure(let refusal): throw call.refused(refusal, batchID: batchID)
    }
  }

  /// The core's reply belongs to another kind of call: a bug in Mend.
  func unexpected(_ call: Call) -> RPCError {
    logger.critical(
      "the core's reply does not answer the call",
      metadata: ["request_id": "\(call.requestID)", "operation": "\(call.operation)"])
    return call.internalFault()
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
  func check(batchID: String) throws(RPCError) {
    guard Identifier.isValid(batchID) else { throw invalidBatchID(batchID) }
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

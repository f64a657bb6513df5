import Logging
import MendAPI
import MendCore
import MendRPC
import MendRuntime

/// mend.v1.Worker over a runtime. The attempt token in each message identifies the caller and fences it.
struct WorkerServer: WorkerService {
  let runtime: Runtime
  let gate: Gate
  let logger: Logger

  init(runtime: Runtime, gate: Gate, logger: Logger) {
    self.runtime = runtime
    self.gate = gate
    self.logger = logger
  }

  func startAttempt(
    _ request: StartAttemptRequest, context: ServerContext
  ) async throws(RPCError) -> StartAttemptResponse {
    let call = try gate.admit(context, "start_attempt")
    guard case .workerStarted(let assignment) = try await ask(call, request.attemptToken, .start) else {
      throw unexpected(call)
    }
    var response = StartAttemptResponse()
    response.batchID = assignment.attempt.batch.batchID
    response.tier = Int32(clamping: assignment.attempt.job.tier)
    response.jobID = assignment.attempt.job.description
    response.attempt = Int32(clamping: assignment.attempt.number)
    response.extractorName = assignment.parameters.extractorName
    if case .documentCommand(let text) = assignment.parameters.work { response.documentCommand = text }
    response.collectionID = assignment.collectionID
    response.heartbeatSeconds = assignment.heartbeat.inSeconds
    response.numCpus = assignment.parameters.resources.cpus
    response.documentsLeft = Int64(assignment.documentsLeft)
    return response
  }

  func claimDocuments(
    _ request: ClaimDocumentsRequest, context: ServerContext
  ) async throws(RPCError) -> ClaimDocumentsResponse {
    let call = try gate.admit(context, "claim_documents")
    let maximum = runtime.limits.documentsPerClaim
    guard (0...maximum).contains(Int(request.maxDocuments)) else {
      throw call.invalid("max_documents", "must be 0 (for 1) to \(maximum), is \(request.maxDocuments)")
    }
    let reply = try await ask(
      call, request.attemptToken, .claim(maximum: max(1, Int(request.maxDocuments)), id: request.claimID))
    guard case .claimed(let documents, let finished, let retryAfter) = reply else { throw unexpected(call) }
    var response = ClaimDocumentsResponse()
    response.documents = documents.map { MendAPI.Document($0) }
    response.finished = finished
    response.retryAfterSeconds = retryAfter?.inSeconds ?? 0
    return response
  }

  func report(_ request: ReportRequest, context: ServerContext) async throws(RPCError) -> ReportResponse {
    let call = try gate.admit(context, "report")
    let report = try call.checked { () throws(FieldViolation) in try WorkerRequest.Report(request) }
    guard
      case .reported(let accepted, let repeated, let stop) = try await ask(
        call, request.attemptToken, .report(report))
    else { throw unexpected(call) }
    var response = ReportResponse()
    response.accepted = Int64(accepted)
    response.repeatedWork = Int64(repeated)
    response.stop = stop
    return response
  }

  private func ask(
    _ call: Call, _ token: String, _ operation: WorkerRequest.Operation
  ) async throws(RPCError) -> Reply {
    guard !token.isEmpty, token.utf8.count <= 128 else {
      throw call.invalid("attempt_token", "is required: what the attempt was given as MEND_ATTEMPT_TOKEN")
    }
    switch await runtime.worker(WorkerRequest(token: token, operation: operation)) {
    case .success(let reply): return reply
    case .failure(.precondition(let message, _)) where runtime.settings.refusal != nil:
      // Work goes on: a later server takes what it comes to.
      throw call.refused(.unavailable(message))
    case .failure(let refusal): throw call.refused(refusal)
    }
  }

  private func unexpected(_ call: Call) -> RPCError {
    logger.critical(
      "the core's reply does not answer the call",
      metadata: ["request_id": "\(call.requestID)", "operation": "\(call.operation)"])
    return call.internalFault()
  }
}

extension WorkerRequest.Report {
  /// Checks names; the core cuts long texts.
  init(_ request: ReportRequest) throws(FieldViolation) {
    var failures: [WorkerRequest.Failure] = []
    for (index, failure) in request.failed.enumerated() {
      guard !failure.code.isEmpty, failure.code.utf8.count <= 128 else {
        throw FieldViolation("failed[\(index)].code", "must have 1 to 128 bytes")
      }
      failures.append(
        WorkerRequest.Failure(
          documentID: failure.documentID, code: failure.code, message: failure.message, details: failure.details))
    }
    try FieldRule.length(request.stage, atMost: 128, "stage")
    var timings: [Job.StageTotal] = []
    for (index, timing) in request.stageTimings.enumerated() {
      let field = "stage_timings[\(index)]"
      guard !timing.name.isEmpty else { throw FieldViolation("\(field).name", "must not be empty") }
      try FieldRule.length(timing.name, atMost: 128, "\(field).name")
      let duration = try FieldRule.span(timing.durationSeconds, "\(field).duration_seconds")
      timings.append(Job.StageTotal(name: timing.name, duration: duration))
    }
    var written: [WorkerRequest.Written] = []
    for (index, write) in request.written.enumerated() {
      let count = try FieldRule.count(write.documentCount, "written[\(index)].document_count")
      written.append(WorkerRequest.Written(collectionID: write.collectionID, count: count))
    }
    self.init(
      completed: request.completed, failed: failures, released: request.released, stage: request.stage,
      stageTimings: timings, written: written, id: request.reportID,
      fingerprint: request.reportID.isEmpty ? 0 : Fingerprint.of(request.payload))
  }
}

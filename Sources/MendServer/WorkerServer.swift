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

  func startAttempt(
    _ request: StartAttemptRequest, context: ServerContext
  ) async throws(RPCError) -> StartAttemptResponse {
    try await perform(request, context) { _ in .start }
  }

  func claimDocuments(
    _ request: ClaimDocumentsRequest, context: ServerContext
  ) async throws(RPCError) -> ClaimDocumentsResponse {
    try await perform(request, context) { call throws(RPCError) in
      let maximum = runtime.limits.documentsPerClaim
      guard (0...maximum).contains(Int(request.maxDocuments)) else {
        throw call.invalid("max_documents", "must be 0 (for 1) to \(maximum), is \(request.maxDocuments)")
      }
      return .claim(maximum: max(1, Int(request.maxDocuments)), id: request.claimID)
    }
  }

  func report(_ request: ReportRequest, context: ServerContext) async throws(RPCError) -> ReportResponse {
    try await perform(request, context) { call throws(RPCError) in
      .report(try call.checked { () throws(FieldViolation) in try WorkerRequest.Report(request) })
    }
  }

  private func perform<Response: ReplyMessage>(
    _ request: some AttemptRequest, _ context: ServerContext,
    operation: (Call) throws(RPCError) -> WorkerRequest.Operation
  ) async throws(RPCError) -> Response {
    let call = try gate.admit(context)
    let operation = try operation(call)
    let token = request.attemptToken
    guard !token.isEmpty, token.utf8.count <= 128 else {
      throw call.invalid("attempt_token", "is required: what the attempt was given as MEND_ATTEMPT_TOKEN")
    }
    var answer = await runtime.worker(WorkerRequest(token: token, operation: operation))
    if runtime.settings.refusal != nil, case .failure(.precondition(let message, _, _)) = answer {
      // The attempt continues, and reports its results to a later server.
      answer = .failure(.unavailable(message))
    }
    return try call.response(to: answer, logger)
  }
}

/// A request of a worker.
private protocol AttemptRequest: RPCMessage {
  var attemptToken: String { get }
}

extension StartAttemptRequest: AttemptRequest {}
extension ClaimDocumentsRequest: AttemptRequest {}
extension ReportRequest: AttemptRequest {}

extension StartAttemptResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .workerStarted(let assignment) = reply else { return nil }
    self.init()
    batchID = assignment.attempt.batch.batchID
    tier = Int32(clamping: assignment.attempt.job.tier)
    jobID = assignment.attempt.job.description
    attempt = Int32(clamping: assignment.attempt.number)
    extractorName = assignment.parameters.extractorName
    if case .documentCommand(let text) = assignment.parameters.work { documentCommand = text }
    collectionID = assignment.collectionID
    heartbeatSeconds = assignment.heartbeat.inSeconds
    numCpus = assignment.parameters.resources.cpus
    documentsLeft = Int64(assignment.documentsLeft)
  }
}

extension ClaimDocumentsResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .claimed(let claimed) = reply else { return nil }
    self.init()
    documents = claimed.documents.map { MendAPI.Document($0) }
    finished = claimed.isFinished
    retryAfterSeconds = claimed.retryAfter?.inSeconds ?? 0
  }
}

extension ReportResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .reported(let reported) = reply else { return nil }
    self.init()
    accepted = Int64(reported.accepted)
    repeatedWork = Int64(reported.repeated)
    stop = reported.stop
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

import MendAPI
import MendCore
import MendRPC

// Retry, Heal and the cancels.

extension BatchesServer {
  /// The default time between SIGTERM and SIGKILL.
  static let defaultGrace: Duration = .seconds(10)
  static let longestGrace = 3600.0

  func retry(_ request: RetryRequest, context: ServerContext) async throws(RPCError) -> RetryResponse {
    let call = try gate.admit(context, "retry")
    try call.check(batchID: request.batchID)
    guard let tier = request.tier else {
      throw call.invalid("tier", "is required; tiers are numbered from 0, and Diagnose says which one failed")
    }
    try call.check(tier: tier)
    let jobs = try call.jobs(request.jobs, "jobs", batchID: request.batchID)
    let overrides = try call.checked { () throws(FieldViolation) in try Job.Overrides(request) }
    let scope: MendCore.RetryScope
    switch request.scope {
    case .unspecified, .failed: scope = .failed
    case .all: scope = .all
    case .unrecognized: throw call.invalid("scope", "must be failed or all")
    }
    var plain = request
    plain.idempotencyKey = ""
    let command = try command(call, key: request.idempotencyKey, plain, Batches.Methods.retry) {
      .retry(batchID: request.batchID, tier: Int(tier), jobs: jobs, overrides, scope)
    }
    guard
      case .retried(let batchID, let retriedTier, let retriedJobs, let documents, let status, let generation) =
        try await perform(command, call, request.batchID)
    else { throw unexpected(call) }
    var response = RetryResponse()
    response.batchID = batchID
    response.tier = Int32(clamping: retriedTier)
    response.jobs = retriedJobs.map(\.description)
    response.documents = Int64(documents)
    response.status = MendAPI.BatchStatus(status)
    response.generation = generation
    return response
  }

  func heal(_ request: HealRequest, context: ServerContext) async throws(RPCError) -> HealResponse {
    let call = try gate.admit(context, "heal")
    try call.check(batchID: request.batchID)
    if let tier = request.tier { try call.check(tier: tier) }
    guard let action = MendCore.HealAction(request.action) else {
      throw call.invalid("action", "must be one of detect_stuck, kill_duplicates, reclaim_orphans, auto")
    }
    var plain = request
    plain.idempotencyKey = ""
    let command = try command(call, key: request.idempotencyKey, plain, Batches.Methods.heal) {
      .heal(
        batchID: request.batchID, tier: request.tier.map(Int.init), action, dryRun: request.dryRun,
        generation: request.generation)
    }
    guard
      case .healed(let batchID, let generation, let dryRun, let steps) = try await perform(
        command, call, request.batchID)
    else { throw unexpected(call) }
    var response = HealResponse()
    response.batchID = batchID
    response.generation = generation
    response.dryRun = dryRun
    (response.steps, response.stepsLeftOut) = MendAPI.HealStep.fitting(steps, bytes: DiagnosisDetail.limit)
    return response
  }

  func cancelJob(_ request: CancelJobRequest, context: ServerContext) async throws(RPCError) -> CancelResponse {
    let call = try gate.admit(context, "cancel_job")
    try call.check(batchID: request.batchID)
    guard !request.jobID.isEmpty else { throw call.invalid("job_id", "is required, e.g. t0-j1") }
    guard let job = try call.jobs([request.jobID], "job_id", batchID: request.batchID).first else {
      throw unexpected(call)
    }
    var plain = request
    plain.idempotencyKey = ""
    return try await cancel(
      call, request.batchID, .job(job), grace: request.graceSeconds, key: request.idempotencyKey, plain,
      Batches.Methods.cancelJob)
  }

  func cancelTier(
    _ request: CancelTierRequest, context: ServerContext
  ) async throws(RPCError) -> CancelResponse {
    let call = try gate.admit(context, "cancel_tier")
    try call.check(batchID: request.batchID)
    guard let tier = request.tier else { throw call.invalid("tier", "is required; tiers are numbered from 0") }
    try call.check(tier: tier)
    var plain = request
    plain.idempotencyKey = ""
    return try await cancel(
      call, request.batchID, .tier(Int(tier)), grace: request.graceSeconds, key: request.idempotencyKey, plain,
      Batches.Methods.cancelTier)
  }

  func cancelBatch(
    _ request: CancelBatchRequest, context: ServerContext
  ) async throws(RPCError) -> CancelResponse {
    let call = try gate.admit(context, "cancel_batch")
    try call.check(batchID: request.batchID)
    var plain = request
    plain.idempotencyKey = ""
    return try await cancel(
      call, request.batchID, .batch, grace: request.graceSeconds, key: request.idempotencyKey, plain,
      Batches.Methods.cancelBatch)
  }

  private func cancel(
    _ call: Call, _ batchID: String, _ scope: CancelScope, grace seconds: Double?, key: String,
    _ plain: some RPCMessage, _ method: MethodDescriptor
  ) async throws(RPCError) -> CancelResponse {
    var grace = Self.defaultGrace
    if let seconds {
      guard (0...Self.longestGrace).contains(seconds) else {
        throw call.invalid("grace_seconds", "must be 0 to 3600 seconds, is \(seconds)")
      }
      grace = .seconds(seconds)
    }
    let command = try command(call, key: key, plain, method) {
      .cancel(batchID: batchID, scope, grace: grace)
    }
    guard case .cancelled(let id, let status, let ended) = try await perform(command, call, batchID) else {
      throw unexpected(call)
    }
    var response = CancelResponse()
    response.batchID = id
    response.status = MendAPI.BatchStatus(status)
    (response.ended, response.endedLeftOut) = EndedAttempt.fitting(ended, bytes: DiagnosisDetail.limit)
    return response
  }
}

extension Call {
  func check(tier: Int32) throws(RPCError) {
    guard tier >= 0 else { throw invalid("tier", "must be 0 or more: tiers are numbered from 0; is \(tier)") }
  }

  /// Parses job ids as in the schema. A text that cannot name a job is NOT_FOUND, like an unknown job; a text that is
  /// longer than any id is invalid.
  func jobs(_ texts: [String], _ field: String, batchID: String) throws(RPCError) -> [JobID] {
    var jobs: [JobID] = []
    for text in texts {
      guard text.utf8.count <= 64 else {
        throw invalid(field, "a job's id has 1 to 64 characters, e.g. t0-j1; this has \(text.utf8.count) bytes")
      }
      guard let job = JobID(text) else { throw notFound("job", text, in: batchID) }
      jobs.append(job)
    }
    return jobs
  }
}

extension Job.Overrides {
  init(_ request: RetryRequest) throws(FieldViolation) {
    self.init(
      cpus: request.numCpus, memoryBytes: request.memoryBytes, requiresGPU: request.requiresGpu,
      priority: request.priority.map(Int.init), environment: request.env)
    if let seconds = request.runTimeoutSeconds {
      let limit = try FieldRule.span(seconds, "run_timeout_seconds")
      runTimeout = .some(limit > .zero ? limit : nil)
    }
  }
}

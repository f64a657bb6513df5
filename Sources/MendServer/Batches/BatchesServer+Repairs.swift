import MendAPI
import MendCore
import MendRPC

// Retry, Heal and the cancels.

extension BatchesServer {
  /// The default time between SIGTERM and SIGKILL.
  static let defaultGrace: Duration = .seconds(10)
  static let longestGrace = 3600.0

  func retry(_ request: RetryRequest, context: ServerContext) async throws(RPCError) -> RetryResponse {
    try await perform(request, context) { call throws(RPCError) in
      guard let tier = request.tier else {
        throw call.invalid("tier", "is required; tiers are numbered from 0, and Diagnose says which one failed")
      }
      try call.check(tier: tier)
      var jobs: [JobID] = []
      for text in request.jobs { jobs.append(try call.job(text, "jobs", batchID: request.batchID)) }
      let overrides = try call.checked { () throws(FieldViolation) in try Job.Overrides(request) }
      let scope = try call.checked { () throws(FieldViolation) -> MendCore.RetryScope? in
        try FieldRule.choice(request.scope, "scope")
      }
      return .retry(batchID: request.batchID, tier: Int(tier), jobs: jobs, overrides, scope ?? .failed)
    }
  }

  func heal(_ request: HealRequest, context: ServerContext) async throws(RPCError) -> HealResponse {
    try await perform(request, context) { call throws(RPCError) in
      if let tier = request.tier { try call.check(tier: tier) }
      guard let action = MendCore.HealAction(request.action) else {
        throw call.invalid("action", "must be one of detect_stuck, kill_duplicates, reclaim_orphans, auto")
      }
      return .heal(
        batchID: request.batchID, tier: request.tier.map(Int.init), action, dryRun: request.dryRun,
        generation: request.generation)
    }
  }

  func cancelJob(_ request: CancelJobRequest, context: ServerContext) async throws(RPCError) -> CancelResponse {
    try await cancel(request, context) { call throws(RPCError) in
      guard !request.jobID.isEmpty else { throw call.invalid("job_id", "is required, e.g. t0-j1") }
      return .job(try call.job(request.jobID, "job_id", batchID: request.batchID))
    }
  }

  func cancelTier(_ request: CancelTierRequest, context: ServerContext) async throws(RPCError) -> CancelResponse {
    try await cancel(request, context) { call throws(RPCError) in
      guard let tier = request.tier else { throw call.invalid("tier", "is required; tiers are numbered from 0") }
      try call.check(tier: tier)
      return .tier(Int(tier))
    }
  }

  func cancelBatch(_ request: CancelBatchRequest, context: ServerContext) async throws(RPCError) -> CancelResponse {
    try await cancel(request, context) { _ in .batch }
  }

  private func cancel(
    _ request: some CancelRequest, _ context: ServerContext, _ scope: (Call) throws(RPCError) -> CancelScope
  ) async throws(RPCError) -> CancelResponse {
    try await perform(request, context) { call throws(RPCError) in
      let scope = try scope(call)
      var grace = Self.defaultGrace
      if let seconds = request.graceSeconds {
        guard (0...Self.longestGrace).contains(seconds) else {
          throw call.invalid("grace_seconds", "must be 0 to 3600 seconds, is \(seconds)")
        }
        grace = .seconds(seconds)
      }
      return .cancel(batchID: request.batchID, scope, grace: grace)
    }
  }
}

private protocol CancelRequest: ChangeRequest {
  var graceSeconds: Double? { get }
}

extension RetryRequest: ChangeRequest {}
extension HealRequest: ChangeRequest {}
extension CancelJobRequest: CancelRequest {}
extension CancelTierRequest: CancelRequest {}
extension CancelBatchRequest: CancelRequest {}

extension RetryResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .retried(let retried) = reply else { return nil }
    self.init()
    batchID = retried.batchID
    tier = Int32(clamping: retried.tier)
    jobs = retried.jobs.map(\.description)
    documents = Int64(retried.documents)
    status = MendAPI.BatchStatus(retried.status)
    generation = retried.generation
  }
}

extension HealResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .healed(let healed) = reply else { return nil }
    self.init()
    batchID = healed.batchID
    generation = healed.generation
    dryRun = healed.dryRun
    (steps, stepsLeftOut) = MendAPI.HealStep.fitting(healed.steps, bytes: DiagnosisDetail.limit)
  }
}

extension CancelResponse: ReplyMessage {
  init?(_ reply: Reply) {
    guard case .cancelled(let cancelled) = reply else { return nil }
    self.init()
    batchID = cancelled.batchID
    status = MendAPI.BatchStatus(cancelled.status)
    (ended, endedLeftOut) = EndedAttempt.fitting(cancelled.ended, bytes: DiagnosisDetail.limit)
  }
}

extension Call {
  func check(tier: Int32) throws(RPCError) {
    guard tier >= 0 else { throw invalid("tier", "must be 0 or more: tiers are numbered from 0; is \(tier)") }
  }

  /// Parses a job's id. A text that cannot name a job is NOT_FOUND, like an unknown job; a text that is longer than any
  /// id is invalid.
  func job(_ text: String, _ field: String, batchID: String) throws(RPCError) -> JobID {
    guard text.utf8.count <= 64 else {
      throw invalid(field, "a job's id has 1 to 64 characters, e.g. t0-j1; this has \(text.utf8.count) bytes")
    }
    guard let job = JobID(text) else { throw notFound("job", text, in: batchID) }
    return job
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

import MendAPI
import MendCore

/// A value of a request that breaks a rule, with its path in the schema.
struct FieldViolation: Error, Hashable, Sendable {
  var field: String
  var rule: String
  init(_ field: String, _ rule: String) {
    self.field = field
    self.rule = rule
  }
}

extension MendCore.BatchSpecification {
  /// Checks only what the core cannot represent: spans of time, enums, kinds of work. The core has every other rule.
  ///
  /// - Parameter executor: the server's default, for a request that names none.
  init(_ message: MendAPI.BatchSpecification, executor: MendCore.ExecutorKind) throws(FieldViolation) {
    var kind = executor
    if message.deploymentMode != .unspecified {
      guard let named = MendCore.ExecutorKind(message.deploymentMode) else {
        throw FieldViolation("deployment_mode", "must be one of local, ray, simulated, or unset")
      }
      kind = named
    }
    var tiers: [MendCore.TierSpecification] = []
    for (number, tier) in message.tiers.enumerated() {
      var extractors: [MendCore.ExtractorSpecification] = []
      for (index, extractor) in tier.extractors.enumerated() {
        let path = "tiers[\(number)].extractors[\(index)]"
        extractors.append(try MendCore.ExtractorSpecification(extractor, at: path))
      }
      tiers.append(MendCore.TierSpecification(extractors: extractors))
    }
    let timeout = try FieldRule.span(message.timeoutSeconds, "timeout_seconds")
    self.init(
      bucketID: message.bucketID, batchName: message.batchName, priority: Int(message.priority ?? 50),
      maxConcurrent: Int(message.maxConcurrent), timeout: timeout > .zero ? timeout : nil,
      notificationEnabled: message.notificationEnabled, executor: kind, tiers: tiers,
      autoHeal: try message.autoHeal.flatMap { autoHeal throws(FieldViolation) in try MendCore.AutoHeal(autoHeal) })
  }
}

extension MendCore.AutoHeal {
  /// Nil if it is not enabled.
  init?(_ message: MendAPI.AutoHeal) throws(FieldViolation) {
    let risk: MendCore.Risk
    switch message.maxRisk {
    case .unspecified, .medium: risk = .medium
    case .low: risk = .low
    case .high: risk = .high
    case .unrecognized: throw FieldViolation("auto_heal.max_risk", "must be one of low, medium, high, or unset")
    }
    guard message.enabled else { return nil }
    self.init(
      maxHeals: message.maxHeals == 0 ? MendCore.AutoHeal.defaultHeals : Int(message.maxHeals),
      memoryCeilingBytes: message.memoryCeilingBytes, maxRisk: risk)
  }
}

extension MendCore.ExtractorSpecification {
  init(_ message: MendAPI.ExtractorSpecification, at path: String) throws(FieldViolation) {
    let work: Work
    switch (message.documentCommand.isEmpty, message.entrypoint.isEmpty) {
    case (false, true): work = .documentCommand(message.documentCommand)
    case (true, false): work = .entrypoint(message.entrypoint)
    case (true, true):
      throw FieldViolation("\(path).document_command", "an extractor needs document_command or entrypoint")
    case (false, false):
      throw FieldViolation("\(path).entrypoint", "an extractor has document_command or entrypoint, not both")
    }
    var rules: [MendCore.RetryRule] = []
    for (index, rule) in message.retry.enumerated() {
      rules.append(try MendCore.RetryRule(rule, at: "\(path).retry[\(index)]"))
    }
    self.init(
      name: message.extractorName, work: work, collectionID: message.collectionID,
      shards: message.shards == 0 ? 1 : Int(message.shards),
      resources: Resources(
        cpus: message.numCpus == 0 ? 1 : message.numCpus, memoryBytes: message.memoryBytes,
        requiresGPU: message.requiresGpu, limits: MendCore.AttemptLimits(message.limits)),
      environment: message.env, timers: try Timers(message.timers, at: "\(path).timers"), retryRules: rules)
  }
}

extension MendCore.AttemptLimits {
  init(_ message: MendAPI.AttemptLimits?) {
    self.init()
    guard let message else { return }
    cpuSeconds = message.cpuSeconds
    openFiles = Int(message.openFiles)
    processes = Int(message.processes)
    logBytes = message.logBytes
  }
}

extension MendAPI.AttemptLimits {
  /// Nil without limits.
  init?(_ limits: MendCore.AttemptLimits) {
    guard limits != MendCore.AttemptLimits() else { return nil }
    self.init()
    cpuSeconds = limits.cpuSeconds
    openFiles = Int32(clamping: limits.openFiles)
    processes = Int32(clamping: limits.processes)
    logBytes = limits.logBytes
  }
}

extension Timers {
  init(_ message: TimerSpecification?, at path: String) throws(FieldViolation) {
    self.init()
    guard let message else { return }
    if let seconds = message.startSeconds { start = try FieldRule.span(seconds, "\(path).start_seconds") }
    if let seconds = message.heartbeatSeconds { heartbeat = try FieldRule.span(seconds, "\(path).heartbeat_seconds") }
    if let seconds = message.progressSeconds { progress = try FieldRule.span(seconds, "\(path).progress_seconds") }
    if let seconds = message.runSeconds {
      let limit = try FieldRule.span(seconds, "\(path).run_seconds")
      run = limit > .zero ? limit : nil
    }
  }
}

extension MendCore.RetryRule {
  init(_ message: MendAPI.RetryRule, at path: String) throws(FieldViolation) {
    guard let action = Action(message.action) else {
      throw FieldViolation("\(path).action", "must be one of retry, fail, ignore")
    }
    let category = MendCore.FailureCategory(message.category)
    if category == nil, message.category != .unspecified {
      throw FieldViolation("\(path).category", "must be one of infrastructure, timeout, orphaned, pipeline, or unset")
    }
    let cause = MendCore.FailureCause(message.cause)
    if cause == nil, message.cause != .unspecified {
      let known = MendCore.FailureCause.allCases.map(\.rawValue).joined(separator: ", ")
      throw FieldViolation("\(path).cause", "must be one of \(known), or unset")
    }
    let backoff = try FieldRule.span(message.backoffSeconds, "\(path).backoff_seconds")
    let statedMaximum = try FieldRule.span(message.backoffMaxSeconds, "\(path).backoff_max_seconds")
    let backoffMaximum = statedMaximum > .zero ? statedMaximum : .seconds(60)
    self.init(
      category: category, cause: cause, exitCodes: message.exitCodes, action: action,
      maxAttempts: message.maxAttempts == 0 ? 3 : Int(message.maxAttempts),
      memoryFactor: message.memoryFactor == 0 ? 1 : message.memoryFactor,
      memoryCeilingBytes: message.memoryCeilingBytes,
      backoff: backoff > .zero ? backoff : min(.seconds(1), backoffMaximum), backoffMaximum: backoffMaximum)
  }
}

extension MendCore.Document {
  init(_ message: MendAPI.Document) {
    self.init(id: message.documentID, uri: message.uri, mediaType: message.mediaType, size: message.sizeBytes ?? -1)
  }
}

extension MendAPI.Document {
  init(_ document: MendCore.Document) {
    self.init()
    documentID = document.id
    uri = document.uri
    mediaType = document.mediaType
    sizeBytes = document.size < 0 ? nil : document.size
  }
}

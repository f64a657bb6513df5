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
    let kind: MendCore.ExecutorKind? = try FieldRule.choice(message.deploymentMode, "deployment_mode")
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
      bucketID: message.bucketID, batchName: message.batchName, maxConcurrent: Int(message.maxConcurrent),
      timeout: timeout > .zero ? timeout : nil, notificationEnabled: message.notificationEnabled,
      executor: kind ?? executor,
      tiers: tiers,
      autoHeal: try message.autoHeal.flatMap { autoHeal throws(FieldViolation) in try MendCore.AutoHeal(autoHeal) })
    if let priority = message.priority { self.priority = Int(priority) }
  }
}

extension MendCore.AutoHeal {
  /// Nil if it is not enabled.
  init?(_ message: MendAPI.AutoHeal) throws(FieldViolation) {
    let risk: MendCore.Risk? = try FieldRule.choice(message.maxRisk, "auto_heal.max_risk")
    guard message.enabled else { return nil }
    self.init(memoryCeilingBytes: message.memoryCeilingBytes)
    if let risk { maxRisk = risk }
    if message.maxHeals != 0 { maxHeals = Int(message.maxHeals) }
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
      resources: Resources(
        memoryBytes: message.memoryBytes, requiresGPU: message.requiresGpu,
        limits: MendCore.AttemptLimits(message.limits)),
      environment: message.env, timers: try Timers(message.timers, at: "\(path).timers"), retryRules: rules)
    if message.shards != 0 { shards = Int(message.shards) }
    if message.numCpus != 0 { resources.cpus = message.numCpus }
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
    let category: MendCore.FailureCategory? = try FieldRule.choice(message.category, "\(path).category")
    let cause: MendCore.FailureCause? = try FieldRule.choice(message.cause, "\(path).cause")
    let backoff = try FieldRule.span(message.backoffSeconds, "\(path).backoff_seconds")
    let backoffMaximum = try FieldRule.span(message.backoffMaxSeconds, "\(path).backoff_max_seconds")
    self.init(
      category: category, cause: cause, exitCodes: message.exitCodes, action: action,
      memoryCeilingBytes: message.memoryCeilingBytes)
    if message.maxAttempts != 0 { maxAttempts = Int(message.maxAttempts) }
    if message.memoryFactor != 0 { memoryFactor = message.memoryFactor }
    if backoffMaximum > .zero { self.backoffMaximum = backoffMaximum }
    self.backoff = backoff > .zero ? backoff : min(self.backoff, self.backoffMaximum)
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

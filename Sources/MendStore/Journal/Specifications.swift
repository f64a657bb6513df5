import MendAPI
import MendCore

extension JournalSpecification {
  init(_ specification: MendCore.BatchSpecification) {
    self.init()
    bucketID = specification.bucketID
    batchName = specification.batchName
    priority = Int32(clamping: specification.priority)
    maxConcurrent = Int64(specification.maxConcurrent)
    timeoutMs = specification.timeout?.milliseconds
    notificationEnabled = specification.notificationEnabled
    executor = specification.executor.wire
    tiers = specification.tiers.map { JournalTierSpecification($0) }
    autoHeal = specification.autoHeal.map { JournalAutoHeal($0) }
  }

  func specification() throws(JournalFault) -> MendCore.BatchSpecification {
    var specified: [MendCore.TierSpecification] = []
    for tier in tiers { specified.append(try tier.specification()) }
    return MendCore.BatchSpecification(
      bucketID: bucketID, batchName: batchName, priority: Int(priority), maxConcurrent: Int(journaled: maxConcurrent),
      timeout: timeoutMs.map { Duration(journaled: $0) }, notificationEnabled: notificationEnabled,
      executor: try MendCore.ExecutorKind(executor), tiers: specified, autoHeal: try autoHeal?.autoHeal())
  }
}

extension JournalAutoHeal {
  init(_ autoHeal: MendCore.AutoHeal) {
    self.init()
    maxHeals = Int32(clamping: autoHeal.maxHeals)
    memoryCeilingBytes = autoHeal.memoryCeilingBytes
    maxRisk = autoHeal.maxRisk.wire
  }

  func autoHeal() throws(JournalFault) -> MendCore.AutoHeal {
    MendCore.AutoHeal(
      maxHeals: Int(maxHeals), memoryCeilingBytes: JournalNumber.memory(memoryCeilingBytes),
      maxRisk: try MendCore.Risk(maxRisk))
  }
}

extension JournalTierSpecification {
  init(_ tier: MendCore.TierSpecification) {
    self.init()
    extractors = tier.extractors.map { JournalExtractor($0) }
  }

  func specification() throws(JournalFault) -> MendCore.TierSpecification {
    var specified: [MendCore.ExtractorSpecification] = []
    for extractor in extractors { specified.append(try extractor.specification()) }
    return MendCore.TierSpecification(extractors: specified)
  }
}

extension JournalExtractor {
  init(_ extractor: MendCore.ExtractorSpecification) {
    self.init()
    name = extractor.name
    work = JournalWork(extractor.work)
    collectionID = extractor.collectionID
    shards = Int32(clamping: extractor.shards)
    resources = JournalResources(extractor.resources)
    environment = extractor.environment
    timers = JournalTimers(extractor.timers)
    retryRules = extractor.retryRules.map { JournalRetryRule($0) }
  }

  func specification() throws(JournalFault) -> MendCore.ExtractorSpecification {
    var rules: [MendCore.RetryRule] = []
    for rule in retryRules { rules.append(try rule.rule()) }
    guard shards <= Limits().shardsPerExtractor else { throw JournalFault("an extractor with \(shards) shards") }
    return MendCore.ExtractorSpecification(
      name: name, work: try required(work, "work").work(), collectionID: collectionID, shards: Int(shards),
      resources: try required(resources, "resources").resources, environment: environment,
      timers: try required(timers, "timers").timers, retryRules: rules)
  }
}

extension JournalWork {
  init(_ work: MendCore.ExtractorSpecification.Work) {
    self.init()
    kind =
      switch work {
      case .documentCommand(let command): .documentCommand(command)
      case .entrypoint(let entrypoint): .entrypoint(entrypoint)
      }
  }

  func work() throws(JournalFault) -> MendCore.ExtractorSpecification.Work {
    switch try required(kind, "kind of work") {
    case .documentCommand(let command): .documentCommand(command)
    case .entrypoint(let entrypoint): .entrypoint(entrypoint)
    }
  }
}

extension JournalResources {
  init(_ resources: Resources) {
    self.init()
    cpus = resources.cpus
    memoryBytes = resources.memoryBytes
    requiresGpu = resources.requiresGPU
    if resources.limits != MendCore.AttemptLimits() { limits = MendAPI.AttemptLimits(resources.limits) }
  }

  var resources: Resources {
    Resources(
      cpus: JournalNumber.cpus(cpus), memoryBytes: JournalNumber.memory(memoryBytes), requiresGPU: requiresGpu,
      limits: limits.map { MendCore.AttemptLimits($0) } ?? MendCore.AttemptLimits())
  }
}

extension MendAPI.AttemptLimits {
  fileprivate init(_ limits: MendCore.AttemptLimits) {
    self.init()
    cpuSeconds = limits.cpuSeconds
    openFiles = Int32(clamping: limits.openFiles)
    processes = Int32(clamping: limits.processes)
    logBytes = limits.logBytes
  }
}

extension MendCore.AttemptLimits {
  fileprivate init(_ limits: MendAPI.AttemptLimits) {
    self.init(
      cpuSeconds: JournalNumber.seconds(limits.cpuSeconds), openFiles: Int(limits.openFiles),
      processes: Int(limits.processes),
      logBytes: limits.logBytes)
  }
}

extension JournalTimers {
  init(_ timers: Timers) {
    self.init()
    startMs = timers.start.milliseconds
    heartbeatMs = timers.heartbeat.milliseconds
    progressMs = timers.progress.milliseconds
    heartbeatIsSet = timers.setHeartbeat != nil
    progressIsSet = timers.setProgress != nil
    runMs = timers.run?.milliseconds
  }

  var timers: Timers {
    let heartbeat = Duration(journaled: heartbeatMs)
    let progress = Duration(journaled: progressMs)
    return Timers(
      start: Duration(journaled: startMs),
      heartbeat: heartbeatIsSet || heartbeat != Timers.defaultHeartbeat ? heartbeat : nil,
      progress: progressIsSet || progress != Timers.defaultProgress ? progress : nil,
      run: runMs.map { Duration(journaled: $0) })
  }
}

extension JournalRetryRule {
  init(_ rule: MendCore.RetryRule) {
    self.init()
    category = rule.category?.wire ?? .unspecified
    cause = rule.cause?.wire ?? .unspecified
    exitCodes = rule.exitCodes
    action = rule.action.wire
    maxAttempts = Int32(clamping: rule.maxAttempts)
    memoryFactor = rule.memoryFactor
    memoryCeilingBytes = rule.memoryCeilingBytes
    backoffMs = rule.backoff.milliseconds
    backoffMaximumMs = rule.backoffMaximum.milliseconds
  }

  func rule() throws(JournalFault) -> MendCore.RetryRule {
    MendCore.RetryRule(
      category: try MendCore.FailureCategory.optional(category), cause: try MendCore.FailureCause.optional(cause),
      exitCodes: exitCodes, action: try MendCore.RetryRule.Action(action), maxAttempts: Int(maxAttempts),
      memoryFactor: JournalNumber.factor(memoryFactor), memoryCeilingBytes: JournalNumber.memory(memoryCeilingBytes),
      backoff: Duration(journaled: backoffMs), backoffMaximum: Duration(journaled: backoffMaximumMs))
  }
}

extension JournalSubmission {
  init(_ parameters: SubmissionParameters) {
    self.init()
    extractorName = parameters.extractorName
    work = JournalWork(parameters.work)
    executor = parameters.executor.wire
    resources = JournalResources(parameters.resources)
    priority = Int32(clamping: parameters.priority)
    environment = parameters.environment
    runTimeoutMs = parameters.runTimeout?.milliseconds
    startWindowMs = parameters.startWindow?.milliseconds
    server = parameters.server
  }

  func parameters() throws(JournalFault) -> SubmissionParameters {
    var parameters = SubmissionParameters(
      extractorName: extractorName, work: try required(work, "work").work(),
      executor: try MendCore.ExecutorKind(executor), resources: try required(resources, "resources").resources,
      priority: Int(priority), environment: environment, runTimeout: runTimeoutMs.map { Duration(journaled: $0) },
      startWindow: startWindowMs.map { Duration(journaled: $0) })
    parameters.server = server
    return parameters
  }
}

extension JournalOverrides {
  init(_ overrides: Job.Overrides) {
    self.init()
    cpus = overrides.cpus
    memoryBytes = overrides.memoryBytes
    requiresGpu = overrides.requiresGPU
    priority = overrides.priority.map { Int32(clamping: $0) }
    switch overrides.runTimeout {
    case .none: break
    case .some(.none): withoutRunTimeout = true
    case .some(.some(let timeout)): runTimeoutMs = timeout.milliseconds
    }
    environment = overrides.environment
  }

  var overrides: Job.Overrides {
    let runTimeout: Duration?? =
      if withoutRunTimeout { .some(nil) } else if let runTimeoutMs { Duration(journaled: runTimeoutMs) } else { nil }
    return Job.Overrides(
      cpus: cpus.map(JournalNumber.cpus), memoryBytes: memoryBytes.map(JournalNumber.memory), requiresGPU: requiresGpu,
      priority: priority.map { Int($0) },
      runTimeout: runTimeout, environment: environment)
  }
}

/// What a caller asked for: a batch before anything happened to it. Immutable after CreateBatch; Retry adds overrides
/// to jobs, never edits this.
package struct BatchSpecification: Hashable, Codable, Sendable {
  package var bucketID: String
  package var batchName: String
  /// 0-100, higher runs first.
  package var priority: Int
  /// Documents in process at once over the whole batch, and so attempts at once; 0 is no bound.
  package var maxConcurrent: Int
  /// From the last submit or Retry by a caller (``Batch/timeoutFrom``); nil is none.
  package var timeout: Duration?
  package var notificationEnabled: Bool
  package var executor: ExecutorKind
  package var tiers: [TierSpecification]
  /// Opt-in; nil is off.
  package var autoHeal: AutoHeal?

  package init(
    bucketID: String = "", batchName: String = "", priority: Int = 50, maxConcurrent: Int = 0,
    timeout: Duration? = nil, notificationEnabled: Bool = false, executor: ExecutorKind = .local,
    tiers: [TierSpecification] = [], autoHeal: AutoHeal? = nil
  ) {
    self.bucketID = bucketID
    self.batchName = batchName
    self.priority = priority
    self.maxConcurrent = maxConcurrent
    self.timeout = timeout
    self.notificationEnabled = notificationEnabled
    self.executor = executor
    self.tiers = tiers
    self.autoHeal = autoHeal
  }
}

extension BatchSpecification: Described {
  package static let schemaName = "JournalSpecification"
  package static var blank: BatchSpecification { BatchSpecification() }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "bucket_id", &bucketID)
    try v.string(2, "batch_name", &batchName)
    try v.small(3, "priority", &priority)
    try v.count(4, "max_concurrent", &maxConcurrent)
    try v.span(5, "timeout_ms", &timeout)
    try v.flag(6, "notification_enabled", &notificationEnabled)
    try v.choice(7, "executor", &executor)
    try v.messages(8, "tiers", &tiers)
    try v.message(16, "auto_heal", &autoHeal)
  }
}

/// The budgets within which the core applies by itself what Heal's `auto` would do.
package struct AutoHeal: Hashable, Codable, Sendable {
  package static let defaultHeals = 5

  /// Plans over the batch's life.
  package var maxHeals: Int
  /// A retry asks for no more memory than this; 0 is what the executor has.
  package var memoryCeilingBytes: Int64
  /// Steps of a higher risk are left to people.
  package var maxRisk: Risk

  package init(maxHeals: Int = defaultHeals, memoryCeilingBytes: Int64 = 0, maxRisk: Risk = .medium) {
    self.maxHeals = maxHeals
    self.memoryCeilingBytes = memoryCeilingBytes
    self.maxRisk = maxRisk
  }
}

extension AutoHeal: Described {
  package static var blank: AutoHeal { AutoHeal() }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.small(1, "max_heals", &maxHeals)
    try v.memory(2, "memory_ceiling_bytes", &memoryCeilingBytes)
    try v.choice(3, "max_risk", &maxRisk)
  }
}

package struct TierSpecification: Hashable, Codable, Sendable {
  package var extractors: [ExtractorSpecification]
  package init(extractors: [ExtractorSpecification]) { self.extractors = extractors }
}

extension TierSpecification: Described {
  package static var blank: TierSpecification { TierSpecification(extractors: []) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.messages(1, "extractors", &extractors)
  }
}

package struct ExtractorSpecification: Hashable, Codable, Sendable {
  /// How the work is done: once a document by the built-in worker, or once a job by a program that reports itself.
  package enum Work: Hashable, Codable, Sendable {
    case documentCommand(String)
    case entrypoint(String)
  }

  package var name: String
  package var work: Work
  /// Where it writes; empty means the extractor's own name.
  package var collectionID: String
  /// Jobs that share the documents: document i belongs to shard i mod shards.
  package var shards: Int
  package var resources: Resources
  package var environment: [String: String]
  package var timers: Timers
  package var retryRules: [RetryRule]

  package init(
    name: String, work: Work, collectionID: String = "", shards: Int = 1, resources: Resources = Resources(),
    environment: [String: String] = [:], timers: Timers = Timers(), retryRules: [RetryRule] = []
  ) {
    self.name = name
    self.work = work
    self.collectionID = collectionID.isEmpty ? name : collectionID
    self.shards = shards
    self.resources = resources
    self.environment = environment
    self.timers = timers
    self.retryRules = retryRules
  }
}

extension ExtractorSpecification.Work: Described {
  package static var blank: Self { .documentCommand("") }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    var work: Self? = v.reads ? nil : self
    try v.textMember(1, "document_command", .plain, of: &work, Self.documentCommand) {
      if case .documentCommand(let command) = $0 { command } else { nil }
    }
    try v.textMember(2, "entrypoint", .plain, of: &work, Self.entrypoint) {
      if case .entrypoint(let entrypoint) = $0 { entrypoint } else { nil }
    }
    guard let work else { throw FormatFault("no kind of work") }
    if v.assigns { self = work }
  }
}

extension ExtractorSpecification: Described {
  package static let schemaName = "JournalExtractor"
  package static var blank: ExtractorSpecification { ExtractorSpecification(name: "", work: .blank) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "name", &name)
    try v.field(2, "work", &work)
    try v.string(3, "collection_id", &collectionID)
    if v.reads, collectionID.isEmpty { collectionID = name }
    try v.small(4, "shards", &shards)
    if v.reads, shards > Limits().shardsPerExtractor { throw FormatFault("an extractor with \(shards) shards") }
    try v.field(5, "resources", &resources)
    try v.texts(6, "environment", .secret, &environment)
    try v.field(7, "timers", &timers)
    try v.messages(8, "retry_rules", &retryRules)
  }
}

/// What one attempt of a job is given.
package struct Resources: Hashable, Codable, Sendable {
  package var cpus: Double
  /// Bytes; 0 is no limit, and then none is accounted for.
  package var memoryBytes: Int64
  package var requiresGPU: Bool
  package var limits: AttemptLimits

  package init(
    cpus: Double = 1, memoryBytes: Int64 = 0, requiresGPU: Bool = false, limits: AttemptLimits = AttemptLimits()
  ) {
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.requiresGPU = requiresGPU
    self.limits = limits
  }
}

extension Resources: Described {
  package static var blank: Resources { Resources() }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.real(1, "cpus", &cpus, within: FieldBounds.cpus)
    try v.memory(2, "memory_bytes", &memoryBytes)
    try v.flag(3, "requires_gpu", &requiresGPU)
    var limits = self.limits == AttemptLimits() ? nil : self.limits
    try v.message(4, "limits", &limits)
    if v.reads { self.limits = limits ?? AttemptLimits() }
  }
}

/// What an attempt's whole process tree may use beside memory; 0 is no limit. Nothing is reserved for it.
package struct AttemptLimits: Hashable, Codable, Sendable {
  /// Processor seconds.
  package var cpuSeconds: Double
  /// Of each process. The system refuses more; nothing is ended for it.
  package var openFiles: Int
  /// At once; the built-in worker does not count.
  package var processes: Int
  /// Kept of stdout and of stderr, each; 0 is the executor's own.
  package var logBytes: Int64

  package init(cpuSeconds: Double = 0, openFiles: Int = 0, processes: Int = 0, logBytes: Int64 = 0) {
    self.cpuSeconds = cpuSeconds
    self.openFiles = openFiles
    self.processes = processes
    self.logBytes = logBytes
  }
}

extension AttemptLimits: Described {
  package static let schemaName = "AttemptLimits"
  package static var blank: AttemptLimits { AttemptLimits() }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.real(1, "cpu_seconds", &cpuSeconds, within: FieldBounds.seconds)
    try v.small(2, "open_files", &openFiles)
    try v.small(3, "processes", &processes)
    try v.number(4, "log_bytes", &logBytes)
  }
}

/// An extractor's timers (<doc:Domain#Timers>). Each can be set; one that is not has a default.
package struct Timers: Hashable, Codable, Sendable {
  /// Queued at the executor to running: the cold-start window.
  package var start: Duration
  /// Silence of who owes beats: the built-in worker, a worker that has beaten, and where it was set, anybody.
  package var heartbeat: Duration {
    get { setHeartbeat ?? Self.defaultHeartbeat }
    set { setHeartbeat = newValue }
  }
  /// What the caller set; nil is the default.
  package private(set) var setHeartbeat: Duration?
  /// Beats without a document or a stage moving on.
  ///
  /// An entrypoint that never reports cannot show any, so only one that was set holds for it: its author's own word for
  /// how long it may take.
  package var progress: Duration {
    get { setProgress ?? Self.defaultProgress }
    set { setProgress = newValue }
  }
  /// What the caller set; nil is the default.
  package private(set) var setProgress: Duration?
  /// One attempt; nil is none.
  package var run: Duration?

  package static let defaultStart: Duration = .seconds(20 * 60)
  package static let defaultHeartbeat: Duration = .seconds(60)
  package static let defaultProgress: Duration = .seconds(5 * 60)

  package init(
    start: Duration = defaultStart, heartbeat: Duration? = nil, progress: Duration? = nil,
    run: Duration? = nil
  ) {
    self.start = start
    self.setHeartbeat = heartbeat
    self.setProgress = progress
    self.run = run
  }
}

extension Timers: Described {
  package static var blank: Timers { Timers() }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.span(1, "start_ms", &start)
    var (heartbeat, progress) = (self.heartbeat, self.progress)
    var (isHeartbeatSet, isProgressSet) = (setHeartbeat != nil, setProgress != nil)
    try v.span(2, "heartbeat_ms", &heartbeat)
    try v.span(3, "progress_ms", &progress)
    try v.span(4, "run_ms", &run)
    try v.flag(5, "progress_is_set", &isProgressSet)
    try v.flag(50, "heartbeat_is_set", &isHeartbeatSet)
    guard v.reads else { return }
    // Earlier versions did not write what was set; another value than the default then was.
    setHeartbeat = isHeartbeatSet || heartbeat != .seconds(60) ? heartbeat : nil
    setProgress = isProgressSet || progress != .seconds(300) ? progress : nil
  }
}

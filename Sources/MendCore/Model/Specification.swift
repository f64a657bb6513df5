/// What a caller asked for: a batch before anything happened to it. Immutable after CreateBatch; Retry adds overrides
/// to jobs, never edits this.
public struct BatchSpecification: Hashable, Codable, Sendable {
  public var bucketID: String
  public var batchName: String
  /// 0-100, higher runs first.
  public var priority: Int
  /// Documents in process at once over the whole batch, and so attempts at once; 0 is no bound.
  public var maxConcurrent: Int
  /// From submission to the end; nil is none.
  public var timeout: Duration?
  public var notificationEnabled: Bool
  public var executor: ExecutorKind
  public var tiers: [TierSpecification]
  /// Opt-in; nil is off.
  public var autoHeal: AutoHeal?

  public init(
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
  public static let schemaName = "JournalSpecification"
  public static var blank: BatchSpecification { BatchSpecification() }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
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
public struct AutoHeal: Hashable, Codable, Sendable {
  public static let defaultHeals = 5

  /// Plans over the batch's life.
  public var maxHeals: Int
  /// A retry asks for no more memory than this; 0 is what the executor has.
  public var memoryCeilingBytes: Int64
  /// Steps of a higher risk are left to people.
  public var maxRisk: Risk

  public init(maxHeals: Int = defaultHeals, memoryCeilingBytes: Int64 = 0, maxRisk: Risk = .medium) {
    self.maxHeals = maxHeals
    self.memoryCeilingBytes = memoryCeilingBytes
    self.maxRisk = maxRisk
  }
}

extension AutoHeal: Described {
  public static var blank: AutoHeal { AutoHeal() }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.small(1, "max_heals", &maxHeals)
    try v.memory(2, "memory_ceiling_bytes", &memoryCeilingBytes)
    try v.choice(3, "max_risk", &maxRisk)
  }
}

public struct TierSpecification: Hashable, Codable, Sendable {
  public var extractors: [ExtractorSpecification]
  public init(extractors: [ExtractorSpecification]) { self.extractors = extractors }
}

extension TierSpecification: Described {
  public static var blank: TierSpecification { TierSpecification(extractors: []) }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.messages(1, "extractors", &extractors)
  }
}

public struct ExtractorSpecification: Hashable, Codable, Sendable {
  /// How the work is done: once a document by the built-in worker, or once a job by a program that reports itself.
  public enum Work: Hashable, Codable, Sendable {
    case documentCommand(String)
    case entrypoint(String)
  }

  public var name: String
  public var work: Work
  /// Where it writes; empty means the extractor's own name.
  public var collectionID: String
  /// Jobs that share the documents: document i belongs to shard i mod shards.
  public var shards: Int
  public var resources: Resources
  public var environment: [String: String]
  public var timers: Timers
  public var retryRules: [RetryRule]

  public init(
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
  public static var blank: Self { .documentCommand("") }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
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
  public static let schemaName = "JournalExtractor"
  public static var blank: ExtractorSpecification { ExtractorSpecification(name: "", work: .blank) }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
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
public struct Resources: Hashable, Codable, Sendable {
  public var cpus: Double
  /// Bytes; 0 is no limit, and then none is accounted for.
  public var memoryBytes: Int64
  public var requiresGPU: Bool
  public var limits: AttemptLimits

  public init(
    cpus: Double = 1, memoryBytes: Int64 = 0, requiresGPU: Bool = false, limits: AttemptLimits = AttemptLimits()
  ) {
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.requiresGPU = requiresGPU
    self.limits = limits
  }
}

extension Resources: Described {
  public static var blank: Resources { Resources() }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.real(1, "cpus", &cpus, within: FieldBounds.cpus)
    try v.memory(2, "memory_bytes", &memoryBytes)
    try v.flag(3, "requires_gpu", &requiresGPU)
    var limits = self.limits == AttemptLimits() ? nil : self.limits
    try v.message(4, "limits", &limits)
    if v.reads { self.limits = limits ?? AttemptLimits() }
  }
}

/// What an attempt's whole process tree may use beside memory; 0 is no limit. Nothing is reserved for it.
public struct AttemptLimits: Hashable, Codable, Sendable {
  /// Processor seconds.
  public var cpuSeconds: Double
  /// Of each process. The system refuses more; nothing is ended for it.
  public var openFiles: Int
  /// At once; the built-in worker does not count.
  public var processes: Int
  /// Kept of stdout and of stderr, each; 0 is the executor's own.
  public var logBytes: Int64

  public init(cpuSeconds: Double = 0, openFiles: Int = 0, processes: Int = 0, logBytes: Int64 = 0) {
    self.cpuSeconds = cpuSeconds
    self.openFiles = openFiles
    self.processes = processes
    self.logBytes = logBytes
  }
}

extension AttemptLimits: Described {
  public static let schemaName = "AttemptLimits"
  public static var blank: AttemptLimits { AttemptLimits() }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.real(1, "cpu_seconds", &cpuSeconds, within: FieldBounds.seconds)
    try v.small(2, "open_files", &openFiles)
    try v.small(3, "processes", &processes)
    try v.number(4, "log_bytes", &logBytes)
  }
}

/// An extractor's timers (<doc:Domain#Timers>). Each can be set; one that is not has a default.
public struct Timers: Hashable, Codable, Sendable {
  /// Queued at the executor to running: the cold-start window.
  public var start: Duration
  /// Silence of who owes beats: the built-in worker, a worker that has beaten, and where it was set, anybody.
  public var heartbeat: Duration {
    get { setHeartbeat ?? Self.defaultHeartbeat }
    set { setHeartbeat = newValue }
  }
  /// What the caller set; nil is the default.
  public private(set) var setHeartbeat: Duration?
  /// Beats without a document or a stage moving on.
  ///
  /// An entrypoint that never reports cannot show any, so only one that was set holds for it: its author's own word for
  /// how long it may take.
  public var progress: Duration {
    get { setProgress ?? Self.defaultProgress }
    set { setProgress = newValue }
  }
  /// What the caller set; nil is the default.
  public private(set) var setProgress: Duration?
  /// One attempt; nil is none.
  public var run: Duration?

  public static let defaultStart: Duration = .seconds(20 * 60)
  public static let defaultHeartbeat: Duration = .seconds(60)
  public static let defaultProgress: Duration = .seconds(5 * 60)

  public init(
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
  public static var blank: Timers { Timers() }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
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

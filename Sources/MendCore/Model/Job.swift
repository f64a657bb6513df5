/// One extractor of a tier, or one shard of it, with its ledger: which of its documents are committed, failed, in process.
public struct Job: Hashable, Codable, Sendable {
  public var id: JobID
  /// The position of its extractor in the tier.
  public var extractor: Int
  public var shard: Int
  public var status: JobStatus
  /// The changes of retries, which override the specification.
  public var overrides: Overrides
  public var attempts: [Attempt]

  /// The documents that are this job's to do; set when its tier starts. committed, failed, processing are disjoint parts.
  public var assigned: DocumentSet
  public var committed: DocumentSet
  public var failed: DocumentSet
  public var processing: DocumentSet
  /// The error of each failed document.
  public var errors: DocumentErrors
  /// How many attempts died, of a cause that may come of a document, while it was in process.
  public var deaths: DocumentNumbers
  /// Documents that were in process at `suspectDeaths` ends that a document can bring about: they are handed out last, in
  /// halves, with nothing else in process.
  public var suspects = DocumentSet()
  /// Those of them that an attempt died around with nothing else in process: they are handed out one at a time.
  public var quarantined = DocumentSet()
  /// Where it was cancelled and others of its tier went on: the documents that go on without it.
  public var leftOut = DocumentSet()
  /// Attempts up to the last Retry by a caller: no retry rule counts them.
  public var attemptsBeforeRetry = 0
  /// Every document was committed, and its attempt ended badly all the same: only another attempt can settle that.
  public var runsWithoutDocuments = false
  /// How many results came for documents that were committed already.
  public var repeatedWork: Int
  /// The position from which the next claim searches: an optimisation only.
  public var claimCursor: Int

  public var startedAt: Instant?
  public var completedAt: Instant?
  /// Why the job failed; nil if it did not.
  public var failure: Failure?
  /// The end of the backoff, when the next attempt may be launched.
  public var nextAttemptAt: Instant?
  /// Closed stages, in order of first appearance, durations added up.
  public var stages: [StageTotal]
  /// Written by its own report; nil until one came, then it stands instead of the committed count.
  public var written: Int?

  public init(id: JobID, extractor: Int, shard: Int) {
    self.id = id
    self.extractor = extractor
    self.shard = shard
    self.status = .pending
    self.overrides = Overrides()
    self.attempts = []
    self.assigned = DocumentSet()
    self.committed = DocumentSet()
    self.failed = DocumentSet()
    self.processing = DocumentSet()
    self.errors = DocumentErrors()
    self.deaths = DocumentNumbers()
    self.repeatedWork = 0
    self.claimCursor = 0
    self.stages = []
  }

  /// After so many deaths of attempts a document is a suspect.
  public static let suspectDeaths = 2

  /// The attempt that may commit, or nil.
  public var current: Attempt? { attempts.last.flatMap { $0.isCurrent ? $0 : nil } }

  /// How many documents are assigned, and neither done nor in process.
  public var pendingCount: Int { assigned.count - committed.count - failed.count - processing.count }

  public struct Overrides: Hashable, Codable, Sendable {
    public var cpus: Double?
    public var memoryBytes: Int64?
    public var requiresGPU: Bool?
    public var priority: Int?
    /// `.some(nil)` removes the limit.
    public var runTimeout: Duration??
    public var environment: [String: String]

    public init(
      cpus: Double? = nil, memoryBytes: Int64? = nil, requiresGPU: Bool? = nil, priority: Int? = nil,
      runTimeout: Duration?? = nil, environment: [String: String] = [:]
    ) {
      self.cpus = cpus
      self.memoryBytes = memoryBytes
      self.requiresGPU = requiresGPU
      self.priority = priority
      self.runTimeout = runTimeout
      self.environment = environment
    }
  }

  public struct Failure: Hashable, Codable, Sendable {
    public var cause: FailureCause
    public var confidence: Confidence
    /// One sentence.
    public var message: String

    public init(cause: FailureCause, confidence: Confidence, message: String) {
      self.cause = cause
      self.confidence = confidence
      self.message = message
    }
  }

  public struct StageTotal: Hashable, Codable, Sendable {
    public var name: String
    public var duration: Duration

    public init(name: String, duration: Duration) {
      self.name = name
      self.duration = duration
    }
  }
}

extension Job.Overrides: Described {
  public static var blank: Self { Self() }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.real(1, "cpus", &cpus, isOptional: true)
    if v.reads { cpus = cpus.map(FieldBounds.cpus) }
    try v.memory(2, "memory_bytes", &memoryBytes)
    try v.flag(3, "requires_gpu", &requiresGPU, isOptional: true)
    try v.small(4, "priority", &priority)
    var limit = runTimeout ?? nil
    var isWithout = runTimeout != nil && limit == nil
    try v.span(5, "run_timeout_ms", &limit)
    try v.flag(6, "without_run_timeout", &isWithout)
    if v.reads { runTimeout = isWithout ? .some(nil) : limit.map { .some($0) } }
    try v.texts(7, "environment", .secret, &environment)
  }
}

extension Job.Failure: Described {
  public static let schemaName = "JournalJobFailure"
  public static var blank: Self { Self(cause: .oom, confidence: .low, message: "") }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.choice(1, "cause", &cause)
    try v.choice(2, "confidence", &confidence)
    try v.prose(3, "message", &message)
  }
}

extension Job.StageTotal: Described {
  public static let schemaName = "JournalStageTime"
  public static var blank: Self { Self(name: "", duration: .zero) }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "name", &name)
    try v.span(2, "duration_ms", &duration)
  }
}

/// Why one document failed.
public struct DocumentError: Hashable, Codable, Sendable {
  public var code: DocumentCode
  public var message: String
  public var details: [String: String]
  public var attempt: Int
  public var at: Instant
  /// Whether the document failed because its attempt died; false if the extractor itself reported it.
  public var causedByAttempt: Bool
  /// The attempt died around it alone after two others had died with it in process: the rules do not hand it out again, a caller may.
  public var quarantined: Bool
  /// The attempt was ended from outside (a SIGTERM that nobody here sent): nothing is held against the document.
  public var endedFromOutside: Bool

  public init(
    code: DocumentCode, message: String, details: [String: String] = [:], attempt: Int, at: Instant,
    causedByAttempt: Bool = false, quarantined: Bool = false, endedFromOutside: Bool = false
  ) {
    self.code = code
    self.message = message
    self.details = details
    self.attempt = attempt
    self.at = at
    self.causedByAttempt = causedByAttempt
    self.quarantined = quarantined
    self.endedFromOutside = endedFromOutside
  }
}

extension DocumentError: Described {
  public static var blank: DocumentError {
    DocumentError(code: "", message: "", attempt: 0, at: Instant(milliseconds: 0))
  }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.name(1, "code", &code, of: "code")
    try v.quoted(2, "message", &message)
    try v.texts(3, "details", .plain, &details)
    try v.small(4, "attempt", &attempt)
    try v.instant(5, "at_ms", &at)
    try v.flag(6, "caused_by_attempt", &causedByAttempt)
    try v.flag(16, "quarantined", &quarantined)
    var isFromOutside: Bool? = endedFromOutside ? true : nil
    try v.flag(75, "ended_from_outside", &isFromOutside, isOptional: true)
    if v.reads { endedFromOutside = isFromOutside ?? false }
  }
}

// By hand: what is synthesized takes a limit that was taken away (`.some(nil)`) for one that was not touched.
extension Job.Overrides {
  private enum CodingKeys: CodingKey {
    case cpus, memoryBytes, requiresGPU, priority, runTimeout, withoutRunTimeout, environment
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encodeIfPresent(cpus, forKey: .cpus)
    try container.encodeIfPresent(memoryBytes, forKey: .memoryBytes)
    try container.encodeIfPresent(requiresGPU, forKey: .requiresGPU)
    try container.encodeIfPresent(priority, forKey: .priority)
    if let runTimeout {
      try container.encode(runTimeout == nil, forKey: .withoutRunTimeout)
      try container.encodeIfPresent(runTimeout, forKey: .runTimeout)
    }
    try container.encode(environment, forKey: .environment)
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      cpus: try container.decodeIfPresent(Double.self, forKey: .cpus),
      memoryBytes: try container.decodeIfPresent(Int64.self, forKey: .memoryBytes),
      requiresGPU: try container.decodeIfPresent(Bool.self, forKey: .requiresGPU),
      priority: try container.decodeIfPresent(Int.self, forKey: .priority),
      environment: try container.decode([String: String].self, forKey: .environment))
    if container.contains(.withoutRunTimeout) {
      runTimeout = .some(try container.decodeIfPresent(Duration.self, forKey: .runTimeout))
    }
  }
}

extension DocumentError {
  /// The extractor had it in hand and refused it; else it may never have been begun.
  var isOfItsRun: Bool { !causedByAttempt && code != .failure(.documentErrors) }

  /// What the built-in worker says about the command, among the details.
  var exitCode: Int32? { details["exit_code"].flatMap { Int32($0) } }
  var signal: Int32? { details["signal"].flatMap { Int32($0) } }
  /// The file's size in bytes, as the worker found it.
  var measuredSize: Int64? { details["size_bytes"].flatMap { Int64($0) } }
}

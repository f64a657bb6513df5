/// One extractor of a tier, or one shard of it, with its ledger: which of its documents are committed, failed, in process.
package struct Job: Hashable, Codable, Sendable {
  package var id: JobID
  /// The position of its extractor in the tier.
  package var extractor: Int
  package var shard: Int
  package var status: JobStatus
  /// The changes of retries, which override the specification.
  package var overrides: Overrides
  package var attempts: [Attempt]

  /// The documents that are this job's to do; set when its tier starts. committed, failed, processing are disjoint parts.
  package var assigned: DocumentSet
  package var committed: DocumentSet
  package var failed: DocumentSet
  package var processing: DocumentSet
  /// The error of each failed document.
  package var errors: DocumentErrors
  /// How many attempts died, of a cause that may come of a document, while it was in process.
  package var deaths: DocumentNumbers
  /// Documents that were in process at `suspectDeaths` ends that a document can bring about: they are handed out last, in
  /// halves, with nothing else in process.
  package var suspects = DocumentSet()
  /// Those of them that an attempt died around with nothing else in process: they are handed out one at a time.
  package var quarantined = DocumentSet()
  /// Where it was cancelled and others of its tier went on: the documents that go on without it.
  package var leftOut = DocumentSet()
  /// Attempts up to the last Retry by a caller: no retry rule counts them.
  package var attemptsBeforeRetry = 0
  /// Every document was committed, and its attempt ended badly all the same: only another attempt can settle that.
  package var runsWithoutDocuments = false
  /// How many results came for documents that were committed already.
  package var repeatedWork: Int
  /// The position from which the next claim searches: an optimisation only.
  package var claimCursor: Int

  package var startedAt: Instant?
  package var completedAt: Instant?
  /// Why the job failed; nil if it did not.
  package var failure: Failure?
  /// The end of the backoff, when the next attempt may be launched.
  package var nextAttemptAt: Instant?
  /// Closed stages, in order of first appearance, durations added up.
  package var stages: [StageTotal]
  /// Written by its own report; nil until one came, then it stands instead of the committed count.
  package var written: Int?

  package init(id: JobID, extractor: Int, shard: Int) {
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
  package static let suspectDeaths = 2

  /// The attempt that may commit, or nil.
  package var current: Attempt? { attempts.last.flatMap { $0.isCurrent ? $0 : nil } }

  /// How many documents are assigned, and neither done nor in process.
  package var pendingCount: Int { assigned.count - committed.count - failed.count - processing.count }

  package struct Overrides: Hashable, Codable, Sendable {
    package var cpus: Double?
    package var memoryBytes: Int64?
    package var requiresGPU: Bool?
    package var priority: Int?
    /// `.some(nil)` removes the limit.
    package var runTimeout: Duration??
    package var environment: [String: String]

    package init(
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

  package struct Failure: Hashable, Codable, Sendable {
    package var cause: FailureCause
    package var confidence: Confidence
    /// One sentence.
    package var message: String

    package init(cause: FailureCause, confidence: Confidence, message: String) {
      self.cause = cause
      self.confidence = confidence
      self.message = message
    }
  }

  package struct StageTotal: Hashable, Codable, Sendable {
    package var name: String
    package var duration: Duration

    package init(name: String, duration: Duration) {
      self.name = name
      self.duration = duration
    }
  }
}

extension Job.Overrides: Described {
  package static var blank: Self { Self() }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
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
  package static let schemaName = "JournalJobFailure"
  package static var blank: Self { Self(cause: .oom, confidence: .low, message: "") }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.choice(1, "cause", &cause)
    try v.choice(2, "confidence", &confidence)
    try v.prose(3, "message", &message)
  }
}

extension Job.StageTotal: Described {
  package static let schemaName = "JournalStageTime"
  package static var blank: Self { Self(name: "", duration: .zero) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "name", &name)
    try v.span(2, "duration_ms", &duration)
  }
}

/// Why one document failed.
package struct DocumentError: Hashable, Codable, Sendable {
  package var code: DocumentCode
  package var message: String
  package var details: [String: String]
  package var attempt: Int
  package var at: Instant
  /// Whether the document failed because its attempt died; false if the extractor itself reported it.
  package var causedByAttempt: Bool
  /// The attempt died around it alone after two others had died with it in process: the rules do not hand it out again, a caller may.
  package var quarantined: Bool
  /// The attempt was ended from outside (a SIGTERM that nobody here sent): nothing is held against the document.
  package var endedFromOutside: Bool

  package init(
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
  package static var blank: DocumentError {
    DocumentError(code: "", message: "", attempt: 0, at: Instant(milliseconds: 0))
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
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

  package func encode(to encoder: any Encoder) throws {
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

  package init(from decoder: any Decoder) throws {
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

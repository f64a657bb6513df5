// The answer of Diagnose: a pure function of a batch, the capacity and the time. MendServer makes a message of it.

/// Everything Diagnose answers beyond what `Batch` itself shows.
public struct Diagnosis: Hashable, Sendable {
  public var health: Health
  public var healthReason: HealthReason
  /// One sentence; nil when ok or degraded.
  public var blockedReason: String?
  /// Since the last real progress; nil when not stuck.
  public var stuckFor: Duration?
  public var overallProgress: Double
  public var currentTier: Int
  public var estimatedCompletion: Instant?
  /// nil once the batch is over.
  public var estimate: Estimate?
  public var failureCategory: FailureCategory?
  public var findings: [Finding]
  public var insights: [Insight]
  /// The latest, at most `infrastructureEventsLimit`.
  public var infrastructureEvents: [InfrastructureEvent]
  /// How many came before them.
  public var infrastructureEventsLeftOut = 0
  public var nextActions: [Advice]
  public var recommendations: [Advice]
  public var errorSummary: [ErrorSummary]
  /// Positions, at most ten.
  public var failedSample: [Int]
  public var performance: PerformanceSummary?
  public var repeatedWork: Int
  /// Its place in the queue; nil while nothing of it waits for room.
  public var queue: QueuePlace?

  /// Where a batch stands among its namespace's that wait.
  public static let infrastructureEventsLimit = 200

  public struct QueuePlace: Hashable, Sendable {
    /// 1 is first.
    public var position: Int
    public var aheadByPriority: Int
    /// One sentence.
    public var waitingFor: String
    public var heldBy: [String]
  }

  public init() {
    health = .ok
    healthReason = .none
    overallProgress = 0
    currentTier = 0
    findings = []
    insights = []
    infrastructureEvents = []
    nextActions = []
    recommendations = []
    errorSummary = []
    failedSample = []
    repeatedWork = 0
  }
}

/// One thing that is wrong: what, why, how sure, on what evidence, and what to do.
public struct Finding: Hashable, Sendable {
  /// The cause's own category unless another is given.
  public var category: FailureCategory?
  public var cause: FindingCause
  public var confidence: Confidence
  public var message: String
  public var evidence: [Evidence]
  public var remedy: Remedy?
  public var tier: Int?
  public var job: JobID?
  public var attempt: Int?
  /// Positions of the documents that it is about, at most ten.
  public var documents: [Int]

  public init(
    category: FailureCategory? = nil, cause: FindingCause, confidence: Confidence, message: String,
    evidence: [Evidence], remedy: Remedy?, tier: Int? = nil, job: JobID? = nil, attempt: Int? = nil,
    documents: [Int] = []
  ) {
    self.category = category ?? cause.category
    self.cause = cause
    self.confidence = confidence
    self.message = message
    self.evidence = evidence
    self.remedy = remedy
    self.tier = tier
    self.job = job
    self.attempt = attempt
    self.documents = documents
  }
}

public struct Insight: Hashable, Sendable {
  public enum Severity: String, Hashable, Sendable, CaseIterable, SchemaEnum {
    case info, warning, critical
  }

  public var type: String
  public var severity: Severity
  public var message: String
  public var stage: String
  public var metric: Double
  public var recommendation: Advice

  public init(
    type: String, severity: Severity, message: String, stage: String, metric: Double, recommendation: Advice
  ) {
    self.type = type
    self.severity = severity
    self.message = message
    self.stage = stage
    self.metric = metric
    self.recommendation = recommendation
  }
}

public struct InfrastructureEvent: Hashable, Sendable {
  public var cause: FailureCause
  public var at: Instant
  public var job: JobID
  public var attempt: Int
  public var message: String

  public init(cause: FailureCause, at: Instant, job: JobID, attempt: Int, message: String) {
    self.cause = cause
    self.at = at
    self.job = job
    self.attempt = attempt
    self.message = message
  }
}

public struct ErrorSummary: Hashable, Sendable {
  public var errorType: DocumentCode
  public var count: Int
  /// Positions, at most ten.
  public var affected: [Int]
  public var resolution: String

  public init(errorType: DocumentCode, count: Int, affected: [Int], resolution: String) {
    self.errorType = errorType
    self.count = count
    self.affected = affected
    self.resolution = resolution
  }
}

public struct PerformanceSummary: Hashable, Sendable {
  /// The time in which it could be worked on.
  public var total: Duration
  /// From the start to the end, with pauses and waits for a retry.
  public var span: Duration = .zero
  public var queued: Duration
  public var documentsPerSecond: Double
  public var slowestTier: Int
  public var slowestExtractor: String
  public var stages: [Job.StageTotal]
  public var attempts: Int
  public var repeatedWork: Int
  public var peakMemoryBytes: Int64
  /// The time of failed attempts, and of documents that were done more than once, at the average.
  public var repeatedTime: Duration = .zero
  /// Attempts that failed or were ended for a fault.
  public var failedAttempts = 0

  public init(
    total: Duration, queued: Duration, documentsPerSecond: Double, slowestTier: Int, slowestExtractor: String,
    stages: [Job.StageTotal], attempts: Int, repeatedWork: Int, peakMemoryBytes: Int64
  ) {
    self.total = total
    self.queued = queued
    self.documentsPerSecond = documentsPerSecond
    self.slowestTier = slowestTier
    self.slowestExtractor = slowestExtractor
    self.stages = stages
    self.attempts = attempts
    self.repeatedWork = repeatedWork
    self.peakMemoryBytes = peakMemoryBytes
  }
}

/// How many documents are in which state; the four parts always add up to the total.
public struct ProgressCounts: Hashable, Sendable {
  public var completed: Int
  public var failed: Int
  public var pending: Int
  public var processing: Int
  public var total: Int

  public init(completed: Int, failed: Int, pending: Int, processing: Int, total: Int) {
    self.completed = completed
    self.failed = failed
    self.pending = pending
    self.processing = processing
    self.total = total
  }
}

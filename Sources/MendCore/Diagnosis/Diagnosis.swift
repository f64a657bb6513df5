// The answer of Diagnose: a pure function of a batch, the capacity and the time. MendServer makes a message of it.

/// Everything Diagnose answers beyond what `Batch` itself shows.
package struct Diagnosis: Hashable, Sendable {
  package var health: Health
  package var healthReason: HealthReason
  /// One sentence; nil when ok or degraded.
  package var blockedReason: String?
  /// Since the last real progress; nil when not stuck.
  package var stuckFor: Duration?
  package var overallProgress: Double
  package var currentTier: Int
  package var estimatedCompletion: Instant?
  /// nil once the batch is over.
  package var estimate: Estimate?
  package var failureCategory: FailureCategory?
  package var findings: [Finding]
  package var insights: [Insight]
  /// The latest, at most `infrastructureEventsLimit`.
  package var infrastructureEvents: [InfrastructureEvent]
  /// How many came before them.
  package var infrastructureEventsLeftOut = 0
  package var nextActions: [Advice]
  package var recommendations: [Advice]
  package var errorSummary: [ErrorSummary]
  /// Positions, at most ten.
  package var failedSample: [Int]
  package var performance: PerformanceSummary?
  package var repeatedWork: Int
  /// Its place in the queue; nil while nothing of it waits for room.
  package var queue: QueuePlace?

  /// Where a batch stands among its namespace's that wait.
  package static let infrastructureEventsLimit = 200

  package struct QueuePlace: Hashable, Sendable {
    /// 1 is first.
    package var position: Int
    package var aheadByPriority: Int
    /// One sentence.
    package var waitingFor: String
    package var heldBy: [String]
  }

  package init() {
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
package struct Finding: Hashable, Sendable {
  /// The cause's own category unless another is given.
  package var category: FailureCategory?
  package var cause: FindingCause
  package var confidence: Confidence
  package var message: String
  package var evidence: [Evidence]
  package var remedy: Remedy?
  package var tier: Int?
  package var job: JobID?
  package var attempt: Int?
  /// Positions of the documents that it is about, at most ten.
  package var documents: [Int]

  package init(
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

package struct Insight: Hashable, Sendable {
  package enum Severity: String, Hashable, Sendable, CaseIterable, SchemaEnum {
    case info, warning, critical
  }

  package var type: String
  package var severity: Severity
  package var message: String
  package var stage: String
  package var metric: Double
  package var recommendation: Advice

  package init(
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

package struct InfrastructureEvent: Hashable, Sendable {
  package var cause: FailureCause
  package var at: Instant
  package var job: JobID
  package var attempt: Int
  package var message: String

  package init(cause: FailureCause, at: Instant, job: JobID, attempt: Int, message: String) {
    self.cause = cause
    self.at = at
    self.job = job
    self.attempt = attempt
    self.message = message
  }
}

package struct ErrorSummary: Hashable, Sendable {
  package var errorType: DocumentCode
  package var count: Int
  /// Positions, at most ten.
  package var affected: [Int]
  package var resolution: String

  package init(errorType: DocumentCode, count: Int, affected: [Int], resolution: String) {
    self.errorType = errorType
    self.count = count
    self.affected = affected
    self.resolution = resolution
  }
}

package struct PerformanceSummary: Hashable, Sendable {
  /// The time in which it could be worked on.
  package var total: Duration
  /// From the start to the end, with pauses and waits for a retry.
  package var span: Duration = .zero
  package var queued: Duration
  package var documentsPerSecond: Double
  package var slowestTier: Int
  package var slowestExtractor: String
  package var stages: [Job.StageTotal]
  package var attempts: Int
  package var repeatedWork: Int
  package var peakMemoryBytes: Int64
  /// The time of failed attempts, and of documents that were done more than once, at the average.
  package var repeatedTime: Duration = .zero
  /// Attempts that failed or were ended for a fault.
  package var failedAttempts = 0

  package init(
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
package struct ProgressCounts: Hashable, Sendable {
  package var completed: Int
  package var failed: Int
  package var pending: Int
  package var processing: Int
  package var total: Int

  package init(completed: Int, failed: Int, pending: Int, processing: Int, total: Int) {
    self.completed = completed
    self.failed = failed
    self.pending = pending
    self.processing = processing
    self.total = total
  }
}

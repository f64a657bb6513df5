/// How a batch is at one moment, and why.
public struct HealthReport: Hashable, Sendable {
  public var health: Health
  public var reason: HealthReason
  /// One sentence for people; nil when degraded, or ok and not paused.
  public var blockedReason: String?
  /// Since the last real progress: documents and stages, not heartbeats. nil when not stuck.
  public var stuckFor: Duration?
  /// A job has waited for room longer than its window: what the sentence is about.
  public var isPastItsWindow = false
  /// Attempts that two looks found stuck, in the order of their jobs: what Heal's detect_stuck ends.
  public var stuckAttempts: [StuckAttempt]

  public init(
    _ health: Health, _ reason: HealthReason = .none, blockedReason: String? = nil, stuckFor: Duration? = nil,
    stuckAttempts: [StuckAttempt] = []
  ) {
    self.health = health
    self.reason = reason
    self.blockedReason = blockedReason
    self.stuckFor = stuckFor
    self.stuckAttempts = stuckAttempts
  }
}

/// A live attempt that does not move, and why that is held against it.
public struct StuckAttempt: Hashable, Sendable {
  public var job: JobID
  public var number: Int
  /// start_timeout, heartbeat_timeout or progress_timeout.
  public var cause: FailureCause
  /// The last real progress: a document or a stage, else its start.
  public var since: Instant

  public init(job: JobID, number: Int, cause: FailureCause, since: Instant) {
    self.job = job
    self.number = number
    self.cause = cause
    self.since = since
  }
}

/// An executor that cannot be asked at present (<doc:Domain#Promises>).
public struct ExecutorOutage: Hashable, Codable, Sendable {
  public var executor: ExecutorKind
  public var since: Instant
  public var message: String
  /// False where the server was started without it: that does not pass by itself, and nothing is given up for it.
  public var isConfigured: Bool

  public init(executor: ExecutorKind, since: Instant, message: String, isConfigured: Bool = true) {
    self.executor = executor
    self.since = since
    self.message = message
    self.isConfigured = isConfigured
  }
}

extension HealthReason {
  /// The smaller rank wins; the order of the cases is the order of precedence (<doc:Domain#Health>).
  var rank: Int { Self.allCases.firstIndex(of: self) ?? Self.allCases.count }
}

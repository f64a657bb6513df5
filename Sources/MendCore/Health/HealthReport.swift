/// The health of a batch at one moment, and why.
package struct HealthReport: Hashable, Sendable {
  package var health: Health
  package var reason: HealthReason
  /// One sentence for people; nil when degraded, or ok and not paused.
  package var blockedReason: String?
  /// Since the last real progress: documents and stages, not heartbeats. nil when not stuck.
  package var stuckFor: Duration?
  /// What holds it up, in the order of its jobs; empty where it is not stuck.
  package var blocks: [Block]

  /// Attempts that two checks found stuck, in the order of their jobs. Heal's detect_stuck ends them.
  package var stuckAttempts: [StuckAttempt] {
    blocks.compactMap { if case .stalled(let stuck) = $0.kind { stuck } else { nil } }
  }

  package init(
    _ health: Health, _ reason: HealthReason = .none, blockedReason: String? = nil, stuckFor: Duration? = nil,
    blocks: [Block] = []
  ) {
    self.health = health
    self.reason = reason
    self.blockedReason = blockedReason
    self.stuckFor = stuckFor
    self.blocks = blocks
  }
}

/// One thing that holds a batch up.
package struct Block: Hashable, Sendable {
  package enum Kind: Hashable, Sendable {
    case neverSchedulable(JobID)
    /// A job waits for room.
    case waiting(JobID)
    /// A job has waited for room longer than its start window.
    case waitedTooLong(JobID)
    /// An attempt that is not seen to run yet, within its start window.
    case starting(JobID)
    case stalled(StuckAttempt)
    /// An attempt that was asked to end and whose end was not proven in time.
    case overdueEnd(JobID, number: Int)
    case unreachable
  }

  package var kind: Kind
  package var reason: HealthReason
  package var sentence: String
  package var since: Instant

  /// The order in which blocks are reported: by the reason's precedence, then the longest first.
  static func comesBefore(_ left: Block, _ right: Block) -> Bool {
    (left.reason.rank, left.since) < (right.reason.rank, right.since)
  }
}

/// A live attempt that makes no progress, and the timer that it ran into.
package struct StuckAttempt: Hashable, Sendable {
  package var job: JobID
  package var number: Int
  /// start_timeout, heartbeat_timeout or progress_timeout.
  package var cause: FailureCause
  /// The time of the last document or stage, else of its start.
  package var since: Instant

  package init(job: JobID, number: Int, cause: FailureCause, since: Instant) {
    self.job = job
    self.number = number
    self.cause = cause
    self.since = since
  }
}

/// An executor that cannot be asked at present (<doc:Domain#Promises>).
package struct ExecutorOutage: Hashable, Codable, Sendable {
  package var executor: ExecutorKind
  package var since: Instant
  package var message: String
  /// False if the server was started without it: that does not end by itself, and no attempt is given up for it.
  package var isConfigured: Bool

  package init(executor: ExecutorKind, since: Instant, message: String, isConfigured: Bool = true) {
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

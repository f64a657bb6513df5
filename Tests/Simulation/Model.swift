import MendCore

/// What a batch's facts say, folded by the simulator itself: what it checks the core by is not the code that it checks.
///
/// It knows what its checks ask for, and nothing else.
struct Model {
  /// Where a job has a document.
  enum Place: UInt8 { case absent, pending, processing, committed, failed }

  struct Attempt {
    var needs: Resources
    var isEntrypoint: Bool
    var runTimeout: Duration?
    var intendedAt: Instant
    var startedAt: Instant?
    /// Of the batch's paused time when it started.
    var pausedBefore: Duration = .zero
    var hasReported = false
    var ending: EndReason?
    var end: AttemptEnd?
    /// After its end; and how many there were when it was reclaimed last.
    var staleReports = 0
    var reportsBeforeReclaim: Int?
  }

  struct Job {
    let id: JobID
    var extractor: Int
    var shard: Int
    var status = JobStatus.pending
    var failure: FailureCause?
    var memoryBytes: Int64?
    var cpus: Double?
    var requiresGPU: Bool?
    var attempts: [Attempt] = []
    var places: [Place] = []
    /// In which order its documents were committed last, over the whole batch.
    var committedAs: [Int: Int] = [:]
    /// Commits so far, those of what was done again among them.
    var commits = 0
    /// Ends that may be a document's doing, by the document that was in process.
    var deaths: [Int: Int] = [:]
    /// What the rules started since a caller's last Retry, by cause.
    var retries: [FailureCause: Int] = [:]
    /// A backoff's end.
    var notBefore: Instant?
    /// Since when it could start.
    var since: Instant
    /// By a caller who named it, not its tier.
    var isCancelledAlone = false
    /// In all; and without what is done again.
    var written = 0
    var writtenNow = 0
    var spent: Duration = .zero

    var current: Attempt? { attempts.last.flatMap { $0.end == nil ? $0 : nil } }

    func count(_ place: Place) -> Int { places.count { $0 == place } }
  }

  struct Tier {
    var status = TierStatus.pending
    var isCancelRequested = false
    var startedAt: Instant?
    var jobs: [Job]
  }

  /// A caller's, or a rule's.
  struct Retried {
    var at: Instant
    var tier: Int
    var byRule: Bool
  }

  let key: BatchKey
  let specification: BatchSpecification
  let createdAt: Instant
  var documents = 0
  var status = BatchStatus.created
  var tiers: [Tier]
  var sequence: UInt64 = 1
  var submittedAt: Instant?
  var startedAt: Instant?
  /// Since when its timeout counts, and what it had been paused for by then.
  var timeoutFrom: Instant?
  var pausedBefore: Duration = .zero
  var pausedFor: Duration = .zero
  var pausedSince: Instant?
  var workedFor: Duration = .zero
  var workingSince: Instant?
  var lastRetried: Retried?
  var lastCommit = 0
  var saidHealth = Health.ok
  var heals: [(heal: HealRecord, at: Instant)] = []

  /// Nil unless the record creates a batch.
  init?(_ record: Record) {
    guard case .batchCreated(let specification) = record.fact else { return nil }
    key = record.batch
    createdAt = record.at
    self.specification = specification
    tiers = specification.tiers.enumerated().map { number, tier in
      var jobs: [Job] = []
      for (extractor, specification) in tier.extractors.enumerated() {
        for shard in 0..<max(1, specification.shards) {
          jobs.append(
            Job(id: JobID(tier: number, index: jobs.count), extractor: extractor, shard: shard, since: record.at))
        }
      }
      return Tier(jobs: jobs)
    }
  }

  subscript(job: JobID) -> Job {
    get { tiers[job.tier].jobs[job.index] }
    set { tiers[job.tier].jobs[job.index] = newValue }
  }

  func knows(_ job: JobID) -> Bool {
    tiers.indices.contains(job.tier) && tiers[job.tier].jobs.indices.contains(job.index)
  }

  func attempt(_ job: JobID, _ number: Int) -> Attempt? {
    knows(job) && self[job].attempts.indices.contains(number - 1) ? self[job].attempts[number - 1] : nil
  }

  func extractor(_ job: JobID) -> ExtractorSpecification {
    specification.tiers[job.tier].extractors[self[job].extractor]
  }

  /// What the job's next attempt takes.
  func needs(_ job: JobID) -> Resources {
    var needs = extractor(job).resources
    needs.cpus = self[job].cpus ?? needs.cpus
    needs.memoryBytes = self[job].memoryBytes ?? needs.memoryBytes
    needs.requiresGPU = self[job].requiresGPU ?? needs.requiresGPU
    return needs
  }

  var isStarted: Bool { startedAt != nil && !status.isFinal && status != .paused }
  var runningTier: Int? { tiers.firstIndex { $0.status == .running } }
  var live: Int { tiers.reduce(0) { $0 + $1.jobs.count { $0.current != nil } } }

  func paused(until now: Instant) -> Duration { pausedFor + (pausedSince.map { now - $0 } ?? .zero) }
  func worked(until now: Instant) -> Duration { workedFor + (workingSince.map { now - $0 } ?? .zero) }

  /// When its timeout is over, if it is paused no more; nil where it has none.
  func deadline(at now: Instant) -> Instant? {
    guard let timeout = specification.timeout, let timeoutFrom else { return nil }
    return timeoutFrom + timeout + (paused(until: now) - pausedBefore)
  }

  /// How long a running attempt has run, pauses left out.
  func ran(_ attempt: Attempt, until now: Instant) -> Duration? {
    attempt.startedAt.map { now - $0 - (paused(until: now) - attempt.pausedBefore) }
  }
}

// What was said of a batch, and when: kept in its journal, so that an incident can be run through later rules.

/// What the rules said of a batch at one moment, in short.
public struct VerdictRecord: Hashable, Codable, Sendable {
  public var health: Health
  public var reason: HealthReason
  /// One sentence; empty where there is none.
  public var blockedReason: String
  /// The gravest first, at most `causesLimit`.
  public var causes: [VerdictCause]

  public static let causesLimit = 8

  public init(health: Health, reason: HealthReason, blockedReason: String = "", causes: [VerdictCause] = []) {
    self.health = health
    self.reason = reason
    self.blockedReason = blockedReason
    self.causes = causes
  }

  /// Nothing to say: all is well, or it just starts.
  public static let well = VerdictRecord(health: .ok, reason: .none)

  /// Whether it says the same; sentences with figures in them change all the time.
  public func isSame(as other: VerdictRecord) -> Bool {
    health == other.health && reason == other.reason && causes == other.causes
  }
}

/// One finding, in short.
public struct VerdictCause: Hashable, Codable, Sendable {
  public var category: FailureCategory?
  /// A failure cause's or a health reason's raw value.
  public var cause: String
  public var confidence: Confidence
  public var job: JobID?
  public var attempt: Int?
  /// The command that it advises, as a line: `mend retry b --tier 0 --memory 1GiB`; empty for none.
  public var remedy: String

  public init(
    category: FailureCategory?, cause: String, confidence: Confidence, job: JobID? = nil, attempt: Int? = nil,
    remedy: String
  ) {
    self.category = category
    self.cause = cause
    self.confidence = confidence
    self.job = job
    self.attempt = attempt
    self.remedy = remedy
  }
}

extension Batch {
  /// What is to be kept of the verdict at `now`. A batch that is well, or waits within its cold-start window, costs no
  /// diagnosis.
  public func verdict(
    at now: Instant, capacity: Capacity, limits: Limits, surroundings: Surroundings = Surroundings()
  ) -> VerdictRecord {
    let health = health(at: now, capacity: capacity, limits: limits, surroundings: surroundings)
    let isWell = health.health == .ok || health.health == .scaling
    let hasFailedAttempts = tiers.contains { tier in
      tier.jobs.contains { job in job.attempts.contains { $0.end?.cause != nil } }
    }
    if isWell, !hasFailures, !hasFailedAttempts { return .well }
    // No more is made than is kept: this is asked each second, of each batch that something failed in.
    let context = DiagnosisContext(
      batch: self, now: now, capacity: capacity, limits: limits, surroundings: surroundings)
    let causes = DiagnosisRule.findings(context, limit: VerdictRecord.causesLimit).findings.map { finding in
      VerdictCause(
        category: finding.category, cause: finding.cause, confidence: finding.confidence, job: finding.job,
        attempt: finding.attempt, remedy: finding.remedy?.commandLine(batchID: key.batchID) ?? "")
    }
    if isWell, causes.isEmpty { return .well }
    return VerdictRecord(
      health: isWell ? .ok : health.health, reason: isWell ? .none : health.reason,
      blockedReason: isWell ? "" : health.blockedReason ?? "", causes: causes)
  }
}

extension Core {
  /// Looks at the batches whose state moved since the last look, and records where the verdict turned.
  ///
  /// A driver calls it once a round, after the round's events and before it commits; a batch is looked at once per
  /// `Limits.verdictInterval`, and at once when it is final. What is put off is looked at with a later event or tick.
  public mutating func review(at now: Instant) -> Output {
    turn.now = now
    turn.cause = .diagnosis
    turn.actor = ""
    turn.output = Output()
    turn.touched.removeAll(keepingCapacity: true)
    turn.touchedSet.removeAll(keepingCapacity: turn.touchedSet.count < 64)
    var due = index.reviewsDue
    index.reviewsDue = []
    if now - index.putOffReviewedAt >= limits.verdictInterval {
      index.putOffReviewedAt = now
      due.formUnion(index.reviewsPutOff)
      index.reviewsPutOff = []
    }
    for key in due.sorted() { review(key) }
    for key in turn.touched { turn.output.afterCommit.append(.changed(key)) }
    if !turn.output.faults.isEmpty { dropWhatIsFaulty(of: .tick) }
    announceWake()
    return turn.output
  }

  private mutating func review(_ key: BatchKey) {
    guard let batch = batches[key], batch.status != .created else { return }
    if !batch.status.isFinal, let last = index.reviewedAt[key], turn.now - last < limits.verdictInterval {
      index.reviewsPutOff.insert(key)
      return
    }
    onBatch?(key)
    index.reviewedAt[key] = batch.status.isFinal ? nil : turn.now
    setTurn(of: key, to: batch.nextTurn(after: turn.now, limits: limits))
    let verdict = batch.verdict(
      at: turn.now, capacity: capacities.of(batch), limits: limits, surroundings: surroundings(of: batch))
    guard !verdict.isSame(as: batch.verdict ?? .well) else { return }
    let wasStuck = batch.verdict?.health == .stuck
    record(.verdictChanged(verdict), on: key)
    if verdict.health == .stuck, !wasStuck { notify(.stuck, of: key) }
  }

  /// The batch is looked at again then, whether or not anything happens to it.
  private mutating func setTurn(of key: BatchKey, to instant: Instant?) {
    guard index.turns[key] != instant else { return }
    index.turns[key] = instant
    if let instant { index.deadlines.insert(Deadline(at: instant, kind: .review, batch: key)) }
  }

  /// What health is judged by beside the batch itself; who holds what is for those who ask.
  func surroundings(of batch: Batch) -> Surroundings {
    let queue = index.lanes[batch.specification.executor]?.queue
    return Surroundings(
      namespaceUse: index.use(of: batch.key.namespace), started: index.started(in: batch.key.namespace),
      ahead: batch.queued.flatMap { queue?.position(of: $0) })
  }

  /// The batch is looked at in the next review.
  mutating func askForReview(_ key: BatchKey) { index.reviewsDue.insert(key) }
}

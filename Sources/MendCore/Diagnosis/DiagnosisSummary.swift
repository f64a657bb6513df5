// A short form of each diagnosis is kept in the journal, so that later rules can be compared with it.

/// A batch's health and the causes behind it at one moment, as the journal keeps them.
package struct DiagnosisSummary: Hashable, Codable, Sendable {
  package var health: Health
  package var reason: HealthReason
  /// One sentence; empty where there is none.
  package var blockedReason: String
  /// The gravest first, at most `causesLimit`.
  package var causes: [Cause]

  package static let causesLimit = 8

  package init(health: Health, reason: HealthReason, blockedReason: String = "", causes: [Cause] = []) {
    self.health = health
    self.reason = reason
    self.blockedReason = blockedReason
    self.causes = causes
  }

  /// The summary of a batch that is well, or is starting.
  package static let well = DiagnosisSummary(health: .ok, reason: .none)

  /// Whether it says the same. Sentences do not count: the figures in them change all the time.
  package func isSame(as other: DiagnosisSummary) -> Bool {
    health == other.health && reason == other.reason && causes.count == other.causes.count
      && zip(causes, other.causes).allSatisfy { $0.isSame(as: $1) }
  }
}

extension DiagnosisSummary: Described {
  package static let schemaName = "JournalVerdictRecord"
  package static var blank: DiagnosisSummary { .well }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.choice(1, "health", &health)
    try v.name(2, "reason", &reason, of: "health reason")
    try v.prose(3, "blocked_reason", &blockedReason)
    try v.messages(4, "causes", &causes)
  }
}

extension DiagnosisSummary {
  /// One finding, in short.
  package struct Cause: Hashable, Codable, Sendable, Described {
    package var category: FailureCategory?
    package var cause: FindingCause
    package var confidence: Confidence
    package var job: JobID?
    package var attempt: Int?
    package var remedy: Remedy.Call?
    /// What an earlier version advised, as a command line, to be shown. Empty where nothing was, or since `remedy` is kept.
    package var advised: String

    package init(
      category: FailureCategory?, cause: FindingCause, confidence: Confidence, job: JobID? = nil, attempt: Int? = nil,
      remedy: Remedy.Call? = nil, advised: String = ""
    ) {
      self.category = category
      self.cause = cause
      self.confidence = confidence
      self.job = job
      self.attempt = attempt
      self.remedy = remedy
      self.advised = advised
    }

    /// Of what an earlier version advised only the text is known: then the remedies are not compared.
    fileprivate func isSame(as other: Self) -> Bool {
      category == other.category && cause == other.cause && confidence == other.confidence && job == other.job
        && attempt == other.attempt
        && (remedy == other.remedy || !advised.isEmpty || !other.advised.isEmpty)
    }

    package static let schemaName = "JournalVerdictCause"
    package static var blank: Self { Self(category: nil, cause: .failure(.oom), confidence: .low) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.choice(1, "category", &category)
      try v.name(2, "cause", &cause, of: "cause")
      try v.choice(3, "confidence", &confidence)
      try v.message(4, "job", &job)
      try v.small(5, "attempt", &attempt)
      try v.prose(6, "remedy", &advised)
      try v.message(7, "remedy_call", &remedy)
    }
  }
}

extension Batch {
  /// The summary of the diagnosis at `now`. A batch that is well, or waits within its cold-start window, costs no
  /// diagnosis.
  package func diagnosisSummary(
    at now: Instant, capacity: Capacity, limits: Limits, batchContext: BatchContext = BatchContext()
  ) -> DiagnosisSummary {
    let health = health(at: now, capacity: capacity, limits: limits, batchContext: batchContext)
    let isWell = health.health == .ok || health.health == .scaling
    let hasFailedAttempts = tiers.contains { tier in
      tier.jobs.contains { job in job.attempts.contains { $0.end?.cause != nil } }
    }
    if isWell, !hasFailures, !hasFailedAttempts { return .well }
    // Makes no more findings than it keeps: each batch with a failure is reviewed every second.
    let context = DiagnosisContext(
      batch: self, now: now, capacity: capacity, limits: limits, batchContext: batchContext)
    let causes = DiagnosisRule.findings(context, limit: DiagnosisSummary.causesLimit).findings.map { finding in
      DiagnosisSummary.Cause(
        category: finding.category, cause: finding.cause, confidence: finding.confidence, job: finding.job,
        attempt: finding.attempt, remedy: finding.remedy?.call)
    }
    if isWell, causes.isEmpty { return .well }
    return DiagnosisSummary(
      health: isWell ? .ok : health.health, reason: isWell ? .none : health.reason,
      blockedReason: isWell ? "" : health.blockedReason ?? "", causes: causes)
  }
}

extension Core {
  /// Reviews the batches that changed since the last review, and records each summary that is another one.
  ///
  /// A driver calls it once a round, after the round's events and before it commits. A batch is reviewed once per
  /// `Limits.reviewInterval`, and at once when it is final. Others are reviewed with a later event or tick.
  package mutating func review(at now: Instant) -> Output {
    context.now = now
    context.cause = .diagnosis
    context.actor = ""
    context.output = Output()
    context.touched.removeAll(keepingCapacity: true)
    context.touchedSet.removeAll(keepingCapacity: context.touchedSet.count < 64)
    var due = index.reviewsDue
    index.reviewsDue = []
    if now - index.putOffReviewedAt >= limits.reviewInterval {
      index.putOffReviewedAt = now
      due.formUnion(index.reviewsPutOff)
      index.reviewsPutOff = []
    }
    for key in due.sorted() { review(key) }
    for key in context.touched { context.output.afterCommit.append(.changed(key)) }
    if !context.output.faults.isEmpty { dropWhatIsFaulty(of: .tick) }
    announceWake()
    return context.output
  }

  private mutating func review(_ key: BatchKey) {
    guard let batch = batches[key], batch.status != .created else { return }
    if !batch.status.isFinal, let last = index.reviewedAt[key], context.now - last < limits.reviewInterval {
      index.reviewsPutOff.insert(key)
      return
    }
    onBatch?(key)
    index.reviewedAt[key] = batch.status.isFinal ? nil : context.now
    setTurn(of: key, to: batch.nextTurn(after: context.now, limits: limits))
    let summary = batch.diagnosisSummary(
      at: context.now, capacity: capacities.of(batch), limits: limits, batchContext: batchContext(of: batch))
    guard !summary.isSame(as: batch.diagnosisSummary ?? .well) else { return }
    let wasStuck = batch.diagnosisSummary?.health == .stuck
    record(.verdictChanged(summary), on: key)
    if summary.health == .stuck, !wasStuck { notify(.stuck, of: key) }
  }

  /// Schedules a review of the batch, whether or not anything happens to it until then.
  private mutating func setTurn(of key: BatchKey, to instant: Instant?) {
    guard index.turns[key] != instant else { return }
    index.turns[key] = instant
    if let instant { index.deadlines.insert(Deadline(at: instant, kind: .review, batch: key)) }
  }

  /// The context that health is judged by. Who holds what is only computed for answers.
  func batchContext(of batch: Batch) -> BatchContext {
    let queue = index.lanes[batch.specification.executor]?.queue
    return BatchContext(
      namespaceUse: index.use(of: batch.key.namespace), started: index.started(in: batch.key.namespace),
      ahead: batch.queued.flatMap { queue?.position(of: $0) })
  }

  /// Makes the next review look at the batch.
  mutating func askForReview(_ key: BatchKey) { index.reviewsDue.insert(key) }
}

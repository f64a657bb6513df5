// Liveness is not progress: what one attempt looks like at one moment, and since when
// (<doc:Domain#Timers>).

/// The state of a live attempt at one check.
enum AttemptLook: Hashable {
  /// At the executor, not running yet, inside its start window.
  case starting(since: Instant)
  /// Running, and moving within its timers.
  case working
  /// Being ended on purpose.
  case ending(since: Instant)
  /// Past one of its timers; `since` is its last real progress.
  case stalled(FailureCause, since: Instant)
  /// Unknown: it reports nothing, and the server does not have the executor that could be asked.
  case unknown
}

extension Batch {
  /// Attempts that look stuck now: the first of two checks. The caller sets `Attempt.suspectedSince` of those named
  /// (where it is nil) and clears it of all others.
  ///
  /// Empty unless the batch is RUNNING: a pause stops claims, so silence in it means nothing. In the order of jobs.
  package func suspicions(at now: Instant, limits: Limits) -> [(JobID, number: Int, FailureCause)] {
    guard status == .running else { return [] }
    var found: [(JobID, number: Int, FailureCause)] = []
    for tier in tiers where tier.status == .running {
      for job in tier.jobs where !job.status.isFinal {
        guard let attempt = job.current else { continue }
        if case .stalled(let cause, _) = look(at: attempt, of: job, at: now, limits: limits) {
          found.append((job.id, number: attempt.number, cause))
        }
      }
    }
    return found
  }

  /// One look at one attempt. Slow is not stuck: any document or stage within the progress timer clears it.
  ///
  /// What is past its progress timer is called silent only once the silence is past its own by the time of a second look:
  /// one late beat does not change what it is stuck for.
  func look(at attempt: Attempt, of job: Job, at now: Instant, limits: Limits) -> AttemptLook {
    let look = lookBlindly(at: attempt, of: job, at: now, limits: limits)
    if outage?.isConfigured == false, case .stalled = look { return .unknown }
    return look
  }

  private func lookBlindly(at attempt: Attempt, of job: Job, at now: Instant, limits: Limits) -> AttemptLook {
    let timers = job.specified(in: self)?.timers ?? Timers()
    switch attempt.state {
    case .intended, .starting:
      // Whether it has started cannot be known of an executor that cannot be asked.
      return outage == nil && now >= attempt.startDeadline(timers)
        ? .stalled(.startTimeout, since: attempt.intendedAt) : .starting(since: attempt.intendedAt)
    case .ending(_, let since):
      return .ending(since: since)
    case .ended:
      return .working
    case .running:
      let start = attempt.startedAt ?? attempt.intendedAt
      let idle = idleSince(attempt, of: job, timers, at: now)
      if owesHeartbeats(attempt, timers) {
        let silence = now - max(attempt.lastHeartbeatAt, start)
        if silence >= timers.heartbeat + (idle == nil ? .zero : limits.stuckConfirmation) {
          return .stalled(.heartbeatTimeout, since: attempt.idleFrom)
        }
      }
      return idle.map { .stalled(.progressTimeout, since: $0) } ?? .working
    }
  }

  /// Since when it has made no progress, if that is longer than its progress timer; nil otherwise.
  private func idleSince(_ attempt: Attempt, of job: Job, _ timers: Timers, at now: Instant) -> Instant? {
    let progress = attempt.idleFrom
    guard let allowed = progressTimer(of: attempt, timers), now - progress >= allowed, !waitsForItsTurn(job) else {
      return nil
    }
    // Only now, because it looks through the history: the time of a pause does not count.
    let since = max(progress, lastChange())
    return now - since >= allowed ? since : nil
  }

  /// How long it may go without a document or a stage; nil for an entrypoint that tells nothing of its documents, and
  /// whose author set no time: it may say a stage and work on for as long as that takes.
  func progressTimer(of attempt: Attempt, _ timers: Timers) -> Duration? {
    if case .documentCommand = attempt.parameters.work { return timers.progress }
    return attempt.tellsDocuments || attempt.hasBeaten ? timers.progress : timers.setProgress
  }

  /// Whether a stalled attempt was found stalled at an earlier check, too, long enough ago.
  func isConfirmed(_ attempt: Attempt, at now: Instant, limits: Limits) -> Bool {
    attempt.suspectedSince.map { now - $0 >= limits.stuckConfirmation } ?? false
  }

  /// The built-in worker does, a worker that has claimed or beaten, and anybody whose author set how long it may be silent. An
  /// entrypoint that says a stage once and works on owes only its end.
  func owesHeartbeats(_ attempt: Attempt, _ timers: Timers) -> Bool {
    if case .documentCommand = attempt.parameters.work { return true }
    return attempt.hasBeaten || timers.setHeartbeat != nil
  }

  /// It has documents left and none in process because other attempts use up max_concurrent.
  ///
  /// A document that two extractors have in process counts twice, as it does where claims are bounded.
  private func waitsForItsTurn(_ job: Job) -> Bool {
    specification.maxConcurrent > 0 && job.processing.isEmpty && job.pendingCount > 0
      && processingCounts.values.reduce(0, +) >= specification.maxConcurrent
  }

  /// When the batch last changed its state, as far as the recent history goes; else when it was made.
  func lastChange() -> Instant { recentChanges.last { $0.subject == .batch }?.at ?? createdAt }
}

extension Attempt {
  /// How long an executor has to say what became of an attempt after a restart or an outage.
  static let adoptionGrace: Duration = .seconds(60)

  /// The cold-start window: the caller's own, else what was learnt.
  func startWindow(_ timers: Timers) -> Duration { parameters.startWindow ?? timers.start }

  /// Past this it counts as stuck in its start.
  func startDeadline(_ timers: Timers) -> Instant {
    max(intendedAt + startWindow(timers), adoptedAt.map { $0 + Self.adoptionGrace } ?? intendedAt)
  }
}

extension Job {
  /// What the caller specified for it; nil for a job that the specification does not know.
  package func specified(in batch: Batch) -> ExtractorSpecification? {
    guard batch.specification.tiers.indices.contains(id.tier) else { return nil }
    let extractors = batch.specification.tiers[id.tier].extractors
    return extractors.indices.contains(extractor) ? extractors[extractor] : nil
  }

  /// `job t0-j0 (text)`: how sentences name it.
  func title(in batch: Batch) -> String {
    specified(in: batch).map { "job \(id) (\($0.name))" } ?? "job \(id)"
  }

  /// What its next attempt would ask for: the specification, Retry's changes laid over it.
  func resourcesAsked(in batch: Batch) -> Resources {
    (specified(in: batch)?.resources ?? Resources()).changed(by: overrides)
  }
}

// Health at a glance (<doc:Domain#Health>). One pass over the jobs of the tiers; documents are never walked.

extension Batch {
  /// OK, SCALING, STUCK or DEGRADED, with the first reason that applies in the order of `HealthReason`.
  ///
  /// An attempt counts as stuck at the second look only: it was named by `suspicions` at least
  /// `limits.stuckConfirmation` ago (`Attempt.suspectedSince`), and it still is so now.
  package func health(
    at now: Instant, capacity: Capacity, limits: Limits, batchContext: BatchContext = BatchContext()
  ) -> HealthReport {
    if !status.isFinal, let report = heldUp(by: batchContext.server, at: now) { return report }
    let room = Room(capacity: capacity, quota: limits.quota(of: key.namespace), batchContext: batchContext)
    switch status {
    case .created:
      return notConfigured(at: now) ?? unschedulable(at: now, room) ?? HealthReport(.ok)
    case .queued:
      return notConfigured(at: now) ?? unschedulable(at: now, room) ?? queueHealth(at: now, room, limits: limits)
    case .paused:
      return HealthReport(.ok, .paused, blockedReason: pausedSentence(at: now))
    case .running:
      return runningHealth(at: now, room, limits: limits)
    case .completed, .failed, .cancelled:
      return settledHealth
    }
  }

  /// The server's own trouble comes first: nothing changes until it can be recorded.
  private func heldUp(by server: ServerState, at now: Instant) -> HealthReport? {
    if let copy = server.copy {
      return HealthReport(.stuck, .copy, blockedReason: "copy: \(copy)", stuckFor: now - lastActivityAt)
    }
    guard let store = server.outage else { return nil }
    return HealthReport(
      .stuck, .storeFull,
      blockedReason: "store_full: the server's journal cannot be written for \(Figures.seconds(now - store.since)): "
        + store.message, stuckFor: now - lastActivityAt)
  }

  /// The health of a batch in which nothing is stuck and nothing waits.
  private var settledHealth: HealthReport {
    guard hasFailures else {
      // Nothing failed, but some documents were left out.
      return hasLeftOutDocuments ? HealthReport(.degraded, .partialFailures) : HealthReport(.ok)
    }
    var reason = HealthReason.partialFailures
    for tier in tiers {
      for job in tier.jobs where job.status == .failed {
        if job.isMisconfigured {
          reason = .misconfigured
        } else if job.isDisputed, reason != .misconfigured {
          reason = .disputed
        }
      }
    }
    return HealthReport(.degraded, reason)
  }

  /// The health of a batch that has not started and never can with this capacity; nil if it can.
  private func unschedulable(at now: Instant, _ room: Room) -> HealthReport? {
    for tier in tiers {
      for job in tier.jobs {
        if let (reason, why) = room.whyNeverSchedulable(job.resourcesAsked(in: self), in: key.namespace) {
          return HealthReport(
            .stuck, reason, blockedReason: "\(reason.rawValue): \(job.title(in: self)): \(why)",
            stuckFor: now - lastActivityAt)
        }
      }
    }
    return nil
  }

  /// The health of a batch whose executor the server was started without. The batch waits and loses nothing.
  private func notConfigured(at now: Instant) -> HealthReport? {
    guard let outage, !outage.isConfigured else { return nil }
    return HealthReport(
      .stuck, .executorNotConfigured, blockedReason: "executor_not_configured: \(outage.message)",
      stuckFor: now - lastActivityAt)
  }

  private func queueHealth(at now: Instant, _ room: Room, limits: Limits) -> HealthReport {
    if let outage, now - outage.since < limits.unreachableGrace { return HealthReport(.ok, .executorUnreachable) }
    if let outage { return unreachable(outage, since: outage.since, at: now, limits: limits) }
    guard let job = tiers.first(where: { $0.status != .completed })?.jobs.first(where: { $0.status == .pending }) else {
      return HealthReport(.ok, .waitingForCapacity)
    }
    // It is not stuck, however long it waits: its turn comes when other batches end.
    return HealthReport(.ok, room.reason(ofWaitFor: job.resourcesAsked(in: self), isQueued: true))
  }

  private func unreachable(
    _ outage: ExecutorOutage, since: Instant, at now: Instant, limits: Limits
  ) -> HealthReport {
    HealthReport(
      .stuck, .executorUnreachable,
      blockedReason: "executor_unreachable: the \(outage.executor.rawValue) executor could not be asked for "
        + "\(Figures.seconds(now - outage.since)), \(Figures.seconds(limits.unreachableGrace)) is its grace: "
        + outage.message,
      stuckFor: now - since)
  }

  private func runningHealth(at now: Instant, _ room: Room, limits: Limits) -> HealthReport {
    let survey = surveyJobs(at: now, room, limits: limits)
    var blocks = survey.stuck
    // While another job of the batch makes progress, a job that waits for capacity only waits for that one.
    if !survey.somethingWorks { blocks += survey.overdue }
    // Unreachable is not failed: workers that can still report keep the batch going, and a grace period passes first.
    if !survey.somethingWorks, let report = notConfigured(at: now) { return report }
    if let outage, !survey.somethingWorks, now - outage.since >= limits.unreachableGrace {
      let report = unreachable(outage, since: max(outage.since, lastActivityAt), at: now, limits: limits)
      blocks.append(
        Block(
          kind: .unreachable, reason: .executorUnreachable, sentence: report.blockedReason ?? "",
          since: max(outage.since, lastActivityAt)))
    }
    if let first = blocks.min(by: Block.comesBefore) {
      let others = blocks.count - 1
      return HealthReport(
        .stuck, first.reason,
        blockedReason: others == 0 ? first.sentence : first.sentence + "; and \(others) more",
        stuckFor: now - (blocks.map(\.since).min() ?? first.since), blocks: blocks)
    }
    let settled = settledHealth
    if let outage {
      let reason = outage.isConfigured ? HealthReason.executorUnreachable : .executorNotConfigured
      return settled.health == .ok ? HealthReport(.ok, reason) : settled
    }
    guard !survey.somethingWorks, let first = survey.waiting.min(by: Block.comesBefore) else { return settled }
    // A batch that waits and has made no progress yet is in its cold start. Later the same wait is ordinary.
    guard survey.progressed else { return HealthReport(.scaling, first.reason, blockedReason: first.sentence) }
    return settled.health == .ok ? HealthReport(.ok, first.reason) : settled
  }
}

/// What one pass over a running batch's jobs found.
struct Survey: Hashable {
  /// Attempts that two checks found stalled, and jobs that can never start.
  var stuck: [Block] = []
  /// Jobs that have waited for room past their window.
  var overdue: [Block] = []
  /// Jobs that wait for capacity or for their start, within their window.
  var waiting: [Block] = []
  /// An attempt runs and is not stuck, or is being ended, or a job waits for its next attempt.
  var somethingWorks = false
  /// A document or a stage of an active tier moved.
  var progressed = false
}

extension Batch {
  func surveyJobs(at now: Instant, _ room: Room, limits: Limits) -> Survey {
    var survey = Survey()
    var changes = LatestChanges()
    for tier in tiers where tier.status == .running {
      survey.progressed = survey.progressed || tier.hasProgress
      for job in tier.jobs where !job.status.isFinal {
        if let attempt = job.current {
          surveyAttempt(attempt, of: job, at: now, room, limits: limits, into: &survey)
        } else if let next = job.nextAttemptAt, next > now {
          survey.somethingWorks = true
        } else {
          surveyWaiting(job, of: tier, at: now, room, &changes, into: &survey)
        }
      }
    }
    return survey
  }

  private func surveyAttempt(
    _ attempt: Attempt, of job: Job, at now: Instant, _ room: Room, limits: Limits, into survey: inout Survey
  ) {
    switch look(at: attempt, of: job, at: now, limits: limits) {
    case .ending(let since) where now >= attempt.endIsOverdue(from: since, limits: limits):
      // Its remedy is reclaim_orphans: detect_stuck would only ask it to end once more.
      survey.stuck.append(
        Block(
          kind: .overdueEnd(job.id, number: attempt.number), reason: .noProgress,
          sentence: overdueEndSentence(attempt, of: job, since: since, at: now), since: since))
    case .ending where outage.map({ now - $0.since >= limits.unreachableGrace }) == true:
      // It was given up with its executor: its end may never be reported.
      break
    case .working, .ending:
      survey.somethingWorks = true
    case .unknown:
      break
    case .starting(let since):
      survey.waiting.append(
        Block(
          kind: .starting(job.id), reason: .coldStart,
          sentence: coldStartSentence(job, since: since, at: now, on: room.capacity.traits), since: since))
    case .stalled(let cause, let since):
      let sentence = stallSentence(attempt, of: job, cause: cause, since: since, at: now)
      let stuck = StuckAttempt(job: job.id, number: attempt.number, cause: cause, since: since)
      let block = Block(kind: .stalled(stuck), reason: HealthReason(stall: cause), sentence: sentence, since: since)
      if isConfirmed(attempt, at: now, limits: limits) {
        survey.stuck.append(block)
      } else if cause == .startTimeout {
        survey.waiting.append(block)
      } else {
        survey.somethingWorks = true
      }
    }
  }

  /// Since when a job without an attempt has waited for room.
  func waitsSince(
    _ job: Job, of tier: Tier, window: Duration, at now: Instant, _ changes: inout LatestChanges
  ) -> Instant {
    var since = max(tier.startedAt ?? startedAt ?? createdAt, job.attempts.last?.end?.at ?? createdAt)
    if let backedOff = job.nextAttemptAt { since = max(since, backedOff) }
    // A retry or the end of a pause starts the window again. The history is read only if that could matter.
    if now - since >= window { since = max(since, changes.latest(of: job.id, in: self)) }
    return since
  }

  private func surveyWaiting(
    _ job: Job, of tier: Tier, at now: Instant, _ room: Room, _ changes: inout LatestChanges,
    into survey: inout Survey
  ) {
    if let (reason, why) = room.whyNeverSchedulable(job.resourcesAsked(in: self), in: key.namespace) {
      survey.stuck.append(
        Block(
          kind: .neverSchedulable(job.id), reason: reason,
          sentence: "\(reason.rawValue): \(job.title(in: self)): \(why)",
          since: max(lastActivityAt, tier.startedAt ?? createdAt)))
      return
    }
    let window = job.specified(in: self)?.timers.start ?? Timers.defaultStart
    let since = waitsSince(job, of: tier, window: window, at: now, &changes)
    let isTooLong = now - since >= window
    let block = Block(
      kind: isTooLong ? .waitedTooLong(job.id) : .waiting(job.id),
      reason: room.reason(ofWaitFor: job.resourcesAsked(in: self), isQueued: false),
      sentence: waitingSentence(job, since: since, window: window, at: now, room), since: since)
    if isTooLong { survey.overdue.append(block) } else { survey.waiting.append(block) }
  }
}

/// When jobs, their tiers and the batch last changed their state, as far as the recent history goes: one pass over it,
/// however many jobs are asked for.
struct LatestChanges {
  private var latest: [StateChange.Subject: Instant]?

  /// Of the job, its tier or its batch; else when the batch was made.
  mutating func latest(of job: JobID, in batch: Batch) -> Instant {
    let known = latest ?? Dictionary(batch.recentChanges.lazy.map { ($0.subject, $0.at) }) { _, newer in newer }
    latest = known
    return [StateChange.Subject.batch, .tier(job.tier), .job(job)].lazy.compactMap { known[$0] }.max()
      ?? batch.createdAt
  }
}

extension Tier {
  var hasProgress: Bool {
    !done.isEmpty || !failed.isEmpty
      || jobs.contains {
        !$0.committed.isEmpty || !$0.failed.isEmpty || !$0.stages.isEmpty || $0.current?.stage != nil
      }
  }
}

extension HealthReason {
  /// The reason that a stalled attempt's timer stands for.
  init(stall cause: FailureCause) {
    self =
      switch cause {
      case .startTimeout: .coldStart
      case .heartbeatTimeout: .noHeartbeat
      default: .noProgress
      }
  }
}

extension Job {
  /// Its command cannot be started as it is written; only a change of the command helps.
  var isMisconfigured: Bool {
    if failure?.cause == .entrypointNotFound { return true }
    guard failure?.cause == .documentErrors, let first = failed.next(from: 0) else { return false }
    return errors[first]?.code == .failure(.entrypointNotFound)
  }

  /// The executor and the ledger disagree about its last attempt: exit 0 with documents not accounted for, or
  /// another end although every document is committed.
  var isDisputed: Bool {
    guard status == .failed, let end = attempts.last?.end, let exit = end.exit else { return false }
    if exit.termination == .exited(0) {
      // The ledger is noted as evidence only where it disagrees.
      return pendingCount > 0 || end.cause == .documentErrors || end.evidence.contains { $0.observer == .ledger }
    }
    return !assigned.isEmpty && committed.count == assigned.count
  }
}

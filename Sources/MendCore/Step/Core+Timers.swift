// What time alone brings about. Start, heartbeat and progress only raise a suspicion; run and batch timers end
// attempts.

extension Core {
  /// Handles all deadlines that are due. A deadline is a reminder: whether it still holds is checked again.
  mutating func fireDeadlines() {
    answers.forget(at: context.now)
    while let first = index.deadlines.first, first.at <= context.now, let deadline = index.deadlines.popFirst() {
      if !deadline.batch.batchID.isEmpty { onBatch?(deadline.batch) }
      switch deadline.kind {
      case .attemptCheck:
        let attempt = AttemptKey(batch: deadline.batch, job: deadline.job, number: deadline.number)
        if index.checks[attempt] == deadline.at { check(attempt) }
      case .backoff:
        index.waits[deadline.batch] = nil
        enqueue(deadline.batch)
        context.schedulingIsDue = true
      case .batchTimeout:
        endAtBatchTimeout(deadline.batch)
      case .cancelTimeout:
        context.cancelsAreDue = true
      case .outage:
        giveUpUnreachable()
      case .autoHeal:
        endStallsByRule(deadline.batch)
        healByItself(deadline.batch)
      case .retire:
        askToRetire(deadline.batch, due: deadline.at)
      case .review:
        guard index.turns[deadline.batch] == deadline.at else { continue }
        index.turns[deadline.batch] = nil
        askForReview(deadline.batch)
      case .schedule:
        context.schedulingIsDue = true
      }
    }
  }

  /// Deadlines of what is over are taken out once they are as many as the others: what was set for twenty minutes, and
  /// over in one second, would stay for the rest otherwise.
  mutating func trimDeadlines() {
    guard index.deadlines.count > index.deadlinesLimit else { return }
    var seen: Set<Deadline> = []
    var deadlines = index.deadlines
    deadlines.keep { holds($0) && seen.insert($0).inserted }
    index.deadlines = deadlines
    index.deadlinesLimit = max(CoreIndex.deadlinesLimitLeast, index.deadlines.count * 2)
  }

  private func holds(_ deadline: Deadline) -> Bool {
    let batch = batches[deadline.batch]
    switch deadline.kind {
    case .attemptCheck:
      let attempt = AttemptKey(batch: deadline.batch, job: deadline.job, number: deadline.number)
      return index.checks[attempt] == deadline.at
    case .backoff:
      return batch?.tiers[deadline.job]?.nextAttemptAt == deadline.at
    case .batchTimeout:
      return batch.map { !$0.status.isFinal && $0.timeoutAt == deadline.at } ?? false
    case .cancelTimeout:
      return cancels.contains { $0.deadline == deadline.at && $0.batch == deadline.batch }
    case .outage:
      return index.lanes.values.contains {
        $0.outage.map { $0.since + limits.unreachableGrace == deadline.at } ?? false
      }
    case .autoHeal:
      guard let batch, batch.status != .completed, batch.status != .cancelled else { return false }
      if index.ruledStalls.contains(batch.key) { return true }
      return batch.specification.autoHeal.map { batch.autoHeals < $0.maxHeals } ?? false
    case .retire:
      guard let batch, batch.status.isFinal else { return false }
      return (batch.completedAt ?? batch.updatedAt) + limits.retireAfter == deadline.at
    case .review:
      return index.turns[deadline.batch] == deadline.at
    case .schedule:
      return true
    }
  }

  /// Sets the attempt's next check, which replaces an earlier one.
  mutating func watch(_ attempt: AttemptKey) {
    guard let due = nextCheck(of: attempt) else {
      index.checks[attempt] = nil
      return
    }
    // Never twice at one instant: a look that changes nothing now will change nothing in the same millisecond.
    let at = max(due, context.now + .milliseconds(1))
    guard index.checks[attempt] != at else { return }
    index.checks[attempt] = at
    index.deadlines.insert(
      Deadline(at: at, kind: .attemptCheck, batch: attempt.batch, job: attempt.job, number: attempt.number))
  }

  /// When the attempt is to be checked next, as far as is known now. Signs of life only make it later.
  private func nextCheck(of attempt: AttemptKey) -> Instant? {
    guard let batch = batches[attempt.batch], let job = batch.tiers[attempt.job],
      let place = batch.attemptIndex(attempt.job, attempt.number)
    else { return nil }
    let state = job.attempts[place]
    // Nothing is held against what nobody can look at.
    guard capacities[state.parameters.executor] != nil else { return nil }
    let timers = batch.extractorSpecification(of: attempt.job).timers
    switch state.state {
    case .ended, .ending:
      return nil
    case .intended, .starting:
      return next(state, [state.startDeadline(timers)])
    case .running:
      let started = state.startedAt ?? state.intendedAt
      var due: [Instant] = []
      if let progress = batch.progressTimer(of: state, timers) {
        due.append(state.idleFrom + progress)
      }
      if batch.owesHeartbeats(state, timers) { due.append(max(state.lastHeartbeatAt, started) + timers.heartbeat) }
      if batch.status != .paused, let run = state.runDeadline { due.append(run) }
      return due.isEmpty ? nil : next(state, due)
    }
  }

  /// The first that is still to come; a suspicion, and a timer that is past, are looked at again soon.
  private func next(_ attempt: Attempt, _ due: [Instant]) -> Instant {
    let pastIsLookedAtAgain = context.now + max(limits.stuckConfirmation, .milliseconds(100))
    let ahead = due.map { $0 > context.now ? $0 : pastIsLookedAtAgain }.min() ?? .distantFuture
    return attempt.suspectedSince == nil ? ahead : min(ahead, pastIsLookedAtAgain)
  }

  /// Attempts are held to their windows from now on, as after a restart: what they did meanwhile was not seen, or they
  /// could not do anything.
  ///
  /// Their run timers, the timeouts of all batches that are not over, and the grace of executors that could not be asked
  /// move by the gap. After a restart those count from the journal again, which
  /// does not know of it.
  mutating func forgive(_ gap: Duration) {
    for key in batches.keys.sorted() where batches[key]?.status.isFinal == false {
      // A pause's clocks stand still already.
      guard batches[key]?.pausedAt == nil, let from = batches[key]?.timeoutFrom else { continue }
      batches[key]?.timeoutFrom = from + gap
      index.waits[key] = nil
      setBatchTimeout(key)
    }
    forgiveOutages(gap)
    for attempt in index.live.sorted() {
      guard let place = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) else { continue }
      let (tier, job) = (attempt.job.tier, attempt.job.index)
      batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].lastHeartbeatAt = context.now
      batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].adoptedAt = context.now
      batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].suspectedSince = nil
      if batches[attempt.batch]?.pausedAt == nil {
        batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].pausedFor += gap
      }
      touch(attempt.batch)
      watch(attempt)
    }
  }

  /// Checks one attempt: its run timer, and whether it stalls.
  private mutating func check(_ attempt: AttemptKey) {
    index.checks[attempt] = nil
    guard let batch = batches[attempt.batch], let job = batch.tiers[attempt.job],
      let place = batch.attemptIndex(attempt.job, attempt.number), !job.attempts[place].state.isOver
    else { return }
    let state = job.attempts[place]
    if case .running = state.state, batch.status != .paused, let run = state.runDeadline, run <= context.now {
      askToEnd(attempt, .runTimeout, grace: limits.defaultGrace)
      return
    }
    let look = batch.look(at: state, of: job, at: context.now, limits: limits)
    let stalled = if case .stalled = look { batch.status == .running } else { false }
    // Who was asked already, and has not answered, is not asked again: two times "I do not have it" would be a launch, and
    // then the loss of what was launched.
    if stalled, state.suspectedSince == nil, case .stalled(.startTimeout, _) = look,
      !index.doubtful.contains(attempt), let launch = launch(of: attempt)
    {
      // That it was taken, or runs, may have been said and lost; an entrypoint that never reports is not heard of otherwise.
      perform(.adopt(attempt, state.handle, launch))
    }
    if stalled, case .running = state.state { perform(.look(attempt, on: executor(of: attempt.batch))) }
    mark(attempt, place, stalled: stalled, since: state.suspectedSince)
    watch(attempt)
  }

  private mutating func mark(_ attempt: AttemptKey, _ place: Int, stalled: Bool, since: Instant?) {
    let mark: Instant? = stalled ? since ?? context.now : nil
    // The second look is news as well: health turns when the suspicion is confirmed.
    let isJustConfirmed = mark.map { mark in
      let age = context.now - mark
      return age >= limits.stuckConfirmation && age < limits.stuckConfirmation * 2 + .seconds(1)
    }
    guard mark != since || isJustConfirmed == true else { return }
    if let mark { considerHealing(attempt.batch, at: max(context.now, mark + limits.stuckConfirmation)) }
    batches[attempt.batch]?.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[place].suspectedSince = mark
    touch(attempt.batch)
    askForReview(attempt.batch)
  }

  /// Ends a batch that is past its timeout, as failed.
  mutating func endAtBatchTimeout(_ key: BatchKey) {
    guard let batch = batches[key], !batch.status.isFinal, batch.isPastTimeout(at: context.now) else { return }
    let message = batch.timeoutSentence
    guard let number = batch.tiers.firstIndex(where: { $0.status != .completed }) else { return }
    if batch.tiers[number].status == .pending {
      // Nothing of it ran: it fails where it stands.
      record(.tierStatusChanged(.init(tier: number, .failed, reason: message)), on: key)
      failPending(batch.tiers[number], on: key, message)
      record(.batchStatusChanged(.init(.failed, reason: message)), on: key)
      return
    }
    failPending(batch.tiers[number], on: key, message)
    // An attempt that is being ended already is not run again when it is gone.
    for job in batch.tiers[number].jobs {
      guard let attempt = job.current, !attempt.state.isEnding else { continue }
      askToEnd(
        AttemptKey(batch: key, job: job.id, number: attempt.number), .batchTimeout, grace: limits.defaultGrace)
    }
    advance(key)
  }

  private mutating func failPending(_ tier: Tier, on key: BatchKey, _ message: String) {
    let failure = Job.Failure(cause: .batchTimeout, confidence: .high, message: message)
    for job in tier.jobs where job.status == .pending {
      record(.jobStatusChanged(.init(job.id, .failed, failure: failure, reason: failure.cause.rawValue)), on: key)
    }
  }

  /// A deadline that passed while an attempt was being ended is kept: its job is not run again. True where it passed.
  mutating func failPastTimeout(_ job: JobID, on key: BatchKey) -> Bool {
    guard let batch = batches[key], batch.isPastTimeout(at: context.now) else { return false }
    let failure = Job.Failure(cause: .batchTimeout, confidence: .high, message: batch.timeoutSentence)
    record(.jobStatusChanged(.init(job, .failed, failure: failure, reason: failure.cause.rawValue)), on: key)
    return true
  }

  private mutating func askToRetire(_ key: BatchKey, due: Instant) {
    guard let batch = batches[key], batch.status.isFinal, let completedAt = batch.completedAt,
      completedAt + limits.retireAfter <= context.now
    else { return }
    perform(.retire(key))
  }
}

extension Batch {
  fileprivate var timeoutSentence: String {
    "the batch was past its timeout of \((specification.timeout ?? .zero).inSeconds) s"
  }
}

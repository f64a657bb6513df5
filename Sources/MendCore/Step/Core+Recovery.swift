// From the journal back to where it was.

extension Core {
  /// Folds one batch's whole journal, in order, into a batch; nothing where it is in memory already. No output: the
  /// `recovered` event, or the next command, goes on from here.
  package mutating func restore(_ records: [Record]) throws(RecordFault) {
    if let batch = try Batch.folding(records) { restore(batch) }
  }

  /// Takes in a batch that was folded from its journal already.
  package mutating func restore(_ batch: Batch) {
    let key = batch.key
    guard batches[key] == nil else { return }
    batches[key] = batch
    index.waits[key] = nil
    index.specifications.add(batch)
    index.documents.change(key.namespace, by: batch.documentBytes)
    if batch.specification.hasRulesForStalls { index.ruledStalls.insert(key) }
    if !batch.status.isFinal { index.liveBatches += 1 }
    let executor = batch.specification.executor
    if batch.isStarted {
      index.lanes[executor, default: .init()].queue.countStarted(1, in: key.namespace)
    }
    if batch.status.isFinal {
      index.deadlines.insert(
        Deadline(at: (batch.completedAt ?? batch.updatedAt) + limits.retireAfter, kind: .retire, batch: key))
    }
    if batch.submittedAt != nil && !batch.status.isFinal { setBatchTimeout(key) }
    for tier in batch.tiers {
      for job in tier.jobs { restore(job, of: key) }
    }
  }

  private mutating func restore(_ job: Job, of key: BatchKey) {
    for attempt in job.attempts {
      let name = AttemptKey(batch: key, job: job.id, number: attempt.number)
      index.tokens[attempt.token] = name
      guard attempt.isCurrent else { continue }
      index.live.insert(name)
      hold(attempt.parameters, for: key.namespace, since: attempt.intendedAt)
    }
    if let at = job.nextAttemptAt { index.deadlines.insert(Deadline(at: at, kind: .backoff, batch: key, job: job.id)) }
  }

  /// Lets a final batch go from memory; false, and no change, when it is not final (any more).
  @discardableResult
  package mutating func retire(_ key: BatchKey) -> Bool {
    guard let batch = batches[key], batch.status.isFinal, !cancels.contains(where: { $0.batch == key }) else {
      return false
    }
    forget(batch)
    return true
  }

  /// Takes a batch out of memory. What its live attempts hold of the executor stays taken.
  mutating func forget(_ batch: Batch) {
    let key = batch.key
    for tier in batch.tiers {
      for job in tier.jobs {
        for attempt in job.attempts { index.tokens[attempt.token] = nil }
      }
    }
    let executor = batch.specification.executor
    batches[key] = nil
    index.waits[key] = nil
    index.specifications.remove(batch)
    index.documents.change(key.namespace, by: -batch.documentBytes)
    index.ruledStalls.remove(key)
    index.submissions[key] = nil
    index.lanes[executor]?.queue.remove(key, capacities.of(executor))
    index.reviewsDue.remove(key)
    index.reviewsPutOff.remove(key)
    index.reviewedAt[key] = nil
    index.turns[key] = nil
  }

  /// After the journals are back: live attempts are handed to the executor, and the scheduler goes on.
  mutating func recoverAttempts() {
    let bySubmission = batches.values.filter { $0.submittedAt != nil && index.submissions[$0.key] == nil }
      .map { (at: $0.submittedAt ?? $0.createdAt, key: $0.key) }
      .sorted { ($0.at, $0.key) < ($1.at, $1.key) }
    for (_, key) in bySubmission { numberSubmission(key) }
    for attempt in index.live.sorted() { adopt(attempt) }
    beginOutages()
    for key in batches.keys.sorted() {
      advance(key)
      enqueue(key)
      // What time did meanwhile is to be said.
      if batches[key]?.status.isFinal == false { askForReview(key) }
      considerHealing(key, at: context.now + Attempt.adoptionGrace)
    }
    context.schedulingIsDue = true
  }

  private mutating func adopt(_ attempt: AttemptKey) {
    guard let place = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number),
      let launch = launch(of: attempt)
    else { return }
    guard server.owns(launch.parameters.server) else {
      // Nobody here may touch it, and nothing of it can come here any more.
      let why = "it was begun from the data directory that this one is a copy of, and is that one's"
      return end(attempt, EndReport(executorCause: .orphaned, executorMessage: why))
    }
    let (tier, job) = (attempt.job.tier, attempt.job.index)
    batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].lastHeartbeatAt = context.now
    batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].adoptedAt = context.now
    touch(attempt.batch)
    switch state(of: attempt) {
    case .ending:
      orderEnd(of: attempt)
    case .intended:
      index.doubtful.insert(attempt)
      perform(.adopt(attempt, handle(of: attempt), launch))
    case .starting, .running:
      perform(.adopt(attempt, handle(of: attempt), launch))
    case .ended, nil:
      return
    }
    watch(attempt)
  }
}

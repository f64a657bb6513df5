// Which job starts next: fair between namespaces, by priority and age within one, as far as there is room.

extension Core {
  /// Starts what can start. Costs what it starts and what it looks past, not what waits.
  ///
  /// - Parameter subjects: how many of the touched batches the event was about; all of them where that is not said.
  mutating func schedule(beside subjects: Int? = nil) {
    if turn.cause != Cause.clock, turn.cause != Cause.recovery { turn.subjects = subjects ?? turn.touched.count }
    defer { turn.subjects = nil }
    repeat {
      turn.schedulingIsDue = false
      for key in turn.touched { enqueue(key) }
      // Who has waited longest goes first: quotas are of a namespace, whatever it runs on.
      let heads = index.lanes.compactMap { executor, lane in lane.queue.first.map { (head: $0, executor: executor) } }
      for (_, executor) in heads.sorted(by: { $0.head < $1.head }) { turnOf(executor) }
      // A job that was over at once may have started the next tier.
    } while turn.schedulingIsDue
  }

  private mutating func turnOf(_ executor: ExecutorKind) {
    guard let outage = index.lanes[executor]?.outage else { return pass(on: executor) }
    // Nothing new is started where nobody could be asked what became of it.
    for key in turn.touched where index.lanes[executor]?.queue.entry(of: key) != nil { mark(key, outage) }
  }

  /// Why a batch that was looked at waits on.
  private struct Wait {
    var since: Instant
    /// Of the job that has waited longest.
    var needs: Resources
    /// Its namespace has no more, whatever room there is.
    var isForQuota = false
  }

  private mutating func pass(on executor: ExecutorKind) {
    let capacity = capacities.of(executor)
    var blocked: [QueueEntry] = []
    var blockedHere: [String: Int] = [:]
    var reserved: Resources?
    while let entry = index.lanes[executor]?.queue.popFirst(capacity) {
      guard let wait = startJobs(of: entry.batch, beside: reserved) else {
        markQueued(entry.batch, nil)
        continue
      }
      blocked.append(entry)
      let namespace = entry.batch.namespace
      blockedHere[namespace, default: 0] += 1
      let isFull =
        wait.isForQuota
        && limits.quota(of: namespace)?
          .isFull(held: index.use(of: namespace), started: index.started(in: namespace)) == true
      if isFull || blockedHere[namespace, default: 0] >= limits.schedulingLookahead {
        index.lanes[executor]?.queue.park(namespace, capacity)
      }
      // One big job that has waited long gets what comes free: others take only what it does not need.
      if reserved == nil, !wait.isForQuota, turn.now - wait.since >= limits.overtakingWindow { reserved = wait.needs }
      if blocked.count >= limits.schedulingLookaheadOfAll || index.lanes[executor]?.use.isFull(capacity) == true {
        break
      }
    }
    for entry in blocked { index.lanes[executor]?.queue.insert(entry, capacity) }
    index.lanes[executor]?.queue.unpark(capacity)
  }

  /// Puts a batch in the scheduler's queue when a job of it could start, and takes it out when none could.
  mutating func enqueue(_ key: BatchKey) {
    guard let batch = batches[key] else { return }
    let executor = batch.specification.executor
    guard let priority = waitingPriority(of: key) else {
      index.lanes[executor]?.queue.remove(key, capacities.of(executor))
      markQueued(key, nil)
      return
    }
    // From the latest submission or retry: a batch does not go to the end of the queue with each of its tiers.
    let since = batch.timeoutFrom ?? batch.submittedAt ?? batch.createdAt
    let entry = QueueEntry(
      rank: since.milliseconds - Int64(priority) * limits.agingStep.milliseconds,
      submission: index.submissions[key] ?? 0, priority: priority, batch: key)
    if index.lanes[executor]?.queue.entry(of: key) != entry {
      index.lanes[executor, default: .init()].queue.insert(entry, capacities.of(executor))
    }
    markQueued(key, entry)
  }

  /// So that the batch's view shows it.
  private mutating func markQueued(_ key: BatchKey, _ entry: QueueEntry?) {
    guard batches[key] != nil, batches[key]?.queued != entry else { return }
    batches[key]?.queued = entry
    touch(key)
  }

  /// The best priority among the jobs that could start; nil when there is none.
  private func waitingPriority(of key: BatchKey) -> Int? {
    guard let batch = batches[key] else { return nil }
    switch batch.status {
    case .queued:
      return batch.specification.priority
    case .running:
      guard let tier = batch.tiers.first(where: { $0.status == .running }), !tier.cancelRequested else { return nil }
      var best: Int?
      for index in tier.jobs.indices where tier.couldStart(index, at: turn.now) {
        best = max(best ?? 0, tier.jobs[index].overrides.priority ?? batch.specification.priority)
      }
      return best
    case .created, .paused, .completed, .failed, .cancelled:
      return nil
    }
  }

  /// Starts the batch's jobs as far as there is room. What it waits for, or nil when it waits for none.
  private mutating func startJobs(of key: BatchKey, beside reserved: Resources?) -> Wait? {
    let quota = limits.quota(of: key.namespace)
    if status(of: key) == .queued {
      guard let needs = firstNeeds(of: key) else { return nil }
      let since = batches[key]?.submittedAt ?? turn.now
      if quota?.bound(againstBatchBeside: index.started(in: key.namespace)) != nil
        || quota?.bound(against: needs, held: index.use(of: key.namespace)) != nil
      {
        return Wait(since: since, needs: needs, isForQuota: true)
      }
      if !fits(needs, on: executor(of: key), beside: reserved) { return Wait(since: since, needs: needs) }
      record(.batchStatusChanged(.running, reason: "started"), on: key)
      advance(key)
    }
    guard let tier = runningTier(of: key) else { return nil }
    let executor = executor(of: key)
    var wait: Wait?
    var refused: Candidate?
    for candidate in candidates(in: tier, of: key) {
      let job = candidate.job
      let needs = candidate.needs
      if isAtMaximum(key) { break }
      if candidate.hasNothingLeft, finishIfNothingLeft(job, of: key) { continue }
      // What came before may have taken room; none of it gives any back.
      if let refused, refused.needs == needs, refused.since <= candidate.since { continue }
      guard canEverStart(needs, on: executor, key.namespace) else { continue }
      let isForQuota = quota?.bound(against: needs, held: index.use(of: key.namespace)) != nil
      if !isForQuota, fits(needs, on: executor, beside: reserved) {
        launch(job, of: key)
      } else {
        refused = candidate
        let since = candidate.since
        // What waits for room comes before what waits for a quota: only the former is kept room for.
        let isFirst = wait.map { $0.isForQuota != isForQuota ? $0.isForQuota : $0.since > since } ?? true
        if isFirst { wait = Wait(since: since, needs: needs, isForQuota: isForQuota) }
      }
    }
    advance(key)
    return wait
  }

  private func canEverStart(_ needs: Resources, on executor: ExecutorKind, _ namespace: String) -> Bool {
    capacities.of(executor).whyNeverSchedulable(needs) == nil
      && limits.quota(of: namespace)?.whyNeverSchedulable(needs, in: namespace) == nil
  }

  private func fits(_ needs: Resources, on executor: ExecutorKind, beside reserved: Resources?) -> Bool {
    (index.lanes[executor]?.use ?? ResourceUse()).fits(needs, in: capacities.of(executor), beside: reserved)
  }

  /// What the first job of a queued batch needs; nil when it could never start (a smaller server since the submission).
  private func firstNeeds(of key: BatchKey) -> Resources? {
    guard let batch = batches[key], let tier = batch.tiers.first(where: { $0.status == .pending }) else { return nil }
    guard let job = tier.jobs.first(where: { $0.status == .pending }) else { return Resources(cpus: 0) }
    let needs = batch.submissionParameters(of: job.id).resources
    return canEverStart(needs, on: batch.specification.executor, key.namespace) ? needs : nil
  }

  func runningTier(of key: BatchKey) -> Int? {
    guard status(of: key) == .running || status(of: key) == .paused else { return nil }
    return batches[key]?.tiers.firstIndex { $0.status == .running }
  }

  /// A job that could start, with what decides whether it does.
  private struct Candidate {
    var job: JobID
    var needs: Resources
    /// Since when it could.
    var since: Instant
    var hasNothingLeft: Bool
  }

  /// In the order of the tier. Most of them wait on where there are many, so that a look at one must cost little; and
  /// what becomes of one changes nothing here for another.
  private func candidates(in tier: Int, of key: BatchKey) -> [Candidate] {
    guard let batch = batches[key], batch.status == .running, batch.tiers[tier].status == .running else { return [] }
    let state = batch.tiers[tier]
    let started = state.startedAt ?? turn.now
    return state.jobs.indices.compactMap { index in
      guard state.couldStart(index, at: turn.now) else { return nil }
      let last = state.jobs[index].attempts.isEmpty ? nil : state.jobs[index].attempts.last?.end?.at
      return Candidate(
        job: JobID(tier: tier, index: index), needs: batch.resources(ofJob: index, inTier: tier),
        since: max(started, last ?? started), hasNothingLeft: state.hasNothingLeft(index))
    }
  }

  /// max_concurrent bounds attempts too: one that could not claim anything is of no use.
  private func isAtMaximum(_ key: BatchKey) -> Bool {
    guard let maximum = batches[key]?.specification.maxConcurrent, maximum > 0, let batch = batches[key] else {
      return false
    }
    let running = batch.tiers.reduce(0) { count, tier in
      tier.status == .running ? count + tier.jobs.reduce(0) { $0 + ($1.current == nil ? 0 : 1) } : count
    }
    return running >= maximum
  }

  /// Durable intent, then the launch.
  private mutating func launch(_ job: JobID, of key: BatchKey) {
    guard let parameters = batches[key].map({ self.parameters(ofNextAttemptOf: job, $0) }),
      let timers = batches[key]?.extractorSpecification(of: job).timers,
      let attempts = batches[key]?.tiers[job.tier].jobs[job.index].attempts.count
    else { return }
    let token = freshToken()
    let attempt = AttemptKey(batch: key, job: job, number: attempts + 1)
    record(.attemptIntended(job, number: attempt.number, token: token, parameters), on: key)
    record(.jobStatusChanged(job, .starting, failure: nil, reason: "attempt \(attempt.number)"), on: key)
    perform(.launch(attempt, Launch(token: token, parameters: parameters, timers: timers)))
  }

  /// A job without any document left to do is over without an attempt.
  @discardableResult
  mutating func finishIfNothingLeft(_ job: JobID, of key: BatchKey) -> Bool {
    guard batches[key]?.tiers[job.tier].hasNothingLeft(job.index) == true,
      let state = batches[key]?.tiers[job.tier].jobs[job.index]
    else { return false }
    if !state.assigned.isEmpty && state.failed.count == state.assigned.count {
      let failure = Job.Failure(
        cause: .documentErrors, confidence: .high, message: "all \(state.assigned.count) documents failed")
      record(.jobStatusChanged(job, .failed, failure: failure, reason: failure.message), on: key)
    } else {
      record(.jobStatusChanged(job, .succeeded, failure: nil, reason: "nothing left to do"), on: key)
    }
    return true
  }
}

extension Batch {
  /// It counts among those that its namespace's quota bounds: it was started, and is not over.
  var isStarted: Bool { startedAt != nil && !status.isFinal }
}

// Of the tier, field by field: all jobs are asked with each event, and a job's own method has it copied with all its parts.
extension Tier {
  func couldStart(_ index: Int, at now: Instant) -> Bool {
    jobs[index].status == .pending && (jobs[index].nextAttemptAt ?? now) <= now
  }

  /// No document of the job is left to do, or in process.
  func hasNothingLeft(_ index: Int) -> Bool {
    jobs[index].assigned.count == jobs[index].committed.count + jobs[index].failed.count
  }
}

// Which job starts next: by priority, then by submission, as far as there is room.

extension Core {
  /// Starts what can start. Costs what it starts and what it looks past, not what waits.
  mutating func schedule() {
    repeat {
      turn.schedulingIsDue = false
      for key in turn.touched { enqueue(key) }
      if let outage {
        // Nothing new is started where nobody could be asked what became of it.
        for key in turn.touched where index.waiting[key] != nil { mark(key, outage) }
        return
      }
      pass()
      // A job that was over at once may have started the next tier.
    } while turn.schedulingIsDue
  }

  private mutating func pass() {
    var blocked: [Waiting] = []
    while let entry = index.ready.popFirst() {
      guard index.waiting[entry.batch] == entry else { continue }
      index.waiting[entry.batch] = nil
      guard let waitingSince = startJobs(of: entry.batch) else { continue }
      blocked.append(entry)
      let mayOvertake = turn.now - waitingSince < limits.overtakingWindow
      if !mayOvertake || blocked.count >= limits.schedulingLookahead || index.use.isFull(capacity) { break }
    }
    for entry in blocked {
      index.waiting[entry.batch] = entry
      index.ready.insert(entry)
    }
  }

  /// Puts a batch in the scheduler's queue when a job of it could start, and takes it out when none could.
  mutating func enqueue(_ key: BatchKey) {
    guard let priority = waitingPriority(of: key) else {
      index.waiting[key] = nil
      return
    }
    let entry = Waiting(priority: priority, submission: index.submissions[key] ?? 0, batch: key)
    guard index.waiting[key] != entry else { return }
    index.waiting[key] = entry
    index.ready.insert(entry)
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
      for job in tier.jobs where job.couldStart(at: turn.now) {
        best = max(best ?? 0, job.overrides.priority ?? batch.specification.priority)
      }
      return best
    case .created, .paused, .completed, .failed, .cancelled:
      return nil
    }
  }

  /// Starts the batch's jobs as far as there is room. Since when it waits for more room, or nil when it waits for none.
  private mutating func startJobs(of key: BatchKey) -> Instant? {
    if status(of: key) == .queued {
      guard let needs = firstNeeds(of: key) else { return nil }
      if !index.use.fits(needs, in: capacity) { return batches[key]?.submittedAt ?? turn.now }
      record(.batchStatusChanged(.running, reason: "started"), on: key)
      advance(key)
    }
    guard let tier = runningTier(of: key) else { return nil }
    var waitingSince: Instant?
    for number in 0..<(batches[key]?.tiers[tier].jobs.count ?? 0) {
      let job = JobID(tier: tier, index: number)
      guard couldStart(job, of: key) else { continue }
      if isAtMaximum(key) { break }
      if finishIfNothingLeft(job, of: key) { continue }
      guard let needs = batches[key]?.submissionParameters(of: job).resources,
        capacity.whyNeverSchedulable(needs) == nil
      else { continue }
      if index.use.fits(needs, in: capacity) {
        launch(job, of: key)
      } else {
        waitingSince = min(waitingSince ?? .distantFuture, self.waitingSince(job, of: key))
      }
    }
    advance(key)
    return waitingSince
  }

  /// What the first job of a queued batch needs; nil when it could never start (a smaller server since the submission).
  private func firstNeeds(of key: BatchKey) -> Resources? {
    guard let batch = batches[key], let tier = batch.tiers.first(where: { $0.status == .pending }) else { return nil }
    guard let job = tier.jobs.first(where: { $0.status == .pending }) else { return Resources(cpus: 0) }
    let needs = batch.submissionParameters(of: job.id).resources
    return capacity.whyNeverSchedulable(needs) == nil ? needs : nil
  }

  func runningTier(of key: BatchKey) -> Int? {
    guard status(of: key) == .running || status(of: key) == .paused else { return nil }
    return batches[key]?.tiers.firstIndex { $0.status == .running }
  }

  private func couldStart(_ job: JobID, of key: BatchKey) -> Bool {
    status(of: key) == .running && batches[key]?.tiers[job.tier].status == .running
      && batches[key]?.tiers[job.tier].jobs[job.index].couldStart(at: turn.now) == true
  }

  /// max_concurrent bounds attempts too: one that could not claim anything is of no use.
  private func isAtMaximum(_ key: BatchKey) -> Bool {
    guard let batch = batches[key], batch.specification.maxConcurrent > 0 else { return false }
    let running = batch.tiers.reduce(0) { count, tier in
      tier.status == .running ? count + tier.jobs.reduce(0) { $0 + ($1.current == nil ? 0 : 1) } : count
    }
    return running >= batch.specification.maxConcurrent
  }

  private func waitingSince(_ job: JobID, of key: BatchKey) -> Instant {
    guard let tier = batches[key]?.tiers[job.tier] else { return turn.now }
    let started = tier.startedAt ?? turn.now
    return max(started, tier.jobs[job.index].attempts.last?.end?.at ?? started)
  }

  /// Durable intent, then the launch.
  private mutating func launch(_ job: JobID, of key: BatchKey) {
    guard let parameters = batches[key]?.submissionParameters(of: job),
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
    guard let state = batches[key]?.tiers[job.tier].jobs[job.index], state.pendingCount == 0,
      state.processing.isEmpty
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

extension Job {
  func couldStart(at now: Instant) -> Bool {
    status == .pending && (nextAttemptAt.map { $0 <= now } ?? true)
  }
}

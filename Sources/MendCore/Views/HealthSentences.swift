// The sentences of health: figures and names, never only a state.

extension Batch {
  /// "job t0-j0 (text) has reported nothing for 312 s; ..."
  func stallSentence(_ attempt: Attempt, of job: Job, cause: FailureCause, since: Instant, at now: Instant) -> String {
    let timers = job.specified(in: self)?.timers ?? Timers()
    let title = job.title(in: self)
    let left = Figures.count(job.pendingCount + job.processing.count, "document", "is", "are")
    switch cause {
    case .startTimeout:
      let executor = attempt.parameters.executor.rawValue
      return "cold_start: \(title) has waited \(Figures.seconds(now - attempt.intendedAt)) for the \(executor) "
        + "executor to start attempt \(attempt.number), \(Figures.seconds(timers.start)) is its window"
    case .heartbeatTimeout:
      let silence = now - max(attempt.lastHeartbeatAt, attempt.startedAt ?? attempt.intendedAt)
      return "\(title) has reported nothing for \(Figures.seconds(silence)); \(Figures.seconds(timers.heartbeat)) of "
        + "silence is allowed, and \(left) left in attempt \(attempt.number)"
    default:
      let stage = attempt.stage.map { " in stage \($0.name)" } ?? ""
      let beats =
        expectsHeartbeats(attempt)
        ? "still beats (\(Figures.seconds(now - attempt.lastHeartbeatAt)) ago) but has" : "runs but has"
      return "\(title) \(beats) finished no document and no stage for \(Figures.seconds(now - since))\(stage); "
        + "\(Figures.seconds(timers.progress)) is allowed, and \(left) left in attempt \(attempt.number)"
    }
  }

  /// 'cluster_cold_start: ...' on a cluster, 'cold_start: ...' elsewhere: for what, how long, how long is expected.
  func coldStartSentence(_ job: Job, since: Instant, at now: Instant) -> String {
    let executor = job.current?.parameters.executor ?? specification.executor
    let resources = job.current?.parameters.resources ?? job.resourcesAsked(in: self)
    let window = job.specified(in: self)?.timers.start ?? Timers.defaultStart
    let waiting =
      "\(job.title(in: self)) has waited \(Figures.seconds(now - since)) to be started with "
      + "\(Figures.resources(resources)); up to \(Figures.seconds(window)) is expected"
    return switch executor {
    case .ray:
      "cluster_cold_start: \(resources.requiresGPU ? "GPU workers" : "workers") scaling from zero: \(waiting)"
    case .local, .simulated: "cold_start: \(waiting)"
    }
  }

  /// "attempt 1 of job t0-j0 (text) was asked to end 75 s ago, and is not proven gone"
  func overdueEndSentence(_ attempt: Attempt, of job: Job, since: Instant, at now: Instant) -> String {
    "attempt \(attempt.number) of \(job.title(in: self)) was asked to end \(Figures.seconds(now - since)) ago, "
      + "and is not proven gone"
  }

  /// "waiting_for_capacity: job t0-j0 (text) needs 2 CPUs of the 4 CPUs that ...".
  func waitingSentence(
    _ job: Job, since: Instant, window: Duration, at now: Instant, capacity: Capacity
  ) -> String {
    let held = promised
    let whole = Resources(cpus: capacity.cpus, memoryBytes: capacity.memoryBytes)
    let holders =
      held.attempts == 0
      ? "this batch holds none of it"
      : "this batch holds \(Figures.resources(held.resources)) in \(Figures.count(held.attempts, "attempt"))"
    let bound =
      specification.maxConcurrent > 0 && held.attempts >= specification.maxConcurrent
      ? "max_concurrent \(specification.maxConcurrent) is used up"
      : "the \(capacity.executor.rawValue) executor has \(Figures.resources(whole)) in all and \(holders)"
    return "waiting_for_capacity: \(job.title(in: self)) has waited \(Figures.seconds(now - since)) for "
      + "\(Figures.resources(job.resourcesAsked(in: self))); \(bound); up to \(Figures.seconds(window)) is expected"
  }

  /// What this batch's live attempts are promised together.
  private var promised: (resources: Resources, attempts: Int) {
    var sum = Resources(cpus: 0)
    var attempts = 0
    for tier in tiers where tier.status == .running {
      for job in tier.jobs {
        guard let current = job.current else { continue }
        attempts += 1
        sum.cpus += current.parameters.resources.cpus
        sum.memoryBytes += current.parameters.resources.memoryBytes
        sum.requiresGPU = sum.requiresGPU || current.parameters.resources.requiresGPU
      }
    }
    return (sum, attempts)
  }
}

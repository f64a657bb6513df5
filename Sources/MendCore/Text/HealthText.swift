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
        + "executor to start attempt \(attempt.number), \(Figures.seconds(attempt.startWindow(timers))) is its window"
        + said(by: attempt)
    case .heartbeatTimeout:
      let silence = now - max(attempt.lastHeartbeatAt, attempt.startedAt ?? attempt.intendedAt)
      return "\(title) has reported nothing for \(Figures.seconds(silence)); \(Figures.seconds(timers.heartbeat)) of "
        + "silence is allowed, and \(left) left in attempt \(attempt.number)"
    default:
      let stage = attempt.stage.map { " in stage \($0.name)" } ?? ""
      let beats =
        owesHeartbeats(attempt, timers)
        ? "still beats (\(Figures.seconds(now - attempt.lastHeartbeatAt)) ago) but has" : "runs but has"
      return "\(title) \(beats) finished no document and no stage for \(Figures.seconds(now - since))\(stage); "
        + "\(Figures.seconds(timers.progress)) is allowed, and \(left) left in attempt \(attempt.number)"
    }
  }

  /// 'cluster_cold_start: ...' on a cluster, 'cold_start: ...' elsewhere: for what, how long, how long is expected.
  func coldStartSentence(
    _ job: Job, since: Instant, at now: Instant, on executor: ExecutorTraits
  ) -> String {
    let resources = job.current?.parameters.resources ?? job.resourcesAsked(in: self)
    let timers = job.specified(in: self)?.timers ?? Timers()
    let window = job.current?.startWindow(timers) ?? timers.start
    let waiting =
      "\(job.title(in: self)) has waited \(Figures.seconds(now - since)) to be started with "
      + "\(Figures.resources(resources)); up to \(Figures.seconds(window)) is expected"
      + (job.current.map(said) ?? "")
    return executor.startsFromZero
      ? "cluster_cold_start: \(resources.requiresGPU ? "GPU workers" : "workers") scaling from zero: \(waiting)"
      : "cold_start: \(waiting)"
  }

  /// "; Ray says PENDING: ...", "; its launch waits for room: ...": the executor's own words for what it waits for.
  private func said(by attempt: Attempt) -> String {
    (attempt.delayedBy ?? attempt.handle?.waitingFor).map { "; \(Figures.excerpt($0))" } ?? ""
  }

  /// "attempt 1 of job t0-j0 (text) was asked to end 75 s ago, and is not proven gone"
  func overdueEndSentence(_ attempt: Attempt, of job: Job, since: Instant, at now: Instant) -> String {
    "attempt \(attempt.number) of \(job.title(in: self)) was asked to end \(Figures.seconds(now - since)) ago, "
      + "and is not proven gone"
  }

  /// "paused by ann (operator) 14 s ago; 2 documents are still in process"
  func pausedSentence(at now: Instant) -> String? {
    guard let pausedAt else { return nil }
    let inProcess = tiers.reduce(0) { $0 + $1.jobs.reduce(0) { $0 + $1.processing.count } }
    let who = pausedBy.isEmpty ? "" : " by \(pausedBy)"
    return "paused\(who) \(Figures.seconds(now - pausedAt)) ago"
      + (inProcess == 0 ? "" : "; \(Figures.count(inProcess, "document", "is", "are")) still in process")
  }

  /// "waiting_for_capacity: job t0-j0 (text) has waited 30 s for 2 CPUs; ...; 3rd in the queue ...": for what, who has
  /// it, how many stand before it.
  func waitingSentence(_ job: Job, since: Instant, window: Duration, at now: Instant, _ room: Room) -> String {
    let asked = job.resourcesAsked(in: self)
    let reason = room.reason(ofWaitFor: asked, isQueued: status == .queued)
    var parts = [
      "\(reason.rawValue): \(job.title(in: self)) has waited \(Figures.seconds(now - since)) for "
        + Figures.resources(asked)
    ]
    if specification.maxConcurrent > 0 && held.attempts >= specification.maxConcurrent {
      parts.append("max_concurrent \(specification.maxConcurrent) is used up")
    } else if let bound = room.bound(for: asked, isQueued: status == .queued) {
      parts.append(
        "the quota of namespace \(key.namespace) is \(bound.allowed), and \(bound.held) are held"
          + Room.names(of: room.batchContext.holdersOfQuota))
    } else {
      let whole = Resources(cpus: room.capacity.cpus, memoryBytes: room.capacity.memoryBytes)
      parts.append(
        "the \(room.capacity.executor.rawValue) executor has \(Figures.resources(whole)) in all"
          + (held.attempts == 0
            ? Room.names(of: room.batchContext.holders, otherwise: ", this batch holds none of it")
            : ", this batch holds \(Figures.resources(held)) in \(Figures.count(held.attempts, "attempt"))"
              + Room.names(of: room.batchContext.holders)))
    }
    if let place = room.place { parts.append(place) }
    parts.append("up to \(Figures.seconds(window)) is expected")
    return parts.joined(separator: "; ")
  }
}

/// What there is for a batch: the executor's, what of it its namespace may have, and who has it.
struct Room: Hashable {
  var capacity: Capacity
  var quota: Quota?
  var batchContext = BatchContext()

  /// The quota's bound that a job waits for; nil where it waits for room.
  func bound(for asked: Resources, isQueued: Bool) -> Quota.Bound? {
    if isQueued, let bound = quota?.bound(againstBatchBeside: batchContext.started) { return bound }
    return quota?.bound(against: asked, held: batchContext.namespaceUse)
  }

  func reason(ofWaitFor asked: Resources, isQueued: Bool) -> HealthReason {
    bound(for: asked, isQueued: isQueued) == nil ? .waitingForCapacity : .quota
  }

  /// However long it waits.
  func whyNeverSchedulable(_ asked: Resources, in namespace: String) -> (HealthReason, String)? {
    let ofQuota = quota?.whyNeverSchedulable(asked, in: namespace)
    if let why = capacity.whyNeverSchedulable(asked) {
      return (.neverSchedulable, [why, ofQuota].compactMap(\.self).joined(separator: "; "))
    }
    return ofQuota.map { (.quota, $0) }
  }

  /// What to do so that the server can run a job with these needs: something else, or more of each bound in its way.
  func advice(_ otherwise: String, or asked: Resources, in namespace: String) -> Advice {
    var (ways, options): ([String], [ServerOption]) = ([], [])
    if asked.requiresGPU && capacity.gpus == 0 { ways.append("serve on an executor with a GPU") }
    if let more = capacity.option(cpus: asked.cpus, memoryBytes: asked.memoryBytes) {
      ways.append("serve with more")
      options.append(more)
    }
    if let raised = quota?.raised(for: asked, in: namespace) {
      ways.append("have the quota of namespace \(namespace) raised")
      options.append(.quota(namespace: namespace, raised))
    }
    return Advice("\(otherwise), or \(Figures.list(ways))", options.isEmpty ? nil : .serve(options))
  }

  /// ", batch a holds 2 CPUs and batch b 1 CPU"; of the namespace's own batches, those that hold most.
  static func names(of holders: [BatchContext.Holder], otherwise: String = "") -> String {
    let named = holders.map { "batch \($0.batchID) holds \(Figures.resources($0.use))" }
    return named.isEmpty ? otherwise : ", " + Figures.list(named)
  }

  /// "3rd in the queue of its namespace, behind 2 batches, 1 with a higher priority"; nil while it does not wait.
  var place: String? {
    guard let ahead = batchContext.ahead else { return nil }
    if ahead == 0 { return "first in the queue of its namespace" }
    let higher =
      batchContext.aheadByPriority == 0 ? "" : ", \(batchContext.aheadByPriority) with a higher priority"
    return "\(Figures.ordinal(ahead + 1)) in the queue of its namespace, behind "
      + Figures.count(ahead, "batch", plural: "batches") + higher
  }
}

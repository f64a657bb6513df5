// Retry: new attempts of what failed, with changed resources. The only way out of a final state.

struct RetryAsked {
  var tier: Int
  /// The jobs to retry; empty for every job of the tier that has something left to do.
  var jobs: [JobID]
  var overrides: Job.Overrides
  var scope: RetryScope
  var actor: String
  var by = Initiative.caller
  /// The memory of jobs for which it differs from `overrides`.
  var memoryBytes: [JobID: Int64] = [:]

  /// What it changes of the job.
  func overrides(of job: JobID) -> Job.Overrides {
    guard let memoryBytes = memoryBytes[job] else { return overrides }
    var overrides = overrides
    overrides.memoryBytes = memoryBytes
    return overrides
  }
}

struct RetryDone {
  var tier: Int
  var jobs: [JobID]
}

extension Core {
  /// Reopens what is to run again. A refusal has changed nothing.
  mutating func apply(_ retry: RetryAsked, to key: BatchKey) throws(Refusal) -> RetryDone {
    try retry.overrides.validate()
    guard let batch = batches[key] else { throw .notFound(resourceType: "batch", resourceID: key.batchID) }
    try check(retry, against: batch)
    let jobs = try chosen(retry, of: batch)
    if batch.status.isFinal && index.liveBatches >= limits.liveBatches {
      throw .exhausted(
        limit: .liveBatches, "\(limits.liveBatches) batches are not finished yet", retryAfter: .seconds(5))
    }
    if batch.status.isFinal { try requireRoom(for: [], of: batch.specification, in: key.namespace) }
    if batch.status.isFinal,
      let bound = limits.quota(of: key.namespace)?
        .bound(againstBatchBeside: index.started(in: key.namespace))
    {
      throw .exhausted(
        limit: .quotaBatches, "the quota of namespace \(key.namespace) is \(bound.allowed), and it has \(bound.held)",
        retryAfter: .seconds(5))
    }
    if !retry.overrides.environment.isEmpty { try requireRoom(for: retry, of: jobs, in: batch) }
    let reopened = jobs.map { job in
      Fact.RetriedJob(
        job: job.id, overrides: retry.overrides(of: job.id),
        reopened: retry.scope == .all ? job.failed.union(job.committed) : job.failed)
    }
    var again = DocumentSet()
    for job in jobs { again.formUnion(job.leftOut) }
    for job in reopened { again.formUnion(job.reopened) }
    record(.retried(.init(tier: retry.tier, jobs: reopened, actor: retry.actor, by: retry.by)), on: key)
    for job in jobs {
      record(.jobStatusChanged(.init(job.id, .pending, failure: nil, reason: "retry by \(retry.actor)")), on: key)
    }
    let hasStarted = batch.tiers[retry.tier].startedAt != nil
    record(.tierStatusChanged(.init(tier: retry.tier, hasStarted ? .running : .pending, reason: "retry")), on: key)
    reopenLaterTiers(after: retry, again, of: batch, on: key)
    if batch.status != .running { record(.batchStatusChanged(.init(.running, reason: "retry")), on: key) }
    if hasStarted { for job in jobs { finishIfNothingLeft(job.id, of: key) } }
    advance(key)
    return RetryDone(tier: retry.tier, jobs: jobs.map(\.id))
  }

  func reply(to done: RetryDone, on key: BatchKey) -> Reply {
    let documents = done.jobs.reduce(0) { sum, job in
      sum + (batches[key]?.tiers[job].map { $0.pendingCount + $0.processing.count } ?? 0)
    }
    return .retried(
      .init(
        batchID: key.batchID, tier: done.tier, jobs: done.jobs, documents: documents, status: status(of: key),
        generation: batches[key]?.generation ?? 0))
  }

  private func check(_ retry: RetryAsked, against batch: Batch) throws(Refusal) {
    let (tier, id) = (retry.tier, batch.key.batchID)
    guard batch.tiers.indices.contains(tier) else { throw .notFound(resourceType: "tier", resourceID: String(tier)) }
    for (number, job) in retry.jobs.enumerated() {
      guard batch.contains(job) else { throw .notFound(resourceType: "job", resourceID: job.description) }
      if job.tier != tier { throw .invalid(field: "jobs[\(number)]", rule: "must be a job of tier \(tier)") }
    }
    switch batch.status {
    case .created:
      throw .precondition("batch \(id) is created, not submitted", todo: "submit it first")
    case .queued:
      throw .precondition(
        "batch \(id) is queued; nothing of it has failed",
        todo: todoWhileWaiting(batch.tiers.flatMap { $0.jobs.filter { !$0.status.isFinal } }, of: batch))
    case .paused:
      throw .precondition("batch \(id) is paused", todo: "resume it first")
    case .running, .completed, .failed, .cancelled:
      break
    }
    if batch.submittedAt == nil {
      throw .precondition("batch \(id) was cancelled before it was submitted", todo: "create another batch")
    }
    if let running = batch.tiers.first(where: { $0.status == .running }) {
      let todo: Advice =
        running.cancelRequested
        ? "wait for its cancel" : "heal it where it is stuck, cancel tier \(running.number), or wait for its end"
      throw .precondition("tier \(running.number) is running", todo: todo)
    }
    if let before = batch.tiers[..<tier].first(where: { $0.status != .completed }) {
      throw .precondition(
        "tier \(before.number) before it is \(before.status.rawValue)", todo: "retry tier \(before.number) first")
    }
    if batch.tiers[tier].status == .pending {
      throw .precondition(
        "tier \(tier) has not run yet; nothing of it has failed",
        todo: todoWhileWaiting(batch.tiers[tier].jobs.filter { !$0.status.isFinal }, of: batch))
    }
  }

  /// The jobs that will run again, and that could.
  private func chosen(_ retry: RetryAsked, of batch: Batch) throws(Refusal) -> [Job] {
    let tier = batch.tiers[retry.tier]
    let asked = retry.jobs.isEmpty ? tier.jobs : Set(retry.jobs).sorted().compactMap { batch.tiers[$0] }
    let jobs = asked.filter { job in
      retry.scope == .all || job.status != .succeeded || job.committed.count < job.assigned.count
    }
    if jobs.isEmpty {
      throw .precondition(
        "nothing is left to do in tier \(retry.tier): every document is committed",
        todo: "use scope all to do committed documents again")
    }
    for job in jobs {
      let usual = batch.specification.tiers[retry.tier].extractors[job.extractor].resources
      let laid = job.overrides.laidUnder(retry.overrides(of: job.id))
      try requireSchedulable(usual.changed(by: laid), "job \(job.id)", of: batch.key)
    }
    return jobs
  }

  /// Later tiers wait for this one again. What they made of documents that are done again here is done again there; the
  /// rest of their ledgers is kept, and so is a cancel of one of their jobs.
  private mutating func reopenLaterTiers(
    after retry: RetryAsked, _ again: DocumentSet, of batch: Batch, on key: BatchKey
  ) {
    let reason = "tier \(retry.tier) is retried"
    for later in batch.tiers[(retry.tier + 1)...] {
      let stale = later.jobs.compactMap { job in
        let reopened = job.committed.union(job.failed).intersection(again)
        return reopened.isEmpty ? nil : Fact.RetriedJob(job: job.id, overrides: Job.Overrides(), reopened: reopened)
      }
      if !stale.isEmpty {
        record(.retried(.init(tier: later.number, jobs: stale, actor: retry.actor, by: retry.by)), on: key)
      }
      if later.status == .pending { continue }
      record(.tierStatusChanged(.init(tier: later.number, .pending, reason: reason)), on: key)
      for job in later.jobs where job.status != .pending {
        if job.status == .cancelled, later.status != .cancelled { continue }
        record(.jobStatusChanged(.init(job.id, .pending, failure: nil, reason: reason)), on: key)
      }
    }
  }
}

extension Job.Overrides {
  /// The same overrides with newer ones applied over them.
  func laidUnder(_ newer: Job.Overrides) -> Job.Overrides {
    var result = self
    result.cpus = newer.cpus ?? cpus
    result.memoryBytes = newer.memoryBytes ?? memoryBytes
    result.requiresGPU = newer.requiresGPU ?? requiresGPU
    result.priority = newer.priority ?? priority
    result.runTimeout = newer.runTimeout ?? runTimeout
    if !newer.environment.isEmpty { result.environment.merge(newer.environment) { _, new in new } }
    return result
  }
}

@testable import MendCore

/// What must hold of every batch after every step; the first thing that does not, in words.
struct Invariants {
  /// The status after the last step, and each job's.
  private var statuses: [BatchKey: BatchStatus] = [:]
  private var jobStatuses: [BatchKey: [JobID: JobStatus]] = [:]
  private var sequences: [BatchKey: UInt64] = [:]
  private var committed: [BatchKey: [JobID: DocumentSet]] = [:]

  mutating func broken(after output: Output, _ core: Core) -> String? {
    if let broken = history(output) { return broken }
    for effect in output.afterCommit {
      guard case .changed(let key) = effect, let batch = core.batches[key] else { continue }
      if let broken = Self.broken(batch) { return "\(key.batchID): \(broken)" }
    }
    return Self.broken(core)
  }

  /// Gapless journals, nothing committed twice, final states left by Retry alone.
  private mutating func history(_ output: Output) -> String? {
    var retried: Set<JobID> = []
    for write in output.writes {
      guard case .record(let record) = write else { continue }
      let key = record.batch
      if record.sequence != sequences[key, default: 0] + 1 { return "\(key.batchID): a gap before \(record.sequence)" }
      sequences[key] = record.sequence
      switch record.fact {
      case .retried(let fact):
        retried.formUnion(fact.jobs.map(\.job))
        for job in fact.jobs { committed[key]?[job.job]?.subtract(job.reopened) }
      case .tierStarted(let started):
        for job in (committed[key] ?? [:]).keys where job.tier == started.tier {
          committed[key]?[job]?.formIntersection(started.handed)
        }
      case .documentsCommitted(let fact):
        for position in fact.documents {
          if !committed[key, default: [:]][fact.job, default: DocumentSet()].insert(position) {
            return "\(key.batchID) \(fact.job): document \(position) was committed twice"
          }
        }
      case .batchStatusChanged(let changed):
        if let before = statuses[key], before.isFinal, retried.isEmpty { return "\(key.batchID): left \(before)" }
        statuses[key] = changed.status
      case .jobStatusChanged(let changed):
        if let before = jobStatuses[key]?[changed.job], before.isFinal, !retried.contains(changed.job),
          !changed.reason.contains("retried")
        {
          return "\(key.batchID) \(changed.job): left \(before) for \(changed.status)"
        }
        jobStatuses[key, default: [:]][changed.job] = changed.status
      default:
        break
      }
    }
    return nil
  }

  static func broken(_ batch: Batch) -> String? {
    let progress = batch.progress()
    if progress.completed + progress.failed + progress.pending + progress.processing != batch.documents.count
      || min(progress.completed, progress.failed, progress.pending, progress.processing) < 0
    {
      return "the counts do not add up: \(progress)"
    }
    var processing: [Int: Int] = [:]
    var completed = DocumentSet(all: batch.documents.count)
    var failed = DocumentSet()
    for tier in batch.tiers {
      if let broken = broken(tier, of: batch) { return "tier \(tier.number): \(broken)" }
      for job in tier.jobs { for position in job.processing { processing[position, default: 0] += 1 } }
      completed.formIntersection(tier.done)
      failed.formUnion(tier.failed)
    }
    if processing != batch.processingCounts { return "processingCounts \(batch.processingCounts), not \(processing)" }
    if completed != batch.completedDocuments { return "completedDocuments" }
    if failed != batch.failedDocuments { return "failedDocuments" }
    let maximum = batch.specification.maxConcurrent
    let inProcess = batch.tiers.reduce(0) { $0 + $1.jobs.reduce(0) { $0 + $1.processing.count } }
    if maximum > 0 && inProcess > maximum { return "\(inProcess) in process, beyond \(maximum)" }
    if batch.status.isFinal && batch.tiers.contains(where: { $0.jobs.contains { $0.current != nil } }) {
      return "it is \(batch.status), and an attempt lives"
    }
    return nil
  }

  private static func broken(_ tier: Tier, of batch: Batch) -> String? {
    var failed = DocumentSet()
    var done = tier.handed
    for extractor in batch.specification.tiers[tier.number].extractors.indices {
      var committed = DocumentSet()
      for job in tier.jobs where job.extractor == extractor { committed.formUnion(job.committed.union(job.leftOut)) }
      done.formIntersection(committed)
    }
    for job in tier.jobs {
      let parts = job.committed.count + job.failed.count + job.processing.count
      let union = job.committed.union(job.failed).union(job.processing)
      if union.count != parts { return "\(job.id): a document is in two parts" }
      if !union.subtracting(job.assigned).isEmpty { return "\(job.id): a document is not assigned" }
      if job.errors.documents(where: { _ in true }) != job.failed || job.errors.count != job.failed.count {
        return "\(job.id): errors are not of the failed"
      }
      let current = job.attempts.filter(\.isCurrent)
      if current.count > 1 || (current.first.map { $0.number != job.attempts.count } ?? false) {
        return "\(job.id): more than one current attempt"
      }
      if job.current == nil && !job.processing.isEmpty { return "\(job.id): in process by nobody" }
      if job.status.isFinal && job.current != nil { return "\(job.id): it is over, and its attempt is not" }
      if job.attempts.enumerated().contains(where: { $0.offset + 1 != $0.element.number }) {
        return "\(job.id): numbers"
      }
      failed.formUnion(job.failed)
    }
    if failed != tier.failed { return "failed" }
    if done != tier.done { return "done" }
    return nil
  }

  /// Nothing that has room and quota waits, but where room is kept for who has waited long.
  private static func idleRoom(_ core: Core) -> String? {
    for (executor, lane) in core.index.lanes where lane.outage == nil {
      let waiting = lane.queue.batches.compactMap { lane.queue.waits(of: $0) }
      let long = core.context.now + core.limits.overtakingWindow * -1
      if waiting.contains(where: { $0.waits.contains { $0.since <= long } }) { continue }
      for batch in waiting {
        let namespace = batch.entry.batch.namespace
        let room = Scheduling(
          use: lane.use, capacity: core.capacities.of(executor), quota: core.limits.quota(of: namespace),
          held: core.index.use(of: namespace), started: core.index.started(in: namespace))
        if room.canStart(batch.demand) { return "\(batch.entry.batch.batchID) waits, and there is room for it" }
      }
    }
    return nil
  }

  private static func broken(_ core: Core) -> String? {
    var live: Set<AttemptKey> = []
    var uses: [ExecutorKind: (cpus: Double, memory: Int64, attempts: Int)] = [:]
    for (key, batch) in core.batches {
      for job in batch.tiers.flatMap(\.jobs) {
        guard let attempt = job.current else { continue }
        live.insert(AttemptKey(batch: key, job: job.id, number: attempt.number))
        let resources = attempt.parameters.resources
        uses[attempt.parameters.executor, default: (0, 0, 0)].cpus += resources.cpus
        uses[attempt.parameters.executor, default: (0, 0, 0)].memory += resources.memoryBytes
        uses[attempt.parameters.executor, default: (0, 0, 0)].attempts += 1
      }
    }
    if live != core.index.live { return "the index of live attempts" }
    for executor in ExecutorKind.allCases {
      let use = uses[executor] ?? (0, 0, 0)
      let kept = core.index.lanes[executor]?.use ?? ResourceUse()
      let capacity = core.capacities.of(executor)
      if kept.attempts != use.attempts || abs(kept.cpus - use.cpus) > 1e-6 { return "the use of CPUs" }
      if kept.memoryBytes != use.memory { return "the use of memory" }
      if use.cpus > capacity.cpus + 1e-6 || use.memory > capacity.memoryBytes { return "beyond capacity" }
    }
    if core.index.liveBatches != core.batches.values.count(where: { !$0.status.isFinal }) { return "live batches" }
    if core.memoryUse.documents != core.batches.values.reduce(0, { $0 + $1.documentBytes }) { return "document memory" }
    for (key, batch) in core.batches {
      if batch.queued != core.index.lanes[batch.specification.executor]?.queue.entry(of: key) {
        return "\(key.batchID): its place in the queue"
      }
      if batch.isStarted && batch.status == .queued { return "\(key.batchID): queued, and started" }
    }
    if let broken = idleRoom(core) { return broken }
    for namespace in Set(core.batches.keys.map(\.namespace)) {
      let started = core.batches.values.count { $0.key.namespace == namespace && $0.isStarted }
      if core.index.started(in: namespace) != started { return "started batches of \(namespace)" }
    }
    return nil
  }
}

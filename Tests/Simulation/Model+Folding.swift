import MendCore

extension Model {
  /// Takes the next fact in.
  mutating func take(_ record: Record) {
    sequence = record.sequence
    let at = record.at
    switch record.fact {
    case .documentsAdded(let added):
      documents += added.count
    case .batchStatusChanged(let changed):
      change(to: changed.status, at: at)
    case .tierStarted(let started):
      start(started.tier, started.handed, at: at)
    case .tierStatusChanged(let changed):
      tiers[changed.tier].isCancelRequested = false
      tiers[changed.tier].status = changed.status
      if changed.status == .pending { tiers[changed.tier].startedAt = nil }
      if changed.status == .running, tiers[changed.tier].startedAt == nil { tiers[changed.tier].startedAt = at }
    case .tierCancelRequested(let requested):
      tiers[requested.tier].isCancelRequested = true
    case .jobStatusChanged(let changed):
      if changed.status == .cancelling || changed.status == .cancelled, self[changed.job].status != .cancelling {
        self[changed.job].isCancelledAlone = record.cause == .caller && !tiers[changed.job.tier].isCancelRequested
      }
      self[changed.job].status = changed.status
      self[changed.job].failure = changed.failure?.cause
      self[changed.job].since = at
      if changed.status != .pending { self[changed.job].notBefore = nil }
      if changed.status == .pending { self[changed.job].isCancelledAlone = false }
    case .nextAttemptScheduled(let scheduled):
      self[scheduled.job].notBefore = scheduled.at
      self[scheduled.job].since = scheduled.at
    case .retried(let retried):
      retry(retried.tier, retried.jobs, retried.by, record)
    case .healed(let heal):
      heals.append((heal, at))
      for case .reclaimOrphan(let job, let number) in heal.steps.map(\.operation) where attempt(job, number) != nil {
        self[job].attempts[number - 1].reportsBeforeReclaim = self[job].attempts[number - 1].staleReports
      }
    case .staleReport(let id):
      if attempt(id.job, id.number) != nil { self[id.job].attempts[id.number - 1].staleReports += 1 }
    case .verdictChanged(let summary):
      saidHealth = summary.health
    case .documentsClaimed, .documentsCommitted, .documentsFailed, .documentsReleased, .stageSpent, .collectionWritten,
      .reportTaken:
      takeWork(record)
    case .attemptIntended, .attemptStarted, .attemptEnding, .attemptEnded:
      takeAttempt(record)
    default: break
    }
  }

  private mutating func change(to status: BatchStatus, at now: Instant) {
    if let since = pausedSince { pausedFor += now - since }
    pausedSince = status == .paused ? now : nil
    if let since = workingSince { workedFor += now - since }
    workingSince = status == .running ? now : nil
    if self.status == .created, !status.isFinal {
      submittedAt = now
      timeoutFrom = now
      pausedBefore = pausedFor
    }
    if status == .running, startedAt == nil { startedAt = now }
    self.status = status
  }

  private mutating func start(_ tier: Int, _ handed: DocumentSet, at now: Instant) {
    tiers[tier].status = .running
    tiers[tier].startedAt = now
    let extractors = specification.tiers[tier].extractors
    for index in tiers[tier].jobs.indices {
      let (shard, shards) = (
        tiers[tier].jobs[index].shard, max(1, extractors[tiers[tier].jobs[index].extractor].shards)
      )
      var places = tiers[tier].jobs[index].places
      while places.count < documents { places.append(.absent) }
      for position in places.indices {
        if position % shards != shard || !handed.contains(position) {
          places[position] = .absent
        } else if places[position] == .absent {
          places[position] = .pending
        }
      }
      tiers[tier].jobs[index].places = places
      tiers[tier].jobs[index].since = now
    }
  }

  private mutating func retry(_ tier: Int, _ jobs: [Fact.RetriedJob], _ initiative: Initiative, _ record: Record) {
    let byRule = initiative == .rules
    // One retry may open several tiers.
    let first = lastRetried.map { $0.at == record.at ? min($0.tier, tier) : tier } ?? tier
    lastRetried = Retried(at: record.at, tier: first, byRule: byRule)
    if record.cause == .caller {
      timeoutFrom = record.at
      pausedBefore = paused(until: record.at)
    }
    for retried in jobs {
      let job = retried.job
      if byRule, let cause = self[job].attempts.last?.end?.cause {
        self[job].retries[cause, default: 0] += 1
      } else if initiative == .caller {
        // What a batch heals by itself is no new beginning for its rules.
        self[job].retries = [:]
      }
      self[job].memoryBytes = retried.overrides.memoryBytes ?? self[job].memoryBytes
      self[job].cpus = retried.overrides.cpus ?? self[job].cpus
      self[job].requiresGPU = retried.overrides.requiresGPU ?? self[job].requiresGPU
      let before = self[job].count(.committed)
      for position in retried.reopened where self[job].places[position] != .absent {
        self[job].places[position] = .pending
      }
      // As much of it stands as is committed still.
      if before > 0 { self[job].writtenNow = self[job].writtenNow * self[job].count(.committed) / before }
    }
  }

  private mutating func takeWork(_ record: Record) {
    switch record.fact {
    case .documentsClaimed(let claimed):
      put(claimed.documents, at: .processing, of: claimed.job)
    case .documentsCommitted(let fact):
      put(fact.documents, at: .committed, of: fact.job)
      lastCommit += 1
      for position in fact.documents { self[fact.job].committedAs[position] = lastCommit }
      self[fact.job].commits += fact.documents.count
    case .documentsFailed(let fact):
      for group in fact.groups { put(group.documents, at: .failed, of: fact.job) }
    case .documentsReleased(let released):
      put(released.documents, at: .pending, of: released.job)
    case .stageSpent(let fact):
      self[fact.job].spent += fact.duration
    case .collectionWritten(let fact):
      write(fact.count, fact.job)
    case .reportTaken(let taken):
      for timing in taken.report.stageTimings { self[taken.job].spent += timing.duration }
      write(taken.report.written, taken.job)
    default: break
    }
  }

  private mutating func write(_ count: Int, _ job: JobID) {
    self[job].written += count
    self[job].writtenNow += count
  }

  private mutating func put(_ set: DocumentSet, at place: Place, of job: JobID) {
    for position in set { self[job].places[position] = place }
  }

  private mutating func takeAttempt(_ record: Record) {
    switch record.fact {
    case .attemptIntended(let intended):
      let isEntrypoint = if case .entrypoint = intended.parameters.work { true } else { false }
      self[intended.job].attempts.append(
        Attempt(
          needs: intended.parameters.resources, isEntrypoint: isEntrypoint, runTimeout: intended.parameters.runTimeout,
          intendedAt: record.at))
    case .attemptStarted(let id):
      guard attempt(id.job, id.number) != nil else { return }
      if record.cause == .worker { self[id.job].attempts[id.number - 1].hasReported = true }
      if self[id.job].attempts[id.number - 1].startedAt == nil {
        self[id.job].attempts[id.number - 1].startedAt = record.at
        self[id.job].attempts[id.number - 1].pausedBefore = paused(until: record.at)
      }
    case .attemptEnding(let fact):
      if attempt(fact.job, fact.number) != nil { self[fact.job].attempts[fact.number - 1].ending = fact.reason }
    case .attemptEnded(let ended):
      guard attempt(ended.job, ended.number) != nil else { return }
      self[ended.job].attempts[ended.number - 1].end = ended.end
      self[ended.job].since = record.at
    default: break
    }
  }

  /// Before an attempt's documents are failed with it: who was in process counts one more death.
  mutating func countDeaths(_ job: JobID, _ failed: [Fact.FailedDocuments]) {
    for group in failed
    where group.error.causedByAttempt && !group.error.endedFromOutside
      && Self.mayBeOfADocument.contains(group.error.code)
    {
      for position in group.documents { self[job].deaths[position, default: 0] += 1 }
    }
  }

  /// What a document can bring about (<doc:Domain#Documents-that-end-attempts>). All other causes come from the machine, or
  /// from whoever ended the attempt.
  static let mayBeOfADocument: Set<DocumentCode> = [
    "oom", "engine_fault", "exit_code", "signal", "heartbeat_timeout", "progress_timeout", "run_timeout",
    "resource_limit",
  ]
}

/// What attempts hold at present, by executor and by namespace.
struct Room {
  var executors: [ExecutorKind: ResourceUse] = [:]
  var namespaces: [String: ResourceUse] = [:]
  var started: [String: Int] = [:]

  mutating func add(_ needs: Resources, of model: Model) {
    executors[model.specification.executor, default: ResourceUse()].add(needs)
    namespaces[model.key.namespace, default: ResourceUse()].add(needs)
  }

  mutating func remove(_ needs: Resources, of model: Model) {
    executors[model.specification.executor]?.remove(needs)
    namespaces[model.key.namespace]?.remove(needs)
  }
}

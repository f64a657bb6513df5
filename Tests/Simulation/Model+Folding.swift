import MendCore

extension Model {
  /// Takes the next fact in.
  mutating func take(_ record: Record) {
    sequence = record.sequence
    let at = record.at
    switch record.fact {
    case .documentsAdded(let added):
      documents += added.count
    case .batchStatusChanged(let status, _):
      change(to: status, at: at)
    case .tierStarted(let tier, let handed):
      start(tier, handed, at: at)
    case .tierStatusChanged(let tier, let status, _):
      tiers[tier].isCancelRequested = false
      tiers[tier].status = status
      if status == .pending { tiers[tier].startedAt = nil }
      if status == .running, tiers[tier].startedAt == nil { tiers[tier].startedAt = at }
    case .tierCancelRequested(let tier):
      tiers[tier].isCancelRequested = true
    case .jobStatusChanged(let job, let status, let failure, _):
      if status == .cancelling || status == .cancelled, self[job].status != .cancelling {
        self[job].isCancelledAlone = record.cause == .caller && !tiers[job.tier].isCancelRequested
      }
      self[job].status = status
      self[job].failure = failure?.cause
      self[job].since = at
      if status != .pending { self[job].notBefore = nil }
      if status == .pending { self[job].isCancelledAlone = false }
    case .nextAttemptScheduled(let job, let until):
      self[job].notBefore = until
      self[job].since = until
    case .retried(let tier, let jobs, _, let initiative):
      retry(tier, jobs, initiative, record)
    case .healed(let heal):
      heals.append((heal, at))
      for case .reclaimOrphan(let job, let number) in heal.steps.map(\.operation) where attempt(job, number) != nil {
        self[job].attempts[number - 1].reportsBeforeReclaim = self[job].attempts[number - 1].staleReports
      }
    case .staleReport(let job, let number):
      if attempt(job, number) != nil { self[job].attempts[number - 1].staleReports += 1 }
    case .verdictChanged(let verdict):
      saidHealth = verdict.health
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
    case .documentsClaimed(let job, _, let set, _):
      put(set, at: .processing, of: job)
    case .documentsCommitted(let job, _, let set):
      put(set, at: .committed, of: job)
      lastCommit += 1
      for position in set { self[job].committedAs[position] = lastCommit }
      self[job].commits += set.count
    case .documentsFailed(let job, _, let failed):
      for group in failed { put(group.documents, at: .failed, of: job) }
    case .documentsReleased(let job, _, let set):
      put(set, at: .pending, of: job)
    case .stageSpent(let job, _, _, let duration):
      self[job].spent += duration
    case .collectionWritten(let job, _, let count):
      write(count, job)
    case .reportTaken(let job, _, let report):
      for timing in report.stageTimings { self[job].spent += timing.duration }
      write(report.written, job)
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
    case .attemptIntended(let job, _, _, let parameters):
      let isEntrypoint = if case .entrypoint = parameters.work { true } else { false }
      self[job].attempts.append(
        Attempt(
          needs: parameters.resources, isEntrypoint: isEntrypoint, runTimeout: parameters.runTimeout,
          intendedAt: record.at))
    case .attemptStarted(let job, let number):
      guard attempt(job, number) != nil else { return }
      if record.cause == .worker { self[job].attempts[number - 1].hasReported = true }
      if self[job].attempts[number - 1].startedAt == nil {
        self[job].attempts[number - 1].startedAt = record.at
        self[job].attempts[number - 1].pausedBefore = paused(until: record.at)
      }
    case .attemptEnding(let job, let number, let reason, _):
      if attempt(job, number) != nil { self[job].attempts[number - 1].ending = reason }
    case .attemptEnded(let job, let number, let end):
      guard attempt(job, number) != nil else { return }
      self[job].attempts[number - 1].end = end
      self[job].since = record.at
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
  static let mayBeOfADocument: Set<String> = [
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

// The fold: a batch is what its facts made of it. Recovery and the live step use the same code.

extension Batch {
  /// A batch from the first record of its journal; nil unless that is `batchCreated`.
  package static func creating(_ record: Record) -> Batch? {
    guard case .batchCreated(let specification) = record.fact else { return nil }
    let tiers = specification.tiers.enumerated().map { number, tier in
      var jobs: [Job] = []
      for (extractor, specification) in tier.extractors.enumerated() {
        for shard in 0..<max(1, specification.shards) {
          jobs.append(Job(id: JobID(tier: number, index: jobs.count), extractor: extractor, shard: shard))
        }
      }
      return Tier(number: number, jobs: jobs)
    }
    var batch = Batch(
      key: record.batch, specification: specification, documents: DocumentTable(), status: .created,
      statusBeforePause: nil, tiers: tiers, failedDocuments: DocumentSet(), completedDocuments: DocumentSet(),
      processingCounts: [:], documentTimes: DocumentTimes(), createdAt: record.at, submittedAt: nil, timeoutFrom: nil,
      startedAt: nil, updatedAt: record.at, completedAt: nil, lastActivityAt: record.at, sequence: record.sequence,
      generation: 0, recentChanges: [], changesDroppedThrough: 0, healHistory: [], diagnosisSummary: nil, outage: nil,
      duplicates: [])
    batch.note(.batch, from: "", to: BatchStatus.created.rawValue, reason: "", record)
    return batch
  }

  /// The fold of a whole journal, in order; nil for an empty one.
  package static func folding(_ records: [Record]) throws(RecordFault) -> Batch? {
    guard let first = records.first else { return nil }
    guard var batch = Batch.creating(first) else { throw RecordFault(first, .creation) }
    for record in records.dropFirst() { try batch.apply(record) }
    return batch
  }

  /// Takes one fact in. Costs what the fact names, not what the batch holds.
  ///
  /// Records come in the order of their sequence. One that cannot be this batch's next one changes nothing, and is thrown:
  /// from then on whatever the fact names is there.
  package mutating func apply(_ record: Record) throws(RecordFault) {
    if let fault = fault(of: record) { throw fault }
    sequence = record.sequence
    if record.fact.changesBatch { updatedAt = record.at }
    switch record.fact {
    case .batchCreated:
      break
    case .documentsAdded(let added):
      for document in added { documents.append(document) }
    case .batchStatusChanged(let changed):
      change(to: changed.status, reason: changed.reason, record)
    case .tierStarted(let started):
      start(tier: started.tier, handed: started.handed, record)
    case .tierStatusChanged(let changed):
      change(tier: changed.tier, to: changed.status, reason: changed.reason, record)
    case .tierCancelRequested(let fact):
      guard tiers[fact.tier].status == .running else { return }
      tiers[fact.tier].cancelRequested = true
      note(.tier(fact.tier), from: "running", to: "running", reason: "cancel requested", record)
    case .retried(let retried):
      for job in retried.jobs { reopen(job, by: retried.by) }
      if retried.by == .caller {
        beginBudgets(from: retried.tier)
        // What a batch does by itself gives it no more time.
        if status.isFinal { timeoutFrom = record.at }
      }
      // The changes of state that follow from it come as facts of their own.
      generation += 1
    case .healed(let heal):
      healHistory.append(heal)
      if heal.by == .autoHeal, heal.isCounted { autoHeals += 1 }
      for step in heal.steps { noteReclaim(step, at: record.at) }
      if healHistory.count > Self.healHistoryLimit { healHistory.removeFirst() }
    case .verdictChanged(let summary):
      diagnosisSummary = summary
    case .notificationSettled:
      break
    case .jobStatusChanged(let changed):
      change(job: changed.job, to: changed.status, failure: changed.failure, reason: changed.reason, record)
    case .nextAttemptScheduled(let scheduled):
      tiers[scheduled.job.tier].jobs[scheduled.job.index].nextAttemptAt = scheduled.at
    case .documentsClaimed(let claimed):
      claim(claimed.documents, by: claimed.job, at: record.at)
      guard let index = attemptIndex(claimed.attempt) else { return }
      // Who claims was told how often to beat; a script that only reports was not.
      tiers[claimed.job.tier].jobs[claimed.job.index].attempts[index].hasBeaten = true
      if !claimed.id.isEmpty {
        tiers[claimed.job.tier].jobs[claimed.job.index].attempts[index].remember(
          Attempt.Claim(id: claimed.id, documents: claimed.documents))
      }
    case .documentsCommitted(let committed):
      commit(committed.documents, by: committed.job, at: record.at)
    case .documentsFailed(let fact):
      fail(fact.groups, by: fact.job, at: record.at)
    case .documentsReleased(let released):
      release(released.documents, by: released.job)
    case .workRepeated(let repeated):
      noteRepeatedWork(repeated.count, by: repeated.job)
    case .collectionWritten(let written):
      noteWritten(written.count, by: written.job)
    case .documentsLeftOut(let leftOut):
      leaveOut(leftOut.documents, of: leftOut.job, at: record.at)
    case .reportTaken(let taken):
      if taken.report.repeated > 0 { noteRepeatedWork(taken.report.repeated, by: taken.job) }
      if taken.report.written > 0 { noteWritten(taken.report.written, by: taken.job) }
      for timing in taken.report.stageTimings { spend(timing.duration, in: timing.name, of: taken.job) }
      if let index = attemptIndex(taken.attempt) {
        tiers[taken.job.tier].jobs[taken.job.index].attempts[index].remember(taken.report)
      }
    case .attemptIntended, .attemptTaken, .attemptStarted, .attemptEnding, .attemptEnded, .attemptBeat, .staleReport,
      .stageEntered,
      .stageSpent:
      applyToAttempt(record)
    }
  }

  /// Takes a record's place in the journal in, and leaves its fact to who has done it otherwise.
  package mutating func pass(_ record: Record) throws(RecordFault) {
    if let fault = fault(of: record) { throw fault }
    sequence = record.sequence
    updatedAt = record.at
  }

  func contains(_ job: JobID) -> Bool {
    tiers.indices.contains(job.tier) && tiers[job.tier].jobs.indices.contains(job.index)
  }

  /// Counts are others' word: they saturate, and never stop a fold.
  private mutating func noteRepeatedWork(_ count: Int, by job: JobID) {
    tiers[job.tier].jobs[job.index].repeatedWork = tiers[job.tier].jobs[job.index].repeatedWork.addingSaturated(count)
  }

  private mutating func noteWritten(_ count: Int, by job: JobID) {
    tiers[job.tier].jobs[job.index].written =
      (tiers[job.tier].jobs[job.index].written ?? 0).addingSaturated(count)
  }

  /// A caller's Retry is a new beginning for the rules of all that runs again because of it.
  private mutating func beginBudgets(from first: Int) {
    for tier in tiers.indices where tier >= first {
      for job in tiers[tier].jobs.indices {
        tiers[tier].jobs[job].attemptsBeforeRetry = tiers[tier].jobs[job].attempts.count
      }
    }
  }

  /// An orphan is reclaimed once, and again only when it is heard of again.
  private mutating func noteReclaim(_ step: HealStep, at now: Instant) {
    guard case .reclaimOrphan(let job, let number) = step.operation, step.result == .done || step.result == .asked,
      let index = attemptIndex(job, number)
    else { return }
    tiers[job.tier].jobs[job.index].attempts[index].reclaimedAt = now
    tiers[job.tier].jobs[job.index].attempts[index].reportsBeforeReclaim =
      tiers[job.tier].jobs[job.index].attempts[index].staleReports
  }

  /// A change of state: it moves the generation on and is kept for watches that resume.
  mutating func note(_ subject: StateChange.Subject, from: String, to: String, reason: String, _ record: Record) {
    generation += 1
    if recentChanges.count >= Self.recentChangesLimit {
      // An eighth at once, so that the cost of moving the rest is spread over many changes.
      let dropped = Self.recentChangesLimit / 8
      changesDroppedThrough = recentChanges[dropped - 1].sequence
      recentChanges.removeFirst(dropped)
    }
    recentChanges.append(
      StateChange(
        sequence: record.sequence, subject: subject, from: from, to: to, reason: reason, at: record.at))
  }

  private mutating func change(to status: BatchStatus, reason: String, _ record: Record) {
    let before = self.status
    self.status = status
    if before == .paused { endPause(at: record.at) }
    if status == .paused {
      statusBeforePause = before
      pausedAt = record.at
      pausedBy = record.who
    } else {
      statusBeforePause = nil
    }
    if before == .created && !status.isFinal {
      submittedAt = record.at
      timeoutFrom = record.at
    }
    if status == .running && startedAt == nil { startedAt = record.at }
    completedAt = status.isFinal ? record.at : nil
    runClocks(at: record.at)
    note(.batch, from: before.rawValue, to: status.rawValue, reason: reason, record)
  }

  /// The clocks go on from where they stood.
  private mutating func endPause(at now: Instant) {
    guard let since = pausedAt else { return }
    pausedAt = nil
    pausedBy = ""
    resumedAt = now
    timeoutFrom = timeoutFrom.map { $0 + max(.zero, now - since) }
    for tier in tiers.indices where tiers[tier].status == .running {
      for job in tiers[tier].jobs.indices where tiers[tier].jobs[job].current != nil {
        let last = tiers[tier].jobs[job].attempts.count - 1
        guard let started = tiers[tier].jobs[job].attempts[last].startedAt else { continue }
        tiers[tier].jobs[job].attempts[last].pausedFor += max(.zero, now - max(since, started))
      }
    }
  }

  private mutating func change(tier: Int, to status: TierStatus, reason: String, _ record: Record) {
    let before = tiers[tier].status
    tiers[tier].status = status
    switch status {
    case .pending:
      tiers[tier].startedAt = nil
      tiers[tier].completedAt = nil
      tiers[tier].cancelRequested = false
    case .running:
      tiers[tier].completedAt = nil
      tiers[tier].cancelRequested = false
    case .completed, .failed, .cancelled:
      tiers[tier].completedAt = record.at
      tiers[tier].cancelRequested = false
    }
    runClocks(at: record.at)
    note(.tier(tier), from: before.rawValue, to: status.rawValue, reason: reason, record)
  }

  private mutating func runClocks(at now: Instant) {
    work.run(status == .running, at: now)
    for tier in tiers.indices { tiers[tier].work.run(status == .running && tiers[tier].status == .running, at: now) }
  }

  private mutating func start(tier: Int, handed: DocumentSet, _ record: Record) {
    let before = tiers[tier].status
    tiers[tier].status = .running
    tiers[tier].handed = handed
    tiers[tier].startedAt = record.at
    tiers[tier].completedAt = nil
    tiers[tier].lastActivityAt = record.at
    for index in tiers[tier].jobs.indices {
      tiers[tier].jobs[index].assigned = DocumentSet()
      tiers[tier].jobs[index].leftOut = DocumentSet()
      tiers[tier].jobs[index].runsWithoutDocuments = false
      tiers[tier].jobs[index].claimCursor = 0
    }
    let layout = extractorLayout(of: tier)
    for position in handed {
      for extractor in layout {
        tiers[tier].jobs[extractor.job(of: position)].assigned.insert(position)
      }
    }
    keepLedger(of: tier)
    tiers[tier].work = WorkClock()
    runClocks(at: record.at)
    restartCurve(of: tier, at: record.at)
    note(.tier(tier), from: before.rawValue, to: TierStatus.running.rawValue, reason: "", record)
  }

  private mutating func change(
    job: JobID, to status: JobStatus, failure: Job.Failure?, reason: String, _ record: Record
  ) {
    let before = tiers[job.tier].jobs[job.index].status
    tiers[job.tier].jobs[job.index].status = status
    tiers[job.tier].jobs[job.index].failure = failure
    tiers[job.tier].jobs[job.index].completedAt = status.isFinal ? record.at : nil
    if status.isFinal || status == .starting { tiers[job.tier].jobs[job.index].nextAttemptAt = nil }
    if status == .starting && tiers[job.tier].jobs[job.index].startedAt == nil {
      tiers[job.tier].jobs[job.index].startedAt = record.at
    }
    // What it left undone is nobody's any more: the pace of before says nothing of what is left.
    if status.isFinal, tiers[job.tier].jobs[job.index].pendingCount > 0 { restartCurve(of: job.tier, at: record.at) }
    note(.job(job), from: before.rawValue, to: status.rawValue, reason: reason, record)
  }
}

extension HealRecord {
  /// Whether it counts against a budget: a plan that did nothing costs nothing.
  var isCounted: Bool { steps.contains { $0.result == .done } }
}

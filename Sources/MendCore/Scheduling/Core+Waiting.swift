// What each batch waits for, as the scheduler's queue has it.

extension Core {
  /// Puts a batch in the scheduler's queue when a job of it could start, and takes it out when none could.
  mutating func enqueue(_ key: BatchKey) {
    guard let batch = batches[key] else { return }
    onBatch?(key)
    let executor = batch.specification.executor
    guard let waiting = knownWait(of: batch) else {
      index.lanes[executor]?.queue.remove(key, capacities.of(executor))
      markQueued(key, nil)
      return
    }
    index.lanes[executor, default: .init()].queue.insert(waiting, capacities.of(executor))
    markQueued(key, waiting.entry)
  }

  /// What the batch waits for, looked up in its jobs only where something changed that decides it: most events are about
  /// what runs, and a batch may have thousands of jobs.
  private mutating func knownWait(of batch: Batch) -> WaitingBatch? {
    if batch.status == .running, batch.attemptsLeft <= 0 { return nil }
    if let known = index.waits[batch.key] {
      assert(batch.tiers.contains { $0.jobs.count > 64 } || known.waiting == waiting(batch), "what waits has changed")
      return known.waiting
    }
    let found = waiting(batch)
    index.waits[batch.key] = KnownWait(waiting: found)
    return found
  }

  /// Whether a fact may change which jobs of the batch wait, for what, or since when. Asked before it is applied.
  func changesWait(_ fact: Fact, of key: BatchKey) -> Bool {
    func isPending(_ job: JobID) -> Bool { batches[key]?.tiers[job]?.status == .pending }
    return switch fact {
    case .batchCreated, .batchStatusChanged, .tierStarted, .tierStatusChanged, .tierCancelRequested, .retried,
      .nextAttemptScheduled:
      true
    case .jobStatusChanged(let changed): changed.status == .pending || isPending(changed.job)
    case .documentsReleased(let fact), .documentsCommitted(let fact): isPending(fact.job)
    case .documentsFailed(let fact): isPending(fact.job)
    case .documentsLeftOut(let fact): isPending(fact.job)
    case .attemptEnded(let fact): isPending(fact.job)
    default: false
    }
  }

  /// So that the batch's view shows it.
  private mutating func markQueued(_ key: BatchKey, _ entry: QueueEntry?) {
    guard batches[key] != nil, batches[key]?.queued != entry else { return }
    batches[key]?.queued = entry
    touch(key)
  }

  /// What the batch waits for; nil while no job of it could start.
  func waiting(_ batch: Batch) -> WaitingBatch? {
    var waits: [WaitingBatch.Wait] = []
    var places: [Demand.Need: Int] = [:]
    var priority = 0
    switch batch.status {
    case .queued:
      guard let tier = batch.tiers.firstIndex(where: { $0.status == .pending }) else { return nil }
      let since = max(batch.submittedAt ?? batch.createdAt, batch.resumedAt ?? .distantPast)
      // It starts with whichever of its jobs there is room for.
      for job in batch.tiers[tier].jobs.indices where batch.tiers[tier].jobs[job].status == .pending {
        let need = batch.need(ofJob: job, inTier: tier)
        if waits.last?.need != need, places.updateValue(waits.count, forKey: need) == nil {
          waits.append(WaitingBatch.Wait(need: need, since: since))
        }
      }
      if waits.isEmpty { waits = [WaitingBatch.Wait(need: .nothing, since: since)] }
      priority = batch.specification.priority
    case .running:
      guard let tier = batch.tiers.firstIndex(where: { $0.status == .running }), !batch.tiers[tier].cancelRequested,
        batch.attemptsLeft > 0
      else { return nil }
      for job in batch.tiers[tier].jobs.indices where batch.tiers[tier].couldStart(job, at: context.now) {
        let need = batch.tiers[tier].hasNothingLeft(job) ? .nothing : batch.need(ofJob: job, inTier: tier)
        let since = max(batch.tiers[tier].waitsSince(job, at: context.now), batch.resumedAt ?? .distantPast)
        // One need for all jobs is the rule; a retry may have given each job its own.
        if waits.last?.need == need {
          waits[waits.count - 1].since = min(waits[waits.count - 1].since, since)
        } else if let place = places[need] {
          waits[place].since = min(waits[place].since, since)
        } else {
          places[need] = waits.count
          waits.append(WaitingBatch.Wait(need: need, since: since))
        }
        priority = max(priority, batch.tiers[tier].jobs[job].overrides.priority ?? batch.specification.priority)
      }
      if waits.isEmpty { return nil }
    case .created, .paused, .completed, .failed, .cancelled:
      return nil
    }
    // From the latest submission or retry: a batch does not go to the end of the queue with each of its tiers.
    let since = batch.timeoutFrom ?? batch.submittedAt ?? batch.createdAt
    let entry = QueueEntry(
      rank: since.milliseconds - Int64(priority) * limits.agingStep.milliseconds,
      submission: index.submissions[batch.key] ?? 0, priority: priority, batch: batch.key)
    return WaitingBatch(entry, waits, isQueued: batch.status == .queued)
  }
}

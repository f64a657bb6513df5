// Which job starts next: fair between namespaces, by priority and age within one, as far as there is room.

extension Core {
  /// Starts the jobs that can start. The cost grows with what it starts and passes over, not with what waits.
  ///
  /// - Parameter subjects: how many of the touched batches the event was about; all of them where that is not said.
  mutating func schedule(beside subjects: Int? = nil) {
    if context.cause != .clock, context.cause != .recovery { context.subjects = subjects ?? context.touched.count }
    defer { context.subjects = nil }
    repeat {
      context.schedulingIsDue = false
      for key in context.touched { enqueue(key) }
      // Who has waited longest goes first: quotas are of a namespace, whatever it runs on.
      let heads = index.lanes.compactMap { executor, lane in
        lane.queue.first.map { (head: $0.entry, executor: executor) }
      }
      for (_, executor) in heads.sorted(by: { $0.head < $1.head }) { turnOf(executor) }
      // A job that was over at once may have started the next tier.
    } while context.schedulingIsDue
  }

  private mutating func turnOf(_ executor: ExecutorKind) {
    guard let outage = index.lanes[executor]?.outage else { return pass(on: executor) }
    // Nothing new is started where nobody could be asked what became of it.
    for key in context.touched where index.lanes[executor]?.queue.entry(of: key) != nil { mark(key, outage) }
  }

  /// Starts what has room, the first in line first. Costs what it starts, and one look for each different demand that is
  /// refused: those who wait for the same need no further look. After so many looks the rest waits for the next pass.
  private mutating func pass(on executor: ExecutorKind) {
    let capacity = capacities.of(executor)
    var pass = Pass()
    pass.reserved = index.lanes[executor]?.brokenOff?.reserved
    while let waiting = index.lanes[executor]?.queue.first {
      pass.looks += 1
      if pass.looks > limits.schedulingLooks || pass.looksAtMixed > limits.schedulingLookahead {
        breakOff(pass, on: executor, capacity)
        return
      }
      let key = waiting.entry.batch
      var room = Scheduling(
        use: index.lanes[executor]?.use ?? ResourceUse(), capacity: capacity, reserved: pass.reserved)
      if let quota = limits.quota(of: key.namespace) {
        room.quota = quota
        room.held = index.use(of: key.namespace)
        room.started = index.started(in: key.namespace)
      }
      // What was looked at once, and waits on for another reason, is not looked at again.
      if room.canStart(waiting.demand), pass.looked.insert(key).inserted {
        startJobs(of: key, room)
        enqueue(key)
        continue
      }
      // One big job that has waited long gets what comes free: others take only what it does not need.
      reserve(for: waiting, room, &pass)
      if waiting.crowd.mixedOf != nil {
        lookPast(waiting, on: executor, capacity, room, &pass)
      } else if waiting.demand.needs.contains(where: room.fits) {
        // By its namespace's quota, or by its own doing: others that wait for the same may start.
        if room.canStart(waiting.demand) {
          index.lanes[executor]?.queue.remove(key, capacity)
          pass.aside.append(waiting)
        } else {
          index.lanes[executor]?.queue.park(waiting.crowd, of: key.namespace, capacity)
        }
      } else {
        index.lanes[executor]?.queue.park(waiting.crowd)
      }
      assert(index.lanes[executor]?.queue.first != waiting, "a pass has to come on")
    }
    for waiting in pass.aside { index.lanes[executor]?.queue.insert(waiting, capacity) }
    index.lanes[executor]?.queue.unpark(capacity)
    // Who was refused in an earlier pass of this round did not see what came free since.
    if index.lanes[executor]?.brokenOff?.cameFree == true { context.schedulingIsDue = true }
    index.lanes[executor]?.brokenOff = nil
  }

  /// Leaves the rest of the queue for a moment later, or for the next event. What was refused stays out until then.
  private mutating func breakOff(_ pass: Pass, on executor: ExecutorKind, _ capacity: Capacity) {
    for waiting in pass.aside { index.lanes[executor]?.queue.insert(waiting, capacity) }
    let cameFree = index.lanes[executor]?.brokenOff?.cameFree ?? false
    index.lanes[executor]?.brokenOff = BrokenOffPass(reserved: pass.reserved, cameFree: cameFree)
    let nobody = BatchKey(namespace: "", batchID: "")
    index.deadlines.insert(Deadline(at: context.now + .milliseconds(1), kind: .schedule, batch: nobody))
  }

  private func reserve(for waiting: WaitingBatch, _ room: Scheduling, _ pass: inout Pass) {
    guard pass.reserved == nil else { return }
    pass.reserved = room.oldest(of: waiting.waits, before: context.now + limits.overtakingWindow * -1)
      .map(room.kept)
  }

  /// One pass over an executor's queue.
  private struct Pass {
    var looks = 0
    /// The capacity that is reserved for a job that has waited long.
    var reserved: Demand.Need?
    /// The batches that the pass has looked at.
    var looked: Set<BatchKey> = []
    /// Batches that are out of the queue until the pass is over.
    var aside: [WaitingBatch] = []
    /// Batches skipped so far in the namespace's mixed crowd: demands beyond `FairQueue.demandsPerNamespace`.
    var looksAtMixed = 0
  }

  /// Skips batches of a namespace's mixed crowd, demands beyond `FairQueue.demandsPerNamespace`, until one can start: that
  /// one is the first now. None of them may hide another: what they wait for is compared one by one.
  private mutating func lookPast(
    _ waiting: WaitingBatch, on executor: ExecutorKind, _ capacity: Capacity, _ room: Scheduling, _ pass: inout Pass
  ) {
    let (crowd, namespace) = (waiting.crowd, waiting.entry.batch.namespace)
    var room = room
    var last = waiting
    while let next = index.lanes[executor]?.queue.next(after: last.entry, in: crowd) {
      last = next
      pass.looksAtMixed += 1
      room.reserved = pass.reserved
      if room.canStart(next.demand) && !pass.looked.contains(next.entry.batch) { break }
      if pass.looksAtMixed > limits.schedulingLookahead { break }
      reserve(for: next, room, &pass)
    }
    if last == waiting {
      index.lanes[executor]?.queue.park(crowd)
    } else {
      // The last of them may be one that cannot start, either: it is looked at again then, and they are through.
      index.lanes[executor]?.queue.begin(at: last.entry, in: crowd, of: namespace, capacity)
    }
  }

  /// Starts the batch's jobs as far as the capacity allows.
  private mutating func startJobs(of key: BatchKey, _ room: Scheduling) {
    onBatch?(key)
    var room = room
    if status(of: key) == .queued {
      record(.batchStatusChanged(.init(.running, reason: "started")), on: key)
      advance(key)
    }
    guard let tier = runningTier(of: key) else { return }
    // Nothing is held of the batch: each launch would have it copied.
    let needs = index.waits[key]?.waiting?.demand.needs ?? []
    let jobs = batches[key]?.tiers[tier].jobs.count ?? 0
    var refused: [Demand.Need] = []
    var left = batches[key]?.attemptsLeft ?? 0
    for index in 0..<jobs {
      if left <= 0 { break }
      guard let candidate = candidate(index, in: tier, of: key) else { continue }
      if candidate.hasNothingLeft, finishIfNothingLeft(candidate.job, of: key) { continue }
      // What came before may have taken room; none of it gives any back.
      if refused.contains(candidate.need) { continue }
      if room.fits(candidate.need), room.isAllowed(candidate.need) {
        room.use.add(candidate.need.resources)
        room.held.add(candidate.need.resources)
        launch(candidate.job, of: key)
        left -= 1
      } else {
        refused.append(candidate.need)
        if !needs.isEmpty, needs.allSatisfy(refused.contains) { break }
      }
    }
    advance(key)
  }

  func runningTier(of key: BatchKey) -> Int? {
    guard status(of: key) == .running || status(of: key) == .paused else { return nil }
    return batches[key]?.tiers.firstIndex { $0.status == .running }
  }

  /// A job that could start, with what decides whether it does.
  private struct Candidate {
    var job: JobID
    var need: Demand.Need
    var hasNothingLeft: Bool
  }

  /// The job, if it could start; otherwise nil.
  private func candidate(_ index: Int, in tier: Int, of key: BatchKey) -> Candidate? {
    guard batches[key]?.status == .running, batches[key]?.tiers[tier].status == .running,
      batches[key]?.tiers[tier].couldStart(index, at: context.now) == true,
      let need = batches[key]?.need(ofJob: index, inTier: tier)
    else { return nil }
    return Candidate(
      job: JobID(tier: tier, index: index), need: need,
      hasNothingLeft: batches[key]?.tiers[tier].hasNothingLeft(index) == true)
  }

  /// Records the intent, and launches the attempt after the commit.
  private mutating func launch(_ job: JobID, of key: BatchKey) {
    guard let parameters = batches[key].map({ self.parameters(ofNextAttemptOf: job, $0) }),
      let timers = batches[key]?.extractorSpecification(of: job).timers,
      let attempts = batches[key]?.tiers[job]?.attempts.count
    else { return }
    let token = freshToken()
    let attempt = AttemptKey(batch: key, job: job, number: attempts + 1)
    record(.attemptIntended(.init(job.attempt(attempt.number), token: token, parameters)), on: key)
    record(.jobStatusChanged(.init(job, .starting, failure: nil, reason: "attempt \(attempt.number)")), on: key)
    perform(.launch(attempt, Launch(token: token, parameters: parameters, timers: timers)))
  }

  /// Ends a job that has no document left to do, without an attempt.
  @discardableResult
  mutating func finishIfNothingLeft(_ job: JobID, of key: BatchKey) -> Bool {
    guard batches[key]?.tiers[job.tier].hasNothingLeft(job.index) == true else { return false }
    if let failed = batches[key]?.documentsFailedByAllShards(of: job) {
      let failure = Job.Failure(cause: .documentErrors, confidence: .high, message: Batch.allFailed(failed))
      record(.jobStatusChanged(.init(job, .failed, failure: failure, reason: failure.message)), on: key)
    } else {
      record(.jobStatusChanged(.init(job, .succeeded, failure: nil, reason: "nothing left to do")), on: key)
    }
    return true
  }
}

extension Batch {
  /// Whether the batch counts against its namespace's quota: it was started, and is neither over nor paused.
  var isStarted: Bool { startedAt != nil && !status.isFinal && status != .paused }

  /// How many attempts may be started beside those that live: max_concurrent bounds them too, for one that could not claim
  /// anything is of no use.
  var attemptsLeft: Int {
    let maximum = specification.maxConcurrent
    return maximum > 0 ? maximum - held.attempts : .max
  }

  /// What the job's next attempt takes of its executor's capacity.
  func need(ofJob job: Int, inTier tier: Int) -> Demand.Need {
    let extractor = tiers[tier].jobs[job].extractor
    return Demand.Need(
      cpus: tiers[tier].jobs[job].overrides.cpus ?? specification.tiers[tier].extractors[extractor].resources.cpus,
      memoryBytes: tiers[tier].jobs[job].overrides.memoryBytes
        ?? specification.tiers[tier].extractors[extractor].resources.memoryBytes,
      requiresGPU: tiers[tier].jobs[job].overrides.requiresGPU
        ?? specification.tiers[tier].extractors[extractor].resources.requiresGPU)
  }
}

// Of the tier, field by field: all jobs are asked with each event, and a job's own method has it copied with all its parts.
extension Tier {
  func couldStart(_ index: Int, at now: Instant) -> Bool {
    jobs[index].status == .pending && (jobs[index].nextAttemptAt ?? now) <= now
  }

  /// Since when the job could have started: its tier's start, or the end of its last attempt and of the wait after it.
  func waitsSince(_ index: Int, at now: Instant) -> Instant {
    let ended = jobs[index].attempts.isEmpty ? nil : jobs[index].attempts[jobs[index].attempts.count - 1].end?.at
    return [startedAt ?? now, ended, jobs[index].nextAttemptAt].lazy.compactMap(\.self).max() ?? now
  }

  /// Whether no document of the job is left to do or in process.
  func hasNothingLeft(_ index: Int) -> Bool {
    jobs[index].assigned.count == jobs[index].committed.count + jobs[index].failed.count
      && !jobs[index].runsWithoutDocuments
  }
}

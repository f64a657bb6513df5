internal import MendCore

extension RayAttempts {
  /// Takes an answer in and returns the observations that follow, in order.
  mutating func take(_ answer: Answer, at now: Moment, wallClock: Instant) -> [Observation] {
    switch answer {
    case .submitted(let id, let result): submitted(id, result, at: now)
    case .seen(let id, let result): seen(id, result, at: now, wallClock)
    case .stopped(let id, let result): stopped(id, result, at: now)
    case .deleted(let id, let result): deleted(id, result, at: now)
    case .listed(let result, let took): listed(result, took: took, at: now, wallClock)
    case .nodes(let result, let status): nodes(result, status, at: now)
    case .version(let result): answered(result, at: now)
    }
  }

  private mutating func submitted(_ id: String, _ result: Result<Void, RayError>, at now: Moment) -> [Observation] {
    entries[id]?.isUnderWay = false
    guard var entry = entries[id] else { return [] }
    defer { entries[id] = entry }
    entry.due = now
    switch result {
    case .success:
      entry.phase = .watched
      entry.submissions = 0
      let news = reached(at: now)
      let handle = ExecutorHandle(node: "", reference: id)
      entry.handle = handle
      entry.isSeen = true
      entry.takenAt = now
      entry.session = session
      entry.due = now + min(settings.pollInterval, .milliseconds(500))
      return news + (entry.isStray ? [] : [.taken(entry.key, handle)])
    case .failure(let error):
      // Whatever the error, Ray may have it.
      entry.phase = .doubtful(error)
      if case .unreachable = error { return notReached(error, at: now) }
      return []
    }
  }

  private mutating func seen(
    _ id: String, _ result: Result<Sight, RayError>, at now: Moment, _ wallClock: Instant
  ) -> [Observation] {
    entries[id]?.isUnderWay = false
    reach.isAsking = false
    switch result {
    case .failure(let error):
      look(at: id, now + lookInterval)
      return notReached(error, at: now)
    case .success(let sight):
      let news = reached(at: now)
      if let session = sight.session { self.session = session }
      return news + apply(sight, to: id, at: now, wallClock)
    }
  }

  private mutating func stopped(_ id: String, _ result: Result<Bool, RayError>, at now: Moment) -> [Observation] {
    entries[id]?.isUnderWay = false
    switch result {
    case .failure(let error):
      look(at: id, now + settings.pollInterval)
      if case .refused = error {
        let nextStop = now + settings.stopInterval
        entries[id]?.end?.nextStop = nextStop
        return []
      }
      return notReached(error, at: now)
    case .success:
      let stops = entries[id]?.end?.stops ?? 0
      let pause = min(settings.stopIntervalMaximum, settings.stopInterval * (1 << min(stops, 10)))
      entries[id]?.end?.stops = stops + 1
      let nextStop = now + pause
      entries[id]?.end?.nextStop = nextStop
      // The answer is no proof: its state is.
      look(at: id, now + min(settings.pollInterval, .milliseconds(300)))
      return reached(at: now)
    }
  }

  private mutating func answered(_ result: Result<RayVersion, RayError>, at now: Moment) -> [Observation] {
    reach.isAsking = false
    switch result {
    case .failure(let error): return notReached(error, at: now)
    case .success(let version):
      let news = reached(at: now)
      session = version.sessionName
      return news
    }
  }

  // MARK: one job

  mutating func look(at id: String, _ due: Moment) { entries[id]?.due = due }

  /// Takes in what a look at a job found.
  private mutating func apply(
    _ sight: Sight, to id: String, at now: Moment, _ wallClock: Instant
  ) -> [Observation] {
    guard let entry = entries[id] else { return [] }
    guard let job = sight.job else { return missing(id, entry, sight, at: now) }
    guard isOurs(job, entry) else { return foreign(id, entry) }
    entries[id]?.missing = 0
    entries[id]?.phase = .watched
    entries[id]?.isSeen = true
    if entry.session.isEmpty { entries[id]?.session = session }
    look(at: id, entry.end.map { $0.nextStop <= now } == true ? now : now + lookInterval)
    var news: [Observation] = []
    let handle = ExecutorHandle(
      node: job.driverNodeID, reference: id, waitingFor: waiting(id, job, at: now) ?? stillSaid(entry, job))
    let tellsMore = !job.driverNodeID.isEmpty || handle.waitingFor != nil
    if !entry.isStray, entry.handle != handle, entry.handle == nil || tellsMore {
      entries[id]?.handle = handle
      news.append(.taken(entry.key, handle))
    }
    guard job.status.isFinal else {
      entries[id]?.hasFailed = false
      if job.status == .running, !entry.isStarted {
        entries[id]?.isStarted = true
        if !entry.isStray { news.append(.started(entry.key)) }
      }
      if let alive = sight.nodeIsAlive {
        if entry.nodeIsDead, !alive { return news + settle(id, entry, job, sight, at: now, wallClock) }
        entries[id]?.nodeIsDead = false
      }
      return news
    }
    if RayEnd.isDoubtful(job), !entry.hasFailed {
      entries[id]?.hasFailed = true
      look(at: id, now + settings.confirmation)
      return news
    }
    if RayEnd.isUnexplained(job), entry.end == nil, sight.logEnd == nil {
      entries[id]?.isUnexplained = true
      look(at: id, now)
      return news
    }
    return news + settle(id, entry, job, sight, at: now, wallClock)
  }

  /// Returns what a job that has been PENDING for a while waits for; nil if it does not wait, or not for long.
  private mutating func waiting(_ id: String, _ job: RayJob, at now: Moment) -> String? {
    guard job.status == .pending else {
      entries[id]?.pendingSince = nil
      return nil
    }
    let since = entries[id]?.pendingSince ?? now
    entries[id]?.pendingSince = since
    guard now - since >= settings.pendingPatience, !lists.resources.isEmpty else { return nil }
    // Use changes all the time, and each change that is told is written down.
    if let told = entries[id]?.pendingToldAt, now - told < settings.pendingNews,
      let before = entries[id]?.handle?.waitingFor
    {
      return before
    }
    entries[id]?.pendingToldAt = now
    return "Ray says PENDING, and has \(lists.resources): \(job.message.prefix(120))"
  }

  /// Keeps the reported reason of a waiting job when a look has none.
  private func stillSaid(_ entry: Entry, _ job: RayJob) -> String? {
    job.status == .pending ? entry.handle?.waitingFor : nil
  }

  private mutating func settle(
    _ id: String, _ entry: Entry, _ job: RayJob, _ sight: Sight, at now: Moment, _ wallClock: Instant
  ) -> [Observation] {
    entries[id] = nil
    if entry.isStray { return [] }
    let end = RayEnd(
      job: job, wasAskedFor: entry.end != nil, nodeIsAlive: sight.nodeIsAlive, now: wallClock,
      earliest: entry.launchedAt.map { Instant(milliseconds: wallClock.milliseconds - (now - $0).milliseconds) },
      logEnd: sight.logEnd ?? "")
    return (end.hasRun && !entry.isStarted ? [.started(entry.key)] : []) + [end.observation(entry.key)]
  }

  private mutating func missing(
    _ id: String, _ entry: Entry, _ sight: Sight, at now: Moment
  ) -> [Observation] {
    if case .doubtful(let error) = entry.phase { return notTaken(id, entry, error, at: now) }
    guard entry.missing > 0 else {
      entries[id]?.missing = 1
      // What was never seen needs no long second look.
      look(at: id, now + (entry.handle == nil ? min(settings.confirmation, .milliseconds(500)) : settings.confirmation))
      return []
    }
    entries[id] = nil
    if entry.isStray { return [] }
    return [.lost(entry.key, message: lossMessage(id, entry, sight))]
  }

  /// Returns whether the job has the attempt's own mark, or the server's if only its name is known.
  private func isOurs(_ job: RayJob, _ entry: Entry) -> Bool {
    if !entry.fence.isEmpty, let fence = job.metadata[RayMetadata.fence] { return fence == entry.fence }
    return job.metadata[RayMetadata.installation] == installation
  }

  private func lossMessage(_ id: String, _ entry: Entry, _ sight: Sight) -> String {
    guard let current = sight.session, !entry.session.isEmpty, current != entry.session else {
      return "Ray does not know job \(id): two checks did not find it"
    }
    return "Ray does not know job \(id): its head was restarted (session \(entry.session) before, \(current) now), "
      + "and a restart loses all jobs"
  }

  /// Handles a submission without a valid answer that Ray does not have.
  private mutating func notTaken(
    _ id: String, _ entry: Entry, _ error: RayError, at now: Moment
  ) -> [Observation] {
    if entry.end != nil {
      entries[id] = nil
      return entry.isStray ? [] : [.lost(entry.key, message: "Ray never accepted job \(id): \(error)")]
    }
    if error.isLasting || entry.submissions >= settings.submissions {
      entries[id] = nil
      let cause: FailureCause = error.isOfSetup ? .environmentSetup : .engineFault
      return [.launchFailed(entry.key, cause, message: "Ray did not accept job \(id): \(error)")]
    }
    entries[id]?.phase = .toSubmit
    // What never got there does not count.
    if case .unreachable = error { entries[id]?.submissions -= 1 }
    look(at: id, now + settings.pollInterval * (1 << min(entry.submissions, 5) - 1))
    return []
  }

  private mutating func foreign(_ id: String, _ entry: Entry) -> [Observation] {
    entries[id] = nil
    if entry.isStray { return [] }
    let message = "job \(id) at Ray belongs to another server: use another namespace, or another name for the batch"
    return entry.submission == nil || entry.end != nil
      ? [.lost(entry.key, message: message)] : [.launchFailed(entry.key, .environmentSetup, message: message)]
  }

  // MARK: lists

  private mutating func listed(
    _ result: Result<[RayJob], RayError>, took: Duration, at now: Moment, _ wallClock: Instant
  ) -> [Observation] {
    lists.isUnderWay = false
    lists.nextStrays = now + max(settings.strayInterval, took * settings.listCostFactor)
    lists.next = now + max(settings.pollInterval, took * settings.listCostFactor)
    switch result {
    case .failure(let error):
      // Single looks still work where only the list is too long.
      lists.isUnusable = true
      return notReached(error, at: now)
    case .success(let jobs):
      lists.isUnusable = false
      let pause = took * settings.listCostFactor
      lists.isSlow = pause > settings.listPatience && timeOfLooks < pause
      var news = reached(at: now)
      var byID: [String: RayJob] = [:]
      for job in jobs where !job.submissionID.isEmpty { byID[job.submissionID] = job }
      for (id, entry) in entries where !entry.isUnderWay && entry.phase == .watched && entry.handle != nil {
        // What is not in the list is looked at by itself.
        if entry.isDoubtful { continue }
        // The list was asked for before Ray had it.
        if byID[id] == nil, let taken = entry.takenAt, taken >= lists.askedAt { continue }
        news += apply(Sight(job: byID[id]), to: id, at: now, wallClock)
      }
      orderDeletions(byID)
      return news + strays(in: byID, at: now)
    }
  }

  /// Looks again at jobs whose node is dead. Without a list of nodes, all else goes on.
  private mutating func nodes(
    _ result: Result<[RayNode], RayError>, _ status: RayClusterStatus?, at now: Moment
  ) -> [Observation] {
    lists.isAskingNodes = false
    lists.nextNodes = now + settings.nodeInterval
    guard case .success(let nodes) = result else {
      noCapacity(result, at: now)
      return []
    }
    let news = learn(nodes, at: now)
    lists.resources = RayNode.summary(of: nodes)
    if let summary = status?.summary, !summary.isEmpty { lists.resources += " (\(summary))" }
    let dead = Set(nodes.lazy.filter { !$0.isAlive }.map(\.id))
    for (id, entry) in entries where !entry.nodeIsDead && entry.phase == .watched {
      guard let node = entry.handle?.node, dead.contains(node) else { continue }
      entries[id]?.nodeIsDead = true
      look(at: id, now + settings.confirmation)
    }
    return news
  }

  /// Finds live jobs of this server that no live attempt owns, if two lists have them.
  private mutating func strays(in jobs: [String: RayJob], at now: Moment) -> [Observation] {
    var suspects: Set<String> = []
    var news: [Observation] = []
    for (id, job) in jobs where entries[id] == nil && job.type == "SUBMISSION" && !job.status.isFinal {
      // A second submission may have been made by hand, under any id.
      guard job.metadata[RayMetadata.installation] == installation,
        let key = RaySubmissionID.attempt(id) ?? RayMetadata.attempt(job.metadata)
      else { continue }
      suspects.insert(id)
      if lists.suspects.contains(id) { news.append(.duplicate(key, reference: id)) }
    }
    // The list that confirms comes soon.
    if !suspects.isSubset(of: lists.suspects) { lists.nextStrays = min(lists.nextStrays, now + settings.confirmation) }
    lists.suspects = suspects
    return news
  }

  // MARK: reach

  mutating func reached(at now: Moment) -> [Observation] {
    reach.failures = 0
    reach.failingSince = nil
    reach.nextQuestion = now + settings.idleInterval
    guard reach.isAway else { return [] }
    reach.isAway = false
    known.next = now
    for id in entries.keys { entries[id]?.due = now }
    return [.reachable(.ray)]
  }

  mutating func notReached(_ error: RayError, at now: Moment) -> [Observation] {
    reach.failures += 1
    reach.nextQuestion = now + min(settings.awayInterval, settings.pollInterval * max(1, reach.failures))
    let since = reach.failingSince ?? now
    reach.failingSince = since
    guard !reach.isAway, reach.failures >= settings.awayFailures, now - since >= settings.awayAfter else { return [] }
    reach.isAway = true
    reach.isAsking = false
    return [.unreachable(.ray, message: "Ray: \(error)")]
  }
}

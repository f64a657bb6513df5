internal import MendCore

/// The attempts of a Ray executor and the calls to make next: a state machine without I/O, driven by ``RayExecutor``.
///
/// `next(at:)` returns the calls to make now, `take` receives their answers and returns the observations that follow. At
/// most one call is under way for each attempt.
struct RayAttempts {
  typealias Moment = ContinuousClock.Instant

  struct Settings: Sendable {
    /// The time between two looks at a job.
    var pollInterval: Duration = .seconds(1)
    /// The time between a look that finds a job missing or doubtful and the look that confirms it.
    var confirmation: Duration = .seconds(3)
    /// With more attempts than this, one list replaces the looks at each job.
    var listThreshold = 8
    /// The most jobs looked at one by one in an interval, if lists of many jobs fail or come too seldom.
    var looksPerInterval = 20
    /// The time until the next list, as a multiple of what the last one took: lists are expensive for Ray.
    var listCostFactor = 10
    /// With a longer time between lists, jobs are looked at one by one as well, unless they are too many to be through
    /// before the next list.
    var listPatience: Duration = .seconds(5)
    /// The time between two searches for jobs that no attempt owns.
    var strayInterval: Duration = .seconds(20)
    var firstStrayScan: Duration = .seconds(10)
    /// The time between two looks at the nodes. Ray may report a job as RUNNING for ever after its node has died.
    var nodeInterval: Duration = .seconds(15)
    /// The same while nothing runs, to see the capacity change; and until the first answer.
    var capacityInterval: Duration = .seconds(60)
    var capacityRetry: Duration = .seconds(2)
    /// How long a job may be PENDING before the executor reports what it waits for.
    var pendingPatience: Duration = .seconds(5)
    /// The time until it reports that again, if the reason has changed.
    var pendingNews: Duration = .seconds(60)
    /// The cluster counts as unreachable after so much time and so many failures without an answer; it is then asked at
    /// this interval.
    var awayAfter: Duration = .seconds(5)
    var awayFailures = 2
    var awayInterval: Duration = .seconds(2)
    /// The time between two calls to a cluster that runs none of our jobs.
    var idleInterval: Duration = .seconds(15)
    /// How often an attempt is submitted before its launch fails.
    var submissions = 5
    /// The time until a job that still runs is stopped again; it doubles each time.
    var stopInterval: Duration = .seconds(15)
    var stopIntervalMaximum: Duration = .seconds(120)
    /// The most calls at once, and the most of them that delete records.
    var callsAtOnce = 8
    var deletionsAtOnce = 2
    /// How often Ray may refuse to delete a record before it is left there.
    var deletions = 10
    /// The most forgotten batches whose records wait to be deleted; the records of others stay.
    var forgottenBatches = 10_000
  }

  /// A call to make; `id` names a job at Ray.
  enum Call: Hashable, Sendable {
    case submit(id: String, RaySubmission)
    /// Looks at a job; `thoroughly` also at its driver's node and at the session, to decide how it ended.
    case look(id: String, thoroughly: Bool)
    /// Looks thoroughly at a failed job and reads the end of its log.
    case examine(id: String)
    case stop(id: String)
    /// Deletes the record of a job that has ended.
    case delete(id: String)
    case list
    /// Lists the nodes; `withStatus` also how they are used, for jobs that wait.
    case nodes(withStatus: Bool)
    case version
  }

  enum Answer: Sendable {
    case submitted(id: String, Result<Void, RayError>)
    case seen(id: String, Result<Sight, RayError>)
    case stopped(id: String, Result<Bool, RayError>)
    case deleted(id: String, Result<Bool, RayError>)
    case listed(Result<[RayJob], RayError>, took: Duration)
    /// The nodes, and how the cluster is used, if that was asked for and answered.
    case nodes(Result<[RayNode], RayError>, RayClusterStatus? = nil)
    case version(Result<RayVersion, RayError>)
  }

  /// What a look at a job found; the job is nil if Ray does not know it.
  struct Sight: Sendable {
    var job: RayJob?
    var nodeIsAlive: Bool? = nil
    var session: String? = nil
    /// The last lines of its log if they were asked for; empty if there are none.
    var logEnd: String? = nil
  }

  enum Phase: Hashable, Sendable {
    /// Is to be submitted, perhaps again.
    case toSubmit
    /// A submission had no valid answer, so Ray is asked whether it has the job.
    case doubtful(RayError)
    /// Ray has the job, as far as is known.
    case watched
  }

  struct Entry: Sendable {
    var key: AttemptKey
    var submission: RaySubmission?
    /// Tells the attempt's job from others of its name; empty if any job of that name is meant.
    var fence: String
    var phase: Phase
    var due: Moment
    var isUnderWay = false
    var submissions = 0
    /// How many looks in a row have not found the job.
    var missing = 0
    var hasFailed = false
    /// Its node was dead at the last look; a second look confirms it.
    var nodeIsDead = false
    /// It failed, and Ray's message does not say why; its log may.
    var isUnexplained = false
    /// It was found at Ray and is ours. Only then may it be stopped.
    var isSeen = false
    /// The session of the head that had it; empty if not known.
    var session = ""
    /// The handle that was reported last.
    var handle: ExecutorHandle?
    var isStarted = false
    var pendingSince: Moment?
    /// When the executor last reported what it waits for.
    var pendingToldAt: Moment?
    /// When Ray took the submission; nil where it was taken before this executor began.
    var takenAt: Moment?
    /// Nil where it was launched before this executor began.
    var launchedAt: Moment?
    /// No attempt owns it, so nothing is reported about it.
    var isStray = false
    var end: End?

    /// When it was last looked at by itself.
    var lookedAt: Moment?

    /// A second look has to confirm what the first one saw.
    var isDoubtful: Bool { missing > 0 || hasFailed || nodeIsDead || isUnexplained }
    /// It runs or waits at Ray, and only its end is expected.
    var isSettled: Bool { phase == .watched && handle != nil && !isDoubtful && end == nil }
  }

  /// A request to end a job.
  struct End: Sendable {
    var stops = 0
    var nextStop: Moment
  }

  let settings: Settings
  let installation: String
  var entries: [String: Entry] = [:]
  var reach: Reach
  var lists: Lists
  var forgotten = Forgotten()
  var known: Known
  /// Messages for the log.
  var remarks: [Remark] = []
  /// The session of the head that answered last.
  var session = ""

  struct Reach: Sendable {
    var isAway = false
    var failures = 0
    var failingSince: Moment?
    var nextQuestion: Moment
    var isAsking = false
  }

  struct Lists: Sendable {
    var next: Moment
    var nextStrays: Moment
    var isUnderWay = false
    /// When the last list was asked for.
    var askedAt: Moment
    /// Jobs of the last list that no attempt owns; reported if the next list has them too.
    var suspects: Set<String> = []
    var nextNodes: Moment
    var isAskingNodes = false
    /// The cluster's resources as last seen, such as "1 live node with 2 CPU, 22.6 GiB of memory in all".
    var resources = ""
    /// The last list failed, so jobs are looked at one by one.
    var isUnusable = false
    /// The next list comes late, so until then jobs are looked at one by one, in turn.
    var isSlow = false
    /// How many of those looks were made in the current interval, and when it began.
    var looks = (since: Moment?.none, count: 0)
  }

  init(settings: Settings, installation: String, at now: Moment) {
    self.settings = settings
    self.installation = installation
    reach = Reach(nextQuestion: now)
    lists = Lists(next: now, nextStrays: now + settings.firstStrayScan, askedAt: now, nextNodes: now)
    known = Known(next: now)
  }

  /// The time between two looks at a job; longer if many have to be looked at one by one.
  var lookInterval: Duration {
    lists.isUnusable ? settings.pollInterval * max(1, entries.count / settings.looksPerInterval) : settings.pollInterval
  }

  /// How long it takes to look at each job by itself.
  var timeOfLooks: Duration { settings.pollInterval * (entries.count / settings.looksPerInterval) }

  // MARK: what the runtime asks for

  mutating func launch(_ key: AttemptKey, _ submission: RaySubmission, fence: String, at now: Moment) {
    let id = submission.submissionID
    remember(key.batch)
    if entries[id] == nil {
      entries[id] = Entry(key: key, submission: submission, fence: fence, phase: .toSubmit, due: now)
      entries[id]?.launchedAt = now
    } else {
      tellAgain(id, fence: fence, at: now)
      if entries[id]?.submission == nil { entries[id]?.submission = submission }
    }
  }

  mutating func adopt(_ key: AttemptKey, id: String, fence: String, at now: Moment) {
    remember(key.batch)
    if entries[id] == nil {
      entries[id] = Entry(key: key, submission: nil, fence: fence, phase: .watched, due: now)
    } else {
      tellAgain(id, fence: fence, at: now)
    }
  }

  /// Makes the next look at a known job report everything again.
  private mutating func tellAgain(_ id: String, fence: String, at now: Moment) {
    entries[id]?.handle = nil
    entries[id]?.isStarted = false
    entries[id]?.isStray = false
    entries[id]?.fence = fence
    entries[id]?.due = now
  }

  mutating func end(_ key: AttemptKey, id: String, at now: Moment, isStray: Bool = false) {
    if !isStray { remember(key.batch) }
    if entries[id] == nil {
      entries[id] = Entry(key: key, submission: nil, fence: "", phase: .watched, due: now, isStray: isStray)
    }
    if entries[id]?.end == nil { entries[id]?.end = End(nextStop: now) }
    entries[id]?.due = now
  }

  // MARK: what is to be asked now

  /// Returns the calls to make now, and when to ask again at the latest.
  mutating func next(at now: Moment, underWay: Int) -> (calls: [Call], wakeAt: Moment) {
    if reach.isAway { return nextWhileAway(at: now) }
    var calls: [Call] = []
    var room = settings.callsAtOnce - underWay
    let usesList = entries.count > settings.listThreshold && !lists.isUnusable
    if room > 0, !lists.isUnderWay, lists.nextStrays <= now || (usesList && lists.next <= now) {
      lists.isUnderWay = true
      lists.askedAt = now
      calls.append(.list)
      room -= 1
    }
    var wakeAt = min(lists.nextStrays, usesList ? lists.next : lists.nextStrays)
    if !lists.isAskingNodes {
      let concernsJobs = entries.values.contains { $0.handle?.node.isEmpty == false || $0.pendingSince != nil }
      let due = concernsJobs ? min(lists.nextNodes, known.next) : known.next
      if room > 0, due <= now {
        lists.isAskingNodes = true
        calls.append(.nodes(withStatus: entries.values.contains { $0.pendingSince != nil }))
        room -= 1
      } else {
        wakeAt = min(wakeAt, due)
      }
    }
    if room > 0 {
      let due = dueNow(at: now, usesList: usesList, &wakeAt)
      for id in due.prefix(room) {
        guard let entry = entries[id] else { continue }
        if usesList, entry.isSettled { lists.looks.count += 1 }
        entries[id]?.lookedAt = now
        calls.append(call(for: entry, id, at: now))
        entries[id]?.isUnderWay = true
        room -= 1
      }
    }
    while room > 0, let id = nextDeletion() {
      calls.append(.delete(id: id))
      room -= 1
    }
    if entries.isEmpty || session.isEmpty {
      if room > 0, !reach.isAsking, reach.nextQuestion <= now {
        reach.isAsking = true
        calls.append(.version)
      } else if !reach.isAsking {
        wakeAt = min(wakeAt, reach.nextQuestion)
      }
    }
    // What found no room comes again when a call ends.
    return (calls, max(wakeAt, now + .milliseconds(1)))
  }

  private mutating func nextWhileAway(at now: Moment) -> (calls: [Call], wakeAt: Moment) {
    guard !reach.isAsking else { return ([], now + settings.idleInterval) }
    guard reach.nextQuestion <= now else { return ([], reach.nextQuestion) }
    reach.isAsking = true
    // What failed is asked for again: a head may answer for itself and know nothing of its jobs.
    if let known = entries.first(where: { $0.value.phase != .toSubmit && !$0.value.isUnderWay })?.key {
      entries[known]?.isUnderWay = true
      return ([.look(id: known, thoroughly: false)], now + settings.idleInterval)
    }
    return ([.version], now + settings.idleInterval)
  }

  private mutating func call(for entry: Entry, _ id: String, at now: Moment) -> Call {
    switch entry.phase {
    case .toSubmit:
      if entry.end != nil, entry.submissions == 0 {
        // Never submitted: one look makes sure that nobody else did.
        entries[id]?.phase = .watched
        return .look(id: id, thoroughly: true)
      }
      guard let submission = entry.submission else { return .look(id: id, thoroughly: true) }
      entries[id]?.submissions += 1
      return .submit(id: id, submission)
    case .doubtful:
      return .look(id: id, thoroughly: false)
    case .watched:
      if entry.isSeen, let end = entry.end, end.nextStop <= now { return .stop(id: id) }
      if entry.isUnexplained { return .examine(id: id) }
      return .look(id: id, thoroughly: entry.isDoubtful)
    }
  }
}

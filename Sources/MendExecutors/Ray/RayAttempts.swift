internal import MendCore

/// Every attempt that the executor has to do with, and what is to be asked next: a pure machine, driven by RayExecutor.
///
/// `next(at:)` says what to ask now, answers come in by `take`, and both give the observations that follow. One call at
/// most is under way for one attempt.
struct RayAttempts {
  typealias Moment = ContinuousClock.Instant

  struct Settings: Sendable {
    /// Between two looks at one job.
    var pollInterval: Duration = .seconds(1)
    /// Between the look that found a job missing or doubtful and the one that confirms it.
    var confirmation: Duration = .seconds(3)
    /// With more attempts than this one list is asked for instead of each job.
    var listThreshold = 8
    /// Jobs looked at in one interval, each by itself, where there is no list to be had of many, or not often enough.
    var looksPerInterval = 20
    /// A list costs Ray what it has; the next one waits so many times as long as the last one took.
    var listCostFactor = 10
    /// With a longer wait between lists jobs are looked at one by one as well, where all of them have been before the next
    /// list comes: so many that they have not are told of by the list.
    var listPatience: Duration = .seconds(5)
    /// Between two looks for jobs that nobody owns.
    var strayInterval: Duration = .seconds(20)
    var firstStrayScan: Duration = .seconds(10)
    /// Between two looks at the nodes: a job whose node died may be RUNNING at Ray for ever.
    var nodeInterval: Duration = .seconds(15)
    /// Between two where nothing runs: what the cluster has may change all the same. The other one is until the first
    /// good answer.
    var capacityInterval: Duration = .seconds(60)
    var capacityRetry: Duration = .seconds(2)
    /// How long a job may be PENDING before it is told what for.
    var pendingPatience: Duration = .seconds(5)
    /// Until it is told again, where the cluster's account has changed.
    var pendingNews: Duration = .seconds(60)
    /// How long nothing is answered before the cluster counts as away, and how often then.
    var awayAfter: Duration = .seconds(5)
    var awayFailures = 2
    var awayInterval: Duration = .seconds(2)
    /// Between two questions to a cluster that runs nothing of ours.
    var idleInterval: Duration = .seconds(15)
    /// Submissions of one attempt that Ray refuses or loses before the launch counts as failed.
    var submissions = 5
    /// After a stop, until the next one where it still runs; it doubles.
    var stopInterval: Duration = .seconds(15)
    var stopIntervalMaximum: Duration = .seconds(120)
    /// Calls under way at once, and of them such as delete records.
    var callsAtOnce = 8
    var deletionsAtOnce = 2
    /// Times that Ray may refuse to delete one record, until it is left.
    var deletions = 10
    /// Forgotten batches whose records are to be deleted; those of further ones stay.
    var forgottenBatches = 10_000
  }

  /// What is to be asked; `id` names a job at Ray.
  enum Call: Hashable, Sendable {
    case submit(id: String, RaySubmission)
    /// `thoroughly`: with the node of its driver and the session, for a verdict.
    case look(id: String, thoroughly: Bool)
    /// A thorough look at a job that failed, with the end of its log.
    case examine(id: String)
    case stop(id: String)
    /// The record of a job that has ended.
    case delete(id: String)
    case list
    /// `withStatus`: what they are used for as well, for jobs that wait.
    case nodes(withStatus: Bool)
    case version
  }

  enum Answer: Sendable {
    case submitted(id: String, Result<Void, RayError>)
    case seen(id: String, Result<Sight, RayError>)
    case stopped(id: String, Result<Bool, RayError>)
    case deleted(id: String, Result<Bool, RayError>)
    case listed(Result<[RayJob], RayError>, took: Duration)
    /// With what the cluster says of its use, where that was asked for and is to be had.
    case nodes(Result<[RayNode], RayError>, RayClusterStatus? = nil)
    case version(Result<RayVersion, RayError>)
  }

  /// One look at one job; nil where Ray does not know it.
  struct Sight: Sendable {
    var job: RayJob?
    var nodeIsAlive: Bool? = nil
    var session: String? = nil
    /// The last lines of its log, where they were asked for; empty where there are none to be had.
    var logEnd: String? = nil
  }

  enum Phase: Hashable, Sendable {
    /// To be submitted, or to be submitted again.
    case toSubmit
    /// A submission had no good answer: Ray is asked whether it has the job.
    case doubtful(RayError)
    /// Ray has it, or is asked whether it has.
    case watched
  }

  struct Entry: Sendable {
    var key: AttemptKey
    var submission: RaySubmission?
    /// Empty: whatever has the name is meant.
    var fence: String
    var phase: Phase
    var due: Moment
    var isUnderWay = false
    var submissions = 0
    /// Looks in a row that found nothing, or a doubtful failure.
    var missing = 0
    var hasFailed = false
    /// At the last look at the nodes; a second one confirms it.
    var nodeIsDead = false
    /// It failed, and what Ray says of it does not tell why: its log may.
    var isUnexplained = false
    /// Found at Ray at least once, and ours: only then is it told to stop.
    var isSeen = false
    /// Of the head that it was seen at; empty is not known.
    var session = ""
    /// As it was told last.
    var handle: ExecutorHandle?
    var isStarted = false
    var pendingSince: Moment?
    /// When it was told last what it waits for.
    var pendingToldAt: Moment?
    /// When Ray took the submission; nil where it was taken before this executor began.
    var takenAt: Moment?
    /// Nil where it was launched before this executor began.
    var launchedAt: Moment?
    /// Nobody's attempt: nothing is told of it.
    var isStray = false
    var end: End?

    /// It was looked at by itself; only the order counts.
    var lookedAt: Moment?

    /// A second look is to confirm what the first one saw.
    var isDoubtful: Bool { missing > 0 || hasFailed || nodeIsDead || isUnexplained }
    /// It runs or waits at Ray, and nothing but its end is expected.
    var isSettled: Bool { phase == .watched && handle != nil && !isDoubtful && end == nil }
  }

  /// It was asked to end.
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
  /// To be logged, each once.
  var remarks: [Remark] = []
  /// Of the head that answered last.
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
    /// When the last one was asked for.
    var askedAt: Moment
    /// Nobody's, at the last list: told when the next one has them still.
    var suspects: Set<String> = []
    var nextNodes: Moment
    var isAskingNodes = false
    /// "1 live node with 2 CPU, 22.6 GiB of memory in all", as it was last.
    var resources = ""
    /// The last one failed: jobs are looked at one by one.
    var isUnusable = false
    /// The next one is far off: until it comes jobs are looked at one by one, one after the other.
    var isSlow = false
    /// Of those looks, in the interval that began then.
    var looks = (since: Moment?.none, count: 0)
  }

  init(settings: Settings, installation: String, at now: Moment) {
    self.settings = settings
    self.installation = installation
    reach = Reach(nextQuestion: now)
    lists = Lists(next: now, nextStrays: now + settings.firstStrayScan, askedAt: now, nextNodes: now)
    known = Known(next: now)
  }

  /// Between two looks at one job: longer where many have to be looked at one by one.
  var lookInterval: Duration {
    lists.isUnusable ? settings.pollInterval * max(1, entries.count / settings.looksPerInterval) : settings.pollInterval
  }

  /// Until each has been looked at by itself.
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

  /// Known already: the next look says again what it finds.
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

  /// Calls to make, and when to come back at the latest.
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

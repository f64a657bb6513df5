/// The state of one step: its time, what was decided so far, and which batches were touched.
struct StepContext {
  var now = Instant(milliseconds: 0)
  var cause = Record.Cause.clock
  /// Who asked for it; empty if the cause says it.
  var actor = ""
  /// The attempt whose worker sent the request; nil for other events.
  var worker: AttemptKey?
  var output = Output()
  /// While the scheduler runs: how many of `touched` the event itself was about. What else it starts is nobody's
  /// doing.
  var subjects: Int?
  /// The batches that the step changed, in the order in which it first changed them.
  var touched: [BatchKey] = []
  var touchedSet: Set<BatchKey> = []
  /// Whether something changed that may let a job start.
  var schedulingIsDue = false
  /// Whether an attempt ended or a cancel's time is over, so that cancels may be answered.
  var cancelsAreDue = false
  /// The time of the last `wakeAt`.
  var announcedWake = Instant.distantFuture
}

extension Core {
  /// Takes one event in: decides, applies what was decided, and says what is to be made durable and then done.
  ///
  /// Instants do not run backwards from step to step. Every fact is applied to its batch before this returns, so a
  /// driver that cannot commit `writes` must stop: the core is ahead of what is durable.
  package mutating func step(_ event: Event, at now: Instant) -> Output {
    context.now = now
    context.actor = ""
    context.worker = nil
    context.output = Output()
    context.touched.removeAll(keepingCapacity: true)
    context.touchedSet.removeAll(keepingCapacity: context.touchedSet.count < 64)
    switch event {
    case .command(let call, let command):
      context.cause = .caller
      context.actor = command.actor
      take(command, from: call)
    case .worker(let call, let request):
      context.cause = .worker
      take(request, from: call)
    case .observation(let observation):
      context.cause = .executor
      take(observation)
    case .notified(let key, let outcome):
      context.cause = .notifier
      settle(outcome, of: key)
    case .tick:
      context.cause = .clock
    case .resumed(let gap):
      context.cause = .clock
      forgive(gap)
    case .recovered:
      context.cause = .recovery
      recoverAttempts()
    }
    finishStep()
    if !context.output.faults.isEmpty { dropWhatIsFaulty(of: event) }
    return context.output
  }

  /// When a tick is due; `distantFuture` when nothing waits for time.
  package var nextDeadline: Instant {
    let forgetting = answers.nextExpiry ?? .distantFuture
    return min(index.deadlines.first?.at ?? .distantFuture, forgetting)
  }

  /// Ends a step: due timers, the scheduler, cancels, the next tick.
  private mutating func finishStep() {
    let (cause, actor) = (context.cause, context.actor)
    let subjects = context.touched.count
    (context.cause, context.actor) = (.clock, "")
    fireDeadlines()
    (context.cause, context.actor) = (cause, actor)
    if context.schedulingIsDue {
      schedule(beside: subjects)
      if let key = context.touched.first { onBatch?(key) }
    }
    if context.cancelsAreDue { answerCancels() }
    trimDeadlines()
    for key in context.touched { context.output.afterCommit.append(.changed(key)) }
    announceWake()
  }

  /// Emits `wakeAt` if the next tick is due at another time than before.
  mutating func announceWake() {
    let wake = nextDeadline
    guard wake != context.announcedWake else { return }
    context.announcedWake = wake
    if wake != .distantFuture { context.output.afterCommit.append(.wakeAt(wake)) }
  }

  /// Records a fact: gives it the next sequence of its batch, applies it, and updates the indices.
  mutating func record(_ fact: Fact, on key: BatchKey) {
    // Another batch has a place because of this event: whose it was is not for its history, which others may read.
    let isBeside = context.subjects.map { !context.touched.prefix($0).contains(key) } == true
    let cause: Record.Cause = isBeside ? .scheduler : context.cause
    let actor = isBeside ? "" : actor(of: fact)
    let changesWait = changesWait(fact, of: key)
    let applied: Change?
    do throws(RecordFault) {
      applied = try batches[key]?.apply(fact, at: context.now, cause: cause, actor: actor)
    } catch {
      letGo(of: key, for: error)
      return
    }
    guard let change = applied else { return }
    let before = change.statusBefore
    context.output.writes.append(.record(change.record))
    touch(key)
    if changesWait { index.waits[key] = nil }
    follow(fact, on: key, before: before)
    guard batches[key] != nil else { return }
    if fact.movesSummary || change.hasSummary { askForReview(key) }
    switch fact {
    case .batchStatusChanged(let changed) where changed.status.isFinal && !before.isFinal:
      notify(.final, of: key, message: changed.reason)
    case .healed(let heal): notify(.healed, of: key, message: heal.line)
    default: break
    }
    considerHealing(key, after: fact)
    if change.wasStarted != change.isStarted {
      index.lanes[change.executor, default: .init()].queue
        .countStarted(change.isStarted ? 1 : -1, in: key.namespace)
      // What waits for a quota of batches has its turn.
      if !change.isStarted { context.schedulingIsDue = true }
    }
  }

  /// A worker's fact about its own attempt needs no actor, because the fact names the attempt.
  private func actor(of fact: Fact) -> String {
    guard context.cause == .worker, fact.subject.attempt == nil, let worker = context.worker else {
      return context.actor
    }
    return "worker \(worker.id)"
  }

  mutating func touch(_ key: BatchKey) {
    if context.touched.last != key && context.touchedSet.insert(key).inserted { context.touched.append(key) }
  }

  /// What an executor is to do that this server does not have is not asked: the next server that has it does.
  mutating func perform(_ effect: Effect) {
    if let executor = effect.executor, capacities[executor] == nil { return }
    if case .launch(let attempt, _) = effect, !index.live.contains(attempt) {
      let invariant = RecordFault.Invariant.launchWithoutIntent(attempt.job, attempt.number)
      return letGo(of: attempt.batch, for: .invariant(invariant))
    }
    context.output.afterCommit.append(effect)
  }

  /// Updates the indices after a fact.
  private mutating func follow(_ fact: Fact, on key: BatchKey, before: BatchStatus) {
    switch fact {
    case .tierStarted:
      context.schedulingIsDue = true
    case .jobStatusChanged(let changed) where changed.status == .pending:
      context.schedulingIsDue = true
    case .tierStatusChanged:
      letOthersStart(beside: key)
    case .jobStatusChanged(let changed) where changed.status == .cancelled || changed.status == .failed:
      letOthersStart(beside: key)
    case .batchStatusChanged(let changed):
      followStatus(of: key, from: before, to: changed.status)
    case .attemptIntended(let intended):
      let attempt = AttemptKey(batch: key, job: intended.job, number: intended.number)
      index.tokens[intended.token] = attempt
      index.live.insert(attempt)
      hold(intended.parameters, for: key.namespace, since: context.now)
      watch(attempt)
    case .attemptStarted(let attempt):
      watch(AttemptKey(batch: key, job: attempt.job, number: attempt.number))
    case .attemptEnded(let ended):
      let attempt = AttemptKey(batch: key, job: ended.job, number: ended.number)
      guard index.live.remove(attempt) != nil else { return }
      context.cancelsAreDue = true
      index.doubtful.remove(attempt)
      index.checks[attempt] = nil
      if let parameters = batches[key]?.tiers[ended.job]?.attempts[ended.number - 1].parameters {
        let executor = parameters.executor
        guard index.lanes[executor]?.use.attempts ?? 0 > 0 else { return letGo(of: key, for: .invariant(.held)) }
        release(parameters.resources, of: executor, from: key.namespace)
      }
      context.schedulingIsDue = true
    case .nextAttemptScheduled(let scheduled):
      index.deadlines.insert(Deadline(at: scheduled.at, kind: .backoff, batch: key, job: scheduled.job))
    case .retried(let retried) where retried.jobs.contains { !$0.overrides.environment.isEmpty }:
      if let batch = batches[key] { index.specifications.noteRetries(of: batch) }
    default:
      break
    }
  }

  /// What waits for less now, or for nothing, lets others start.
  private mutating func letOthersStart(beside key: BatchKey) {
    if batches[key]?.queued != nil { context.schedulingIsDue = true }
  }

  /// Counts what a live attempt holds of its executor.
  mutating func hold(_ parameters: SubmissionParameters, for namespace: String, since: Instant) {
    let executor = parameters.executor
    index.lanes[executor, default: .init()].use.add(parameters.resources)
    index.lanes[executor, default: .init()].queue
      .add(parameters.resources, to: namespace, at: since, capacities.of(executor))
  }

  /// Frees what an ended attempt held.
  mutating func release(_ resources: Resources, of executor: ExecutorKind, from namespace: String) {
    index.lanes[executor]?.use.remove(resources)
    index.lanes[executor]?.brokenOff?.cameFree = true
    index.lanes[executor]?.queue.remove(resources, from: namespace, capacities.of(executor))
  }

  private mutating func followStatus(of key: BatchKey, from before: BatchStatus, to status: BatchStatus) {
    if before.isFinal != status.isFinal { index.liveBatches += status.isFinal ? -1 : 1 }
    if status == .queued || status == .running || batches[key]?.queued != nil { context.schedulingIsDue = true }
    if index.submissions[key] == nil && status != .created { numberSubmission(key) }
    if status.isFinal {
      index.deadlines.insert(Deadline(at: context.now + limits.retireAfter, kind: .retire, batch: key))
    }
    if before == .created || before.isFinal || before == .paused { setBatchTimeout(key) }
    if before == .paused { watchAttempts(of: key) }
  }

  /// The clocks of a batch that was paused go on.
  private mutating func watchAttempts(of key: BatchKey) {
    guard let tier = runningTier(of: key), let jobs = batches[key]?.tiers[tier].jobs else { return }
    for job in jobs {
      if let attempt = job.current { watch(AttemptKey(batch: key, job: job.id, number: attempt.number)) }
    }
  }

  mutating func numberSubmission(_ key: BatchKey) {
    index.lastSubmission += 1
    index.submissions[key] = index.lastSubmission
    index.waits[key] = nil
  }

  mutating func setBatchTimeout(_ key: BatchKey) {
    guard let batch = batches[key], !batch.status.isFinal, let at = batch.timeoutAt else { return }
    index.deadlines.insert(Deadline(at: at, kind: .batchTimeout, batch: key))
  }
}

/// How a fact changed its batch, as far as the indices depend on it.
private struct Change {
  var record: Record
  var executor: ExecutorKind
  var statusBefore: BatchStatus
  var wasStarted: Bool
  var isStarted: Bool
  var hasSummary: Bool
}

extension Batch {
  /// Gives the fact its place in the journal and applies it, in one access to the batch: reading a batch out of its
  /// dictionary copies all of it.
  fileprivate mutating func apply(
    _ fact: Fact, at now: Instant, cause: Record.Cause, actor: String
  ) throws(RecordFault) -> Change {
    let (statusBefore, wasStarted) = (status, isStarted)
    let record = Record(batch: key, sequence: sequence + 1, at: now, cause: cause, actor: actor, fact: fact)
    let before = before(fact)
    try apply(record)
    if let invariant = broken(by: fact, since: before) { throw RecordFault(record, .invariant(invariant)) }
    return Change(
      record: record, executor: specification.executor, statusBefore: statusBefore, wasStarted: wasStarted,
      isStarted: isStarted, hasSummary: diagnosisSummary != nil)
  }
}

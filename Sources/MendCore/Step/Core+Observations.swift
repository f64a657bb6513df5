// What executors saw. It may come late, twice, or for attempts that are long over.

extension Core {
  mutating func take(_ observation: Observation) {
    switch observation {
    case .taken(let attempt, let handle):
      taken(attempt, handle)
    case .delayed(let attempt, let message):
      guard index.live.contains(attempt), case .intended = state(of: attempt) else { return }
      setDelay(of: attempt, message)
    case .started(let attempt):
      guard index.live.contains(attempt) else { return }
      noteStart(of: attempt)
    case .launchFailed(let attempt, let cause, let message):
      end(attempt, EndReport(executorCause: cause, executorMessage: message))
    case .ended(let attempt, let exit, let receipt):
      end(attempt, EndReport(exit: exit, receipt: receipt))
    case .lost(let attempt, let message):
      lost(attempt, message)
    case .unreachable(let executor, let message):
      unreachable(executor, message)
    case .reachable(let executor):
      if capacities[executor]?.isKnown == true { endOutage(of: executor) }
    case .capacity(let capacity):
      learn(capacity)
    case .hidden(let attempt, let message):
      note(of: attempt) { $0.hiddenBy = message }
    case .looked(let attempt, var activity):
      activity.at = context.now
      note(of: attempt) { $0.activity = activity }
    case .duplicate(let attempt, let reference):
      noteDuplicate(attempt, reference)
    }
  }

  private mutating func taken(_ attempt: AttemptKey, _ handle: ExecutorHandle) {
    guard index.live.contains(attempt), let state = state(of: attempt) else {
      // It was given up before it came to be; what runs now is nobody's.
      if batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) != nil {
        orderStrayEnd(of: attempt, handle.reference)
      }
      return
    }
    index.doubtful.remove(attempt)
    setDelay(of: attempt, nil)
    if self.handle(of: attempt) != handle {
      record(.attemptTaken(.init(attempt.id, handle)), on: attempt.batch)
      // The first end went out without the handle.
      if state.isEnding { orderEnd(of: attempt) }
    }
  }

  private mutating func setDelay(of attempt: AttemptKey, _ message: String?) {
    guard let place = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) else { return }
    let (tier, job) = (attempt.job.tier, attempt.job.index)
    guard batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].delayedBy != message else { return }
    batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].delayedBy = message
    touch(attempt.batch)
    askForReview(attempt.batch)
  }

  /// Takes in what is not journaled.
  private mutating func note(of attempt: AttemptKey, _ change: (inout Attempt) -> Void) {
    guard index.live.contains(attempt), let place = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number),
      var state = batches[attempt.batch]?.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[place]
    else { return }
    change(&state)
    batches[attempt.batch]?.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[place] = state
    touch(attempt.batch)
    askForReview(attempt.batch)
  }

  func handle(of attempt: AttemptKey) -> ExecutorHandle? {
    guard let index = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) else { return nil }
    return batches[attempt.batch]?.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[index].handle
  }

  /// Records that the attempt runs, as its executor or its worker reported.
  mutating func noteStart(of attempt: AttemptKey) {
    switch state(of: attempt) {
    case .intended, .starting:
      learnStart(of: attempt)
      record(.attemptStarted(attempt.id), on: attempt.batch)
      if batches[attempt.batch]?.tiers[attempt.job]?.status == .starting {
        record(.jobStatusChanged(.init(attempt.job, .running, failure: nil, reason: "")), on: attempt.batch)
      }
    case .running, .ending, .ended, nil:
      break
    }
  }

  private mutating func lost(_ attempt: AttemptKey, _ message: String) {
    if !index.leftBehind.isEmpty, giveBack(attempt) { return }
    guard index.live.contains(attempt) else { return }
    if index.doubtful.remove(attempt) != nil, case .intended = state(of: attempt), let launch = launch(of: attempt) {
      // The restart came between the intent and the launch: it never ran.
      perform(.launch(attempt, launch))
      return
    }
    let receipt = state(of: attempt)?.isEnding == true ? EndReceipt(processes: 0, how: "was not running") : nil
    end(attempt, EndReport(receipt: receipt, executorCause: .orphaned, executorMessage: message))
  }

  func launch(of attempt: AttemptKey) -> Launch? {
    guard let batch = batches[attempt.batch], let index = batch.attemptIndex(attempt.job, attempt.number) else {
      return nil
    }
    let state = batch.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[index]
    return Launch(
      token: state.token, parameters: state.parameters, timers: batch.extractorSpecification(of: attempt.job).timers)
  }

  private mutating func noteDuplicate(_ attempt: AttemptKey, _ reference: String) {
    guard let current = batches[attempt.batch]?.tiers[attempt.job] else { return }
    // The current attempt itself, seen under its own name.
    if let handle = current.current?.handle, handle.reference == reference { return }
    let isKnown = batches[attempt.batch]?.duplicates.contains { $0.reference == reference } ?? true
    let count = batches[attempt.batch]?.duplicates.count ?? 0
    guard !isKnown, count < Batch.duplicatesLimit else { return }
    batches[attempt.batch]?.duplicates.append(
      DuplicateLaunch(job: attempt.job, number: attempt.number, reference: reference, seenAt: context.now))
    touch(attempt.batch)
    considerHealing(attempt.batch, at: context.now)
  }
}

// The fold of what happened to attempts.

extension Batch {
  /// Attempts of one job that keep all of their detail; beyond it the oldest but the first ten are thinned out.
  static let detailedAttempts = 100

  mutating func applyToAttempt(_ record: Record) {
    switch record.fact {
    case .attemptIntended(let intended):
      var parameters = intended.parameters
      shareTexts(of: &parameters, with: intended.job)
      intend(
        intended.job,
        Attempt(number: intended.number, token: intended.token, parameters: parameters, intendedAt: record.at), record)
    case .attemptTaken(let taken):
      guard let index = attemptIndex(taken.attempt) else { return }
      tiers[taken.job.tier].jobs[taken.job.index].attempts[index].handle = taken.handle
      guard case .intended = tiers[taken.job.tier].jobs[taken.job.index].attempts[index].state else { return }
      tiers[taken.job.tier].jobs[taken.job.index].attempts[index].state = .starting
      note(.attempt(taken.job, taken.number), from: "intended", to: "starting", reason: "", record)
    case .attemptStarted(let attempt):
      guard let index = attemptIndex(attempt) else { return }
      start(attempt.job, index, record)
    case .attemptEnding(let fact):
      guard let index = attemptIndex(fact.attempt) else { return }
      let before = tiers[fact.job.tier].jobs[fact.job.index].attempts[index].state
      guard !before.isOver else { return }
      tiers[fact.job.tier].jobs[fact.job.index].attempts[index].shortenGrace(to: fact.grace, at: record.at)
      if before.isEnding { return }
      tiers[fact.job.tier].jobs[fact.job.index].attempts[index].state = .ending(fact.reason, since: record.at)
      note(.attempt(fact.job, fact.number), from: before.name, to: "ending", reason: fact.reason.name, record)
    case .attemptEnded(let fact):
      guard let index = attemptIndex(fact.attempt) else { return }
      let before = tiers[fact.job.tier].jobs[fact.job.index].attempts[index].state
      var end = fact.end
      // Earlier versions did not write it down again.
      if case .ending(let reason, _) = before, end.endedFor == nil { end.endedFor = reason }
      if !before.isOver {
        held.remove(tiers[fact.job.tier].jobs[fact.job.index].attempts[index].parameters.resources)
      }
      // What somebody else ended, a pause or Heal, has not been seen to end well.
      if !before.isEnding || end.verdict == .succeeded {
        tiers[fact.job.tier].jobs[fact.job.index].runsWithoutDocuments = false
      }
      closeStage(of: fact.job, index, at: end.at)
      tiers[fact.job.tier].jobs[fact.job.index].attempts[index].state = .ended(end)
      tiers[fact.job.tier].jobs[fact.job.index].attempts[index].suspectedSince = nil
      tiers[fact.job.tier].jobs[fact.job.index].attempts[index].forgetAnswers()
      note(.attempt(fact.job, fact.number), from: before.name, to: "ended", reason: end.outcome, record)
    case .attemptBeat(let attempt):
      guard let index = attemptIndex(attempt) else { return }
      tiers[attempt.job.tier].jobs[attempt.job.index].attempts[index].hasBeaten = true
    case .staleReport(let attempt):
      guard let index = attemptIndex(attempt) else { return }
      tiers[attempt.job.tier].jobs[attempt.job.index].attempts[index].staleReports += 1
    case .stageEntered(let entered):
      guard let index = attemptIndex(entered.attempt) else { return }
      closeStage(of: entered.job, index, at: record.at)
      tiers[entered.job.tier].jobs[entered.job.index].attempts[index].stage = Attempt.Stage(
        name: entered.name, since: record.at)
      moveOn(entered.job, at: record.at, withDocuments: false)
    case .stageSpent(let spent):
      spend(spent.duration, in: spent.name, of: spent.job)
    default:
      return
    }
  }

  /// Numbers count from 1 without gaps, and attempts are never dropped.
  func attemptIndex(_ job: JobID, _ number: Int) -> Int? {
    guard contains(job), number >= 1, number <= tiers[job.tier].jobs[job.index].attempts.count else { return nil }
    return number - 1
  }

  func attemptIndex(_ attempt: AttemptID) -> Int? { attemptIndex(attempt.job, attempt.number) }

  /// What was decoded from a journal is kept once for all attempts that were given the same.
  private func shareTexts(of parameters: inout SubmissionParameters, with job: JobID) {
    let overrides = tiers[job.tier].jobs[job.index].overrides.environment
    if overrides.isEmpty {
      let extractor = specification.tiers[job.tier].extractors[tiers[job.tier].jobs[job.index].extractor]
      if parameters.work == extractor.work { parameters.work = extractor.work }
      if parameters.environment == extractor.environment { parameters.environment = extractor.environment }
    } else if let last = tiers[job.tier].jobs[job.index].attempts.last?.parameters {
      if parameters.work == last.work { parameters.work = last.work }
      if parameters.environment == last.environment { parameters.environment = last.environment }
    }
  }

  private mutating func intend(_ job: JobID, _ attempt: Attempt, _ record: Record) {
    tiers[job.tier].jobs[job.index].attempts.append(attempt)
    held.add(attempt.parameters.resources)
    tiers[job.tier].jobs[job.index].nextAttemptAt = nil
    let count = tiers[job.tier].jobs[job.index].attempts.count
    if count > Self.detailedAttempts {
      tiers[job.tier].jobs[job.index].attempts[count - Self.detailedAttempts + 9].thinOut()
    }
    note(.attempt(job, attempt.number), from: "", to: "intended", reason: "", record)
  }

  private mutating func start(_ job: JobID, _ index: Int, _ record: Record) {
    // The worker's own word for it: from then on the attempt is known to report.
    if record.cause == .worker { tiers[job.tier].jobs[job.index].attempts[index].hasReported = true }
    let before = tiers[job.tier].jobs[job.index].attempts[index].state
    if tiers[job.tier].jobs[job.index].attempts[index].startedAt == nil && !before.isOver {
      tiers[job.tier].jobs[job.index].attempts[index].startedAt = record.at
      tiers[job.tier].jobs[job.index].attempts[index].lastActivityAt = record.at
      tiers[job.tier].jobs[job.index].attempts[index].lastHeartbeatAt = record.at
    }
    switch before {
    case .intended, .starting:
      tiers[job.tier].jobs[job.index].attempts[index].state = .running
      note(.attempt(job, index + 1), from: before.name, to: "running", reason: "", record)
    case .running, .ending, .ended:
      break
    }
  }

  private mutating func closeStage(of job: JobID, _ index: Int, at now: Instant) {
    guard let stage = tiers[job.tier].jobs[job.index].attempts[index].stage else { return }
    tiers[job.tier].jobs[job.index].attempts[index].stage = nil
    spend(max(.zero, now - stage.since), in: stage.name, of: job)
  }

  mutating func spend(_ duration: Duration, in name: String, of job: JobID) {
    let duration = min(duration, Job.stageDurationLimit)
    if let place = tiers[job.tier].jobs[job.index].stages.firstIndex(where: { $0.name == name }) {
      let sum = tiers[job.tier].jobs[job.index].stages[place].duration + duration
      tiers[job.tier].jobs[job.index].stages[place].duration = min(sum, Job.stageDurationLimit)
    } else if tiers[job.tier].jobs[job.index].stages.count < Job.stagesLimit {
      tiers[job.tier].jobs[job.index].stages.append(Job.StageTotal(name: name, duration: duration))
    }
  }
}

extension Job {
  /// Different stage names that are added up for one job; later new names are not.
  static let stagesLimit = 64
  /// Sums of them stop here: they are workers' word.
  static let stageDurationLimit = Duration.milliseconds(1 << 53)
}

extension Attempt {
  /// The first grace that it is given, or a shorter one than that.
  fileprivate mutating func shortenGrace(to grace: Duration?, at now: Instant) {
    guard let grace else { return }
    endGrace = min(endGrace ?? grace, grace)
    endDueAt = min(endDueAt ?? .distantFuture, now + grace)
  }

  /// Keeps what it was and how it ended, and drops the bulk.
  fileprivate mutating func thinOut() {
    parameters.environment = [:]
    if case .ended(var end) = state {
      // What its last words were found to mean is not found out again.
      end.evidence.removeAll { !$0.namesErrorSignature }
      state = .ended(end)
    }
  }
}

extension Attempt.State {
  var isOver: Bool { if case .ended = self { true } else { false } }

  var isEnding: Bool { if case .ending = self { true } else { false } }

  /// As the schema spells it.
  var name: String {
    switch self {
    case .intended: "intended"
    case .starting: "starting"
    case .running: "running"
    case .ending: "ending"
    case .ended: "ended"
    }
  }
}

extension EndReason {
  /// One word, as logs, evidence and histories have it.
  package var name: String {
    switch self {
    case .cancelled: "cancelled"
    case .runTimeout: FailureCause.runTimeout.rawValue
    case .batchTimeout: FailureCause.batchTimeout.rawValue
    case .healed(let cause): cause.rawValue
    case .fenced: "fenced"
    case .paused: "paused"
    }
  }
}

extension EndReason {
  /// As callers are told who asked for an end: what they did or set, not what became of it.
  package var askedBy: String {
    switch self {
    case .cancelled: "cancel"
    case .paused: "pause"
    case .runTimeout, .batchTimeout, .healed, .fenced: name
    }
  }
}

extension AttemptEnd {
  /// One word for how it ended: `cancelled` where that is what it was, `paused` or `fenced` where it only ended early.
  package var outcome: String { verdict == .cancelled ? endedFor?.name ?? verdict.name : verdict.name }

  /// Why it was asked to end; empty where nobody asked.
  package var askedBy: String {
    if let endedFor { return endedFor.askedBy }
    // As earlier versions wrote it.
    return switch verdict {
    case .succeeded: ""
    case .cancelled: EndReason.cancelled.askedBy
    case .failed(let cause, _): cause.category == .timeout ? cause.rawValue : ""
    }
  }
}

extension AttemptEnd.Verdict {
  /// One word, as logs and histories have it.
  package var name: String {
    switch self {
    case .succeeded: "succeeded"
    case .cancelled: "cancelled"
    case .failed(let cause, _): cause.rawValue
    }
  }
}

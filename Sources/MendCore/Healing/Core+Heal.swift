// Heal: a plan of the batch as it is, and its application, bound to the generation that it was made for.

extension Core {
  mutating func heal(
    _ key: BatchKey, tier: Int?, _ action: HealAction, dryRun: Bool, generation: UInt64, actor: String
  ) throws(Refusal) -> Reply {
    guard let batch = batches[key] else { throw .notFound(resourceType: "batch", resourceID: key.batchID) }
    if let tier, !batch.tiers.indices.contains(tier) {
      throw .notFound(resourceType: "tier", resourceID: String(tier))
    }
    if generation != 0 && generation != batch.generation {
      throw .aborted(
        "the plan is for generation \(generation), batch \(key.batchID) is at \(batch.generation)",
        todo: "make a new plan with a dry run")
    }
    var steps = batch.healPlan(action, tier: tier, at: context.now, capacity: capacities.of(batch), limits: limits)
    let planned = batch.generation
    if dryRun { return .healed(.init(batchID: key.batchID, generation: planned, dryRun: true, steps: steps)) }
    apply(&steps, to: key, actor: actor, by: .caller)
    if !steps.isEmpty {
      record(
        .healed(HealRecord(action: action, generation: planned, steps: steps, at: context.now, actor: actor)), on: key)
    }
    advance(key)
    schedule()
    let after = batches[key]?.generation ?? planned
    return .healed(.init(batchID: key.batchID, generation: after, dryRun: false, steps: steps))
  }

  /// Carries out each step and notes its result.
  ///
  /// Jobs of one tier that were given up run again by one retry: a first retry would make the tier run, and the others would
  /// have to wait for it.
  mutating func apply(_ steps: inout [HealStep], to key: BatchKey, actor: String, by initiative: Initiative) {
    var givenUp: [Int: [(step: Int, job: JobID)]] = [:]
    for index in steps.indices {
      if case .reclaimOrphan(let job, let number) = steps[index].operation,
        let state = state(of: AttemptKey(batch: key, job: job, number: number)), state.isOver,
        batches[key]?.isGivenUp(job, with: number) == true
      {
        orderEnd(of: AttemptKey(batch: key, job: job, number: number))
        givenUp[job.tier, default: []].append((index, job))
      } else {
        (steps[index].result, steps[index].outcome) = apply(
          steps[index].operation, to: key, actor: actor, by: initiative)
      }
    }
    for (tier, orphans) in givenUp.sorted(by: { $0.key < $1.key }) {
      let retry = RetryAsked(
        tier: tier, jobs: orphans.map(\.job), overrides: Job.Overrides(), scope: .failed, actor: actor, by: initiative)
      let (result, outcome) = outcome(of: retry, on: key)
      for orphan in orphans {
        (steps[orphan.step].result, steps[orphan.step].outcome) = (result, "ended where it still ran; \(outcome)")
      }
    }
  }

  private mutating func apply(
    _ operation: HealStep.Operation, to key: BatchKey, actor: String, by initiative: Initiative
  ) -> (HealStep.Result, String) {
    switch operation {
    case .restartAttempt(let job, let number, let cause):
      let attempt = AttemptKey(batch: key, job: job, number: number)
      guard index.live.contains(attempt), state(of: attempt)?.isEnding == false else {
        return (.skipped, "skipped: it is over")
      }
      askToEnd(attempt, .healed(cause), grace: limits.defaultGrace)
      return (
        .done,
        specifiedRule(for: job, of: key, cause, nil) == nil
          ? "fenced and being ended; a new attempt takes what is pending"
          : "fenced and being ended; its retry rule for \(cause.rawValue) decides what follows"
      )
    case .killDuplicate(let job, let reference):
      return killDuplicate(of: job, reference, on: key)
    case .reclaimOrphan(let job, let number):
      return reclaim(AttemptKey(batch: key, job: job, number: number))
    case .retryTier(let tier, let jobs, let memoryBytes):
      let retry = RetryAsked(
        tier: tier, jobs: jobs, overrides: Job.Overrides(), scope: .failed, actor: actor, by: initiative,
        memoryBytes: memoryBytes)
      return outcome(of: retry, on: key)
    }
  }

  private mutating func outcome(of retry: RetryAsked, on key: BatchKey) -> (HealStep.Result, String) {
    do throws(Refusal) {
      let done = try apply(retry, to: key)
      return (.done, "\(Figures.count(done.jobs.count, "job", "runs", "run")) again")
    } catch {
      return (.refused, "refused: \(error.sentence)")
    }
  }

  private mutating func killDuplicate(
    of job: JobID, _ reference: String, on key: BatchKey
  ) -> (HealStep.Result, String) {
    guard let place = batches[key]?.duplicates.firstIndex(where: { $0.job == job && $0.reference == reference }),
      let number = batches[key]?.duplicates[place].number
    else { return (.skipped, "skipped: it is gone") }
    let wasAsked = batches[key]?.askedToEnd(job, reference) != nil
    batches[key]?.duplicates.remove(at: place)
    touch(key)
    orderStrayEnd(of: AttemptKey(batch: key, job: job, number: number), reference)
    return wasAsked ? (.asked, "asked to end again") : (.done, "being ended")
  }

  /// Ends whatever may still run as that attempt.
  private mutating func reclaim(_ attempt: AttemptKey) -> (HealStep.Result, String) {
    guard let state = state(of: attempt) else { return (.skipped, "skipped: no such attempt") }
    guard state.isOver else {
      if state.isEnding {
        orderEnd(of: attempt)
        return (.asked, "asked to end again")
      }
      if let launch = launch(of: attempt) { perform(.adopt(attempt, handle(of: attempt), launch)) }
      return (.asked, "the executor is asked for it")
    }
    orderEnd(of: attempt)
    return (.asked, "ended where it still ran")
  }
}

extension Batch {
  /// Whether the job failed with that attempt and its tier is over, so that it can be started again.
  func isGivenUp(_ job: JobID, with attempt: Int) -> Bool {
    guard let state = tiers[job], state.status == .failed, state.attempts.last?.number == attempt else {
      return false
    }
    return tiers[job.tier].status != .running
  }
}

extension Refusal {
  /// One sentence for people.
  var sentence: String {
    switch self {
    case .invalid(let field, let rule): "\(field) \(rule)"
    case .notFound(let type, let id): "\(type) \(id) does not exist"
    case .alreadyExists(let type, let id): "\(type) \(id) exists already"
    case .precondition(let what, let todo, _): "\(what); \(todo.text)"
    case .aborted(let what, let todo): "\(what); \(todo)"
    case .exhausted(let limit, let what, _): "\(limit.rawValue): \(what)"
    case .unavailable(let what): what
    case .unknownToken: "the attempt token is of no attempt"
    case .setAside(let batchID, let why): "batch \(batchID) is set aside: \(why)"
    }
  }
}

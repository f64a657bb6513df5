// What a batch that opted in has done to it without being asked: Heal's `auto` plan, within its budgets, into the same
// history; and the end of stuck attempts that a retry rule names.

extension Core {
  /// Schedules another look at the batch, if it opted in.
  mutating func considerHealing(_ key: BatchKey, at instant: Instant) {
    guard batches[key]?.specification.autoHeal != nil || index.ruledStalls.contains(key) else { return }
    index.deadlines.insert(Deadline(at: instant, kind: .autoHeal, batch: key))
  }

  /// Schedules a look after a fact from which a plan may follow.
  mutating func considerHealing(_ key: BatchKey, after fact: Fact) {
    switch fact {
    case .batchStatusChanged(let changed) where changed.status == .failed: considerHealing(key, at: context.now)
    case .attemptEnded: considerHealing(key, at: context.now)
    case .attemptEnding(let ending): considerHealing(key, at: context.now + (ending.grace ?? .zero) + limits.endTimeout)
    default: break
    }
  }

  /// The executor has more memory than before: a batch that ran out of memory may have a plan now.
  mutating func considerHealingOfFailed(on executor: ExecutorKind) {
    for key in batches.keys.sorted() {
      guard let batch = batches[key], batch.status == .failed, batch.specification.executor == executor else {
        continue
      }
      considerHealing(key, at: context.now)
    }
  }

  /// Ends stuck attempts for which the caller wrote a retry rule; the rule decides what follows.
  mutating func endStallsByRule(_ key: BatchKey) {
    guard let batch = batches[key], batch.status == .running, index.ruledStalls.contains(key) else { return }
    let report = batch.health(at: context.now, capacity: capacities.of(batch), limits: limits)
    for stuck in report.stuckAttempts {
      guard specifiedRule(for: stuck.job, of: key, stuck.cause, nil)?.namesStall(stuck.cause) == true else { continue }
      let attempt = AttemptKey(batch: key, job: stuck.job, number: stuck.number)
      askToEnd(attempt, .healed(stuck.cause), grace: limits.defaultGrace)
    }
  }

  /// Applies the plan that Diagnose recommends, as far as the batch's budgets go.
  mutating func healByItself(_ key: BatchKey) {
    guard let batch = batches[key], let policy = batch.specification.autoHeal,
      batch.autoHeals < policy.maxHeals,
      batch.status == .running || batch.status == .failed, !batch.isPastTimeout(at: context.now)
    else { return }
    let plan = batch.healPlan(.auto, tier: nil, at: context.now, capacity: capacities.of(batch), limits: limits)
    var steps = plan.compactMap { policy.allowed($0) }.filter { !wasAsked($0, of: batch) }
    guard !steps.isEmpty else { return }
    let generation = batch.generation
    let actor = context.actor
    context.actor = Initiative.autoHeal.rawValue
    defer { context.actor = actor }
    apply(&steps, to: key, actor: context.actor, by: .autoHeal)
    // A step that did nothing is not recorded as a heal.
    steps.removeAll { $0.result == .skipped }
    if steps.contains(where: { $0.result == .done || $0.result == .asked }) {
      let record = HealRecord(
        action: .auto, generation: generation, steps: steps, at: context.now, actor: context.actor, by: .autoHeal)
      self.record(.healed(record), on: key)
    }
    advance(key)
    context.schedulingIsDue = true
  }

  /// An end that does not come is asked for again once in a while, not with each event of the batch; the end
  /// of a fenced launch only by hand.
  private func wasAsked(_ step: HealStep, of batch: Batch) -> Bool {
    if case .killDuplicate(let job, let reference) = step.operation { return batch.askedToEnd(job, reference) != nil }
    guard case .reclaimOrphan(let job, let number) = step.operation, let index = batch.attemptIndex(job, number) else {
      return false
    }
    let attempt = batch.tiers[job.tier].jobs[job.index].attempts[index]
    guard attempt.isCurrent, let asked = attempt.reclaimedAt else { return false }
    return context.now - asked < limits.endTimeout
  }
}

extension BatchSpecification {
  /// Whether a retry rule names a cause for which attempts count as stuck, or the category of those causes.
  var hasRulesForStalls: Bool {
    tiers.contains { tier in
      tier.extractors.contains { extractor in
        extractor.retryRules.contains { rule in
          FailureCause.allCases.contains { rule.namesStall($0) }
        }
      }
    }
  }
}

extension AutoHeal {
  /// The step as far as the policy allows it: without the jobs that need more memory than its ceiling; nil if
  /// nothing of it is left, or its risk is above what is allowed.
  package func allowed(_ step: HealStep) -> HealStep? {
    guard step.risk.rank <= maxRisk.rank else { return nil }
    guard case .retryTier(let tier, let jobs, let memoryBytes) = step.operation, memoryCeilingBytes > 0 else {
      return step
    }
    let above = jobs.filter { memoryBytes[$0, default: 0] > memoryCeilingBytes }
    guard let first = above.first else { return step }
    let kept = jobs.filter { memoryBytes[$0, default: 0] <= memoryCeilingBytes }
    guard !kept.isEmpty else { return nil }
    var allowed = step
    allowed.operation = .retryTier(
      tier: tier, jobs: kept, memoryBytes: memoryBytes.filter { $0.value <= memoryCeilingBytes })
    allowed.reason +=
      "; left out: \(first)\(above.count > 1 ? " and \(above.count - 1) more" : ""), which need more than auto_heal's "
      + "ceiling of \(Figures.bytes(memoryCeilingBytes))"
    return allowed
  }
}

extension Risk {
  fileprivate var rank: Int { Self.allCases.firstIndex(of: self) ?? Self.allCases.count }
}

// What a batch that opted in has done to it without being asked: Heal's `auto` plan, within its budgets, into the same
// history.

extension Core {
  /// Looks again at the batch then, when it opted in.
  mutating func considerHealing(_ key: BatchKey, at instant: Instant) {
    guard batches[key]?.specification.autoHeal != nil else { return }
    index.deadlines.insert(Deadline(at: instant, kind: .autoHeal, batch: key))
  }

  /// What may make a plan worth a look.
  mutating func considerHealing(_ key: BatchKey, after fact: Fact) {
    switch fact {
    case .batchStatusChanged(.failed, _), .attemptEnded: considerHealing(key, at: turn.now)
    case .attemptEnding(_, _, _, let grace): considerHealing(key, at: turn.now + (grace ?? .zero) + limits.endTimeout)
    default: break
    }
  }

  /// Applies the plan that Diagnose recommends, as far as the batch's budgets go.
  mutating func healByItself(_ key: BatchKey) {
    guard let batch = batches[key], let policy = batch.specification.autoHeal,
      batch.autoHeals < policy.maxHeals,
      batch.status == .running || batch.status == .failed, !batch.isPastTimeout(at: turn.now)
    else { return }
    let plan = batch.healPlan(.auto, tier: nil, at: turn.now, capacity: capacities.of(batch), limits: limits)
    var steps = plan.filter { policy.allows($0) }
    guard !steps.isEmpty else { return }
    let generation = batch.generation
    let actor = turn.actor
    turn.actor = HealRecord.autoHeal
    defer { turn.actor = actor }
    for index in steps.indices {
      steps[index].outcome = apply(steps[index].operation, to: key, actor: HealRecord.autoHeal)
    }
    let record = HealRecord(
      action: .auto, generation: generation, steps: steps, at: turn.now, actor: HealRecord.autoHeal)
    self.record(.healed(record), on: key)
    advance(key)
    turn.schedulingIsDue = true
  }
}

extension AutoHeal {
  package func allows(_ step: HealStep) -> Bool {
    if case .retryTier(_, _, let memoryBytes?) = step.operation, memoryCeilingBytes > 0,
      memoryBytes > memoryCeilingBytes
    {
      return false
    }
    return step.risk.rank <= maxRisk.rank
  }
}

extension Risk {
  fileprivate var rank: Int { Self.allCases.firstIndex(of: self) ?? Self.allCases.count }
}

// When health turns although nothing happens: a window that ends is news as well.

extension Batch {
  /// The next time after `now` at which the batch's health may turn by time alone; nil where only an event turns it.
  /// It may be too early, never too late: who looks then asks again. Attempts that run or start have looks of their own.
  func nextTurn(after now: Instant, limits: Limits) -> Instant? {
    guard status == .queued || status == .running else { return nil }
    var turns: [Instant] = []
    if let outage { turns.append(outage.since + limits.unreachableGrace) }
    var changes = LatestChanges()
    for tier in tiers.indices where tiers[tier].status == .running {
      for job in tiers[tier].jobs.indices where !tiers[tier].jobs[job].status.isFinal {
        turns.append(contentsOf: self.turns(ofJob: job, inTier: tier, at: now, limits: limits, &changes))
      }
    }
    return turns.lazy.filter { $0 > now && $0 < .distantFuture }.min()
  }

  private func turns(
    ofJob index: Int, inTier number: Int, at now: Instant, limits: Limits, _ changes: inout LatestChanges
  ) -> [Instant] {
    let job = tiers[number].jobs[index]
    if let attempt = job.current {
      switch attempt.state {
      case .ending(_, let since): return [attempt.endIsOverdue(from: since, limits: limits)]
      case .running where outage?.isConfigured == false:
        // Nobody checks what runs on an executor that the server does not have: its own silence is all that is known.
        let timers = job.specified(in: self)?.timers ?? Timers()
        var silent: [Instant] = []
        if owesHeartbeats(attempt, timers) {
          silent.append(max(attempt.lastHeartbeatAt, attempt.startedAt ?? attempt.intendedAt) + timers.heartbeat)
        }
        if let progress = progressTimer(of: attempt, timers) { silent.append(attempt.idleFrom + progress) }
        return silent
      case .intended, .starting, .running, .ended: return []
      }
    }
    let window = job.specified(in: self)?.timers.start ?? Timers.defaultStart
    let waited = waitsSince(job, of: tiers[number], window: window, at: now, &changes) + window
    // While it backs off, something works; from then on it waits as others do.
    return job.nextAttemptAt.map { [$0, waited] } ?? [waited]
  }
}

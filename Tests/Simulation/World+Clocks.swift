import MendCore
import MendRuntime

// Timeouts, graces and pauses.

extension World {
  /// Nothing new starts beyond the batch's time.
  func checkStart(of id: JobID, _ before: Model) {
    count(.deadlines)
    if let deadline = before.deadline(at: now), now > deadline + .seconds(1) {
      fail(
        .deadlines, "\(before.key.batchID) \(id) starts \((now - deadline).inSeconds) s past the batch's timeout")
    }
  }

  /// Nothing is ended before its time is over.
  func checkEnding(_ id: JobID, _ number: Int, _ reason: EndReason, _ before: Model) {
    let name = "\(before.key.batchID) \(id).\(number)"
    switch reason {
    case .batchTimeout:
      count(.deadlines)
      if let deadline = before.deadline(at: now), now < deadline {
        fail(.deadlines, "\(name) is ended for the batch's timeout \((deadline - now).inSeconds) s too early")
      }
    case .runTimeout:
      count(.deadlines)
      if let attempt = before.attempt(id, number), let limit = attempt.runTimeout,
        let ran = before.ran(attempt, until: now), ran < limit
      {
        fail(.deadlines, "\(name) is ended for its run timeout after \(ran.inSeconds) of \(limit.inSeconds) s of work")
      }
    default: break
    }
  }

  /// Whether the server could have done something for so long: it lived, and its executor could be asked.
  private func couldAct(on executor: ExecutorKind, for time: Duration) -> Bool {
    guard let server, now - lifeBegan >= time, server.runtime.capacities[executor]?.isKnown == true else {
      return false
    }
    return outages[executor] == nil && now - (reachableSince[executor] ?? began) >= time
  }

  /// Now and then: is anything beyond its time, or held by who is paused?
  func checkClocks(_ model: Model) {
    guard !model.status.isFinal, couldAct(on: model.specification.executor, for: .seconds(90)) else { return }
    if let deadline = model.deadline(at: now), model.status != .paused {
      count(.deadlines)
      if now > deadline + .seconds(90), !isLied(model) {
        return fail(
          .deadlines, "\(model.key.batchID) is \(model.status) \((now - deadline).inSeconds) s past its timeout")
      }
    }
    for job in model.tiers.flatMap(\.jobs) {
      guard let attempt = job.current, attempt.ending == nil else { continue }
      if let limit = attempt.runTimeout, let ran = model.ran(attempt, until: now), ran > limit + .seconds(15) {
        fail(.deadlines, "\(model.key.batchID) \(job.id) has run \(ran.inSeconds) of \(limit.inSeconds) s")
      }
    }
    guard model.status == .paused, let since = model.pausedSince, now - since > .seconds(90) else { return }
    count(.pauses)
    for job in model.tiers.flatMap(\.jobs) {
      guard let attempt = job.current, attempt.ending == nil, !attempt.isEntrypoint, job.count(.processing) == 0 else {
        continue
      }
      let key = AttemptKey(batch: model.key, job: job.id, number: job.attempts.count)
      if processes[key]?.isLied == true { continue }
      fail(.pauses, "\(model.key.batchID) is paused for \((now - since).inSeconds) s, and \(job.id) holds what it has")
    }
  }

  private func isLied(_ model: Model) -> Bool {
    processes.contains { $0.key.batch == model.key && $0.value.isLied }
  }

  // MARK: Graces

  /// The executor is told to end an attempt within a grace: not sooner than it was told before, but by a caller who
  /// gave less.
  func checkGrace(_ key: AttemptKey, _ grace: Duration) {
    guard let attempt = store.models[key.batch]?.attempt(key.job, key.number), attempt.end == nil,
      attempt.ending == .cancelled
    else { return }
    count(.graces)
    let kill = now + grace
    if let promised = promisedUntil[key], kill + .seconds(8) < promised, grace > leastGrace(for: key) {
      fail(.graces, "\(key) was given \((promised - now).inSeconds) s more to end, and has \(grace.inSeconds)")
    }
    promisedUntil[key] = min(promisedUntil[key] ?? kill, kill)
  }

  /// The least that a caller's plan gives, where it gives more than one.
  private func leastGrace(for key: AttemptKey) -> Duration {
    guard let caller = callers.first(where: { $0.key == key.batch }) else { return .zero }
    let graces = caller.plan.acts.compactMap { act in if case .cancel(_, let grace) = act.what { grace } else { nil } }
    return graces.count < 2 ? .seconds(-1) : graces.min() ?? .zero
  }
}

// Cancel ends processes, not only records: durable intent first, and an answer when all of it is proven gone.

/// A cancel that waits for its attempts.
struct PendingCancel: Hashable {
  var batch: BatchKey
  var scope: CancelScope
  var calls: [CallID]
  /// The commands of the waiting calls that have an idempotency key: the answer is kept for it.
  var commands: [Command]
  /// The attempts that it asked to end.
  var attempts: [AttemptKey]
  var deadline: Instant
}

extension Core {
  mutating func cancel(
    _ batchID: String, _ scope: CancelScope, grace: Duration, _ command: Command, _ call: CallID
  ) throws(Refusal) {
    let key = try key(of: batchID, command.namespace)
    try check(scope, on: key)
    let earlier = try earlierAnswer(to: command)
    if let reply = earlier?.reply { return perform(.reply(call, reply)) }
    let isRepeated = earlier != nil
    if let place = cancels.firstIndex(where: { $0.batch == key && $0.scope == scope }) {
      if cancels[place].calls.count >= limits.callsPerCancel {
        throw .exhausted(limit: .callsPerCancel, "too many calls wait for this cancel", retryAfter: .seconds(5))
      }
      if !isRepeated { remember(command, batchID: batchID, reply: nil) }
      cancels[place].calls.append(call)
      if !command.idempotencyKey.isEmpty { cancels[place].commands.append(command) }
      hasten(place, grace: max(.zero, grace))
      return
    }
    if cancels.count >= limits.waitingCancels {
      throw .exhausted(limit: .waitingCancels, "too many cancels are under way", retryAfter: .seconds(5))
    }
    let grace = max(.zero, grace)
    // What began after the first time, by a retry, is not what the key was for.
    let attempts = liveAttempts(in: scope, of: key).filter { !isRepeated || isAskedToEnd($0) }
    if !isRepeated {
      if !status(of: key).isFinal { intend(scope, attempts, grace: grace, on: key) }
      // With nothing to wait for, this is the answer, now and whenever the key comes again.
      let reply = attempts.isEmpty ? Reply.cancelled(.init(batchID: batchID, status: status(of: key), ended: [])) : nil
      remember(command, batchID: batchID, reply: reply)
    } else {
      for attempt in attempts { askToEnd(attempt, .cancelled, grace: grace) }
    }
    if attempts.isEmpty {
      let receipts = isRepeated ? receipts(of: endedAttempts(in: scope, of: key)) : []
      perform(.reply(call, .cancelled(.init(batchID: batchID, status: status(of: key), ended: receipts))))
      return
    }
    let deadline = context.now + grace + limits.endTimeout
    cancels.append(
      PendingCancel(
        batch: key, scope: scope, calls: [call], commands: command.idempotencyKey.isEmpty ? [] : [command],
        attempts: attempts, deadline: deadline))
    index.deadlines.insert(Deadline(at: deadline, kind: .cancelTimeout, batch: key))
  }

  private func isAskedToEnd(_ attempt: AttemptKey) -> Bool {
    state(of: attempt)?.isEnding == true || batches[attempt.batch]?.tiers[attempt.job]?.status == .cancelling
  }

  /// A cancel that comes again with less grace shortens it; more changes nothing.
  private mutating func hasten(_ place: Int, grace: Duration) {
    let deadline = context.now + grace + limits.endTimeout
    guard deadline < cancels[place].deadline else { return }
    cancels[place].deadline = deadline
    index.deadlines.insert(Deadline(at: deadline, kind: .cancelTimeout, batch: cancels[place].batch))
    for attempt in cancels[place].attempts { askToEnd(attempt, .cancelled, grace: grace) }
  }

  private func check(_ scope: CancelScope, on key: BatchKey) throws(Refusal) {
    switch scope {
    case .batch:
      return
    case .tier(let tier):
      if batches[key]?.tiers.indices.contains(tier) != true {
        throw .notFound(resourceType: "tier", resourceID: String(tier))
      }
    case .job(let job):
      if batches[key]?.contains(job) != true { throw .notFound(resourceType: "job", resourceID: job.description) }
    }
  }

  /// Records the intent for every job and tier in scope, and has the attempts ended.
  private mutating func intend(_ scope: CancelScope, _ attempts: [AttemptKey], grace: Duration, on key: BatchKey) {
    let tiers = self.tiers(in: scope, of: key)
    if case .job = scope {
    } else {
      for tier in tiers where batches[key]?.tiers[tier].status == .running {
        record(.tierCancelRequested(.init(tier: tier)), on: key)
      }
    }
    for attempt in attempts {
      if batches[key]?.tiers[attempt.job]?.status != .cancelling {
        record(
          .jobStatusChanged(.init(attempt.job, .cancelling, failure: nil, reason: "cancelled by the caller")), on: key)
      }
      askToEnd(attempt, .cancelled, grace: grace)
    }
    for job in jobs(in: scope, of: key) where batches[key]?.tiers[job]?.status == .pending {
      record(.jobStatusChanged(.init(job, .cancelled, failure: nil, reason: "cancelled by the caller")), on: key)
    }
    if case .job(let job) = scope {
      closeTierIfAllCancelled(job.tier, of: key)
    } else {
      for tier in tiers where batches[key]?.tiers[tier].status == .pending {
        record(.tierStatusChanged(.init(tier: tier, .cancelled, reason: "cancelled by the caller")), on: key)
      }
    }
    closeIfNeverStarted(scope, key)
    advance(key)
  }

  /// Whether every job of a tier that has not started was cancelled by itself.
  private mutating func closeTierIfAllCancelled(_ tier: Int, of key: BatchKey) {
    guard let state = batches[key]?.tiers[tier], state.status == .pending,
      state.jobs.allSatisfy({ $0.status == .cancelled })
    else { return }
    record(.tierStatusChanged(.init(tier: tier, .cancelled, reason: "all of its jobs were cancelled")), on: key)
  }

  /// Nothing of a CREATED or QUEUED batch runs: it is over at once when it could not get past what was cancelled.
  private mutating func closeIfNeverStarted(_ scope: CancelScope, _ key: BatchKey) {
    guard let batch = batches[key], runningTier(of: key) == nil else { return }
    let next = batch.tiers.first { $0.status != .completed }
    if scope == .batch || next?.status == .cancelled, !batch.status.isFinal {
      record(.batchStatusChanged(.init(.cancelled, reason: "cancelled by the caller")), on: key)
    }
  }

  /// Durable intent to end an attempt, then the signals. May be asked again: the executor is told again.
  mutating func askToEnd(_ attempt: AttemptKey, _ reason: EndReason, grace: Duration) {
    guard index.live.contains(attempt), let state = state(of: attempt) else { return }
    if case .ending(let given, _) = state {
      // Less grace than before is as durable as the first; more changes nothing.
      if grace < self.grace(of: attempt) {
        record(.attemptEnding(.init(attempt.id, given, grace: grace)), on: attempt.batch)
      }
    } else {
      record(.attemptEnding(.init(attempt.id, reason, grace: grace)), on: attempt.batch)
    }
    orderEnd(of: attempt)
  }

  /// The time between SIGTERM and SIGKILL that was asked for.
  private func grace(of attempt: AttemptKey) -> Duration {
    guard let place = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) else {
      return limits.defaultGrace
    }
    return batches[attempt.batch]?.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[place].endGrace
      ?? limits.defaultGrace
  }

  /// Has its executor end it. May come again: an executor that has begun keeps the earlier end.
  mutating func orderEnd(of attempt: AttemptKey) {
    perform(.end(attempt, handle(of: attempt), grace: grace(of: attempt), on: executor(of: attempt.batch)))
  }

  private func tiers(in scope: CancelScope, of key: BatchKey) -> Range<Int> {
    switch scope {
    case .batch: 0..<(batches[key]?.tiers.count ?? 0)
    case .tier(let tier): tier..<tier + 1
    case .job(let job): job.tier..<job.tier + 1
    }
  }

  private func jobs(in scope: CancelScope, of key: BatchKey) -> [JobID] {
    if case .job(let job) = scope { return [job] }
    guard let batch = batches[key] else { return [] }
    return tiers(in: scope, of: key).flatMap { batch.tiers[$0].jobs.map(\.id) }
  }

  private func liveAttempts(in scope: CancelScope, of key: BatchKey) -> [AttemptKey] {
    guard let batch = batches[key] else { return [] }
    return jobs(in: scope, of: key).compactMap { job in
      batch.tiers[job]?.current.map { AttemptKey(batch: key, job: job, number: $0.number) }
    }
  }

  /// The last attempts of the scope's cancelled jobs: what an answer that is asked for again is made from.
  private func endedAttempts(in scope: CancelScope, of key: BatchKey) -> [AttemptKey] {
    guard let batch = batches[key] else { return [] }
    return jobs(in: scope, of: key).compactMap { job in
      guard let state = batch.tiers[job], state.status == .cancelled, let last = state.attempts.last else {
        return nil
      }
      return last.end?.verdict == .cancelled ? AttemptKey(batch: key, job: job, number: last.number) : nil
    }
  }

  private func receipts(of attempts: [AttemptKey]) -> [Reply.EndedAttempt] {
    attempts.compactMap { attempt in
      guard case .ended(let end) = state(of: attempt) else { return nil }
      let receipt = end.receipt ?? EndReceipt(processes: 0, how: end.exit == nil ? "was not running" : "had ended")
      return Reply.EndedAttempt(attempt: attempt.id, receipt: receipt)
    }
  }

  /// Cancels whose attempts are all gone are answered; those that are out of time say what is still there.
  mutating func answerCancels() {
    context.cancelsAreDue = false
    var waiting: [PendingCancel] = []
    for cancel in cancels {
      let remaining = cancel.attempts.filter { index.live.contains($0) }
      if remaining.isEmpty {
        let reply = Reply.cancelled(
          .init(
            batchID: cancel.batch.batchID, status: status(of: cancel.batch), ended: receipts(of: cancel.attempts)))
        for command in cancel.commands { remember(command, batchID: cancel.batch.batchID, reply: reply) }
        for call in cancel.calls { perform(.reply(call, reply)) }
      } else if cancel.deadline <= context.now {
        let names = remaining.prefix(10).map { "\($0.job).\($0.number)" }.joined(separator: ", ")
        let refusal = Refusal.exhausted(
          limit: .endTimeout,
          "\(Figures.count(remaining.count, "attempt", "is", "are")) not proven gone yet: \(names); the batch stays as it is, the ending goes on",
          retryAfter: .seconds(5))
        for call in cancel.calls { perform(.refuse(call, refusal)) }
      } else {
        waiting.append(cancel)
      }
    }
    cancels = waiting
  }
}

// A decision that cannot be so is a fault of this program, or of what it was given. It costs its batch, and nobody else.

extension Core {
  /// What this program decided, or was about to do, breaks what must hold.
  mutating func letGo(of key: BatchKey, for kind: RecordFault.Kind) {
    guard let batch = batches[key] else { return }
    letGo(of: key, for: RecordFault(batch: key, sequence: batch.sequence, kind: kind))
  }

  /// The batch leaves memory as it stands in the journal. What its attempts hold stays taken until each has ended: they
  /// run on.
  mutating func letGo(of key: BatchKey, for fault: RecordFault) {
    guard let batch = batches[key] else { return }
    context.output.faults.append(fault)
    for attempt in index.live.filter({ $0.batch == key }) {
      index.live.remove(attempt)
      if let place = batch.attemptIndex(attempt.job, attempt.number) {
        let parameters = batch.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[place].parameters
        index.leftBehind[attempt] = LeftBehind(executor: parameters.executor, resources: parameters.resources)
      }
      index.doubtful.remove(attempt)
      index.checks[attempt] = nil
    }
    for cancel in cancels where cancel.batch == key {
      for call in cancel.calls { perform(.refuse(call, .setAside(fault))) }
    }
    cancels.removeAll { $0.batch == key }
    if !batch.status.isFinal { index.liveBatches -= 1 }
    if batch.isStarted {
      let executor = batch.specification.executor
      index.lanes[executor]?.queue.countStarted(-1, in: key.namespace)
    }
    forget(batch)
  }

  /// An attempt of a batch that was let go of has ended: what it held is free. False where it is no such attempt.
  mutating func giveBack(_ attempt: AttemptKey) -> Bool {
    guard let left = index.leftBehind.removeValue(forKey: attempt) else { return false }
    release(left.resources, of: left.executor, from: attempt.batch.namespace)
    context.schedulingIsDue = true
    return true
  }

  /// Half a step is none: what was decided for the batches that were let go of is neither written nor done.
  mutating func dropWhatIsFaulty(of event: Event) {
    let faults = context.output.faults
    let faulty = Set(faults.map(\.batch))
    context.output.writes.removeAll { write in write.batch.map(faulty.contains) == true }
    context.output.afterCommit.removeAll { effect in effect.batch.map(faulty.contains) == true }
    guard let call = event.call, let fault = faults.first(where: { event.concerns($0.batch, context.worker) }) else {
      return
    }
    context.output.afterCommit.removeAll { $0.answered == call }
    context.output.afterCommit.append(.refuse(call, event.isWorkers ? .perhapsSetAside : .setAside(fault)))
  }

  /// Whose attempt has this token; nil for one that no batch in memory has.
  package func batch(ofToken token: String) -> BatchKey? { index.tokens[token]?.batch }
}

extension Refusal {
  /// To a worker, which keeps what it has done and asks again: told more, it would end with all of it.
  package static let perhapsSetAside = Refusal.unavailable(
    "a batch is set aside, and this attempt may be of it; what it says is not taken now, ask again")

  static func setAside(_ fault: RecordFault) -> Refusal {
    .setAside(batchID: fault.batch.batchID, fault.description)
  }
}

extension Event {
  fileprivate var call: CallID? {
    switch self {
    case .command(let call, _), .worker(let call, _): call
    case .observation, .notified, .tick, .recovered, .resumed: nil
    }
  }

  fileprivate var isWorkers: Bool { if case .worker = self { true } else { false } }

  fileprivate func concerns(_ key: BatchKey, _ worker: AttemptKey?) -> Bool {
    switch self {
    case .command(_, let command): command.namespace == key.namespace
    case .worker: worker?.batch == key
    case .observation, .notified, .tick, .recovered, .resumed: false
    }
  }
}

extension Write {
  fileprivate var batch: BatchKey? {
    switch self {
    case .record(let record): record.batch
    case .idempotency(let entry): BatchKey(namespace: entry.namespace, batchID: entry.batchID)
    case .notification(let notification): notification.batch
    case .start: nil
    }
  }
}

extension Effect {
  fileprivate var batch: BatchKey? {
    switch self {
    case .launch(let attempt, _), .adopt(let attempt, _, _), .end(let attempt, _, _, _), .endStray(let attempt, _, _),
      .look(let attempt, _):
      attempt.batch
    case .changed(let key), .retire(let key): key
    case .reply, .refuse, .wakeAt: nil
    }
  }

  fileprivate var answered: CallID? {
    switch self {
    case .reply(let call, _), .refuse(let call, _): call
    default: nil
    }
  }
}

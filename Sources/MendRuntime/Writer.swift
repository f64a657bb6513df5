import Logging
import MendCore
import Synchronization

/// The one who steps the core, confined to the writer's thread.
struct Writer {
  let runtime: Runtime
  var core: Core
  private let log: FactLog
  private var statistics = RuntimeStatistics()
  /// What the core asked to be woken at; the newest one holds.
  var wakeAt = Instant.distantFuture
  private var lastTick: Instant
  /// When a log that is too large was spoken of last.
  private var logToldAt = Instant(milliseconds: .min / 2)
  /// When the next round is to come at the latest.
  var dueAt = Instant.distantFuture
  private var lastPruning: Instant
  var snapshots: SnapshotPlan
  /// When what many documents left behind on their way is to be given back to the system.
  private var tidyAt: Instant?
  /// Since when the store has no room.
  var fullSince: Instant?
  private var finals: FinalBatches
  private var strays = StrayLaunches()

  init(runtime: Runtime, core: Core) {
    self.runtime = runtime
    self.core = core
    if let note = runtime.crashNote { self.core.onBatch = { note.begin($0) } }
    log = FactLog(logger: runtime.logger)
    lastTick = runtime.clock.now()
    lastPruning = lastTick
    finals = FinalBatches(runtime.settings)
    snapshots = SnapshotPlan(factsPerSnapshot: runtime.settings.factsPerSnapshot)
  }

  mutating func drive() throws(StoreError) {
    try whileThereIsRoom { writer throws(StoreError) in try writer.recover() }
    while let events = runtime.mailbox.next() {
      if let refusal = runtime.settings.refusal {
        runtime.mailbox.refuseTaken(refusal)
        continue
      }
      if let fullSince {
        try wait(forRoomSince: fullSince)
      } else {
        try whileThereIsRoom { writer throws(StoreError) in try writer.round(events) }
      }
    }
  }

  mutating func recover() throws(StoreError) {
    let began = ContinuousClock.now
    runtime.asides.removeAll()
    let recovery = try runtime.store.recover(at: runtime.clock.now())
    for aside in recovery.setAside { runtime.keepAside(aside) }
    for loss in recovery.losses { runtime.tell(loss) }
    for batch in recovery.batches {
      runtime.crashNote?.begin(batch.key)
      core.restore(batch)
    }
    runtime.crashNote?.end()
    for entry in recovery.idempotency { core.restore(entry) }
    for history in recovery.starts { core.restore(history) }
    statistics.runningAttempts = core.batches.values.reduce(into: 0) { total, batch in
      for tier in batch.tiers { for job in tier.jobs where job.current != nil { total += 1 } }
    }
    runtime.views.publish(Array(core.batches.values))
    let ended = core.batches.values.filter(\.status.isFinal)
      .sorted { ($0.completedAt ?? $0.updatedAt, $0.key) < ($1.completedAt ?? $1.updatedAt, $1.key) }
    finals = FinalBatches(runtime.settings)
    for batch in ended { finals.add(batch.key, documents: batch.documents.count) }
    for batch in core.batches.values { snapshots.recovered(batch) }
    runtime.snapshotter.lookForDamage()
    warnOfMissingExecutors()
    Memory.giveBack()
    runtime.logger.info(
      "recovered",
      metadata: [
        "batches": "\(core.batches.count)", "set_aside": "\(recovery.setAside.count)",
        "attempts": "\(statistics.runningAttempts)", "idempotency_keys": "\(recovery.idempotency.count)",
        "took": "\(ContinuousClock.now - began)",
      ])
    do throws(StoreError) {
      if runtime.settings.refusal == nil { try round([.recovered]) }
    } catch {
      // What is there is told all the same, and changes are refused.
      if error.isFull { runtime.recovery.settle(true) }
      throw error
    }
    runtime.recovery.settle(true)
  }

  /// A server that was started with other executors than the one before keeps their batches, and says so.
  private func warnOfMissingExecutors() {
    for executor in ExecutorKind.allCases where core.capacities[executor] == nil {
      let waiting = core.batches.values.filter { $0.specification.executor == executor && !$0.status.isFinal }
      guard !waiting.isEmpty else { continue }
      runtime.logger.error(
        "batches wait for an executor that this server was started without; nothing of them is lost, failed or run again",
        metadata: [
          "executor": "\(executor.rawValue)", "batches": "\(waiting.count)",
          "first": "\(waiting.map(\.key.batchID).min() ?? "")",
          "todo": "\(core.capacities.of(executor).traits.howToAdd)",
        ])
    }
  }

  /// Steps the core with each event, commits what it decided, then lets it out. After an error nothing gets out.
  mutating func round(_ events: [Event]) throws(StoreError) {
    let now = runtime.clock.now()
    var round = Round()
    var away = try batchesAway(for: events)
    for event in resumption(at: now) + events {
      if runtime.asides.count > 0, isSetAside(event, &round) { continue }
      if let key = event.batchNamed, let batch = away.removeValue(forKey: key) {
        core.restore(batch)
        round.borrowed.insert(key)
      }
      if let note = runtime.crashNote, let key = event.batchInHand(core) { note.begin(key) }
      take(core.step(event, at: now), &round)
      runtime.crashNote?.end()
      if case .tick = event { round.ticked = true }
      if case .observation(.capacity) = event { round.learns = true }
      if case .observation(.duplicate(let attempt, let reference)) = event { report(attempt, reference) }
    }
    take(core.review(at: now), &round)
    runtime.crashNote?.end()
    if round.writes.isEmpty {
      if round.ticked { try runtime.store.check() }
    } else {
      let began = ContinuousClock.now
      try runtime.store.commit(round.writes)
      statistics.commitTime += ContinuousClock.now - began
      statistics.commits += 1
    }
    statistics.rounds += 1
    statistics.events += UInt64(events.count)
    statistics.count(round.writes)
    // What was borrowed and did not change just goes back.
    round.borrowed.subtract(round.touched)
    for key in round.borrowed { core.retire(key) }
    statistics.count(core)
    runtime.counters.withLock { $0 = statistics }

    if round.learns { runtime.knownCapacities.withLock { $0 = core.capacities } }
    runtime.views.publish(round.touched.compactMap { core.batches[$0] })
    log.write(round.writes)
    runtime.mailbox.answer(round.answers)
    if round.notifies { runtime.outbox.set() }
    if runtime.mailbox.isOpen { callExecutor(round.executorCalls) }
    for key in snapshots.due(after: round.writes, core.batches) {
      if let batch = core.batches[key], runtime.snapshotter.order(batch) { snapshots.ordered(key) }
    }
    for key in round.ended { finals.add(key, documents: core.batches[key]?.documents.count ?? 0) }
    let surplus = finals.surplus { core.batches[$0]?.status.isFinal == true }
    try retire(round.retired.filter { !round.borrowed.contains($0) } + surplus)
    prune(at: now)
    tidy(after: round, at: now)
    setAlarm(after: round, at: now)
  }

  /// A round that comes far later than it was due is the first after a suspension.
  private func resumption(at now: Instant) -> [Event] {
    guard dueAt < now, now - dueAt >= runtime.settings.suspensionThreshold else { return [] }
    runtime.logger.notice(
      "no round for a while: the machine was suspended or the server stopped; it does not count against attempts",
      metadata: ["for": "\(Figures.seconds(now - dueAt))"])
    return [.resumed(after: now - dueAt)]
  }

  /// What a step decided, and the batches that it had to let go of.
  private mutating func take(_ output: Output, _ round: inout Round) {
    round.add(output)
    for fault in output.faults {
      runtime.keepAside(
        SetAside(batch: fault.batch, ground: .decision, sequence: fault.sequence, reason: fault.description))
      snapshots.forget(fault.batch)
      round.executorCalls.removeAll { $0.attempt?.batch == fault.batch }
      round.retired.removeAll { $0 == fault.batch }
      round.ended.removeAll { $0 == fault.batch }
    }
  }

  /// Answers for the core where an event is about a batch that is set aside.
  private func isSetAside(_ event: Event, _ round: inout Round) -> Bool {
    if case .worker(let call, let request) = event {
      // Whose token it is cannot be known; told that it is nobody's, its worker would end with all that it has done.
      guard core.batch(ofToken: request.token) == nil else { return false }
      round.answers.append((call, .failure(.perhapsSetAside)))
      return true
    }
    guard let key = event.batchNamed, let aside = runtime.asides[key] else { return false }
    if let call = event.call { round.answers.append((call, .failure(aside.refusal))) }
    return true
  }

  /// Documents come in large messages, and go out as manifests of all that is left: some seconds after either, what
  /// they took is free.
  private mutating func tidy(after round: Round, at now: Instant) {
    let isLarge = round.touched.contains { key in
      (core.batches[key]?.documents.count ?? 0) >= Self.documentsOfLargeBatch
    }
    if isLarge, round.movesDocuments { tidyAt = now + .seconds(2) }
    guard let at = tidyAt, at <= now else { return }
    tidyAt = nil
    runtime.snapshotter.giveMemoryBack()
  }

  private static let documentsOfLargeBatch = 10_000

  /// Forgets finished batches once their time is over, a few at a time: here, where no command can be about them.
  private mutating func prune(at now: Instant) {
    guard let keep = runtime.settings.keepFinished, now - lastPruning >= runtime.settings.pruneInterval else { return }
    lastPruning = now
    do throws(StoreError) {
      let before = Instant(milliseconds: now.milliseconds - keep.milliseconds)
      let forgotten = try runtime.store.prune(finishedBefore: before, limit: runtime.settings.pruneLimit)
      for key in forgotten {
        runtime.views.forget(key)
        for executor in runtime.executors { executor.forget(key) }
      }
      guard !forgotten.isEmpty else { return }
      runtime.logger.info("finished batches forgotten", metadata: ["batches": "\(forgotten.count)"])
    } catch {
      runtime.logger.warning("finished batches cannot be forgotten", metadata: ["error": "\(error)"])
    }
  }

  /// The retired batches that commands of this round are about: they find them in memory, as if they had never left.
  private func batchesAway(for events: [Event]) throws(StoreError) -> [BatchKey: Batch] {
    let keys = Set(events.compactMap(\.batchNamed)).filter { core.batches.index(forKey: $0) == nil }
    guard !keys.isEmpty else { return [:] }
    var wanted = keys.filter { runtime.asides[$0] == nil }
    while !wanted.isEmpty {
      do throws(StoreError) {
        var found: [BatchKey: Batch] = [:]
        for case let batch? in try runtime.store.batches(Array(wanted)) { found[batch.key] = batch }
        return found
      } catch {
        guard let aside = SetAside(error), wanted.remove(aside.batch) != nil else { throw error }
        runtime.keepAside(aside)
      }
    }
    return [:]
  }

  private func callExecutor(_ calls: [Effect]) {
    for call in calls {
      guard let kind = call.executor, let executor = runtime.executor(kind) else { continue }
      switch call {
      case .launch(let attempt, let launch):
        executor.launch(attempt, launch) { [views = runtime.views] in
          views.view(of: attempt.batch)?.documentsLeft(for: attempt.job) ?? []
        }
      case .adopt(let attempt, let handle, let launch): executor.adopt(attempt, handle, launch)
      case .end(let attempt, let handle, let grace, _): executor.end(attempt, handle, grace: grace)
      case .endStray(let attempt, let reference, _): executor.endStray(attempt, reference: reference)
      case .look(let attempt, _): executor.look(at: attempt)
      case .reply, .refuse, .changed, .retire, .wakeAt: break
      }
    }
  }

  private mutating func report(_ attempt: AttemptKey, _ reference: String) {
    guard core.batches.index(forKey: attempt.batch) == nil else { return }
    strays.report(attempt, reference, on: core.capacities.all.map(\.traits), runtime.logger) {
      [store = runtime.store] in
      (try? store.journal(of: attempt.batch, after: 0, limit: 1))?.isEmpty == false
    }
  }

  /// Final batches leave memory, in one transaction for all.
  ///
  /// The core has the last word: what a later event of the round brought back to life stays.
  private mutating func retire(_ keys: [BatchKey]) throws(StoreError) {
    guard !keys.isEmpty else { return }
    let now = runtime.clock.now()
    var entries: [BatchListing] = []
    for key in keys {
      guard let batch = core.batches[key], core.retire(key) else { continue }
      entries.append(
        BatchView(batch: batch).listing(at: now, capacity: core.capacities.of(batch), limits: runtime.limits))
    }
    guard !entries.isEmpty else { return }
    try runtime.store.retire(entries)
    for entry in entries {
      runtime.views.retire(entry.key)
      snapshots.forget(entry.key)
    }
    statistics.batchesRetired += UInt64(entries.count)
    statistics.count(core)
    runtime.counters.withLock { $0 = statistics }
  }

  /// A log that grows and grows is nobody's fault here, and fills the disk: it is said.
  private mutating func lookAtLog(at now: Instant) {
    let bytes = runtime.store.logBytes
    guard bytes >= runtime.settings.logBytesTold, now - logToldAt >= .seconds(600) else { return }
    logToldAt = now
    runtime.logger.warning(
      "the journal's log grows because something reads an old state of the journal: a backup or another program",
      metadata: ["bytes": "\(bytes)"])
  }

  /// The next tick: when the core asked for it, and at least once per `tickInterval` while batches live.
  private mutating func setAlarm(after round: Round, at now: Instant) {
    if let asked = round.wakeAt {
      wakeAt = asked
    } else if round.ticked {
      wakeAt = core.nextDeadline
    }
    if round.ticked {
      lastTick = now
      lookAtLog(at: now)
    }
    let regular = core.batches.isEmpty ? .distantFuture : lastTick + runtime.settings.tickInterval
    let pruning = runtime.settings.keepFinished == nil ? .distantFuture : lastPruning + runtime.settings.pruneInterval
    // What the round itself took, a slow disk or a long recovery, is no gap.
    dueAt = max(min(wakeAt, regular), runtime.clock.now())
    runtime.alarm.set(min(dueAt, pruning))
  }
}

/// What one round decided, sorted by what is done with it.
private struct Round {
  var writes: [Write] = []
  var answers: [(CallID, Mailbox.Answer)] = []
  var executorCalls: [Effect] = []
  /// Batches whose views are to be published.
  var touched: Set<BatchKey> = []
  var retired: [BatchKey] = []
  /// Became final.
  var ended: [BatchKey] = []
  /// Retired batches that were read back for a command.
  var borrowed: Set<BatchKey> = []
  var wakeAt: Instant?
  var ticked = false
  /// Documents were added, or handed to an attempt.
  var movesDocuments = false
  /// An executor said what it has.
  var learns = false
  /// The outbox has something new.
  var notifies = false

  mutating func add(_ output: Output) {
    for write in output.writes {
      if case .notification = write { notifies = true }
      if case .record(let record) = write {
        // Its batch comes as changed, too.
        switch record.fact {
        case .batchStatusChanged(let changed) where changed.status.isFinal: ended.append(record.batch)
        case .documentsAdded, .attemptIntended, .attemptTaken, .attemptStarted: movesDocuments = true
        default: break
        }
      }
    }
    writes += output.writes
    for effect in output.afterCommit {
      switch effect {
      case .reply(let call, let reply): answers.append((call, .success(reply)))
      case .refuse(let call, let refusal): answers.append((call, .failure(refusal)))
      case .changed(let key): touched.insert(key)
      case .retire(let key): retired.append(key)
      case .wakeAt(let instant): wakeAt = instant
      case .launch, .adopt, .end, .endStray, .look: executorCalls.append(effect)
      }
    }
  }
}

extension Event {
  /// The batch that a command or a notification's end is about; nil for other events, and where the core is to pick an id.
  fileprivate var batchNamed: BatchKey? {
    if case .notified(let key, _) = self { return key }
    guard case .command(_, let command) = self, !command.operation.batchID.isEmpty else { return nil }
    return BatchKey(namespace: command.namespace, batchID: command.operation.batchID)
  }
}

extension Effect {
  /// Whom an executor is to do something with.
  fileprivate var attempt: AttemptKey? {
    switch self {
    case .launch(let attempt, _), .adopt(let attempt, _, _), .end(let attempt, _, _, _), .endStray(let attempt, _, _),
      .look(let attempt, _):
      attempt
    case .reply, .refuse, .changed, .retire, .wakeAt: nil
    }
  }
}

extension RuntimeStatistics {
  fileprivate mutating func count(_ core: Core) {
    liveBatches = core.batches.count
    (specificationBytes, documentBytes) = core.memoryUse
  }

  fileprivate mutating func count(_ writes: [Write]) {
    for case .record(let record) in writes {
      records += 1
      switch record.fact {
      case .batchCreated: batchesCreated += 1
      case .attemptIntended:
        attemptsStarted += 1
        runningAttempts += 1
      case .attemptEnded(let ended):
        runningAttempts -= 1
        if ended.end.cause != nil { attemptsFailed += 1 }
      case .documentsCommitted(let committed): documentsCommitted += UInt64(committed.documents.count)
      case .documentsFailed(let failed): documentsFailed += UInt64(failed.groups.count)
      default: break
      }
    }
  }
}

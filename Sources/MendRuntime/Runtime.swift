package import Logging
package import MendCore
import Synchronization

/// Drives the core: durable, then visible.
///
/// One writer takes events from a bounded mailbox, steps the core with a round of them at one instant, commits all of
/// the round's writes in one transaction, and only then lets the round out: views are published, watchers woken,
/// callers answered, executors called, in this order. Readers take published views and never wait for the writer.
package final class Runtime: Sendable {
  package let limits: Limits
  package let settings: RuntimeSettings

  let store: any Store
  /// One of a kind.
  let executors: [any Executor]
  /// As the core has them since its last round.
  let knownCapacities: Mutex<Capacities>
  let clock: any Clock
  let logger: Logger
  let crashNote: (any CrashNote)?
  let mailbox: Mailbox
  let views: PublishedViews
  let alarm = Alarm()
  let reader: JournalReader
  let snapshotter: Snapshotter
  /// Set when notifications were put into the outbox.
  let outbox = Wakeup()
  /// The writer's counters, set once a round.
  let counters = Mutex(RuntimeStatistics())
  let recovery = RecoveryOutcome()
  let asides = SetAsideBatches()
  private let outage = Mutex<StoreOutage?>(nil)
  /// So that who asks all the time asks no lock while there is none.
  private let isStoreOut = Atomic<Bool>(false)
  /// Nil once it was run. The writer holds the lock for its whole life: it says whose the core is, nobody waits for it.
  let core: Mutex<Core?>
  let wasRun = Mutex(false)

  /// - Parameters:
  ///   - core: fresh; recovery fills it from the store.
  ///   - executors: what attempts run on, one of each kind that the core has a capacity of. They may be asked before
  ///     their `run` has begun.
  ///   - crashNote: told what is in hand; nil for nobody.
  package init(
    core: consuming sending Core, store: any Store, executors: [any Executor], clock: any Clock,
    settings: RuntimeSettings = .init(), crashNote: (any CrashNote)? = nil, logger: Logger
  ) {
    self.crashNote = crashNote
    knownCapacities = Mutex(core.capacities)
    limits = core.limits
    self.settings = settings
    self.store = store
    self.executors = executors
    self.clock = clock
    self.logger = logger
    mailbox = Mailbox(settings: settings)
    views = PublishedViews(settings: settings)
    reader = JournalReader(settings: settings)
    snapshotter = Snapshotter(limit: settings.snapshotsLimit, store: store, logger: logger)
    self.core = Mutex(core)
    if settings.isDamaged {
      setStoreOutage(StoreOutage(since: clock.now(), message: "a page of it is damaged", isDamaged: true))
    }
  }

  /// A runtime of one executor.
  package convenience init(
    core: consuming sending Core, store: any Store, executor: any Executor, clock: any Clock,
    settings: RuntimeSettings = .init(), logger: Logger
  ) {
    self.init(
      core: core, store: store, executors: [executor], clock: clock, settings: settings, logger: logger)
  }

  /// What each executor has to give, as far as it is known now.
  package var capacities: Capacities { knownCapacities.withLock { $0 } }

  func executor(_ kind: ExecutorKind) -> (any Executor)? { executors.first { $0.kind == kind } }

  // MARK: - State

  /// Waits for the end of recovery: true when every batch is in memory or set aside and calls are answered, false when
  /// the runtime ended without.
  package func recovered() async -> Bool { await recovery.wait() }

  /// Set while the store can't be written: calls that change something are refused, what is there is told.
  package var storeOutage: StoreOutage? { isStoreOut.load(ordering: .relaxed) ? outage.withLock { $0 } : nil }

  /// Where everything is refused, and the store is not damaged, the data directory is a copy.
  private var copySentence: String? {
    if !settings.isDamaged, case .precondition(let sentence, _, _)? = settings.refusal { sentence } else { nil }
  }

  /// What keeps the server from every batch alike.
  private var serverState: ServerState { ServerState(outage: storeOutage, copy: copySentence) }

  func setStoreOutage(_ new: StoreOutage?) {
    outage.withLock { $0 = new }
    isStoreOut.store(new != nil, ordering: .relaxed)
  }

  /// Batches that nothing is done with, in the order of their names.
  package var setAside: [SetAside] { asides.all }

  // MARK: - Calls

  /// Returns when what the answer says is durable and its view published.
  ///
  /// Waits for recovery. Refused with `exhausted(limit: .mailbox)` or `exhausted(limit: .unansweredCalls)` where a
  /// bound of `RuntimeSettings` is reached, and nothing was done. Cancelling the task gives up the answer, not the
  /// command: the refusal (`aborted`) says so.
  package func command(_ command: Command) async -> Result<Reply, Refusal> {
    await mailbox.call { .command($0, command) }
  }

  /// As `command(_:)`, for what a running attempt says.
  package func worker(_ request: WorkerRequest) async -> Result<Reply, Refusal> {
    await mailbox.call { .worker($0, request) }
  }

  // MARK: - Views

  /// The newest published view of a live batch, or a kept one of a retired batch; never waits, reads no disk.
  ///
  /// Nil says nothing: `loadedView(of:)` tells an unknown batch from one that is not in memory.
  package func view(of key: BatchKey) -> BatchView? { views.view(of: key) }

  /// The newest view, folded from the journal where a retired batch is not in memory; nil for an unknown batch.
  ///
  /// The disk is read by `settings.readersLimit` threads, never by the caller's. Throws `exhausted` when
  /// `settings.readsLimit` others wait for them.
  package func loadedView(of key: BatchKey) async throws(ReadError) -> BatchView? {
    if let aside = asides[key] { throw .setAside(aside) }
    if let view = views.view(of: key) { return view }
    do throws(ReadError) {
      return try await reader.read { [store, views] () throws(StoreError) in
        // Whoever asked before for the same may have brought it.
        if let view = views.view(of: key) { return view }
        // It may have come back to life between the two looks.
        guard let batch = try store.batch(key) else { return views.view(of: key) }
        let view = BatchView(batch: batch)
        views.keepRetired(view)
        return view
      }
    } catch {
      // Retired batches are read when somebody asks for them: what is wrong with one is found only then.
      guard case .store(let fault) = error, let aside = SetAside(fault) else { throw error }
      keepAside(aside)
      throw .setAside(aside)
    }
  }

  /// Says what of the store cannot be read.
  func tell(_ loss: String) {
    logger.error(
      "part of the journal cannot be read",
      metadata: ["what": "\(loss)", "todo": "stop the server and see mend doctor --data DIR"])
  }

  /// From now on nothing is done with the batch. The others go on.
  func keepAside(_ aside: SetAside) {
    guard asides.insert(aside) else { return }
    views.setAside(aside.batch)
    logger.error(
      "a batch is set aside: nothing of it is started, ended or changed; all others continue",
      metadata: [
        "namespace": "\(aside.batch.namespace)", "batch": "\(aside.batch.batchID)",
        "ground": "\(aside.ground.rawValue)",
        "sequence": "\(aside.sequence.map { "\($0)" } ?? "unknown")", "reason": "\(aside.reason)",
        "todo": "stop the server and see mend doctor --data DIR",
      ])
  }

  /// Waits until the batch's sequence is beyond `sequence`, or `deadline`, or cancellation, and gives the newest view.
  ///
  /// Woken at most once a commit. Nil at once for an unknown batch. The end of the runtime wakes nobody: no batch
  /// changes after it.
  package func view(
    of key: BatchKey, after sequence: UInt64, until deadline: Instant
  ) async throws(ReadError) -> BatchView? {
    guard var view = try await loadedView(of: key) else { return nil }
    while view.batch.sequence <= sequence, clock.now() < deadline, !Task.isCancelled {
      await change(of: key, after: sequence, until: deadline)
      view = try await loadedView(of: key) ?? view
    }
    return view
  }

  private func change(of key: BatchKey, after sequence: UInt64, until deadline: Instant) async {
    await withTaskGroup(of: Void.self) { group in
      if deadline < .distantFuture { group.addTask { await self.clock.sleep(until: deadline) } }
      group.addTask {
        if case .full = await self.views.changed(key, after: sequence) {
          await self.clock.sleep(until: min(deadline, self.clock.now() + self.settings.pollInterval))
        }
      }
      await group.next()
      group.cancelAll()
    }
  }

  /// A namespace's batches, live and retired, newest first (by creation, then id), strictly before `cursor`, at most
  /// `limit`. Reads the disk as `loadedView(of:)` does.
  package func list(
    namespace: String, status: BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
  ) async throws(ReadError) -> [BatchListing] {
    let now = clock.now()
    // Live first: who retires in between is then seen twice, not never.
    let live = views.list(namespace: namespace, status: status, bucketID: bucketID, before: cursor, limit: limit)
    let retired = try await reader.read { [store] () throws(StoreError) in
      try store.retired(namespace: namespace, status: status, bucketID: bucketID, before: cursor, limit: limit)
    }
    for loss in store.takeLosses() { tell(loss) }
    let seen = Set(live.map(\.batch.key))
    let (capacities, server) = (capacities, serverState)
    let all =
      live.map { $0.listing(at: now, capacity: capacities.of($0.batch), limits: limits, server: server) }
      + retired.filter { !seen.contains($0.key) }
    let ordered = all.sorted { ($0.createdAt, $0.key.batchID) > ($1.createdAt, $1.key.batchID) }
    return Array(ordered.prefix(limit))
  }

  /// What is wrong with a batch, among those that it stands among now.
  ///
  /// - Parameter use: makes of it what is needed, while the batch is noted as in hand: what follows from a diagnosis can
  ///   fail as the diagnosis can.
  package func diagnosis<Answer>(of batch: Batch, at now: Instant, _ use: (Diagnosis) -> Answer) -> Answer {
    crashNote?.begin(batch.key)
    defer { crashNote?.end() }
    return use(
      batch.diagnosis(
        at: now, capacity: capacities.of(batch), limits: limits, batchContext: batchContext(of: batch)))
  }

  package func diagnosis(of batch: Batch, at now: Instant) -> Diagnosis { diagnosis(of: batch, at: now) { $0 } }

  private func batchContext(of batch: Batch) -> BatchContext {
    var batchContext = views.batchContext(of: batch)
    batchContext.server = serverState
    return batchContext
  }

  /// A batch's health, as `diagnosis(of:at:)` has it.
  package func health(of batch: Batch, at now: Instant) -> HealthReport {
    batch.health(
      at: now, capacity: capacities.of(batch), limits: limits, batchContext: batchContext(of: batch))
  }

  /// One batch's durable history after `sequence`, in order; empty for an unknown batch. Reads the disk as
  /// `loadedView(of:)` does.
  package func journal(of key: BatchKey, after sequence: UInt64) async throws(ReadError) -> [Record] {
    try await records { [store] () throws(StoreError) in try store.journal(of: key, after: sequence) }
  }

  private func records(
    _ read: @escaping @Sendable () throws(StoreError) -> [Record]
  ) async throws(ReadError) -> [Record] {
    do throws(ReadError) {
      return try await reader.read(read)
    } catch {
      // The batch may be in memory and well: only its history is not.
      guard case .store(let fault) = error, let aside = SetAside(fault) else { throw error }
      throw .setAside(aside)
    }
  }

  /// At most `limit` records of it.
  package func journal(
    of key: BatchKey, after sequence: UInt64, limit: Int
  ) async throws(ReadError) -> [Record] {
    try await records { [store] () throws(StoreError) in
      try store.journal(of: key, after: sequence, limit: limit)
    }
  }

  package func now() -> Instant { clock.now() }

  /// Figures for metrics, as of the last round; gauges as of now.
  package var statistics: RuntimeStatistics {
    var statistics = counters.withLock { $0 }
    mailbox.report(in: &statistics)
    views.report(in: &statistics)
    reader.report(in: &statistics)
    statistics.batchesSetAside = asides.count
    statistics.isStoreFull = storeOutage != nil
    statistics.logBytes = store.logBytes
    return statistics
  }
}

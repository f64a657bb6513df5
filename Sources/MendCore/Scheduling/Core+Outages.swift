// Executors that cannot be asked, each for itself: what runs on the others goes on.

extension Core {
  /// What is known of the executors from the start: which the server does not have although batches of it live, and
  /// which have not said yet what they have.
  mutating func beginOutages() {
    for capacity in capacities.all where !capacity.isKnown {
      unreachable(capacity.executor, "it has not said yet what it has")
    }
    for key in batches.keys.sorted() {
      guard let batch = batches[key], !batch.status.isFinal,
        let why = capacities.whyMissing(batch.specification.executor)
      else { continue }
      let executor = batch.specification.executor
      let outage =
        index.lanes[executor]?.outage
        ?? ExecutorOutage(executor: executor, since: context.now, message: why, isConfigured: false)
      index.lanes[executor, default: .init()].outage = outage
      mark(key, outage)
    }
  }

  /// Notes that an executor cannot be asked. That is no failure: for a grace nothing is done (<doc:Domain#Promises>).
  mutating func unreachable(_ executor: ExecutorKind, _ message: String) {
    guard capacities[executor] != nil, index.lanes[executor]?.outage == nil else { return }
    let outage = ExecutorOutage(executor: executor, since: context.now, message: message)
    index.lanes[executor, default: .init()].outage = outage
    insertDeadline(of: outage)
    var concerned = Set(index.lanes[executor]?.queue.batches.map(\.self) ?? [])
    for attempt in index.live where self.executor(of: attempt.batch) == executor { concerned.insert(attempt.batch) }
    for key in concerned.sorted() { mark(key, outage) }
  }

  mutating func endOutage(of executor: ExecutorKind) {
    guard index.lanes[executor]?.outage != nil else { return }
    index.lanes[executor]?.outage = nil
    for key in batches.keys.sorted() where batches[key]?.outage?.executor == executor { mark(key, nil) }
    for attempt in index.live.sorted() where self.executor(of: attempt.batch) == executor {
      if state(of: attempt)?.isEnding == true {
        // An end that was asked for meanwhile may not have come through.
        orderEnd(of: attempt)
      } else if let place = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) {
        batches[attempt.batch]?.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[place].adoptedAt = context.now
        watch(attempt)
      }
    }
    context.schedulingIsDue = true
  }

  /// Nobody could be asked while nothing ran: an outage's grace goes on from where it stood.
  mutating func forgiveOutages(_ gap: Duration) {
    for executor in ExecutorKind.allCases {
      guard var outage = index.lanes[executor]?.outage else { continue }
      outage.since = outage.since + gap
      index.lanes[executor]?.outage = outage
      insertDeadline(of: outage)
      for key in batches.keys.sorted() where batches[key]?.outage?.executor == executor { mark(key, outage) }
    }
  }

  private mutating func insertDeadline(of outage: ExecutorOutage) {
    index.deadlines.insert(
      Deadline(at: outage.since + limits.unreachableGrace, kind: .outage, batch: BatchKey(namespace: "", batchID: "")))
  }

  /// Ends an outage, since the executor answers.
  mutating func learn(_ capacity: Capacity) {
    guard let before = capacities[capacity.executor], capacity.isKnown else { return }
    capacities.learn(capacity)
    if capacity.memoryBytes > before.memoryBytes { considerHealingOfFailed(on: capacity.executor) }
    index.lanes[capacity.executor]?.queue.settleAll(capacity)
    if !before.isKnown { endOutage(of: capacity.executor) }
    // What could never start may be able to now, and the other way round.
    for key in index.lanes[capacity.executor]?.queue.batches.map(\.self) ?? [] { askForReview(key) }
    context.schedulingIsDue = true
  }

  /// Gives up the attempts of an executor whose grace is over. They are ended once more when the executor answers.
  mutating func giveUpUnreachable() {
    let given = index.lanes.values.compactMap(\.outage)
      .filter { $0.isConfigured && $0.since + limits.unreachableGrace <= context.now }.map(\.executor)
    guard !given.isEmpty else { return }
    for attempt in index.live.sorted() where given.contains(executor(of: attempt.batch)) {
      if state(of: attempt)?.isEnding == false {
        askToEnd(attempt, .healed(.nodeFailure), grace: limits.defaultGrace)
      }
    }
  }

  /// So that the batch's view shows it.
  mutating func mark(_ key: BatchKey, _ outage: ExecutorOutage?) {
    guard batches[key]?.outage != outage else { return }
    batches[key]?.outage = outage
    touch(key)
    askForReview(key)
  }

  // MARK: Whom it is asked of

  func executor(of key: BatchKey) -> ExecutorKind { batches[key]?.specification.executor ?? capacity.executor }

  mutating func orderStrayEnd(of attempt: AttemptKey, _ reference: String) {
    // What a copied journal names is the original's.
    if let batch = batches[attempt.batch], let place = batch.attemptIndex(attempt.job, attempt.number) {
      let parameters = batch.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[place].parameters
      guard server.owns(parameters.server) else { return }
    }
    perform(.endStray(attempt, reference: reference, on: executor(of: attempt.batch)))
  }
}

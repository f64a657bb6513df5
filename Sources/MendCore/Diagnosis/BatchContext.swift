/// The surroundings of a batch at one moment: the queue, the quota, and the batches of its namespace that hold
/// what it waits for. It says nothing about other namespaces.
package struct BatchContext: Hashable, Sendable {
  /// The resources that the namespace's live attempts hold together.
  package var namespaceUse: ResourceUse
  /// Batches of the namespace that were started and are not final.
  package var started: Int
  /// How many batches of the namespace wait ahead of this one; nil if it does not wait.
  package var ahead: Int?
  /// How many of them have a higher priority.
  package var aheadByPriority: Int
  /// The namespace's batches that hold most of the same executor, at most `holdersLimit`, the largest first; never the
  /// batch itself.
  package var holders: [Holder]
  /// The batches that hold most on all executors, for a quota covers them all.
  package var holdersOfQuota: [Holder]
  /// What holds up every batch of the server.
  package var server = ServerState()

  package struct Holder: Hashable, Sendable {
    package var batchID: String
    package var use: ResourceUse

    package init(batchID: String, use: ResourceUse) {
      self.batchID = batchID
      self.use = use
    }
  }

  package static let holdersLimit = 3

  /// The context of a batch whose surroundings are not known.
  package init(
    namespaceUse: ResourceUse = ResourceUse(), started: Int = 0, ahead: Int? = nil, aheadByPriority: Int = 0,
    holders: [Holder] = [], holdersOfQuota: [Holder] = []
  ) {
    self.namespaceUse = namespaceUse
    self.started = started
    self.ahead = ahead
    self.aheadByPriority = aheadByPriority
    self.holders = holders
    self.holdersOfQuota = holdersOfQuota
  }
}

/// Trouble of the server itself: it holds up every batch that is not final.
package struct ServerState: Hashable, Sendable {
  /// Set while the journal cannot be written: until then nothing changes.
  package var outage: StoreOutage?
  /// What the data directory is a copy of, in a sentence, where the server only shows it: nothing is run, and what became
  /// of what the journal calls running is not known.
  package var copy: String?

  package init(outage: StoreOutage? = nil, copy: String? = nil) {
    self.outage = outage
    self.copy = copy
  }
}

/// The time in which the journal cannot be written: the disk is full, or a page is damaged.
package struct StoreOutage: Hashable, Sendable {
  package var since: Instant
  /// The system's error message.
  package var message: String
  /// More room does not help: what would have to be changed cannot be read.
  package var isDamaged: Bool

  package init(since: Instant, message: String, isDamaged: Bool = false) {
    self.since = since
    self.message = message
    self.isDamaged = isDamaged
  }
}

/// Counters about a namespace's batches, from which a `BatchContext` is made without visiting each batch.
package struct NamespaceUsage: Sendable {
  private var waiting: [ExecutorKind: SortedList<QueueEntry>] = [:]
  private var held: [String: (executor: ExecutorKind, use: ResourceUse)] = [:]
  private var use = ResourceUse()
  private var started = 0
  private var batches = 0

  package init() {}

  /// Whether no batch of the namespace is left.
  package var isEmpty: Bool { batches == 0 }

  /// Replaces a batch's value by a newer one; nil means that there was none, or will be none.
  package mutating func replace(_ old: Batch?, by new: Batch?) {
    batches += (new == nil ? 0 : 1) - (old == nil ? 0 : 1)
    guard let batch = new ?? old else { return }
    let executor = batch.specification.executor
    if old?.queued != new?.queued {
      if let entry = old?.queued { waiting[executor]?.remove(entry) }
      if let entry = new?.queued { waiting[executor, default: .init()].insert(entry) }
    }
    started += (new?.isStarted == true ? 1 : 0) - (old?.isStarted == true ? 1 : 0)
    guard old?.held != new?.held else { return }
    use.replace(old?.held ?? ResourceUse(), by: new?.held ?? ResourceUse())
    held[batch.key.batchID] = new.flatMap { $0.held.attempts == 0 ? nil : (executor, $0.held) }
  }

  /// Its cost grows with the batches that hold resources and those ahead of this one.
  package func batchContext(of batch: Batch) -> BatchContext {
    var result = BatchContext(namespaceUse: use, started: started)
    let executor = batch.specification.executor
    guard let entry = batch.queued, let waiting = waiting[executor] else { return result }
    result.ahead = waiting.position(of: entry)
    for other in waiting {
      if other >= entry { break }
      if other.priority > entry.priority { result.aheadByPriority += 1 }
    }
    for (id, held) in held where id != batch.key.batchID {
      let holder = BatchContext.Holder(batchID: id, use: held.use)
      result.holdersOfQuota.insert(holder)
      if held.executor == executor { result.holders.insert(holder) }
    }
    return result
  }
}

extension [BatchContext.Holder] {
  /// Inserts it in order, if it is among the largest.
  fileprivate mutating func insert(_ holder: BatchContext.Holder) {
    let place = firstIndex { $0.isLess(than: holder) } ?? count
    guard place < BatchContext.holdersLimit else { return }
    insert(holder, at: place)
    if count > BatchContext.holdersLimit { removeLast() }
  }
}

extension BatchContext.Holder {
  fileprivate func isLess(than other: Self) -> Bool {
    (use.cpus, use.memoryBytes, other.batchID) < (other.use.cpus, other.use.memoryBytes, batchID)
  }
}

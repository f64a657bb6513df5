/// What a batch stands among at one moment, as far as its own namespace may know: the queue, the quota, and who holds
/// what it waits for. Of other namespaces nothing is said.
public struct BatchContext: Hashable, Sendable {
  /// What the namespace's live attempts hold together.
  public var namespaceUse: ResourceUse
  /// Batches of the namespace that were started and are not final.
  public var started: Int
  /// Batches of the namespace that wait and stand before this one; nil while it does not wait.
  public var ahead: Int?
  /// Those of them that have a higher priority.
  public var aheadByPriority: Int
  /// The namespace's batches that hold most of the same executor, at most `holdersLimit`, the largest first; never the
  /// batch itself.
  public var holders: [Holder]
  /// Those that hold most of any: a quota is of all executors.
  public var holdersOfQuota: [Holder]
  /// What keeps the server from every batch alike.
  public var server = ServerState()

  public struct Holder: Hashable, Sendable {
    public var batchID: String
    public var use: ResourceUse

    public init(batchID: String, use: ResourceUse) {
      self.batchID = batchID
      self.use = use
    }
  }

  public static let holdersLimit = 3

  /// A batch that nothing is known of the others around.
  public init(
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

/// What the server itself lacks: it holds up each batch that is not over.
public struct ServerState: Hashable, Sendable {
  /// Set while nothing can be written down, and so nothing changes.
  public var outage: StoreOutage?
  /// What the data directory is a copy of, in a sentence, where the server only shows it: nothing is run, and what became
  /// of what the journal calls running is not known.
  public var copy: String?

  public init(outage: StoreOutage? = nil, copy: String? = nil) {
    self.outage = outage
    self.copy = copy
  }
}

/// Where everything is written down has no room, or cannot be written.
public struct StoreOutage: Hashable, Sendable {
  public var since: Instant
  /// The system's words.
  public var message: String
  /// It waits for no room: what would have to be changed cannot be read.
  public var isDamaged: Bool

  public init(since: Instant, message: String, isDamaged: Bool = false) {
    self.since = since
    self.message = message
    self.isDamaged = isDamaged
  }
}

/// What of a namespace's batches is kept so that a `BatchContext` is made without a look at each of them.
public struct NamespaceUsage: Sendable {
  private var waiting: [ExecutorKind: SortedList<QueueEntry>] = [:]
  private var held: [String: (executor: ExecutorKind, use: ResourceUse)] = [:]
  private var use = ResourceUse()
  private var started = 0
  private var batches = 0

  public init() {}

  /// Nothing of the namespace is left.
  public var isEmpty: Bool { batches == 0 }

  /// A batch's newest value in the place of the one before; nil where there was or will be none.
  public mutating func replace(_ old: Batch?, by new: Batch?) {
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

  /// Costs the batches that hold something and those that stand before it.
  public func batchContext(of batch: Batch) -> BatchContext {
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
  /// In its place, while it is among the largest.
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

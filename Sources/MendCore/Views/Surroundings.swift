/// What a batch stands among at one moment, as far as its own namespace may know: the queue, the quota, and who holds
/// what it waits for. Of other namespaces nothing is said.
public struct Surroundings: Hashable, Sendable {
  /// What the namespace's live attempts hold together.
  public var namespaceUse: ResourceUse
  /// Batches of the namespace that were started and are not final.
  public var started: Int
  /// Batches of the namespace that wait and stand before this one; nil while it does not wait.
  public var ahead: Int?
  /// Those of them that have a higher priority.
  public var aheadByPriority: Int
  /// The namespace's batches that hold most, at most `holdersLimit`, the largest first; never the batch itself.
  public var holders: [Holder]

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
    holders: [Holder] = []
  ) {
    self.namespaceUse = namespaceUse
    self.started = started
    self.ahead = ahead
    self.aheadByPriority = aheadByPriority
    self.holders = holders
  }
}

/// What of a namespace's batches is kept so that `Surroundings` can be told without a look at each of them.
public struct NamespaceCensus: Sendable {
  private var waiting = SortedList<QueueEntry>()
  private var held: [String: ResourceUse] = [:]
  private var use = ResourceUse()
  private var started = 0
  private var batches = 0

  public init() {}

  /// Nothing of the namespace is left.
  public var isEmpty: Bool { batches == 0 }

  /// A batch's newest value in the place of the one before; nil where there was or will be none.
  public mutating func replace(_ old: Batch?, by new: Batch?) {
    batches += (new == nil ? 0 : 1) - (old == nil ? 0 : 1)
    if old?.queued != new?.queued {
      if let entry = old?.queued { waiting.remove(entry) }
      if let entry = new?.queued { waiting.insert(entry) }
    }
    started += (new?.isStarted == true ? 1 : 0) - (old?.isStarted == true ? 1 : 0)
    guard let id = (new ?? old)?.key.batchID, old?.held != new?.held else { return }
    use.replace(old?.held ?? ResourceUse(), by: new?.held ?? ResourceUse())
    held[id] = new.flatMap { $0.held.attempts == 0 ? nil : $0.held }
  }

  /// Costs the batches that hold something and those that stand before it.
  public func surroundings(of batch: Batch) -> Surroundings {
    var result = Surroundings(namespaceUse: use, started: started)
    guard let entry = batch.queued else { return result }
    result.ahead = waiting.position(of: entry)
    for other in waiting {
      if other >= entry { break }
      if other.priority > entry.priority { result.aheadByPriority += 1 }
    }
    for (id, use) in held where id != batch.key.batchID {
      let holder = Surroundings.Holder(batchID: id, use: use)
      let place = result.holders.firstIndex { $0.isLess(than: holder) } ?? result.holders.count
      guard place < Surroundings.holdersLimit else { continue }
      result.holders.insert(holder, at: place)
      if result.holders.count > Surroundings.holdersLimit { result.holders.removeLast() }
    }
    return result
  }
}

extension Surroundings.Holder {
  fileprivate func isLess(than other: Self) -> Bool {
    (use.cpus, use.memoryBytes, other.batchID) < (other.use.cpus, other.use.memoryBytes, batchID)
  }
}

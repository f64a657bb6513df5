// Who starts next: the namespace that holds the smallest share, within it the batch with the first rank.

/// A batch's place in its namespace's queue.
///
/// Its rank is the time it was submitted at, moved back by `Limits.agingStep` for each point of priority: who waits
/// overtakes who comes later, however high, after a bounded time, and no rank ever has to be worked out again.
public struct QueueEntry: Comparable, Hashable, Codable, Sendable {
  /// Milliseconds; smaller is first.
  public var rank: Int64
  /// In the order of submission, among equal ranks.
  public var submission: Int
  public var priority: Int
  public var batch: BatchKey

  public init(rank: Int64, submission: Int, priority: Int, batch: BatchKey) {
    self.rank = rank
    self.submission = submission
    self.priority = priority
    self.batch = batch
  }

  public static func < (left: QueueEntry, right: QueueEntry) -> Bool {
    (left.rank, left.submission, left.batch) < (right.rank, right.submission, right.batch)
  }
}

/// Batches with a job that could start, over all namespaces.
///
/// Fair by dominant resource: each namespace counts with the largest of its shares of CPUs, memory and GPUs; among equal
/// shares the one that was served longest ago is first. Priorities order within a namespace only: else everybody
/// would ask for the highest.
struct FairQueue: Sendable {
  /// Where a namespace with waiting batches stands.
  private struct Place: Comparable {
    var share: Double
    var served: Served
    var head: QueueEntry

    static func < (left: Place, right: Place) -> Bool {
      if left.share != right.share { return left.share < right.share }
      if left.served != right.served { return left.served < right.served }
      return left.head < right.head
    }
  }

  /// The latest launch of a namespace; by time over a restart, by number within one instant.
  private struct Served: Comparable {
    var at = Instant(milliseconds: .min)
    var number = 0

    static func < (left: Served, right: Served) -> Bool { (left.at, left.number) < (right.at, right.number) }
  }

  private struct Namespace {
    var waiting = SortedList<QueueEntry>()
    var use = ResourceUse()
    /// Batches that were started and are not final.
    var started = 0
    var served = Served()
    var place: Place?
    var isParked = false

    var isIdle: Bool { waiting.isEmpty && use.attempts == 0 && started == 0 }
  }

  private var namespaces: [String: Namespace] = [:]
  private var places = SortedList<Place>()
  private var entries: [BatchKey: QueueEntry] = [:]
  private var parked: [String] = []
  private var launches = 0

  /// Namespaces of which nothing waits or runs that are remembered for when they were served.
  static let idleNamespaces = 4096

  var batches: some Sequence<BatchKey> { entries.keys }

  func entry(of batch: BatchKey) -> QueueEntry? { entries[batch] }

  /// Who would be taken next.
  var first: QueueEntry? { places.first?.head }

  /// What the namespace's live attempts hold.
  func use(of namespace: String) -> ResourceUse { namespaces[namespace]?.use ?? ResourceUse() }

  /// Batches of the namespace that were started and are not final.
  func started(in namespace: String) -> Int { namespaces[namespace]?.started ?? 0 }

  /// How many of its namespace stand before it.
  func position(of entry: QueueEntry) -> Int { namespaces[entry.batch.namespace]?.waiting.position(of: entry) ?? 0 }

  /// In the place of the batch's earlier entry.
  mutating func insert(_ entry: QueueEntry, _ capacity: Capacity) {
    if let old = entries[entry.batch], old != entry { namespaces[entry.batch.namespace]?.waiting.remove(old) }
    entries[entry.batch] = entry
    namespaces[entry.batch.namespace, default: Namespace()].waiting.insert(entry)
    settle(entry.batch.namespace, capacity)
  }

  mutating func remove(_ batch: BatchKey, _ capacity: Capacity) {
    guard let entry = entries.removeValue(forKey: batch) else { return }
    namespaces[batch.namespace]?.waiting.remove(entry)
    settle(batch.namespace, capacity)
  }

  mutating func popFirst(_ capacity: Capacity) -> QueueEntry? {
    guard let head = places.first?.head else { return nil }
    remove(head.batch, capacity)
    return head
  }

  /// Leaves a namespace out until `unpark()`.
  mutating func park(_ namespace: String, _ capacity: Capacity) {
    guard namespaces[namespace]?.isParked == false else { return }
    namespaces[namespace]?.isParked = true
    parked.append(namespace)
    settle(namespace, capacity)
  }

  mutating func unpark(_ capacity: Capacity) {
    for namespace in parked {
      namespaces[namespace]?.isParked = false
      settle(namespace, capacity)
    }
    parked.removeAll()
  }

  mutating func add(_ resources: Resources, to namespace: String, at now: Instant, _ capacity: Capacity) {
    launches += 1
    var account = namespaces[namespace] ?? Namespace()
    account.use.add(resources)
    account.served = max(account.served, Served(at: now, number: launches))
    namespaces[namespace] = account
    settle(namespace, capacity)
  }

  mutating func remove(_ resources: Resources, from namespace: String, _ capacity: Capacity) {
    namespaces[namespace]?.use.remove(resources)
    settle(namespace, capacity)
  }

  /// The executor has another capacity now, so everybody's share is another.
  mutating func settleAll(_ capacity: Capacity) {
    for namespace in namespaces.keys.sorted() { settle(namespace, capacity) }
  }

  mutating func countStarted(_ change: Int, in namespace: String, _ capacity: Capacity) {
    namespaces[namespace, default: Namespace()].started += change
    settle(namespace, capacity)
  }

  /// Brings the namespace's place up to date with what it holds and what waits.
  private mutating func settle(_ name: String, _ capacity: Capacity) {
    guard let namespace = namespaces[name] else { return }
    var place: Place?
    if !namespace.isParked, let head = namespace.waiting.first {
      place = Place(share: namespace.use.dominantShare(of: capacity), served: namespace.served, head: head)
    }
    if place != namespace.place {
      if let old = namespace.place { places.remove(old) }
      if let place { places.insert(place) }
      namespaces[name]?.place = place
    }
    if namespace.isIdle, namespaces.count > Self.idleNamespaces { namespaces[name] = nil }
  }
}

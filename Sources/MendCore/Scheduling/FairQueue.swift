// Who starts next: the namespace that holds the smallest share, within it the batch with the first rank.

/// A batch's place in its namespace's queue.
///
/// Its rank is the time it was submitted at, moved back by `Limits.agingStep` for each point of priority: who waits
/// overtakes who comes later, however high, after a bounded time, and no rank ever has to be worked out again.
package struct QueueEntry: Comparable, Hashable, Codable, Sendable {
  /// In milliseconds; the smallest is first.
  package var rank: Int64
  /// In the order of submission, among equal ranks.
  package var submission: Int
  package var priority: Int
  package var batch: BatchKey

  package init(rank: Int64, submission: Int, priority: Int, batch: BatchKey) {
    self.rank = rank
    self.submission = submission
    self.priority = priority
    self.batch = batch
  }

  package static func < (left: QueueEntry, right: QueueEntry) -> Bool {
    (left.rank, left.submission, left.batch) < (right.rank, right.submission, right.batch)
  }
}

/// Batches with a job that could start, over all namespaces, apart by what they wait for: what has no room now holds up
/// nothing that needs less, or other things.
///
/// Fair by dominant resource: each namespace counts with the largest of its shares of CPUs, memory and GPUs; among equal
/// shares the one that was served longest ago is first. Priorities order within a namespace only: else everybody
/// would ask for the highest.
struct FairQueue: Sendable {
  /// Where the batches of one namespace that wait for the same stand.
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
    var waiting: [Demand: Line] = [:]
    var use = ResourceUse()
    /// Batches that were started, and are neither final nor paused.
    var started = 0
    var served = Served()

    var isIdle: Bool { waiting.isEmpty && use.attempts == 0 && started == 0 }
  }

  /// The batches of one namespace that wait for the same.
  private struct Line {
    var entries = SortedList<QueueEntry>()
    var place: Place?
    var isParked = false
    /// Those before it were looked at, and wait on; nil is none.
    var begin: QueueEntry?
  }

  /// All who wait for the same.
  private struct Crowd {
    var places = SortedList<Place>()
    var first: Place?
    var isParked = false
  }

  private var namespaces: [String: Namespace] = [:]
  private var crowds: [Demand: Crowd] = [:]
  /// The first of each crowd that is not parked.
  private var firsts = SortedList<Place>()
  private var waiting: [BatchKey: WaitingBatch] = [:]
  private var parkedCrowds: [Demand] = []
  private var parkedLines: [(namespace: String, demand: Demand)] = []
  /// Lines that do not begin with their first.
  private var begunLines: [(namespace: String, demand: Demand)] = []
  private var launches = 0

  /// Namespaces of which nothing waits or runs that are remembered for when they were served.
  static let idleNamespaces = 4096
  /// Different needs of one namespace that stand apart; what comes beyond it stands together, in the namespace's own crowd.
  static let demandsPerNamespace = 64

  var batches: some Sequence<BatchKey> { waiting.keys }

  func entry(of batch: BatchKey) -> QueueEntry? { waiting[batch]?.entry }

  func waits(of batch: BatchKey) -> WaitingBatch? { waiting[batch] }

  /// The batch that would be taken next.
  var first: WaitingBatch? { firsts.first.flatMap { waiting[$0.head.batch] } }

  /// What the namespace's live attempts hold.
  func use(of namespace: String) -> ResourceUse { namespaces[namespace]?.use ?? ResourceUse() }

  /// Batches of the namespace that were started, and are neither final nor paused.
  func started(in namespace: String) -> Int { namespaces[namespace]?.started ?? 0 }

  /// Who stands behind it, in the crowd of different demands of its namespace.
  func next(after entry: QueueEntry, in crowd: Demand) -> WaitingBatch? {
    namespaces[entry.batch.namespace]?.waiting[crowd]?.entries.first(after: entry).flatMap { waiting[$0.batch] }
  }

  /// How many batches of its namespace are before it.
  func position(of entry: QueueEntry) -> Int {
    namespaces[entry.batch.namespace]?.waiting.values.reduce(0) { $0 + $1.entries.position(of: entry) } ?? 0
  }

  /// Puts a batch into the queue, in place of its earlier entry.
  mutating func insert(_ batch: WaitingBatch, _ capacity: Capacity) {
    let (key, name) = (batch.entry.batch, batch.entry.batch.namespace)
    var batch = batch
    batch.crowd = crowd(of: batch.demand, in: name)
    if let old = waiting[key] {
      if old == batch { return }
      remove(key, capacity)
    }
    waiting[key] = batch
    namespaces[name, default: Namespace()].waiting[batch.crowd, default: Line()].entries.insert(batch.entry)
    settle(batch.crowd, of: name, capacity)
  }

  private func crowd(of demand: Demand, in name: String) -> Demand {
    guard let lines = namespaces[name]?.waiting, lines.count >= Self.demandsPerNamespace, lines[demand] == nil else {
      return demand
    }
    return .mixed(of: name)
  }

  mutating func remove(_ batch: BatchKey, _ capacity: Capacity) {
    guard let old = waiting.removeValue(forKey: batch) else { return }
    namespaces[batch.namespace]?.waiting[old.crowd]?.entries.remove(old.entry)
    settle(old.crowd, of: batch.namespace, capacity)
    forgetIfIdle(batch.namespace)
  }

  /// Leaves out all batches that wait for the same, until `unpark`.
  mutating func park(_ demand: Demand) {
    guard crowds[demand]?.isParked == false else { return }
    crowds[demand]?.isParked = true
    parkedCrowds.append(demand)
    settle(demand)
  }

  /// Leaves out one namespace's batches that wait for the same, until `unpark`.
  mutating func park(_ demand: Demand, of namespace: String, _ capacity: Capacity) {
    guard namespaces[namespace]?.waiting[demand]?.isParked == false else { return }
    namespaces[namespace]?.waiting[demand]?.isParked = true
    parkedLines.append((namespace, demand))
    settle(demand, of: namespace, capacity)
  }

  /// Has a line begin behind those that were looked at, until `unpark`.
  mutating func begin(at entry: QueueEntry, in demand: Demand, of namespace: String, _ capacity: Capacity) {
    guard let line = namespaces[namespace]?.waiting[demand] else { return }
    if line.begin == nil { begunLines.append((namespace, demand)) }
    namespaces[namespace]?.waiting[demand]?.begin = entry
    settle(demand, of: namespace, capacity)
  }

  mutating func unpark(_ capacity: Capacity) {
    for (namespace, demand) in begunLines where namespaces[namespace]?.waiting[demand] != nil {
      namespaces[namespace]?.waiting[demand]?.begin = nil
      settle(demand, of: namespace, capacity)
    }
    begunLines.removeAll(keepingCapacity: true)
    for demand in parkedCrowds where crowds[demand] != nil {
      crowds[demand]?.isParked = false
      settle(demand)
    }
    parkedCrowds.removeAll(keepingCapacity: true)
    for (namespace, demand) in parkedLines where namespaces[namespace]?.waiting[demand] != nil {
      namespaces[namespace]?.waiting[demand]?.isParked = false
      settle(demand, of: namespace, capacity)
    }
    parkedLines.removeAll(keepingCapacity: true)
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
    forgetIfIdle(namespace)
  }

  /// Takes in a new capacity, which changes every namespace's share.
  mutating func settleAll(_ capacity: Capacity) {
    for namespace in namespaces.keys.sorted() { settle(namespace, capacity) }
  }

  mutating func countStarted(_ change: Int, in namespace: String) {
    namespaces[namespace, default: Namespace()].started += change
    forgetIfIdle(namespace)
  }

  /// Brings the namespace's places up to date with what it holds.
  private mutating func settle(_ name: String, _ capacity: Capacity) {
    guard let demands = namespaces[name]?.waiting.keys, !demands.isEmpty else { return }
    for demand in demands { settle(demand, of: name, capacity) }
  }

  /// Brings one place up to date with what its namespace holds and who waits there.
  private mutating func settle(_ demand: Demand, of name: String, _ capacity: Capacity) {
    guard let namespace = namespaces[name], let line = namespace.waiting[demand] else { return }
    let (old, isEmpty) = (line.place, line.entries.isEmpty)
    var place: Place?
    if !line.isParked, let head = line.begin.map({ line.entries.first(notBefore: $0) }) ?? line.entries.first {
      place = Place(share: namespace.use.dominantShare(of: capacity), served: namespace.served, head: head)
    }
    if place != old {
      if let old { crowds[demand]?.places.remove(old) }
      if let place { crowds[demand, default: Crowd()].places.insert(place) }
      namespaces[name]?.waiting[demand]?.place = place
      settle(demand)
    }
    if isEmpty { namespaces[name]?.waiting[demand] = nil }
  }

  /// Brings the crowd's first up to date.
  private mutating func settle(_ demand: Demand) {
    guard let crowd = crowds[demand] else { return }
    let first = crowd.isParked ? nil : crowd.places.first
    if first != crowd.first {
      if let old = crowd.first { firsts.remove(old) }
      if let first { firsts.insert(first) }
      crowds[demand]?.first = first
    }
    if crowd.places.isEmpty, !crowd.isParked { crowds[demand] = nil }
  }

  private mutating func forgetIfIdle(_ name: String) {
    if namespaces.count > Self.idleNamespaces, namespaces[name]?.isIdle == true { namespaces[name] = nil }
  }
}

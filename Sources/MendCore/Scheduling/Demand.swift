/// What a batch waits for: the different needs of its jobs that could start.
struct Demand: Hashable, Sendable {
  /// What one job takes of its executor.
  struct Need: Hashable, Comparable, Sendable {
    var cpus: Double
    var memoryBytes: Int64
    var requiresGPU: Bool

    /// A job that has nothing left to do takes nothing.
    static let nothing = Need(cpus: 0, memoryBytes: 0, requiresGPU: false)

    init(cpus: Double, memoryBytes: Int64, requiresGPU: Bool) {
      self.cpus = cpus
      self.memoryBytes = memoryBytes
      self.requiresGPU = requiresGPU
    }

    init(_ resources: Resources) {
      self.init(cpus: resources.cpus, memoryBytes: resources.memoryBytes, requiresGPU: resources.requiresGPU)
    }

    var resources: Resources { Resources(cpus: cpus, memoryBytes: memoryBytes, requiresGPU: requiresGPU) }

    static func < (left: Need, right: Need) -> Bool {
      if left.requiresGPU != right.requiresGPU { return right.requiresGPU }
      return (left.cpus, left.memoryBytes) < (right.cpus, right.memoryBytes)
    }
  }

  /// In order, each once; at least one.
  private(set) var needs: [Need]
  /// Whether the batch was not started yet, so that a quota of batches applies to it.
  private(set) var isQueued: Bool
  /// Stands for all the different demands that a namespace has beyond `FairQueue.demandsPerNamespace`.
  private(set) var mixedOf: String?

  init(_ needs: [Need], isQueued: Bool) {
    assert(!needs.isEmpty)
    self.needs = needs.count == 1 ? needs : needs.sorted()
    self.isQueued = isQueued
  }

  static func mixed(of namespace: String) -> Demand {
    var demand = Demand([.nothing], isQueued: false)
    demand.mixedOf = namespace
    return demand
  }
}

/// A batch that has jobs waiting to start.
struct WaitingBatch: Hashable, Sendable {
  /// One of the needs of its jobs, and since when the oldest of them has waited.
  struct Wait: Hashable, Sendable {
    var need: Demand.Need
    var since: Instant
  }

  var entry: QueueEntry
  /// Each need once; at least one.
  var waits: [Wait]
  var demand: Demand
  /// With whom it stands: those of the same demand, or the mixed ones of its namespace.
  var crowd: Demand

  init(_ entry: QueueEntry, _ waits: [Wait], isQueued: Bool) {
    self.entry = entry
    self.waits = waits
    demand = Demand(waits.map(\.need), isQueued: isQueued)
    crowd = demand
  }
}

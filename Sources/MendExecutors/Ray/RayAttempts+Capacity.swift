internal import MendCore

/// The capacity of the cluster's live nodes, which grows and shrinks while the server runs.
extension RayAttempts {
  struct Known: Sendable {
    /// The capacity that was reported last.
    var capacity: Capacity?
    /// The last answer had less. A node that is missing from one answer need not be gone.
    var isLess = false
    /// When to ask for it at the latest.
    var next: Moment
    var isRemarked = false
  }

  /// Reports growth at once, and a loss when the next answer confirms it. An answer without a live node comes from a head
  /// that is starting, and says nothing.
  mutating func learn(_ nodes: [RayNode], at now: Moment) -> [Observation] {
    known.next = now + settings.capacityInterval
    guard nodes.contains(where: \.isAlive) else { return [] }
    let capacity = RayNode.capacity(of: nodes)
    guard let before = known.capacity else {
      known.capacity = capacity
      return [.capacity(capacity)]
    }
    let isLess =
      capacity.cpus < before.cpus || capacity.memoryBytes < before.memoryBytes || capacity.gpus < before.gpus
    if isLess, !known.isLess {
      known.isLess = true
      known.next = now + settings.confirmation
      return []
    }
    known.isLess = false
    guard capacity != before else { return [] }
    known.capacity = capacity
    return [.capacity(capacity)]
  }

  mutating func noCapacity(_ result: Result<[RayNode], RayError>, at now: Moment) {
    known.next = now + (known.capacity == nil ? settings.capacityRetry : settings.capacityInterval)
    guard known.capacity == nil, !known.isRemarked, case .failure(let error) = result else { return }
    known.isRemarked = true
    remarks.append(.capacityUnknown(error))
  }
}

extension RayNode {
  static func capacity(of nodes: [RayNode]) -> Capacity {
    func sum(_ name: String) -> Double { nodes.reduce(0) { $0 + ($1.isAlive ? $1.resources[name] ?? 0 : 0) } }
    return Capacity(
      executor: .ray, cpus: sum("CPU"), memoryBytes: Int64(exactly: sum("memory").rounded()) ?? 0,
      gpus: Int(exactly: sum("GPU").rounded(.down)) ?? 0)
  }
}

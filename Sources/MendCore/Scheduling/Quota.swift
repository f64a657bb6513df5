/// What one namespace may use at once. Jobs beyond it wait; they are only refused if they could never fit.
package struct Quota: Hashable, Sendable {
  /// The bounds on all its live attempts together; nil for no bound.
  package var cpus: Double?
  package var memoryBytes: Int64?
  package var gpus: Int?
  /// Batches that were started, and are neither final nor paused.
  package var batches: Int?

  package init(cpus: Double? = nil, memoryBytes: Int64? = nil, gpus: Int? = nil, batches: Int? = nil) {
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.gpus = gpus
    self.batches = batches
  }

  /// One bound of a quota, with its size and what is held of it.
  package struct Bound: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable, CaseIterable { case cpus, memory, gpus, batches }
    package var kind: Kind
    /// "4 CPUs": what the namespace may have.
    package var allowed: String
    /// "3 CPUs": what it has.
    package var held: String
  }

  /// The first bound that these resources would pass, on top of what is held; nil when they fit.
  package func bound(against resources: Resources, held: ResourceUse) -> Bound? {
    if let cpus, held.cpus + resources.cpus > cpus + Capacity.tolerance, resources.cpus > 0 {
      return Bound(kind: .cpus, allowed: Figures.cpus(cpus), held: Figures.cpus(held.cpus))
    }
    if let memoryBytes, held.memoryBytes.addingSaturated(resources.memoryBytes) > memoryBytes, resources.memoryBytes > 0
    {
      return Bound(kind: .memory, allowed: Figures.bytes(memoryBytes), held: Figures.bytes(held.memoryBytes))
    }
    if let gpus, resources.requiresGPU, held.gpus + 1 > gpus {
      return Bound(kind: .gpus, allowed: Figures.count(gpus, "GPU"), held: Figures.count(held.gpus, "GPU"))
    }
    return nil
  }

  /// The bound on started batches, if it is reached; otherwise nil.
  package func bound(againstBatchBeside started: Int) -> Bound? {
    guard let batches, started >= batches else { return nil }
    return Bound(
      kind: .batches, allowed: Figures.count(batches, "batch", plural: "batches"),
      held: Figures.count(started, "batch", plural: "batches"))
  }

  /// Why a job with these needs can never start in this namespace; nil when it can.
  package func whyNeverSchedulable(_ resources: Resources, in namespace: String) -> String? {
    if let batches, batches < 1 { return "may not run: the quota of namespace \(namespace) is 0 batches" }
    let bounds = self.bounds(below: resources)
    if bounds.isEmpty { return nil }
    return "needs \(Figures.resources(resources)), the quota of namespace \(namespace) is \(Figures.list(bounds))"
  }

  /// "1 CPU": those that these resources pass even while nothing is held.
  private func bounds(below resources: Resources) -> [String] {
    var alone = [Quota(), Quota(), Quota()]
    alone[0].cpus = cpus
    alone[1].memoryBytes = memoryBytes
    alone[2].gpus = gpus
    return alone.compactMap { $0.bound(against: resources, held: ResourceUse())?.allowed }
  }

  /// The quota with the bounds raised that a job with these needs can never pass; nil if it passes all.
  func raised(for asked: Resources, in namespace: String) -> Quota? {
    guard whyNeverSchedulable(asked, in: namespace) != nil else { return nil }
    return Quota(
      cpus: cpus.map { max($0, asked.cpus.rounded(.up)) }, memoryBytes: memoryBytes.map { max($0, asked.memoryBytes) },
      gpus: gpus.map { max($0, asked.requiresGPU ? 1 : 0) }, batches: batches.map { max(1, $0) })
  }
}

extension Limits {
  /// The namespace's own quota, else the one of `*`, else nil: no bound.
  package func quota(of namespace: String) -> Quota? { quotas[namespace] ?? quotas["*"] }
}

/// The capacity and quota that one batch can start jobs with at one moment.
struct Scheduling {
  /// What live attempts hold of the executor.
  var use: ResourceUse
  var capacity: Capacity
  /// What of the capacity is reserved for a job that has waited long.
  var reserved: Demand.Need?
  /// Of the batch's namespace; what follows counts only where there is one.
  var quota: Quota?
  /// What the namespace's live attempts hold, of all executors.
  var held = ResourceUse()
  /// Batches of the namespace that were started, and are neither final nor paused.
  var started = 0

  /// Whether a job that waits for this can be started.
  func canStart(_ demand: Demand) -> Bool {
    if demand.isQueued, let batches = quota?.batches, started >= batches { return false }
    return demand.needs.contains { fits($0) && isAllowed($0) }
  }

  /// Whether the executor has room for it beside what is reserved.
  func fits(_ need: Demand.Need) -> Bool { use.fits(need, in: capacity, beside: reserved) }

  /// Whether the namespace's quota leaves room for it.
  func isAllowed(_ need: Demand.Need) -> Bool { quota?.leavesRoom(for: need, beside: held) ?? true }

  /// What has waited longest for room, where it has waited since before `start`: not what waits for its quota, and not what
  /// can never start here, for that would keep the room from everybody else.
  func oldest(of waits: [WaitingBatch.Wait], before start: Instant) -> Demand.Need? {
    waits.filter { wait in
      wait.since <= start && !fits(wait.need) && isAllowed(wait.need)
        && capacity.whyNeverSchedulable(wait.need.resources) == nil
    }.min { $0.since < $1.since }?.need
  }

  /// What is kept of the free room for a job that has waited long: what it lacks now, and what it has got so far. A job that
  /// lacks a GPU keeps no memory and no CPUs from others meanwhile, and one that lacks memory no CPUs.
  ///
  /// In this order, for nearly everybody needs CPUs: so a job gets one thing after the other, and others that need only
  /// some of them cannot go on taking them from it in turns.
  func kept(for need: Demand.Need) -> Demand.Need {
    var kept = need
    if need.requiresGPU, use.gpus >= capacity.gpus {
      (kept.cpus, kept.memoryBytes) = (0, 0)
    } else if need.memoryBytes > max(0, capacity.memoryBytes.subtractingSaturated(use.memoryBytes)) {
      kept.cpus = 0
    }
    return kept
  }
}

extension ResourceUse {
  /// - Parameter reserved: what is kept for a job that has waited long; only what it leaves of the free room counts.
  func fits(_ need: Demand.Need, in capacity: Capacity, beside reserved: Demand.Need? = nil) -> Bool {
    let freeCPUs = capacity.cpus - cpus
    let freeMemory = capacity.memoryBytes.subtractingSaturated(memoryBytes)
    let freeGPUs = capacity.gpus - gpus
    let takesGPU = need.requiresGPU ? 1 : 0
    // What asks for nothing of a resource needs none of it to be free: after a loss of capacity more may be held than is there.
    func has(_ free: Double, _ taken: Double) -> Bool { taken <= max(0, free) + Capacity.tolerance }
    guard has(freeCPUs, need.cpus), need.memoryBytes <= max(0, freeMemory), takesGPU <= max(0, freeGPUs) else {
      return false
    }
    guard let reserved else { return true }
    return has(freeCPUs - reserved.cpus, need.cpus)
      && need.memoryBytes <= max(0, freeMemory.subtractingSaturated(reserved.memoryBytes))
      && takesGPU <= max(0, freeGPUs - (reserved.requiresGPU ? 1 : 0))
  }
}

extension Quota {
  func leavesRoom(for need: Demand.Need, beside held: ResourceUse) -> Bool {
    if let cpus, need.cpus > 0, held.cpus + need.cpus > cpus + Capacity.tolerance { return false }
    if let memoryBytes, need.memoryBytes > 0, held.memoryBytes.addingSaturated(need.memoryBytes) > memoryBytes {
      return false
    }
    if let gpus, need.requiresGPU, held.gpus >= gpus { return false }
    return true
  }
}

extension Int64 {
  /// The sum, or the nearest there is.
  func addingSaturated(_ other: Int64) -> Int64 {
    let (sum, overflows) = addingReportingOverflow(other)
    return overflows ? (other < 0 ? .min : .max) : sum
  }

  /// The difference, or the nearest there is.
  func subtractingSaturated(_ other: Int64) -> Int64 {
    let (difference, overflows) = subtractingReportingOverflow(other)
    return overflows ? (other < 0 ? .max : .min) : difference
  }
}

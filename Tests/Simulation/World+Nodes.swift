import MendCore
import MendRuntime

@testable import MendExecutors

// What the executors have, as it comes and goes.

extension World {
  /// Nodes go, with what runs on them, or come; after a while it is as before.
  func begin(_ change: Plan.Change) {
    guard var capacity = actual[change.executor] else { return }
    cover(change.cpus < capacity.cpus ? "nodes lost" : "nodes come")
    (capacity.cpus, capacity.gpus) = (change.cpus, change.gpus)
    put(capacity)
    after(change.length) { $0.end(change) }
  }

  /// As it was planned, or as another change has it that began meanwhile.
  private func end(_ change: Plan.Change) {
    var capacity = plan.capacities.of(change.executor)
    let other = plan.changes.last { other in
      other.executor == change.executor && began + other.at <= now && now < began + other.at + other.length
    }
    if let other { (capacity.cpus, capacity.gpus) = (other.cpus, other.gpus) }
    put(capacity)
  }

  /// Fewer nodes are there than once, or were a moment ago.
  var isSmaller: Bool {
    plan.changes.contains { change in
      let (from, to) = (began + change.at, began + change.at + change.length + .seconds(10))
      return now >= from && (now <= to || outages[change.executor] != nil)
    }
  }

  private func put(_ capacity: Capacity) {
    let executor = capacity.executor
    actual[executor] = capacity
    var held = ResourceUse()
    for key in processes.keys.sorted() where self.executor(of: key) == executor {
      guard var process = processes[key], process.attempt.phase != .over else { continue }
      let needs = process.attempt.launch.parameters.resources
      if held.cpus + needs.cpus <= capacity.cpus + 1e-6, held.gpus + (needs.requiresGPU ? 1 : 0) <= capacity.gpus {
        held.add(needs)
        continue
      }
      cover("killed with its node")
      var actions: [SimulatedAttempt.Action] = []
      let finding = ExitRecord.Finding(cause: .nodeFailure, confidence: .medium, text: "simulated: its node is gone")
      process.attempt.over(.signalled(9), finding: finding, now, &actions)
      if !process.isEnded { process.diedOf = .nodeFailure }
      process.attempt.wakeAt = .distantFuture
      processes[key] = process
      for case .observe(let observation) in actions where !process.isLied { tell(observation) }
    }
    after(.seconds(1) + some(.seconds(2))) { world in
      guard world.outages[executor] == nil, world.actual[executor] == capacity else { return }
      world.observe(.capacity(capacity))
    }
  }
}

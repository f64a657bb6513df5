import MendCore
import MendRuntime

// What is free, and what waits.

extension World {
  /// No executor is promised more than it has, no namespace more than its quota.
  func checkRoom(for parameters: SubmissionParameters, of model: Model) {
    count(.room)
    let executor = model.specification.executor
    var held = store.room.executors[executor] ?? ResourceUse()
    held.add(parameters.resources)
    // What it has may have been learnt, and made use of, within one commit, and be another by then.
    let learnt = toldCapacities.filter { $0.capacity.executor == executor && $0.at + .seconds(10) > now }
    let known = [server?.runtime.capacities[executor], actual[executor]].compactMap(\.self) + learnt.map(\.capacity)
    let (cpus, memoryBytes) = (known.map(\.cpus).max() ?? 0, known.map(\.memoryBytes).max() ?? 0)
    if parameters.resources.cpus > 0, held.cpus > cpus + 1e-6 || held.memoryBytes > memoryBytes {
      fail(.room, "\(executor) has \(cpus) CPUs, and \(held.cpus) are held")
    }
    guard let quota = plan.quotas[model.key.namespace] else { return }
    var use = store.room.namespaces[model.key.namespace] ?? ResourceUse()
    use.add(parameters.resources)
    if let cpus = quota.cpus, use.cpus > cpus + 1e-6 {
      fail(.room, "\(model.key.namespace) has \(use.cpus) of \(cpus) CPUs")
    }
    let started = store.room.started[model.key.namespace] ?? 0
    if let batches = quota.batches, started > batches {
      fail(.room, "\(model.key.namespace) has \(started) batches of \(batches)")
    }
  }

  /// A job that could start, and since when.
  private struct Waiting {
    var batch: BatchKey
    var job: JobID
    var needs: Resources
    var since: Instant
    var isBoundByQuota: Bool
  }

  /// At a quiet moment: nothing is under way to the writer, and no clock is due.
  func checkIdleRoom() {
    guard let server, server.roundAt == nil, server.tickAt > now, calls.isEmpty else { return }
    for capacity in server.runtime.capacities.all where capacity.isKnown && outages[capacity.executor] == nil {
      let waiting = waiting(on: capacity.executor)
      let free = Resources(
        cpus: capacity.cpus - (store.room.executors[capacity.executor]?.cpus ?? 0),
        memoryBytes: capacity.memoryBytes - (store.room.executors[capacity.executor]?.memoryBytes ?? 0))
      let freeGPUs = capacity.gpus - (store.room.executors[capacity.executor]?.gpus ?? 0)
      // Room is kept for one that has waited long and that will fit: others then take what it does not need.
      let patient = waiting.filter {
        !$0.isBoundByQuota && now - $0.since >= .seconds(58) && $0.needs.cpus <= capacity.cpus + 1e-6
          && $0.needs.memoryBytes <= capacity.memoryBytes && ($0.needs.requiresGPU ? 1 : 0) <= capacity.gpus
      }
      // What waits for one thing holds up nothing that needs another.
      func kept(for needs: Resources) -> Resources {
        var kept = needs
        if needs.requiresGPU, freeGPUs <= 0 {
          (kept.cpus, kept.memoryBytes) = (0, 0)
        } else if needs.memoryBytes > free.memoryBytes {
          kept.cpus = 0
        }
        return kept
      }
      count(.idleRoom)
      for job in waiting where !job.isBoundByQuota {
        func fits(beside reserved: Resources?) -> Bool {
          job.needs.cpus <= max(0, free.cpus - (reserved?.cpus ?? 0)) + 1e-9
            && job.needs.memoryBytes <= max(0, free.memoryBytes - (reserved?.memoryBytes ?? 0))
            && (job.needs.requiresGPU ? 1 : 0) <= max(0, freeGPUs - (reserved?.requiresGPU == true ? 1 : 0))
        }
        guard fits(beside: nil),
          patient.allSatisfy({ $0.job == job.job && $0.batch == job.batch || fits(beside: kept(for: $0.needs)) })
        else { continue }
        let name = "\(job.batch.namespace) \(job.batch.batchID) \(job.job)"
        return fail(
          .idleRoom,
          "\(name) waits for \(job.needs.cpus) CPUs\(job.needs.requiresGPU ? " and a GPU" : ""), and \(free.cpus) of "
            + "\(capacity.cpus) are free, \(waiting.count) wait")
      }
    }
  }

  private func waiting(on executor: ExecutorKind) -> [Waiting] {
    var waiting: [Waiting] = []
    for (key, model) in store.models where model.specification.executor == executor {
      switch model.status {
      case .queued:
        // It starts with whichever of its jobs there is room for.
        for job in model.tiers.first?.jobs ?? [] where job.status == .pending {
          waiting.append(wait(of: job, model, since: model.submittedAt ?? now, startsBatch: true))
        }
      case .running:
        guard let tier = model.runningTier, !model.tiers[tier].isCancelRequested else { continue }
        let maximum = model.specification.maxConcurrent
        if maximum > 0, model.live >= maximum { continue }
        for job in model.tiers[tier].jobs where job.status == .pending {
          // A backoff's end is a clock's business.
          if let notBefore = job.notBefore, notBefore + .seconds(1) > now { continue }
          if job.count(.pending) + job.count(.processing) == 0 { continue }
          let since = max(model.tiers[tier].startedAt ?? now, job.attempts.last?.end?.at ?? .init(milliseconds: 0))
          waiting.append(wait(of: job, model, since: since, startsBatch: false))
        }
      default: continue
      }
      _ = key
    }
    return waiting
  }

  private func wait(of job: Model.Job, _ model: Model, since: Instant, startsBatch: Bool) -> Waiting {
    let needs = model.needs(job.id)
    var isBound = false
    if let quota = plan.quotas[model.key.namespace] {
      let use = store.room.namespaces[model.key.namespace] ?? ResourceUse()
      if let cpus = quota.cpus, use.cpus + needs.cpus > cpus + 1e-6 { isBound = true }
      if startsBatch, let batches = quota.batches, store.room.started[model.key.namespace] ?? 0 >= batches {
        isBound = true
      }
    }
    return Waiting(batch: model.key, job: job.id, needs: needs, since: since, isBoundByQuota: isBound)
  }
}

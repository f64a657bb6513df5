import MendCore
import MendRuntime

@testable import MendExecutors

// What holds at every step.

extension World {
  /// Launch intent is durable before the launch.
  func checkIntent(of key: AttemptKey) {
    let attempts = store.batches[key.batch]?.tiers[key.job.tier].jobs[key.job.index].attempts ?? []
    if attempts.count < key.number { fail("\(key) is launched, and its intent is not durable") }
  }

  /// What an answer says is durable.
  func check(_ result: Result<Reply, Refusal>, in namespace: String?) {
    guard case .success(let reply) = result else { return }
    func key(_ id: String) -> BatchKey { BatchKey(namespace: namespace ?? "", batchID: id) }
    func batch(_ id: String) -> Batch? { store.batches[key(id)] }
    switch reply {
    case .created(let id, _, let total):
      if batch(id)?.documents.count != total { fail("\(id) was said to be created, and is not durable") }
    case .submitted(let id, _, _):
      if batch(id)?.submittedAt == nil { fail("\(id) was said to be submitted, and is not durable") }
    case .claimed(let documents, _, _) where !documents.isEmpty:
      let known = store.batches.values.contains { $0.tiers.contains { $0.jobs.contains { !$0.processing.isEmpty } } }
      if !known { fail("documents were handed out, and no claim is durable") }
    case .cancelled(let id, _, let ended):
      for receipt in ended {
        let key = AttemptKey(batch: key(id), job: receipt.job, number: receipt.attempt)
        if let process = processes[key], process.attempt.phase != .over, !process.isLied {
          fail("the cancel of \(id) was answered, and \(key) still runs")
        }
      }
    case .workerStarted(let assignment):
      checkIntent(of: assignment.attempt)
    case .documentsAdded, .status, .retried, .healed, .claimed, .reported: break
    }
  }

  /// Views are of what is durable, and their parts add up.
  func checkViews() {
    guard let server else { return }
    for (key, durable) in store.batches {
      guard let batch = server.runtime.view(of: key)?.batch else { continue }
      if batch.sequence > durable.sequence { fail("\(key.batchID): a view of what is not durable") }
      if let what = Self.broken(batch) { fail("\(key.batchID): \(what)") }
    }
  }

  static func broken(_ batch: Batch) -> String? {
    let progress = batch.progress()
    let parts = [progress.completed, progress.failed, progress.pending, progress.processing]
    if parts.reduce(0, +) != batch.documents.count || parts.contains(where: { $0 < 0 }) {
      return "the counts do not add up: \(progress)"
    }
    var processing: [Int: Int] = [:]
    for tier in batch.tiers {
      for job in tier.jobs {
        let parts = job.committed.count + job.failed.count + job.processing.count
        if job.committed.union(job.failed).union(job.processing).count != parts {
          return "\(job.id): a document is in two places"
        }
        if parts > job.assigned.count { return "\(job.id): more documents than it was given" }
        for position in job.processing { processing[position, default: 0] += 1 }
        if job.current == nil, !job.processing.isEmpty { return "\(job.id): documents in process by nobody" }
        if job.status.isFinal, job.current != nil { return "\(job.id) is \(job.status), and its attempt lives" }
      }
      if !(0...100).contains(tier.percentage) { return "tier \(tier.number) is at \(tier.percentage) %" }
    }
    if processing != batch.processingCounts { return "documents in process are counted wrong" }
    if (batch.overallProgress == 100) != (batch.status == .completed), batch.overallProgress >= 100 {
      return "\(batch.overallProgress) % while \(batch.status)"
    }
    return nil
  }

  /// As a reader finds it: in memory, or from the store where it needs no place in memory any more.
  func batch(of key: BatchKey, at runtime: Runtime) -> Batch? {
    if let view = runtime.view(of: key) { return view.batch }
    return store.retiredBatches.contains(key) ? try? store.batch(key) : nil
  }

  /// What was durable is what is there again.
  func checkRecovery() {
    guard let server else { return }
    for (key, durable) in store.batches {
      guard let batch = batch(of: key, at: server.runtime) else {
        fail("\(key.batchID) is gone after a restart")
        continue
      }
      if batch.sequence < durable.sequence { fail("\(key.batchID) lost history in a restart") }
    }
    for caller in callers where caller.isCreated {
      if store.batches[caller.key] == nil {
        fail("\(caller.plan.id) was acknowledged, and is lost")
      }
    }
  }

  /// Each end has its name: what an attempt died of by itself, and what it was ended for. And who is called stuck is.
  func look(at record: Record) {
    if case .verdictChanged(let verdict) = record.fact, verdict.health == .stuck {
      after(.zero) { $0.probe(record.batch) }
    }
    checkWho(record)
    if case .healed(let heal) = record.fact { check(heal, of: record.batch) }
    if case .attemptIntended = record.fact {
      checkQuota()
      checkRoom()
    }
    guard case .attemptEnded(let job, let number, let end) = record.fact else { return }
    let key = AttemptKey(batch: record.batch, job: job, number: number)
    guard let process = processes[key], !process.isLied else { return }
    let reasons = store.journals[record.batch]?.compactMap { record -> EndReason? in
      if case .attemptEnding(job, number, let reason, _) = record.fact { reason } else { nil }
    }
    guard let reason = reasons?.last else {
      if process.isEnded { return }
      if end.cause != process.diedOf {
        fail("\(key) died of \(process.diedOf?.rawValue ?? "nothing"), and is said to have \(end.verdict)")
      }
      return
    }
    if case .healed(let cause) = reason, end.cause != cause { fail("\(key) was healed of \(cause): \(end.verdict)") }
  }

  /// Nothing of another namespace is changed, and nobody of it is named.
  private func checkWho(_ record: Record) {
    for caller in callers where record.actor == caller.actor && record.batch.namespace != caller.plan.namespace {
      fail("\(record.batch): \(record.fact) by the \(record.actor)")
    }
    if record.cause == "caller", record.actor.isEmpty {
      fail("\(record.batch): \(record.fact) by a caller without a name")
    }
  }

  private func check(_ heal: HealRecord, of key: BatchKey) {
    guard let batch = store.batches[key] else { return fail("\(key) is healed, and is not there") }
    if heal.actor == HealRecord.autoHeal {
      guard let policy = batch.specification.autoHeal else {
        return fail("\(key) heals itself, and did not ask for it")
      }
      if batch.autoHeals > policy.maxHeals {
        fail("\(key) healed itself \(batch.autoHeals) times of \(policy.maxHeals)")
      }
      for step in heal.steps where !policy.allows(step) { fail("\(key) healed itself by \(step.operation)") }
    } else if let caller = callers.first(where: { $0.key == key }), heal.generation != caller.plannedGeneration {
      fail("\(key.batchID): a plan for \(caller.plannedGeneration) is applied at \(heal.generation)")
    }
  }

  /// No executor is promised more than it has.
  private func checkRoom() {
    for capacity in plan.capacities.all {
      var cpus = 0.0
      for batch in store.batches.values where batch.specification.executor == capacity.executor {
        cpus += batch.held.cpus
      }
      if cpus > capacity.cpus + 1e-6 { fail("\(capacity.executor) has \(capacity.cpus) CPUs, and \(cpus) are held") }
    }
  }

  /// What the attempts of the bounded namespace hold together.
  private func checkQuota() {
    guard let quota = plan.quota else { return }
    var use = ResourceUse()
    var started = 0
    for batch in store.batches.values where batch.key.namespace == Plan.namespaces[1] {
      if batch.startedAt != nil, !batch.status.isFinal { started += 1 }
      for job in batch.tiers.flatMap(\.jobs) { if let attempt = job.current { use.add(attempt.parameters.resources) } }
    }
    if let cpus = quota.cpus, use.cpus > cpus { fail("\(Plan.namespaces[1]) has \(use.cpus) of \(cpus) CPUs") }
    if let batches = quota.batches, started > batches {
      fail("\(Plan.namespaces[1]) has \(started) batches of \(batches)")
    }
  }

  /// Now and then: is anything called stuck that is not?
  func probe() {
    after(.seconds(3)) { $0.probe() }
    for key in store.batches.keys.sorted() { probe(key) }
  }

  private func probe(_ key: BatchKey) {
    guard let server, let batch = server.runtime.view(of: key)?.batch, batch.status == .running else { return }
    let health = batch.health(at: now, capacity: plan.capacities.of(batch), limits: server.runtime.limits)
    for stuck in health.stuckAttempts {
      check(stuck, AttemptKey(batch: key, job: stuck.job, number: stuck.number))
    }
    let jobs = batch.tiers.flatMap(\.jobs)
    for job in jobs where job.status == .failed && job.failure == nil {
      fail("\(key.batchID) \(job.id) failed of nothing")
    }
  }

  private func check(_ stuck: StuckAttempt, _ key: AttemptKey) {
    guard let process = processes[key], !process.isLied else { return }
    switch process.attempt.phase {
    case .working:
      fail("\(key) works, and is called stuck for \(stuck.cause.rawValue)")
    case .starting(let at?):
      let intended = store.batches[key.batch]?.tiers[key.job.tier].jobs[key.job.index].attempts[key.number - 1]
        .intendedAt
      if let intended, max(at, now) - intended <= .seconds(60) { fail("\(key) starts in time, and is called stuck") }
    case .stalled(let beats):
      let isNamed = beats ? stuck.cause == .progressTimeout : stuck.cause != .startTimeout
      if !isNamed { fail("\(key) \(beats ? "hangs" : "is silent"), and is called \(stuck.cause.rawValue)") }
    case .starting(nil):
      if stuck.cause != .startTimeout { fail("\(key) never starts, and is called \(stuck.cause.rawValue)") }
    case .ending, .over: break
    }
  }

  /// Everything has come to an end: it says the same from its journal, and each failure has its cause.
  func checkEnd() {
    for (key, records) in store.journals {
      guard let first = records.first, var folded = Batch.creating(first) else { continue }
      for record in records.dropFirst() { folded.apply(record) }
      if let what = Self.broken(folded) { fail("\(key.batchID) at its end: \(what)") }
      let diagnosis = folded.diagnosis(at: now, capacity: plan.capacities.of(folded), limits: Limits())
      if folded.hasFailures, diagnosis.failureCategory == nil { fail("\(key.batchID) failed of no category") }
      for job in folded.tiers.flatMap(\.jobs) where job.status == .failed {
        guard let failure = job.failure else {
          fail("\(key.batchID) \(job.id) failed of nothing")
          continue
        }
        let isFound = diagnosis.findings.contains { $0.job == job.id && $0.cause == failure.cause.rawValue }
        if !isFound, diagnosis.findings.isEmpty { fail("\(key.batchID) \(job.id): \(failure.cause) is no finding") }
      }
    }
  }
}

import MendCore
import MendRuntime

@testable import MendExecutors

// What holds at every step.

extension World {
  /// Launch intent is durable before the launch.
  func checkIntent(of key: AttemptKey) {
    count(.durable)
    if store.models[key.batch]?.attempt(key.job, key.number) == nil {
      fail(.durable, "\(key) is launched, and its intent is not durable")
    }
  }

  /// What an answer says is durable.
  func check(_ result: Result<Reply, Refusal>, in namespace: String?) {
    guard case .success(let reply) = result else { return }
    func key(_ id: String) -> BatchKey { BatchKey(namespace: namespace ?? "", batchID: id) }
    func model(_ id: String) -> Model? { store.models[key(id)] }
    count(.durable)
    switch reply {
    case .created(let created):
      let id = created.batchID
      if model(id)?.documents != created.totalObjects {
        fail(.durable, "\(id) was said to be created, and is not durable")
      }
    case .submitted(let submitted):
      let id = submitted.batchID
      if model(id)?.submittedAt == nil { fail(.durable, "\(id) was said to be submitted, and is not durable") }
    case .claimed(let claimed) where !claimed.documents.isEmpty:
      let known = store.models.values.contains { $0.tiers.contains { $0.jobs.contains { $0.count(.processing) > 0 } } }
      if !known { fail(.durable, "documents were handed out, and no claim is durable") }
    case .cancelled(let cancelled):
      let id = cancelled.batchID
      for ended in cancelled.ended {
        let key = AttemptKey(batch: key(id), job: ended.attempt.job, number: ended.attempt.number)
        count(.attempts)
        if let process = processes[key], process.attempt.phase != .over, !process.isLied {
          fail(.attempts, "the cancel of \(id) was answered, and \(key) still runs")
        }
      }
    case .workerStarted(let assignment):
      checkIntent(of: assignment.attempt)
    default: break
    }
  }

  /// Views are of what is durable, and their parts add up.
  func checkViews() {
    guard let server else { return }
    for key in changed {
      guard let durable = store.models[key], let batch = server.runtime.view(of: key)?.batch else { continue }
      count(.counts)
      if batch.sequence > durable.sequence { fail(.durable, "\(key.batchID): a view of what is not durable") }
      if let what = Self.broken(batch) { fail(.counts, "\(key.batchID): \(what)") }
    }
    changed.removeAll(keepingCapacity: true)
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
    for (key, durable) in store.models {
      count(.recovery)
      // Who is retired is found in the store, as its journal has it.
      if store.retiredBatches.contains(key) { continue }
      guard let batch = server.runtime.view(of: key)?.batch else {
        fail(.recovery, "\(key.batchID) is gone after a restart")
        continue
      }
      if batch.sequence < durable.sequence { fail(.recovery, "\(key.batchID) lost history in a restart") }
    }
    for caller in callers where caller.isCreated && store.models[caller.key] == nil {
      fail(.recovery, "\(caller.plan.id) was acknowledged, and is lost")
    }
  }

  // MARK: Now and then

  func probe() {
    after(.seconds(3)) { $0.probe() }
    checkIdleRoom()
    for key in store.models.keys.sorted() {
      guard let model = store.models[key], !model.status.isFinal, model.status != .created else { continue }
      checkClocks(model)
      // Who waits among scores is looked at less often.
      if plan.batches.count > 10, model.status == .queued, !random.chance(50) { continue }
      probe(key)
    }
  }

  /// Is anything called stuck that is not, and is what is said now said in the history?
  func probe(_ key: BatchKey) {
    guard let server, let batch = server.runtime.view(of: key)?.batch else { return }
    let health = server.runtime.health(of: batch, at: now)
    checkSaid(batch, health.health)
    guard batch.status == .running else { return }
    for stuck in health.stuckAttempts {
      count(.causes)
      check(stuck, AttemptKey(batch: key, job: stuck.job, number: stuck.number))
    }
    let jobs = batch.tiers.flatMap(\.jobs)
    for job in jobs where job.status == .failed && job.failure == nil {
      fail(.findings, "\(key.batchID) \(job.id) failed of nothing")
    }
    guard plan.theme == .steady || plan.theme == .documents && random.chance(300) else { return }
    let diagnosis = server.runtime.diagnosis(of: batch, at: now)
    if plan.theme == .steady { noteEstimate(batch, diagnosis) } else { checkSuspects(diagnosis, of: batch) }
    checkAdvice(diagnosis, of: key)
  }

  private func check(_ stuck: StuckAttempt, _ key: AttemptKey) {
    guard let process = processes[key], !process.isLied else { return }
    switch process.attempt.phase {
    case .working:
      // What its worker said first may be under way for longer than it had left to start.
      if stuck.cause == .startTimeout, let at = store.models[key.batch]?.attempt(key.job, key.number)?.intendedAt,
        now - at < .seconds(60 + 15)
      {
        return
      }
      fail(.causes, "\(key) works, and is called stuck for \(stuck.cause.rawValue)")
    case .starting(let at?):
      if let intended = store.models[key.batch]?.attempt(key.job, key.number)?.intendedAt,
        max(at, now) - intended <= .seconds(60)
      {
        fail(.causes, "\(key) starts in time, and is called stuck")
      }
    case .stalled(let beats):
      let isNamed = beats ? stuck.cause == .progressTimeout : stuck.cause != .startTimeout
      if !isNamed { fail(.causes, "\(key) \(beats ? "hangs" : "is silent"), and is called \(stuck.cause.rawValue)") }
    case .starting(nil):
      if stuck.cause != .startTimeout { fail(.causes, "\(key) never starts, and is called \(stuck.cause.rawValue)") }
    case .ending, .over: break
    }
  }
}

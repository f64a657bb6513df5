import MendCore
import MendRuntime

// How things ended, against what the world knows of it.

extension World {
  /// Each end has its name: what an attempt died of by itself, and what it was ended for. And who is called stuck is.
  func look(at record: Record) {
    if case .verdictChanged(let summary) = record.fact, summary.health == .stuck {
      after(.zero) { $0.probe(record.batch) }
    }
    checkWho(record)
    if case .healed(let heal) = record.fact { check(heal, of: record.batch) }
    if case .batchStatusChanged(let changed) = record.fact, changed.status.isFinal {
      checkFinal(record.batch, changed.status)
    }
    guard case .attemptEnded(let ended) = record.fact else { return }
    let key = AttemptKey(batch: record.batch, job: ended.job, number: ended.number)
    guard let process = processes[key], !process.isLied else { return }
    count(.causes)
    guard let reason = store.models[record.batch]?.attempt(ended.job, ended.number)?.ending else {
      if process.isEnded { return }
      if ended.end.cause != process.diedOf {
        fail(
          .causes, "\(key) died of \(process.diedOf?.rawValue ?? "nothing"), and is said to have \(ended.end.verdict)")
      }
      return
    }
    if case .healed(let cause) = reason, ended.end.cause != cause {
      fail(.causes, "\(key) was healed of \(cause): \(ended.end.verdict)")
    }
  }

  /// Nothing of another namespace is changed, and nobody of it is named.
  private func checkWho(_ record: Record) {
    count(.namespaces)
    for caller in callers where record.actor == caller.actor && record.batch.namespace != caller.plan.namespace {
      fail(.namespaces, "\(record.batch): \(record.fact) by the \(record.actor)")
    }
    if record.cause == .caller, record.actor.isEmpty {
      fail(.namespaces, "\(record.batch): \(record.fact) by a caller without a name")
    }
  }

  private func check(_ heal: HealRecord, of key: BatchKey) {
    guard let model = store.models[key] else { return fail(.history, "\(key) is healed, and is not there") }
    count(.heals)
    for case .reclaimOrphan(let job, let number) in heal.steps.filter({ $0.result == .refused }).map(\.operation) {
      let others = heal.steps.filter { step in
        if case .reclaimOrphan(let other, _) = step.operation {
          step.result == .done && other.tier == job.tier
        } else {
          false
        }
      }
      if !others.isEmpty {
        fail(.heals, "\(key.batchID): \(job).\(number) is not reclaimed because of another of its tier")
      }
    }
    if heal.by == .autoHeal {
      guard let policy = model.specification.autoHeal else {
        return fail(.heals, "\(key) heals itself, and did not ask for it")
      }
      let byItself = model.heals.filter { heal in
        heal.heal.by == .autoHeal && heal.heal.steps.contains { $0.result == .done }
      }
      if byItself.count > policy.maxHeals {
        fail(.heals, "\(key) healed itself \(byItself.count) times of \(policy.maxHeals)")
      }
      for step in heal.steps where policy.allowed(step) != step {
        fail(.heals, "\(key) healed itself by \(step.operation)")
      }
    } else if let caller = callers.first(where: { $0.key == key }), heal.generation != caller.plannedGeneration {
      fail(.heals, "\(key.batchID): a plan for \(caller.plannedGeneration) is applied at \(heal.generation)")
    }
  }

  /// A batch is over.
  private func checkFinal(_ key: BatchKey, _ status: BatchStatus) {
    guard let model = store.models[key] else { return }
    for (number, tier) in model.tiers.enumerated() where tier.status.isFinal {
      for extractor in model.specification.tiers[number].extractors.indices {
        let shards = tier.jobs.filter { $0.extractor == extractor }
        guard shards.count > 1, shards.contains(where: { $0.count(.committed) > 0 }) else { continue }
        count(.shards)
        if let failed = shards.first(where: { job in
          job.status == .failed && job.failure == .documentErrors && job.attempts.last?.end?.verdict == .succeeded
            && job.count(.pending) == 0 && told[JobName(batch: key, job: job.id)]?.failed ?? 0 >= job.count(.failed)
        }) {
          fail(
            .shards, "\(key.batchID) \(failed.id) fails of its documents, and other shards of its extractor did theirs")
        }
      }
    }
    if status == .completed, callers.first(where: { $0.key == key })?.plan.isSteady == true { checkEstimates(model) }
  }

  /// Everything has come to an end: it says the same from its journal, and each failure has its cause.
  func checkEnd() {
    count(.ending)
    for (key, records) in store.journals {
      guard let folded = try? Batch.folding(records) else {
        fail(.history, "\(key.batchID) at its end: its journal does not fold")
        continue
      }
      if let what = Self.broken(folded) { fail(.counts, "\(key.batchID) at its end: \(what)") }
      checkFold(folded)
      for job in folded.tiers.flatMap(\.jobs) { checkTold(key, job.id) }
      let diagnosis = folded.diagnosis(at: now, capacity: plan.capacities.of(folded), limits: Limits())
      if folded.hasFailures, diagnosis.failureCategory == nil {
        fail(.findings, "\(key.batchID) failed of no category")
      }
      checkSuspects(diagnosis, of: folded)
      checkAdvice(diagnosis, of: key)
      for job in folded.tiers.flatMap(\.jobs) where job.status == .failed { checkFinding(of: job, diagnosis, folded) }
    }
    for id in toBeTold where !delivered.contains(id) { fail(.saidAloud, "\(id) was never told") }
  }

  /// The finding of a failed job: why, as the world knows it, and of which documents.
  private func checkFinding(of job: MendCore.Job, _ diagnosis: Diagnosis, _ batch: Batch) {
    let name = "\(batch.key.batchID) \(job.id)"
    guard let failure = job.failure else { return fail(.findings, "\(name) failed of nothing") }
    count(.findings)
    let own = diagnosis.findings.filter { $0.job == job.id }
    if own.isEmpty, diagnosis.findings.count < 200 { return fail(.findings, "\(name): \(failure.cause) is no finding") }
    for finding in own {
      if case .failure(let cause) = finding.cause, finding.category != cause.category {
        fail(.findings, "\(name): \(finding.cause) is said to be of \(finding.category?.rawValue ?? "nothing")")
      }
      if let stranger = finding.documents.first(where: { !job.assigned.contains($0) }) {
        fail(.findings, "\(name): the finding \(finding.cause) is about document \(stranger), which it never had")
      }
    }
    let key = AttemptKey(batch: batch.key, job: job.id, number: job.attempts.count)
    guard let process = processes[key], !process.isLied, !process.isEnded, let died = process.diedOf,
      failure.cause == died
    else { return }
    if !own.contains(where: { $0.cause == .failure(died) && $0.category == died.category }) {
      fail(.findings, "\(name) died of \(died.rawValue), and its findings are \(own.map(\.cause))")
    }
  }

  /// What the core folds its facts to, and what the simulator does.
  private func checkFold(_ batch: Batch) {
    guard let model = store.models[batch.key] else { return }
    count(.counts)
    if model.status != batch.status || model.documents != batch.documents.count {
      fail(.counts, "\(batch.key.batchID) is \(batch.status), and \(model.status) by its facts")
    }
    for job in batch.tiers.flatMap(\.jobs) {
      let own = model[job.id]
      let parts = [job.committed.count, job.failed.count, job.processing.count, job.pendingCount]
      let counted = [own.count(.committed), own.count(.failed), own.count(.processing), own.count(.pending)]
      if parts != counted || own.status != job.status || own.attempts.count != job.attempts.count {
        fail(
          .counts,
          "\(batch.key.batchID) \(job.id) has \(job.status) \(parts), and \(own.status) \(counted) by its facts")
      }
      let spent = job.stages.reduce(Duration.zero) { $0 + $1.duration }
      if job.written ?? 0 != own.writtenNow || spent != own.spent {
        fail(
          .counts,
          "\(batch.key.batchID) \(job.id) has written \(job.written ?? 0) in \(spent.inSeconds) s, and \(own.writtenNow) in "
            + "\(own.spent.inSeconds) s by its facts")
      }
    }
  }
}

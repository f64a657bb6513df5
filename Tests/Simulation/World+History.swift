import MendCore
import MendRuntime

// What may follow upon what in a history.

extension World {
  /// Of a record that is durable, and of what its batch was before it.
  func checkHistory(_ record: Record, _ before: Model) {
    let name = record.batch.batchID
    count(.history)
    switch record.fact {
    case .documentsCommitted(let fact):
      if before[fact.job].current == nil || before[fact.job].attempts.count != fact.number {
        fail(.history, "\(name) \(fact.attempt) commits, and is not the current attempt")
      }
      if fact.documents.contains(where: { before[fact.job].places[$0] == .committed }) {
        fail(.history, "\(name) \(fact.job): a document is committed twice")
      }
      if before.status.isFinal { fail(.history, "\(name): a commit after \(before.status)") }
    case .documentsClaimed(let claimed):
      checkClaim(record, before, claimed.job, claimed.number, claimed.documents)
    case .documentsFailed(let fact):
      checkAccusation(name, before, fact.job, fact.groups)
    case .retried(let retried):
      checkRetry(record, before, retried.tier, retried.jobs)
    case .healed(let heal): checkHeal(heal, before)
    case .attemptIntended(let fact):
      if before[fact.job].current != nil {
        fail(.history, "\(name) \(fact.attempt) is intended beside another attempt")
      }
      if before[fact.job].attempts.count + 1 != fact.number {
        fail(.history, "\(name) \(fact.attempt) is not the next")
      }
      if before.status != .running { fail(.history, "\(name): an attempt while \(before.status)") }
      checkRoom(for: fact.parameters, of: before)
      checkStart(of: fact.job, before)
    case .attemptEnding(let ending):
      checkEnding(ending.job, ending.number, ending.reason, before)
    case .attemptEnded(let ended):
      if before.attempt(ended.job, ended.number)?.end != nil || before[ended.job].attempts.count != ended.number {
        fail(.history, "\(name) \(ended.attempt) ends twice")
      }
    case .batchStatusChanged(let changed):
      checkStatus(changed.status, record, before)
    case .jobStatusChanged(let changed):
      checkJob(changed.job, changed.status, changed.failure, record, before)
    case .collectionWritten(let written): after(.zero) { $0.checkTold(record.batch, written.job) }
    case .stageSpent(let spent): after(.zero) { $0.checkTold(record.batch, spent.job) }
    case .reportTaken(let taken): after(.zero) { $0.checkTold(record.batch, taken.job) }
    default: break
    }
  }

  private func checkClaim(_ record: Record, _ before: Model, _ id: JobID, _ number: Int, _ documents: DocumentSet) {
    let name = record.batch.batchID
    if before.status != .running { fail(.history, "\(name) \(id): a claim while \(before.status)") }
    if before[id].current == nil || before[id].attempts.count != number {
      fail(.history, "\(name) \(id).\(number) claims, and is not the current attempt")
    }
    let maximum = before.specification.maxConcurrent
    if maximum > 0 {
      let held = before.tiers.reduce(0) { $0 + $1.jobs.reduce(0) { $0 + $1.count(.processing) } }
      if held + documents.count > maximum { fail(.history, "\(name): more than \(maximum) documents in process") }
    }
    if let taken = documents.first(where: { before[id].places[$0] != .pending }) {
      fail(.history, "\(name) \(id): document \(taken) is handed out, and was \(before[id].places[taken])")
    }
  }

  private func checkRetry(_ record: Record, _ before: Model, _ tier: Int, _ jobs: [Fact.RetriedJob]) {
    guard record.cause != .caller else { return }
    for retried in jobs {
      let job = before[retried.job]
      if retried.reopened.contains(where: { job.places[$0] == .committed }) {
        fail(.history, "\(record.batch.batchID) \(retried.job): a committed document is done again by rule")
      }
      count(.rules)
      let last = job.attempts.last
      if let memory = retried.overrides.memoryBytes, let last, memory > last.needs.memoryBytes, let end = last.end,
        end.cause != .oom
      {
        fail(
          .rules, "\(record.batch.batchID) \(retried.job): more memory after \(end.cause?.rawValue ?? "nothing")")
      }
    }
  }

  /// What is over is reclaimed once, and again only when it is heard of again, or when its job was given up meanwhile and
  /// runs again by it.
  private func checkHeal(_ heal: HealRecord, _ before: Model) {
    for step in heal.steps {
      guard case .reclaimOrphan(let job, let number) = step.operation, let attempt = before.attempt(job, number),
        attempt.end != nil, let known = attempt.reportsBeforeReclaim
      else { continue }
      count(.reclaims)
      let runsAgain = step.result == .done && before.lastRetried?.at == now && before[job].status != .failed
      if attempt.staleReports <= known, !runsAgain {
        fail(.reclaims, "\(before.key.batchID): \(job).\(number) is over, was reclaimed, and is once more")
      }
    }
  }

  private func checkStatus(_ status: BatchStatus, _ record: Record, _ before: Model) {
    let name = record.batch.batchID
    if before.status.isFinal, before.lastRetried?.at != record.at {
      fail(.history, "\(name) left \(before.status) for \(status), without a retry")
    }
    if status.isFinal, before.live > 0 { fail(.history, "\(name) is \(status), and an attempt lives") }
    if status == .completed, before.tiers.contains(where: { $0.status != .completed }) {
      fail(.history, "\(name) is completed, and a tier is not")
    }
    if status == .completed { checkStaleness(before) }
  }

  private func checkJob(
    _ id: JobID, _ status: JobStatus, _ failure: MendCore.Job.Failure?, _ record: Record, _ before: Model
  ) {
    let job = before[id]
    let isRetried = before.lastRetried.map { $0.at == record.at && $0.tier <= id.tier } ?? false
    if job.status.isFinal, status != .pending || !isRetried {
      fail(.history, "\(record.batch.batchID) \(id) left \(job.status) for \(status)")
    }
    if status == .failed, let failure { checkFailure(id, failure, before, at: record.at) }
    if status == .succeeded { checkPoisoned(id, before) }
  }

  /// What is completed was made of what the tiers before it have.
  private func checkStaleness(_ model: Model) {
    for position in 0..<model.documents {
      var newest = 0
      for tier in model.tiers {
        let commits = tier.jobs.compactMap {
          $0.places.isEmpty ? nil : $0.places[position] == .committed ? $0.committedAs[position] : nil
        }
        count(.staleness)
        if let first = commits.min(), first < newest {
          return fail(
            .staleness, "\(model.key.batchID): document \(position) was done again in a tier before, and is stale")
        }
        newest = max(newest, commits.max() ?? 0)
      }
    }
  }
}

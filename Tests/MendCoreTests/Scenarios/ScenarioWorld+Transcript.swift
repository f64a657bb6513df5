@testable import MendCore

// What a scenario says: the facts that were made durable, then what followed from them.

extension ScenarioWorld {
  /// Names of another batch than `b` bear it.
  private func name(_ key: BatchKey) -> String { key.batchID == "b" ? "" : "\(key.batchID)/" }
  private func name(_ attempt: AttemptKey) -> String { "\(name(attempt.batch))\(attempt.id)" }

  func describe(_ record: Record) -> String? {
    let at = name(record.batch)
    func documents(_ set: DocumentSet) -> String {
      set.map { core.batches[record.batch]?.documents[$0].id ?? "?" }.joined(separator: " ")
    }
    switch record.fact {
    case .batchCreated, .documentsAdded: return nil
    case .nextAttemptScheduled(let scheduled):
      return "\(name(record.batch))\(scheduled.job) waits \((scheduled.at - now).inSeconds) s"
    case .batchStatusChanged(let changed):
      return "batch \(record.batch.batchID) \(changed.status)\(why(changed.reason))"
    case .tierStarted(let started): return "\(at)tier \(started.tier) running, \(started.handed.count) documents"
    case .tierStatusChanged(let changed): return "\(at)tier \(changed.tier) \(changed.status)\(why(changed.reason))"
    case .jobStatusChanged(let changed): return "\(at)job \(changed.job) \(changed.status)\(why(changed.reason))"
    case .attemptIntended(let fact):
      let memory = fact.parameters.resources.memoryBytes > 0 ? ", memory \(fact.parameters.resources.memoryBytes)" : ""
      return "\(at)\(fact.attempt) intended\(memory)"
    case .attemptTaken(let fact): return "\(at)\(fact.attempt) taken"
    case .attemptStarted(let attempt): return "\(at)\(attempt) started"
    case .attemptEnding(let fact): return "\(at)\(fact.attempt) ending: \(fact.reason.name)"
    case .attemptEnded(let ended):
      if case .failed(let cause, let confidence) = ended.end.verdict {
        return
          "\(at)\(ended.attempt) failed: \(cause.category.rawValue) \(cause.rawValue) (\(confidence.rawValue))"
      }
      return "\(at)\(ended.attempt) \(ended.end.verdict.name)"
    case .attemptBeat(let attempt): return "\(at)\(attempt) beats"
    case .staleReport(let attempt): return "\(at)\(attempt) reported late"
    case .documentsClaimed(let claimed): return "\(at)\(claimed.job) has \(documents(claimed.documents))"
    case .documentsCommitted(let fact): return "\(at)\(fact.job) committed \(documents(fact.documents))"
    case .documentsFailed(let fact):
      let words = fact.groups.flatMap { group in
        group.documents.map { "\(core.batches[record.batch]?.documents[$0].id ?? "?"):\(group.error.code)" }
      }
      return "\(at)\(fact.job) failed \(words.joined(separator: " "))"
    case .documentsReleased(let released): return "\(at)\(released.job) gave back \(documents(released.documents))"
    case .workRepeated(let fact): return "\(at)\(fact.job) repeated \(fact.count)"
    case .stageEntered(let entered): return "\(at)\(entered.attempt) stage \(entered.name)"
    case .tierCancelRequested(let requested): return "\(at)tier \(requested.tier) is to be cancelled"
    case .documentsLeftOut(let leftOut): return "\(at)\(leftOut.job) is left out for \(documents(leftOut.documents))"
    case .reportTaken(let fact):
      let written = fact.report.written > 0 ? ", written \(fact.report.written)" : ""
      return "\(at)\(fact.attempt) report \(fact.report.id) taken\(written)"
    case .retried(let retried):
      let reopened = retried.jobs.map { "\($0.job): \($0.reopened.count)" }.joined(separator: ", ")
      return "\(at)tier \(retried.tier) reopened by \(retried.actor) (\(reopened))"
    case .healed(let heal): return "\(at)healed: \(heal.steps.count) steps"
    default: return "\(at)\(record.fact)".prefix(100) + ""
    }
  }

  private func why(_ reason: String) -> String { reason.isEmpty ? "" : ": \(reason)" }

  mutating func describe(_ effect: Effect) -> String? {
    switch effect {
    case .reply(let call, let reply): "\(waiting.removeValue(forKey: call) ?? "?") -> \(describe(reply))"
    case .refuse(let call, let refusal): "\(waiting.removeValue(forKey: call) ?? "?") -> refused: \(refusal.sentence)"
    case .launch(let attempt, _): "=> launch \(name(attempt))"
    case .adopt(let attempt, _, _): "=> adopt \(name(attempt))"
    case .end(let attempt, _, let grace, _): "=> end \(name(attempt)) within \(grace.inSeconds) s"
    case .endStray(_, let reference, _): "=> end stray \(reference)"
    case .retire(let key): "=> retire \(key.batchID)"
    case .changed, .wakeAt, .look: nil
    }
  }

  private mutating func describe(_ reply: Reply) -> String {
    switch reply {
    case .created(let reply): return "created \(reply.batchID) \(reply.status), \(reply.totalObjects) documents"
    case .documentsAdded(let reply): return "added \(reply.added) of \(reply.totalObjects)"
    case .submitted(let reply): return "submitted \(reply.batchID) \(reply.status), position \(reply.queuePosition)"
    case .status(let reply): return "\(reply.batchID) \(reply.status)"
    case .retried(let reply):
      let jobs = reply.jobs.map(\.description).joined(separator: " ")
      return "tier \(reply.tier) again, jobs \(jobs), \(reply.documents) documents, \(reply.status)"
    case .healed(let healed):
      if healed.dryRun { plannedGeneration = healed.generation }
      let words = healed.steps.map { step in
        let what =
          switch step.operation {
          case .restartAttempt(let job, let number, let cause): "restart \(job).\(number) for \(cause.rawValue)"
          case .killDuplicate(_, let reference): "kill \(reference)"
          case .reclaimOrphan(let job, let number): "reclaim \(job).\(number)"
          case .retryTier(let tier, _, let memory):
            "retry tier \(tier)"
              + memory.sorted { $0.key < $1.key }.map { " \($0.key) with memory \($0.value)" }.joined()
          }
        return "\n  \(what) (risk \(step.risk.rawValue)): \(step.outcome)"
      }
      return "\(healed.dryRun ? "plan" : "healed"), \(healed.steps.count) steps" + words.joined()
    case .cancelled(let reply):
      let receipts = reply.ended.map { "; \($0.attempt): \($0.receipt.processes) by \($0.receipt.how)" }
      return "\(reply.batchID) \(reply.status)\(receipts.joined())"
    case .workerStarted(let assignment): return "\(assignment.documentsLeft) documents left"
    case .claimed(let claimed):
      if claimed.documents.isEmpty {
        let again = claimed.retryAfter.map { ", again in \($0.inSeconds) s" } ?? ""
        return claimed.isFinished ? "nothing left" : "nothing now\(again)"
      }
      return claimed.documents.map(\.id).joined(separator: " ")
    case .reported(let reply):
      return
        "accepted \(reply.accepted)\(reply.repeated > 0 ? ", repeated \(reply.repeated)" : "")\(reply.stop ? ", stop" : "")"
    }
  }

  // MARK: Views

  mutating func show(_ key: BatchKey) {
    guard let batch = core.batches[key] else { return lines.append("no batch \(key.batchID)") }
    let progress = batch.progress()
    lines.append(
      "\(key.batchID) \(batch.status) \(percent(batch.overallProgress)): \(progress.completed) completed, "
        + "\(progress.failed) failed, \(progress.processing) processing, \(progress.pending) pending of \(progress.total)"
    )
    for tier in batch.tiers {
      lines.append("tier \(tier.number) \(tier.status) \(percent(tier.percentage))")
      for job in tier.jobs {
        lines.append(
          "  job \(job.id) \(job.status): \(job.committed.count) committed, \(job.failed.count) failed, "
            + "\(job.processing.count) in process, \(job.pendingCount) pending; \(job.attempts.count) attempts"
            + (job.repeatedWork > 0 ? ", \(job.repeatedWork) repeated" : ""))
      }
    }
  }

  private func percent(_ value: Double) -> String { "\((value * 10).rounded() / 10) %" }

  mutating func diagnose(_ key: BatchKey) {
    guard let batch = core.batches[key] else { return lines.append("no batch \(key.batchID)") }
    let diagnosis = batch.diagnosis(at: now, capacity: core.capacity, limits: core.limits)
    let stuck = diagnosis.stuckFor.map { ", for \($0.inSeconds) s" } ?? ""
    lines.append("\(batch.status), \(diagnosis.health) (\(diagnosis.healthReason.rawValue))\(stuck)")
    if let category = diagnosis.failureCategory { lines.append("failure category \(category.rawValue)") }
    for finding in diagnosis.findings {
      let category = finding.category.map { "\($0.rawValue) " } ?? ""
      let whose = finding.job.map { " of \($0)\(finding.attempt.map { ".\($0)" } ?? "")" } ?? ""
      lines.append(
        "finding \(category)\(finding.cause) (\(finding.confidence.rawValue))\(whose), \(finding.evidence.count) evidence"
      )
      for position in finding.documents.prefix(3) { lines.append("  about \(batch.documents[position].id)") }
      if let remedy = finding.remedy { lines.append("  remedy: \(describe(remedy.call))") }
    }
    for summary in diagnosis.errorSummary { lines.append("errors: \(summary.count) \(summary.errorType)") }
  }

  func describe(_ call: Remedy.Call?) -> String {
    switch call {
    case .retry(let tier, _, let overrides, let scope):
      let memory = overrides.memoryBytes.map { " memory=\($0)" } ?? ""
      return "retry tier=\(tier)\(memory) scope=\(scope.rawValue)"
    case .heal(let action, _): return "heal action=\(action.rawValue)"
    case .cancel: return "cancel"
    case nil: return "for a person"
    }
  }
}

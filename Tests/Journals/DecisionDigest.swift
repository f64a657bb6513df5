import MendCore

@testable import mend

/// What a journal comes to, as lines: the batch's state, and what Diagnose and the verdicts decide about it.
///
/// No sentence is in it. A text may be reworded, and the digest of a journal stays.
struct DecisionDigest {
  private(set) var lines: [String] = []
  private let created: Instant
  /// Of a server that notifies, as the one had that wrote the journals: what a server lacks is none of their matter.
  private let limits = {
    var limits = Limits()
    limits.notifies = true
    return limits
  }()

  /// - Parameter records: a batch's whole journal, in order.
  init(of records: [Record]) throws {
    guard let first = records.first, var batch = Batch.creating(first) else {
      throw DigestFault("the journal does not begin with its batch")
    }
    created = first.at
    var said = ""
    for record in records.dropFirst() {
      let generation = batch.generation
      try batch.apply(record)
      guard batch.generation != generation else { continue }
      let now = brief(diagnosis(of: batch, at: record.at))
      if now != said { lines.append("at \(record.sequence) \(now)") }
      said = now
    }
    let end = batch.updatedAt
    state(of: batch)
    lines.append("diagnosis")
    diagnose(batch, at: end)
    if !batch.status.isFinal {
      lines.append("diagnosis an hour later, of attempts that were silent all the time")
      diagnose(batch.suspected(since: end), at: end + .seconds(3600))
    }
    let points = try Replay.points(of: records, capacity: Self.capacity(for: batch), limits: limits) ?? []
    for point in points {
      lines.append("verdict at \(point.sequence) \(summary(point.now))")
      if point.differs { lines.append("  recorded \(summary(point.then))") }
    }
  }

  static func capacity(for batch: Batch) -> Capacity {
    var capacity = Capacity(executor: batch.specification.executor, cpus: 4, memoryBytes: 1 << 30)
    capacity.traits = capacity.executor.traits
    return capacity
  }

  private func diagnosis(of batch: Batch, at now: Instant) -> Diagnosis {
    batch.diagnosis(at: now, capacity: Self.capacity(for: batch), limits: limits)
  }

  // MARK: State

  private mutating func state(of batch: Batch) {
    let counts = batch.progress()
    lines.append(
      "batch \(batch.status.rawValue) sequence \(batch.sequence) generation \(batch.generation) documents "
        + "\(counts.completed) completed \(counts.failed) failed \(counts.processing) processing "
        + "\(counts.pending) pending of \(counts.total)")
    note("before its pause", batch.statusBeforePause?.rawValue)
    note([
      "submitted": batch.submittedAt, "started": batch.startedAt, "completed": batch.completedAt,
      "timeout counts from": batch.timeoutFrom, "paused since": batch.pausedAt, "moved last": batch.lastActivityAt,
    ])
    note("worked for", ms(batch.work.elapsed(at: batch.updatedAt)))
    note("holds", batch.held.attempts == 0 ? nil : "\(batch.held.attempts) attempts \(batch.held.cpus) cpus")
    note("failed", positions(batch.failedDocuments))
    note("heals by itself", batch.autoHeals == 0 ? nil : "\(batch.autoHeals)")
    for heal in batch.healHistory {
      note("healed", "\(heal.action.rawValue) by \(heal.by.rawValue) at generation \(heal.generation)")
      for step in heal.steps {
        note("  step", "\(operation(step.operation)) risk \(step.risk.rawValue) \(step.result.rawValue)")
        evidence(step.evidence, "    ")
      }
    }
    note("verdict", batch.diagnosisSummary.map(summary))
    for tier in batch.tiers {
      lines.append(
        "tier \(tier.number) \(tier.status.rawValue)\(tier.cancelRequested ? " cancel requested" : "")")
      note(["handed": tier.handed, "done": tier.done, "failed": tier.failed])
      note(["started": tier.startedAt, "completed": tier.completedAt])
      for job in tier.jobs { state(of: job) }
    }
  }

  private mutating func state(of job: Job) {
    lines.append("job \(job.id) \(job.status.rawValue)")
    note([
      "assigned": job.assigned, "committed": job.committed, "processing": job.processing, "left out": job.leftOut,
      "suspects": job.suspects, "quarantined": job.quarantined,
    ])
    note("overrides", overrides(job.overrides))
    note("failure", job.failure.map { "\($0.cause.rawValue) \($0.confidence.rawValue)" })
    note("next attempt", time(job.nextAttemptAt))
    note("repeated", job.repeatedWork == 0 ? nil : "\(job.repeatedWork)")
    note("written", job.written.map { "\($0)" })
    note("attempts before its retry", job.attemptsBeforeRetry == 0 ? nil : "\(job.attemptsBeforeRetry)")
    note("runs without documents", job.runsWithoutDocuments ? "yes" : nil)
    for stage in job.stages { note("stage", "\(stage.name) \(ms(stage.duration))") }
    for position in job.assigned where job.deaths[position] > 0 {
      note("deaths", "\(job.deaths[position]) around \(position)")
    }
    for position in job.failed {
      guard let error = job.errors[position] else {
        note("failed", "\(position) without an error")
        continue
      }
      note(
        "failed",
        "\(position) \(error.code) attempt \(error.attempt)\(error.causedByAttempt ? " died" : "")"
          + "\(error.quarantined ? " quarantined" : "") \(values(error.details))")
    }
    for attempt in job.attempts { state(of: attempt) }
  }

  private mutating func state(of attempt: Attempt) {
    lines.append(
      "  attempt \(attempt.number) intended \(time(attempt.intendedAt)) started \(time(attempt.startedAt) ?? "never")"
        + " moved \(time(attempt.lastActivityAt))"
        + " marks \(attempt.hasReported ? "reports " : "")\(attempt.hasBeaten ? "beats " : "")"
        + "\(attempt.tellsDocuments ? "documents " : "")stale \(attempt.staleReports)")
    let asked = attempt.parameters
    note(
      "  asks",
      "\(asked.resources.cpus) cpus \(asked.resources.memoryBytes) bytes\(asked.resources.requiresGPU ? " gpu" : "") "
        + "priority \(asked.priority) run \(asked.runTimeout.map(ms) ?? "unbounded") start \(asked.startWindow.map(ms) ?? "default")"
    )
    note("  handle", attempt.handle.map { "\($0.node) \($0.pid) \($0.reference)" })
    note("  stage", attempt.stage.map { "\($0.name) since \(time($0.since))" })
    note("  claims", attempt.claims.isEmpty ? nil : "\(attempt.claims.count)")
    note("  paused for", attempt.pausedFor == .zero ? nil : ms(attempt.pausedFor))
    switch attempt.state {
    case .intended: note("  state", "intended")
    case .starting: note("  state", "starting")
    case .running: note("  state", "running")
    case .ending(let reason, let since): note("  state", "ending \(Self.name(reason)) since \(time(since))")
    case .ended(let end):
      note("  ended", "\(Self.verdict(end.verdict)) at \(time(end.at))\(end.isIsolating ? " isolating" : "")")
      note("    exit", end.exit.map(exit))
      note("    receipt", end.receipt.map { "\($0.processes) processes" })
      evidence(end.evidence, "    ")
    }
  }

  // MARK: Diagnosis

  private mutating func diagnose(_ batch: Batch, at now: Instant) {
    let said = diagnosis(of: batch, at: now)
    note(
      "health", "\(said.health.rawValue) \(said.healthReason.rawValue)\(said.stuckFor.map { " for \(ms($0))" } ?? "")")
    note("blocked", said.blockedReason == nil ? nil : "yes")
    note("progress", "\(said.overallProgress) tier \(said.currentTier)")
    note("category", said.failureCategory?.rawValue)
    for finding in said.findings {
      note("finding", brief(finding))
      note("  documents", finding.documents.isEmpty ? nil : finding.documents.map { "\($0)" }.joined(separator: " "))
      evidence(finding.evidence, "  ")
    }
    for insight in said.insights {
      note("insight", "\(insight.type) \(insight.severity.rawValue) \(insight.stage) \(insight.metric)")
    }
    for event in said.infrastructureEvents {
      note("event", "\(event.cause.rawValue) \(event.job).\(event.attempt) at \(time(event.at))")
    }
    for summary in said.errorSummary {
      note("errors", "\(summary.count) \(summary.errorType) \(summary.affected)")
    }
    note("failed sample", said.failedSample.isEmpty ? nil : "\(said.failedSample)")
    note("repeated", said.repeatedWork == 0 ? nil : "\(said.repeatedWork)")
    note(
      "performance",
      said.performance.map { performance in
        "total \(ms(performance.total)) queued \(ms(performance.queued)) attempts \(performance.attempts) failed "
          + "\(performance.failedAttempts) repeated \(performance.repeatedWork) in \(ms(performance.repeatedTime)) peak "
          + "\(performance.peakMemoryBytes) slowest \(performance.slowestTier)"
      })
    note(
      "estimate",
      said.estimate.map { estimate in
        "\(time(estimate.p50) ?? "unknown") to \(time(estimate.p90) ?? "unknown")"
      })
  }

  private func brief(_ said: Diagnosis) -> String {
    let findings = said.findings.map { "; \(brief($0))" }.joined()
    return "\(said.health.rawValue) \(said.healthReason.rawValue)\(findings)"
  }

  private func brief(_ finding: Finding) -> String {
    let place = [
      finding.tier.map { "tier \($0)" }, finding.job.map { "\($0)" }, finding.attempt.map { "attempt \($0)" },
    ].compactMap(\.self).joined(separator: " ")
    return "\(finding.category.map { $0.rawValue + " " } ?? "")\(finding.cause) \(finding.confidence.rawValue) \(place)"
      + " remedy \(finding.remedy.map { call($0.call) } ?? "none")"
  }

  private func call(_ call: Remedy.Call?) -> String {
    switch call {
    case .retry(let tier, let jobs, let changed, let scope):
      "retry tier \(tier) jobs \(jobs.map(\.description).joined(separator: ",")) \(scope.rawValue) \(overrides(changed) ?? "")"
    case .heal(let action, let tier): "heal \(action.rawValue) \(tier.map { "tier \($0)" } ?? "")"
    case .cancel(let scope): "cancel \(scope)"
    case nil: "for a person"
    }
  }

  private func summary(_ summary: DiagnosisSummary) -> String {
    let causes = summary.causes.map { cause in
      "; \(cause.category.map { $0.rawValue + " " } ?? "")\(cause.cause) \(cause.confidence.rawValue)"
        + "\(cause.job.map { " \($0)" } ?? "")\(cause.attempt.map { ".\($0)" } ?? "")"
    }
    return "\(summary.health.rawValue) \(summary.reason.rawValue)\(causes.joined())"
  }

  // MARK: Parts

  private mutating func note(_ name: String, _ value: String?) {
    if let value { lines.append("  \(name) \(value)") }
  }

  private mutating func note(_ times: KeyValuePairs<String, Instant?>) {
    for (name, instant) in times { note(name, time(instant)) }
  }

  private mutating func note(_ sets: KeyValuePairs<String, DocumentSet>) {
    for (name, set) in sets { note(name, positions(set)) }
  }

  private mutating func evidence(_ evidence: [Evidence], _ indent: String) {
    for entry in evidence {
      note("\(indent)seen by", "\(entry.observer.rawValue) at \(time(entry.at)) \(values(entry.values))")
    }
  }

  private func values(_ values: [String: String]) -> String {
    // What an error signature means is told in words.
    values.filter { $0.key != "known_message" }.sorted { $0.key < $1.key }
      .map { "\($0.key)=\($0.value)" }.joined(separator: " ")
  }

  /// Milliseconds since the batch was created.
  private func time(_ instant: Instant) -> String {
    instant == .distantFuture ? "never" : "+\(instant.milliseconds - created.milliseconds)"
  }
  private func time(_ instant: Instant?) -> String? { instant.map { time($0) as String } }
  private func ms(_ duration: Duration) -> String { "\(duration.milliseconds) ms" }

  private func positions(_ set: DocumentSet) -> String? {
    if set.isEmpty { return nil }
    return set.ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound - 1)" }
      .joined(separator: " ")
  }

  private func overrides(_ overrides: Job.Overrides) -> String? {
    let parts = [
      overrides.cpus.map { "cpus \($0)" }, overrides.memoryBytes.map { "memory \($0)" },
      overrides.requiresGPU.map { "gpu \($0)" }, overrides.priority.map { "priority \($0)" },
      overrides.runTimeout.map { "run \($0.map(ms) ?? "unbounded")" },
      overrides.environment.isEmpty ? nil : "environment \(values(overrides.environment))",
    ].compactMap(\.self)
    return parts.isEmpty ? nil : parts.joined(separator: " ")
  }

  private func operation(_ operation: HealStep.Operation) -> String {
    switch operation {
    case .restartAttempt(let job, let number, let cause): "restart \(job).\(number) \(cause.rawValue)"
    case .killDuplicate(let job, let reference): "kill a duplicate of \(job) \(reference)"
    case .reclaimOrphan(let job, let number): "reclaim \(job).\(number)"
    case .retryTier(let tier, let jobs, let memory):
      "retry tier \(tier) \(jobs.map { "\($0)\(memory[$0].map { " memory \($0)" } ?? "")" }.joined(separator: ", "))"
    }
  }

  static func name(_ reason: EndReason) -> String {
    switch reason {
    case .cancelled: "cancelled"
    case .runTimeout: "run timeout"
    case .batchTimeout: "batch timeout"
    case .healed(let cause): "healed \(cause.rawValue)"
    case .fenced: "fenced"
    case .paused: "paused"
    }
  }

  static func verdict(_ verdict: AttemptEnd.Verdict) -> String {
    switch verdict {
    case .succeeded: "succeeded"
    case .cancelled: "cancelled"
    case .failed(let cause, let confidence): "failed \(cause.rawValue) \(confidence.rawValue)"
    }
  }

  private func exit(_ exit: ExitRecord) -> String {
    let how =
      switch exit.termination {
      case .exited(let code): "code \(code)"
      case .signalled(let signal): "signal \(signal)"
      case .notStarted: "not started"
      case .unknown: "unknown"
      }
    let finding = exit.finding.map { " found \($0.cause.rawValue) \($0.confidence.rawValue)" } ?? ""
    return
      "\(how) peak \(exit.peakMemoryBytes) limit \(exit.memoryLimitBytes)\(exit.memoryLimitExceeded ? " exceeded" : "")\(finding)"
  }
}

struct DigestFault: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension Batch {
  /// As if every live attempt had looked stuck since then.
  fileprivate func suspected(since: Instant) -> Batch {
    var batch = self
    for tier in tiers.indices {
      for job in tiers[tier].jobs.indices {
        guard let last = tiers[tier].jobs[job].attempts.indices.last, tiers[tier].jobs[job].attempts[last].isCurrent
        else { continue }
        batch.tiers[tier].jobs[job].attempts[last].suspectedSince = since
      }
    }
    return batch
  }
}

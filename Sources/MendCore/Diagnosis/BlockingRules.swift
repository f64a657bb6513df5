// Rules about what holds a batch up while nothing has failed.

extension DiagnosisContext {
  /// Jobs that ask for more than the executor has, in any tier that is still to be done.
  func neverSchedulable(_ findings: inout FindingList) {
    if batch.status.isFinal { return }
    struct Told: Hashable {
      var tier: Int
      var extractor: Int
      var asked: Resources
    }
    var told: Set<Told> = []
    forEachJob { tier, job in
      // Shards of one extractor ask for the same, unless a retry changed one.
      guard !job.status.isFinal, job.current == nil,
        let (reason, why) = room.whyNeverSchedulable(job.resourcesAsked(in: batch), in: batch.key.namespace),
        told.insert(Told(tier: tier.number, extractor: job.extractor, asked: job.resourcesAsked(in: batch))).inserted
      else { return }
      if findings.isFull { return findings.leaveOut(job.id) }
      let asked = job.resourcesAsked(in: batch)
      findings.add(
        about: job.id,
        Finding(
          cause: .health(reason), confidence: .high,
          message: sentence("\(job.title(in: batch)) can never start here: \(why)"),
          evidence: [
            Evidence(
              why, by: .scheduler, at: now,
              values: [
                "executor": capacity.executor.rawValue, "cpus_needed": Figures.number(asked.cpus),
                "cpus_available": Figures.number(capacity.cpus),
                "memory_needed_bytes": "\(asked.memoryBytes)", "memory_available_bytes": "\(capacity.memoryBytes)",
                "gpu_needed": "\(asked.requiresGPU)", "gpus_available": "\(capacity.gpus)",
              ])
          ],
          remedy: Remedy(room.advice("Ask for less in a new batch", or: asked, in: batch.key.namespace)),
          tier: tier.number, job: job.id))
    }
  }

  /// Attempts that two checks found stuck.
  func stuckAttempts(_ findings: inout FindingList) {
    for stuck in healthReport.stuckAttempts {
      guard let job = batch.tiers[stuck.job], let attempt = job.current else { continue }
      findings.add(about: stuck.job, finding(of: stuck, attempt, job))
    }
  }

  private func finding(of stuck: StuckAttempt, _ attempt: Attempt, _ job: Job) -> Finding {
    Finding(
      category: .timeout, cause: .health(HealthReason(stall: stuck.cause)), confidence: .high,
      message: sentence(batch.stallSentence(attempt, of: job, cause: stuck.cause, since: stuck.since, at: now)),
      evidence: evidence(ofStall: stuck, attempt, job: job),
      remedy: Remedy(
        "End the stuck attempt and go on without its documents; if the next one hangs too, then cancel the tier",
        .heal(.detectStuck, tier: stuck.job.tier)),
      tier: stuck.job.tier, job: stuck.job, attempt: stuck.number, documents: Array(job.processing.prefix(10)))
  }

  /// Jobs that have waited for room longer than their start window.
  func waitingTooLong() -> [Finding] {
    guard let first = healthReport.blocks.min(by: Block.comesBefore), case .waitedTooLong = first.kind,
      let sentence = healthReport.blockedReason,
      let tier = batch.tiers.first(where: { !$0.status.isFinal })
    else { return [] }
    let waiting = tier.jobs.filter { !$0.status.isFinal && $0.current == nil }
    guard let job = waiting.first else { return [] }
    let asked = job.resourcesAsked(in: batch)
    return [
      Finding(
        cause: .health(healthReport.reason), confidence: .high,
        message: self.sentence(sentence),
        evidence: [
          Evidence(
            "\(Figures.count(waiting.count, "job", "waits", "wait")) for room since "
              + "\(Figures.seconds(healthReport.stuckFor ?? .zero)), the first for \(Figures.resources(asked))",
            by: .scheduler, at: now,
            values: [
              "jobs_waiting": "\(waiting.count)", "cpus_needed": Figures.number(asked.cpus),
              "cpus_capacity": Figures.number(capacity.cpus), "memory_needed_bytes": "\(asked.memoryBytes)",
              "memory_capacity_bytes": "\(capacity.memoryBytes)",
            ])
        ],
        remedy: Remedy(
          healthReport.reason == .quota
            ? "Wait for the namespace's other running batches, cancel one of them, or have its quota raised"
            : "Wait for other running batches, cancel one of them, raise this batch's priority, or serve with more CPUs or "
              + "memory"),
        tier: tier.number, job: job.id)
    ]
  }

  /// Launches for which the executor has no room: one finding for all, with the executor's message about the first.
  func delayedLaunches() -> [Finding] {
    var delayed: [(job: Job, attempt: Attempt, words: String)] = []
    for tier in batch.tiers.indices where batch.tiers[tier].status == .running {
      for job in batch.tiers[tier].jobs.indices where batch.tiers[tier].jobs[job].status == .starting {
        let job = batch.tiers[tier].jobs[job]
        if let attempt = job.current, let words = attempt.delayedBy { delayed.append((job, attempt, words)) }
      }
    }
    guard let first = delayed.first else { return [] }
    let others = delayed.count == 1 ? "" : "; and \(delayed.count - 1) more"
    let executor = first.attempt.parameters.executor.rawValue
    return [
      Finding(
        cause: .health(.coldStart), confidence: .high,
        message: "The \(executor) executor cannot start \(first.job.title(in: batch)): "
          + "\(Figures.excerpt(first.words))\(others). Nothing of it has run, and it is tried again each second.",
        evidence: [
          Evidence(
            first.words, by: .executor, at: now,
            values: [
              "launches_waiting": "\(delayed.count)",
              "waiting_seconds": Figures.number((now - first.attempt.intendedAt).inSeconds),
            ])
        ],
        remedy: Remedy("See to what that names: what waits then starts by itself. Or cancel it"),
        tier: first.job.id.tier, job: first.job.id, attempt: first.attempt.number)
    ]
  }

  /// Attempts that the executor cannot see for now: one finding for all, with its message about the first.
  func hiddenAttempts() -> [Finding] {
    var hidden: [(job: Job, attempt: Attempt, words: String)] = []
    for tier in batch.tiers.indices where !batch.tiers[tier].status.isFinal {
      for job in batch.tiers[tier].jobs.indices {
        if let attempt = batch.tiers[tier].jobs[job].current, let words = attempt.hiddenBy {
          hidden.append((batch.tiers[tier].jobs[job], attempt, words))
        }
      }
    }
    guard let first = hidden.first else { return [] }
    let others = hidden.count == 1 ? "" : "; and \(hidden.count - 1) more"
    let executor = first.attempt.parameters.executor.rawValue
    return [
      Finding(
        cause: .health(.executorUnreachable), confidence: .high,
        message: "The \(executor) executor cannot look at \(first.job.title(in: batch)): "
          + "\(Figures.excerpt(first.words))\(others). Whether it runs is not known; it is looked at again each second.",
        evidence: [
          Evidence(first.words, by: .executor, at: now, values: ["attempts_hidden": "\(hidden.count)"])
        ],
        remedy: Remedy("See to what that names. What ended meanwhile is told then, and is not run again"),
        tier: first.job.id.tier, job: first.job.id, attempt: first.attempt.number)
    ]
  }

  func unreachableExecutor() -> [Finding] {
    guard let outage = batch.outage, !batch.status.isFinal else { return [] }
    if !outage.isConfigured { return [missingExecutor(outage)] }
    let since = outage.since
    let executor = outage.executor.rawValue
    return [
      Finding(
        cause: .health(.executorUnreachable), confidence: .high,
        message:
          "The \(executor) executor could not be asked for \(Figures.seconds(now - since)); nothing is known of its "
          + "attempts, and they are given up after \(Figures.seconds(limits.unreachableGrace)).",
        evidence: [
          Evidence(
            "no answer from the \(executor) executor: \(outage.message)", by: .executor, at: since,
            values: [
              "unreachable_seconds": Figures.number((now - since).inSeconds),
              "grace_seconds": Figures.number(limits.unreachableGrace.inSeconds),
            ])
        ],
        remedy: Remedy("See that the \(executor) executor runs and can be reached from the server"))
    ]
  }

  private func missingExecutor(_ outage: ExecutorOutage) -> Finding {
    let executor = outage.executor.rawValue
    let live = batch.tiers.reduce(0) { sum, tier in sum + tier.jobs.count { $0.current != nil } }
    let known =
      live == 0
      ? "none of its attempts was running"
      : "what became of its \(Figures.count(live, "attempt")) is not known, and none is given up or run again"
    return Finding(
      cause: .health(.executorNotConfigured), confidence: .high,
      message: "The batch is of deployment_mode \(executor), and this server was started without that executor; "
        + "\(known).",
      evidence: [
        Evidence(
          outage.message, by: .scheduler, at: outage.since,
          values: ["executor": executor, "attempts_unknown": "\(live)"])
      ],
      remedy: Remedy(
        "Start the server with it again (\(capacity.traits.howToAdd)): the batch goes on where it stands; or cancel it")
    )
  }

  /// Launches that run beside a job's current attempt: one finding for each job.
  func duplicateLaunches() -> [Finding] {
    var byJob: [(job: JobID, launches: [DuplicateLaunch])] = []
    for launch in batch.duplicates {
      if let index = byJob.firstIndex(where: { $0.job == launch.job }) {
        byJob[index].launches.append(launch)
      } else {
        byJob.append((launch.job, [launch]))
      }
    }
    return byJob.map { job, launches in
      let current = batch.tiers[job]?.current.map { "attempt \($0.number) is the current one" } ?? "none is current"
      let asked = launches.compactMap { batch.askedToEnd(job, $0.reference) }.max()
      let areAllAsked = launches.allSatisfy { batch.askedToEnd(job, $0.reference) != nil }
      let since = asked.map { " Asked to end \(Figures.seconds(now - $0)) ago." } ?? ""
      return Finding(
        cause: .duplicate, confidence: .high,
        message:
          "\(Figures.count(launches.count, "launch")) of \(batch.tiers[job]?.title(in: batch) ?? "job \(job)") "
          + "\(launches.count == 1 ? "runs" : "run") beside it; \(current). Fenced, but using room.\(since)",
        evidence: launches.prefix(10).map(\.evidence),
        remedy: areAllAsked
          ? Remedy("Where it does not end, end it at its executor by hand: nothing that it does counts")
          : Remedy("End the duplicates; the current attempt stays", .heal(.killDuplicates, tier: job.tier)),
        tier: job.tier, job: job, attempt: launches.last?.number)
    }
  }

  /// Attempts that were asked to end and whose end was not proven in time.
  func overdueEnds(_ findings: inout FindingList) {
    forEachJob { tier, job in
      guard let attempt = job.current, let overdue = overdueEnd(of: attempt, job) else { return }
      findings.add(
        about: job.id,
        Finding(
          cause: .failure(.orphaned), confidence: .medium,
          message: sentence(overdue.sentence), evidence: [overdue.evidence],
          remedy: Remedy("Ask its executor again to end all of it", .heal(.reclaimOrphans, tier: tier.number)),
          tier: tier.number, job: job.id, attempt: attempt.number))
    }
  }

  /// What is known about an attempt that was asked to end, if its end was not proven in time; nil otherwise.
  func overdueEnd(of attempt: Attempt, _ job: Job) -> (sentence: String, evidence: Evidence)? {
    guard case .ending(let reason, let since) = attempt.state,
      now >= attempt.endIsOverdue(from: since, limits: limits)
    else { return nil }
    return (
      batch.overdueEndSentence(attempt, of: job, since: since, at: now),
      Evidence(
        "no receipt of its end came", by: .clock, at: now,
        values: ["ending_seconds": Figures.number((now - since).inSeconds), "reason": reason.name])
    )
  }
}

extension DuplicateLaunch {
  var evidence: Evidence {
    Evidence(
      "\(reference) runs as attempt \(number) of \(job)", by: .executor, at: seenAt,
      values: ["reference": reference, "attempt": "\(number)"])
  }
}

// What to do, for people: recommendations say why, next actions are what to type.

extension DiagnosisContext {
  static let adviceLimit = 10

  /// One for each remedy, in the order of the findings, without repetition.
  func recommendations(_ findings: [Finding]) -> [Advice] {
    var recommendations: [Advice] = []
    for finding in findings {
      guard let remedy = finding.remedy, !isOnlyShown || remedy.call == nil else { continue }
      var advice = remedy.advice
      if advice.command == nil { advice.text = sentence(advice.text) }
      if !recommendations.contains(advice) { recommendations.append(advice) }
      if recommendations.count == Self.adviceLimit { break }
    }
    return recommendations
  }

  /// What to do next, the most urgent first. Retries of a tier are merged: a second one would be refused, because
  /// the tier runs by then.
  func nextActions(_ list: FindingList, estimate: Instant?) -> [Advice] {
    let findings = list.findings
    if isOnlyShown { return outside(findings) }
    switch batch.status {
    case .created:
      if findings.contains(where: { [.health(.neverSchedulable), .health(.quota)].contains($0.cause) }) {
        return outside(findings)
      }
      if batch.tiers.isEmpty { return ["create it again with a tier: a batch without one cannot be submitted"] }
      if batch.documents.count == 0 { return ["add documents, then submit the batch: it has none yet"] }
      return ["submit the batch: it has \(Figures.count(batch.documents.count, "document")), and waits to be submitted"]
    case .queued:
      if batch.outage?.isConfigured == false { return outside(findings) }
      return outside(findings) + (isNeverSchedulable ? [] : ["wait: \(queueSentence)"])
    case .paused:
      return [Advice("", .resume)]
    case .running:
      return runningActions(list, estimate: estimate)
    case .completed, .failed, .cancelled:
      let actions = commands(findings) + retries(list) + outside(findings)
      if !actions.isEmpty { return Array(actions.prefix(Self.adviceLimit)) }
      // Advice never restarts what an operator cancelled.
      let failed = batch.tiers.first { $0.status == .failed }
      guard batch.status == .failed, let failed else { return ["nothing to do"] }
      return [retry(tier: failed.number, jobs: Set(failed.jobs.filter { $0.status == .failed }.map(\.id)))]
    }
  }

  /// Whether the server only shows a copy of it, and refuses every command.
  private var isOnlyShown: Bool { batchContext.server.copy != nil && !batch.status.isFinal }

  /// nil if the batch does not wait, or its turn can never come.
  var queuePlace: Diagnosis.QueuePlace? {
    guard !isOnlyShown, !isNeverSchedulable, let ahead = batchContext.ahead else { return nil }
    return Diagnosis.QueuePlace(
      position: ahead + 1, aheadByPriority: batchContext.aheadByPriority, waitingFor: queueSentence,
      heldBy: (waitsForQuota ? batchContext.holdersOfQuota : batchContext.holders).map(\.batchID))
  }

  private var waitsForQuota: Bool {
    guard let job = firstWaitingJob else { return false }
    return room.bound(for: job.resourcesAsked(in: batch), isQueued: batch.status == .queued) != nil
  }

  /// The first job that can start; another finding is about jobs that cannot.
  private var firstWaitingJob: Job? { waitingJobs.first { !isNeverSchedulable($0) } }

  private var waitingJobs: [Job] {
    batch.tiers.first { $0.status != .completed }?.jobs.filter { $0.status == .pending } ?? []
  }

  private func isNeverSchedulable(_ job: Job) -> Bool {
    room.whyNeverSchedulable(job.resourcesAsked(in: batch), in: batch.key.namespace) != nil
  }

  /// Whether every waiting job can never start.
  private var isNeverSchedulable: Bool {
    let waiting = waitingJobs
    return !waiting.isEmpty && waiting.allSatisfy { isNeverSchedulable($0) }
  }

  private var queueSentence: String {
    guard let job = firstWaitingJob else { return "the batch is queued, and starts when the executor has room for it" }
    let asked = job.resourcesAsked(in: batch)
    let place = room.place.map { "\($0), it" } ?? "the batch is queued, and"
    if let bound = room.bound(for: asked, isQueued: true) {
      return "\(place) starts when the quota of namespace \(batch.key.namespace) (\(bound.allowed)) allows"
        + Room.names(of: batchContext.holdersOfQuota)
    }
    if let outage = batch.outage {
      return "\(place) starts when the \(outage.executor.rawValue) executor can be asked again, and has room for "
        + Figures.resources(asked)
    }
    return "\(place) starts when the executor has room for \(Figures.resources(asked)) beside what it keeps for "
      + "jobs that have waited longer" + Room.names(of: batchContext.holders)
  }

  private func runningActions(_ list: FindingList, estimate: Instant?) -> [Advice] {
    let findings = list.findings
    // A retry is refused while its tier runs, so it comes after the tier has ended.
    var actions = commands(findings)
    for stuck in healthReport.stuckAttempts {
      let cancel = Advice("if it hangs again", .call(.cancel(.tier(stuck.job.tier))))
      if !actions.contains(cancel) { actions.append(cancel) }
    }
    actions += outside(findings)
    if healthReport.health == .scaling, let reason = healthReport.blockedReason {
      actions.append("wait: \(reason)")
    } else if healthReport.health != .stuck {
      let counts = batch.progress()
      let remaining = estimate.map { ", about \(Figures.seconds($0 - now)) left" } ?? ""
      let failed = counts.failed > 0 ? ", \(counts.failed) failed" : ""
      actions.append(
        "wait: \(counts.completed) of \(Figures.count(counts.total, "document")) done\(failed)\(remaining)")
    }
    if let later = retries(list).first { actions.append(Advice("when the tier has ended", later.command)) }
    return Array(actions.prefix(Self.adviceLimit))
  }

  /// The heals and cancels among the remedies.
  private func commands(_ findings: [Finding]) -> [Advice] {
    var commands: [Advice] = []
    for finding in findings {
      guard let call = finding.remedy?.call, !call.isRetry else { continue }
      let command = Advice("", .call(call))
      if !commands.contains(command) { commands.append(command) }
    }
    return commands
  }

  /// The remedies that only a person can carry out.
  private func outside(_ findings: [Finding]) -> [Advice] {
    var actions: [Advice] = []
    for finding in findings {
      guard let remedy = finding.remedy, remedy.call == nil, !actions.contains(remedy.advice) else { continue }
      actions.append(remedy.advice)
    }
    return actions
  }

  /// One retry for each tier, with the most memory and the longest timeout that any finding asks for; failed tiers
  /// come before incomplete ones.
  private func retries(_ list: FindingList) -> [Advice] {
    var merged: [(tier: Int, jobs: Set<JobID>, whole: Bool, overrides: Job.Overrides)] = []
    for finding in list.findings {
      guard case .retry(let tier, let jobs, let overrides, _)? = finding.remedy?.call,
        jobs.isEmpty || !jobs.allSatisfy({ batch.tiers[$0]?.status == .cancelled })
      else { continue }
      let index: Int
      if let found = merged.firstIndex(where: { $0.tier == tier }) {
        index = found
      } else {
        merged.append((tier, [], false, Job.Overrides()))
        index = merged.count - 1
      }
      merged[index].jobs.formUnion(jobs)
      merged[index].whole = merged[index].whole || jobs.isEmpty
      if let bytes = overrides.memoryBytes {
        merged[index].overrides.memoryBytes = max(bytes, merged[index].overrides.memoryBytes ?? 0)
      }
      if case .some(.some(let limit)) = overrides.runTimeout {
        let before: Duration? = merged[index].overrides.runTimeout ?? nil
        merged[index].overrides.runTimeout = .some(max(limit, before ?? .zero))
      }
    }
    // Findings of the same tiers were left out: then all failed jobs of the tier run again.
    for index in merged.indices where list.tiersLeftOut.contains(merged[index].tier) { merged[index].whole = true }
    func failed(_ tier: Int) -> Bool { batch.tiers.first { $0.number == tier }?.status == .failed }
    merged.sort { (failed($0.tier) ? 0 : 1, $0.tier) < (failed($1.tier) ? 0 : 1, $1.tier) }
    return merged.map { retry(tier: $0.tier, jobs: $0.whole ? nil : $0.jobs, $0.overrides) }
  }

  /// Names the jobs, unless a retry of the whole tier would take exactly these; a tier's cancelled jobs count among the
  /// others.
  private func retry(
    tier number: Int, jobs: Set<JobID>?, _ overrides: Job.Overrides = Job.Overrides()
  ) -> Advice {
    let open =
      batch.tiers.first { $0.number == number }?.jobs
      .filter { $0.status != .succeeded || $0.committed.count < $0.assigned.count } ?? []
    let asked = (jobs ?? Set(open.filter { $0.status != .cancelled }.map(\.id))).filter {
      batch.tiers[$0]?.status != .cancelled
    }
    let named = open.allSatisfy { asked.contains($0.id) } ? [] : asked.sorted()
    return Advice("", .call(.retry(tier: number, jobs: named, overrides, .failed)))
  }
}

extension Remedy.Call {
  var isRetry: Bool { if case .retry = self { true } else { false } }
}

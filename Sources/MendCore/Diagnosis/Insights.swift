// What can be learned from a batch that is not wrong: bottlenecks, headroom, waste.

extension DiagnosisContext {
  func insights(findingsLeftOut: Int) -> [Insight] {
    var insights =
      stageInsights() + tierInsights() + memoryInsights() + oversizeInsights() + shardInsights()
      + repeatedWorkInsights() + opaqueInsights() + notificationInsights()
    if let policy = batch.specification.autoHeal, batch.autoHeals > 0 {
      let isSpent = batch.autoHeals >= policy.maxHeals
      insights.append(
        Insight(
          type: "auto_heal", severity: isSpent ? .warning : .info,
          message:
            "\(batch.autoHeals) of \(Figures.count(policy.maxHeals, "plan")) that auto_heal may apply \(batch.autoHeals == 1 ? "was" : "were") "
            + "applied", stage: "", metric: Double(batch.autoHeals) / Double(policy.maxHeals),
          recommendation: isSpent
            ? "What is left is for people: follow the findings' remedies" : "Read what was done in the heal history"))
    }
    if findingsLeftOut > 0 {
      insights.append(
        Insight(
          type: "more_findings", severity: .warning,
          message: "\(Figures.count(findingsLeftOut, "finding")) more of the same kind are not shown", stage: "",
          metric: Double(findingsLeftOut), recommendation: "Mend what is shown first, then diagnose again"))
    }
    return insights.count > Self.insightsLimit
      ? Array(insights.prefix(Self.insightsLimit - 1)) + insights.suffix(1) : insights
  }

  /// The most insights of a diagnosis.
  private static let insightsLimit = 100

  /// Closed stages of all jobs, and what running attempts have spent in theirs so far; in order of first appearance.
  func stageTotals() -> [Job.StageTotal] {
    var totals = StageTotals()
    forEachJob { _, job in
      for stage in job.stages { totals.add(stage) }
      if let open = job.current?.stage, open.since < now {
        totals.add(Job.StageTotal(name: open.name, duration: now - open.since))
      }
    }
    return totals.told
  }

  /// Shorter spans are not reported.
  private static let secondsOfInterest = 10.0

  /// Names a stage that takes most of the time, and what that usually means.
  private func stageInsights() -> [Insight] {
    let totals = stageTotals()
    let sum = totals.reduce(0.0) { $0 + $1.duration.inSeconds }
    guard totals.count > 1, sum >= Self.secondsOfInterest else { return [] }
    return totals.compactMap { stage in
      let share = stage.duration.inSeconds / sum
      let figure = "\(stage.name) takes \(Figures.percent(share)) of the time (\(Figures.seconds(stage.duration)))"
      switch stage.name {
      case "writing" where share >= 0.3:
        return Insight(
          type: "stage_bottleneck", severity: .warning, message: "\(figure): the store is under pressure",
          stage: stage.name, metric: share,
          recommendation: "Look at the store's load; fewer writers at once (max_concurrent, shards) or larger writes")
      case "loading" where share >= 0.4:
        return Insight(
          type: "stage_bottleneck", severity: .info, message: "\(figure): reading the documents is the bottleneck",
          stage: stage.name, metric: share,
          recommendation: "Bring the documents nearer, or load more of them at once (shards)")
      case "processing" where !hasEntrypoint:
        // The built-in worker only waits for its command, so this stage says nothing.
        return nil
      case "processing" where share >= 0.7:
        return Insight(
          type: "stage_bottleneck", severity: .info, message: "\(figure): the extractor is the bottleneck",
          stage: stage.name, metric: share,
          recommendation: "Give it more CPUs or more shards, or make the extractor faster")
      default:
        guard share >= 0.7 else { return nil }
        return Insight(
          type: "stage_bottleneck", severity: .info, message: "\(figure): it is the bottleneck", stage: stage.name,
          metric: share, recommendation: "Begin with this stage to make the batch faster")
      }
    }
  }

  /// Whether a program of the caller's own reports the stages.
  private var hasEntrypoint: Bool {
    batch.specification.tiers.contains { tier in
      tier.extractors.contains { if case .entrypoint = $0.work { true } else { false } }
    }
  }

  /// A tier is reported if it takes this many times as long as each of the others.
  private static let outstanding = 3.0

  /// The tier that takes several times as long as any other, once two have run.
  private func tierInsights() -> [Insight] {
    let spent = batch.tiers.filter { $0.startedAt != nil }.map { ($0.number, $0.work.elapsed(at: now).inSeconds) }
    let sum = spent.reduce(0) { $0 + $1.1 }
    guard spent.count > 1, sum >= Self.secondsOfInterest, let slowest = spent.max(by: { $0.1 < $1.1 }),
      spent.allSatisfy({ $0.0 == slowest.0 || slowest.1 >= Self.outstanding * $0.1 })
    else { return [] }
    let share = slowest.1 / sum
    return [
      Insight(
        type: "slowest_tier", severity: .info,
        message: "Tier \(slowest.0) takes \(Figures.percent(share)) of the time "
          + "(\(Figures.seconds(.seconds(slowest.1))))",
        stage: "tier \(slowest.0)", metric: slowest.1,
        recommendation: "Begin with its extractors to make the batch faster")
    ]
  }

  /// Peaks near the limit, of attempts that did not run into it; the nearest of each extractor.
  private func memoryInsights() -> [Insight] {
    // The jobs of one extractor are neighbours.
    var worst: [(tier: Int, extractor: Int, insight: Insight)] = []
    forEachJob { tier, job in
      for attempt in job.attempts {
        guard let exit = attempt.end?.exit, exit.memoryLimitBytes > 0, attempt.end?.cause != .oom else { continue }
        let share = Double(exit.peakMemoryBytes) / Double(exit.memoryLimitBytes)
        guard share >= 0.8 else { continue }
        let insight = Insight(
          type: "memory_headroom", severity: .warning,
          message: "Attempt \(attempt.number) of \(job.title(in: batch)) used \(Figures.percent(share)) of its memory: "
            + "\(Figures.bytes(exit.peakMemoryBytes)) of \(Figures.bytes(exit.memoryLimitBytes))",
          stage: "tier \(tier.number)", metric: share,
          recommendation: Advice(
            "Give it \(Figures.bytes(MemoryAdvice.enough(forPeak: exit.peakMemoryBytes))) before a larger document runs "
              + "into the limit"))
        if let last = worst.last, last.tier == tier.number, last.extractor == job.extractor {
          if last.insight.metric < share { worst[worst.count - 1].insight = insight }
        } else {
          worst.append((tier.number, job.extractor, insight))
        }
      }
    }
    return worst.map(\.insight)
  }

  /// Jobs that asked for far more than their attempts used; the largest use of each extractor counts.
  private func oversizeInsights() -> [Insight] {
    var insights: [Insight] = []
    for tier in batch.tiers where batch.specification.tiers.indices.contains(tier.number) {
      for (index, extractor) in batch.specification.tiers[tier.number].extractors.enumerated() {
        var use = MeasuredUse()
        for job in tier.jobs where job.extractor == index && job.status == .succeeded {
          if let attempt = job.attempts.last { use.add(attempt) }
        }
        insights += use.insights(extractor.name, tier: tier.number)
      }
    }
    return insights
  }

  /// Shards without documents, and a shard that takes much longer than the others.
  private func shardInsights() -> [Insight] {
    var insights: [Insight] = []
    for tier in batch.tiers where batch.specification.tiers.indices.contains(tier.number) {
      for (index, extractor) in batch.specification.tiers[tier.number].extractors.enumerated()
      where extractor.shards > 1 {
        let documents = tier.startedAt == nil ? batch.documents.count : tier.handed.count
        if extractor.shards > documents {
          insights.append(
            Insight(
              type: "misconfigured", severity: .info,
              message: "\(extractor.name) has \(extractor.shards) shards for \(Figures.count(documents, "document"))",
              stage: "tier \(tier.number)", metric: Double(extractor.shards),
              recommendation: "Ask for at most as many shards as there are documents"))
        }
        let durations = tier.jobs.filter { $0.extractor == index && $0.status == .succeeded }.compactMap { job in
          job.startedAt == nil ? nil : (job.id, job.attempts.reduce(0) { $0 + ($1.ran?.inSeconds ?? 0) })
        }
        let mean = durations.reduce(0) { $0 + $1.1 } / Double(max(1, durations.count))
        if durations.count > 1, let slowest = durations.max(by: { $0.1 < $1.1 }), slowest.1 >= 10,
          slowest.1 > 1.5 * mean
        {
          insights.append(
            Insight(
              type: "shard_imbalance", severity: .info,
              message:
                "Shard \(slowest.0) of \(extractor.name) took \(Figures.seconds(.seconds(slowest.1))), the mean is "
                + Figures.seconds(.seconds(mean)),
              stage: "tier \(tier.number)", metric: slowest.1 / mean,
              recommendation: "Use more shards, so that large documents spread"))
        }
      }
    }
    return insights
  }

  /// An entrypoint that never reports and has no timer is never called stuck. Once it is past the default progress timer,
  /// an insight says that its progress is unknown.
  private func opaqueInsights() -> [Insight] {
    var insights: [Insight] = []
    forEachJob { _, job in
      guard let attempt = job.current, case .running = attempt.state, let started = attempt.startedAt,
        let specified = job.specified(in: batch), attempt.parameters.runTimeout == nil,
        batch.progressTimer(of: attempt, specified.timers) == nil, now - started >= Timers.defaultProgress
      else { return }
      insights.append(
        Insight(
          type: "opaque_entrypoint", severity: .info,
          message:
            "\(job.title(in: batch)) has run for \(Figures.seconds(now - started)) and never reported: whether it "
            + "moves on cannot be told",
          stage: "tier \(job.id.tier)", metric: (now - started).inSeconds,
          recommendation: Advice(
            "Set progress_seconds or run_seconds in its timers to the longest that it may take, or report from the "
              + "entrypoint", .report)))
    }
    return insights
  }

  /// The batch asks for notifications and the server has no receiver. The server of a copy leaves them to the original.
  private func notificationInsights() -> [Insight] {
    guard batch.specification.notificationEnabled, !limits.notifies, batchContext.server.copy == nil else { return [] }
    return [
      Insight(
        type: "no_notifications", severity: .warning,
        message: "The batch asks for notifications, and this server notifies nobody",
        stage: "", metric: 0,
        recommendation: Advice(
          "Follow the batch, or start the server with somebody to notify", .serve([.notifications])))
    ]
  }

  var repeatedWork: Int { batch.tiers.flatMap(\.jobs).map(\.repeatedWork).saturatedSum() }

  /// Work done twice is counted and shown (<doc:Domain#Promises>).
  private func repeatedWorkInsights() -> [Insight] {
    var insights: [Insight] = []
    if repeatedWork > 0 {
      insights.append(
        Insight(
          type: "repeated_work", severity: .warning,
          message: "\(Figures.count(repeatedWork, "document result")) came more than once; each was counted once",
          stage: "", metric: Double(repeatedWork),
          recommendation: "See that a job reports each document once, and reports it as soon as it is done"))
    }
    let stale = batch.tiers.reduce(0) { $0 + $1.jobs.reduce(0) { $0 + $1.attempts.reduce(0) { $0 + $1.staleReports } } }
    if stale > 0 {
      insights.append(
        Insight(
          type: "stale_reports", severity: .warning,
          message:
            "\(Figures.count(stale, "report")) came from attempts that were not current any more, and were refused",
          stage: "", metric: Double(stale),
          recommendation: Advice("Look for what still runs", .call(.heal(.reclaimOrphans, tier: nil)))))
    }
    return insights
  }

  /// Where the time went; nil until the batch is COMPLETED.
  func performance() -> PerformanceSummary? {
    guard batch.status == .completed, let started = batch.startedAt, let completed = batch.completedAt else {
      return nil
    }
    let total = batch.work.elapsed(at: completed)
    var extractors: [(name: String, seconds: Double)] = []
    var places: [String: Int] = [:]
    var attempts = 0
    var peak: Int64 = 0
    var failedAttempts = 0
    var lost = 0.0
    var worked = 0.0
    var results = 0
    forEachJob { _, job in
      attempts += job.attempts.count
      results = results.addingSaturated(job.committed.count.addingSaturated(job.repeatedWork))
      var took = 0.0
      for attempt in job.attempts {
        let ran = attempt.ran?.inSeconds ?? 0
        took += ran
        if attempt.end?.cause == nil {
          worked += ran
        } else {
          failedAttempts += 1
          lost += ran
        }
      }
      peak = job.attempts.reduce(peak) { max($0, $1.end?.exit?.peakMemoryBytes ?? 0) }
      guard let name = job.specified(in: batch)?.name else { return }
      if let index = places[name] {
        extractors[index].seconds += took
      } else {
        places[name] = extractors.count
        extractors.append((name, took))
      }
    }
    let slowest = batch.tiers.max { $0.work.elapsed(at: completed) < $1.work.elapsed(at: completed) }
    if repeatedWork > 0, results > 0 { lost += worked * Double(repeatedWork) / Double(results) }
    var summary = PerformanceSummary(
      total: total, queued: batch.submittedAt.map { started - $0 } ?? .zero,
      documentsPerSecond: total > .zero ? Double(batch.completedDocuments.count) / total.inSeconds : 0,
      slowestTier: slowest?.number ?? 0,
      slowestExtractor: extractors.max { $0.seconds < $1.seconds }?.name ?? "", stages: stageTotals(),
      attempts: attempts, repeatedWork: repeatedWork, peakMemoryBytes: peak)
    summary.span = completed - started
    summary.failedAttempts = failedAttempts
    summary.repeatedTime = .seconds(lost)
    return summary
  }
}

extension Attempt {
  /// The time from its start to its end, without pauses; nil if either is missing.
  var ran: Duration? {
    startedAt.flatMap { start in end.map { max(.zero, $0.at - start - pausedFor) } }
  }
}

import MendCore

// What ordinary batches are made of.

extension Plan {
  static func ordinary(_ number: Int, _ random: inout Random) -> Work {
    var tiers: [TierSpecification] = []
    for tier in 0..<(random.below(3) + 1) {
      var extractors: [ExtractorSpecification] = []
      for index in 0..<(random.below(2) + 1) { extractors.append(extractor("x\(tier)\(index)", &random)) }
      tiers.append(TierSpecification(extractors: extractors))
    }
    let specification = BatchSpecification(
      priority: random.below(101), maxConcurrent: random.chance(250) ? random.below(4) + 1 : 0,
      timeout: random.chance(80) ? .seconds(random.below(100) + 20) : nil, executor: .simulated, tiers: tiers)
    var work = Work(
      namespace: namespaces[0], id: "b\(number)", specification: specification, documents: random.below(25) + 1,
      submittedAfter: .milliseconds(random.below(20_000)))
    work.retries = random.below(3)
    work.scope = random.chance(300) ? .all : .failed
    if random.chance(150) { work.acts.append(cancel(tiers.count, grace: random.below(10), &random)) }
    if random.chance(250) { work.acts.append(pause(&random)) }
    if random.chance(100) { work.acts.append(retry(tiers.count, &random)) }
    return work
  }

  static func pause(_ random: inout Random, longest: Int = 80) -> Act {
    Act(after: .milliseconds(random.below(60_000)), what: .pause(.seconds(random.below(longest) + 1)))
  }

  static func cancel(_ tiers: Int, grace: Int, _ random: inout Random) -> Act {
    let scope: CancelScope = random.of([.batch, .tier(random.below(tiers)), .job(JobID(tier: 0, index: 0))])
    return Act(after: .milliseconds(random.below(60_000)), what: .cancel(scope, grace: .seconds(grace)))
  }

  /// Of what may run, wait, or be over.
  static func retry(_ tiers: Int, _ random: inout Random) -> Act {
    let tier = random.below(tiers)
    let jobs = random.chance(500) ? [JobID(tier: tier, index: 0)] : []
    return Act(
      after: .milliseconds(random.below(100_000)),
      what: .retry(tier: tier, jobs: jobs, random.chance(500) ? .all : .failed))
  }

  private static func extractor(_ name: String, _ random: inout Random) -> ExtractorSpecification {
    var words = words(&random)
    let isOpaque = words.contains("opaque")
    // An opaque entrypoint shows no progress: what its author allows it is as long as it takes, or it is not limited.
    let hasProgressTimer = !isOpaque || random.chance(500)
    if isOpaque && hasProgressTimer { words += " document_seconds=1" }
    var rules: [RetryRule] = []
    if random.chance(300) {
      rules = [
        RetryRule(cause: .oom, action: .retry, maxAttempts: 4, memoryFactor: 2),
        RetryRule(category: .pipeline, action: random.chance(500) ? .retry : .ignore, maxAttempts: 2),
        RetryRule(action: .retry, maxAttempts: 3),
      ]
    }
    return ExtractorSpecification(
      name: name, work: isOpaque ? .entrypoint("simulate \(words)") : .documentCommand("simulate \(words)"),
      shards: random.below(3) + 1,
      resources: Resources(cpus: 0.5, memoryBytes: random.chance(500) ? Int64(random.below(900) + 100) : 0),
      timers: timers(
        progress: hasProgressTimer, beats: !isOpaque, run: random.chance(100) ? .seconds(random.below(60) + 5) : nil),
      retryRules: rules)
  }

  static func timers(progress: Bool = true, beats: Bool = true, run: Duration? = nil) -> Timers {
    Timers(
      start: .seconds(60), heartbeat: beats ? .seconds(15) : nil, progress: progress ? .seconds(40) : nil, run: run)
  }

  private static func words(_ random: inout Random) -> String {
    var words = ["seed=\(random.below(1000))", "claim=\(random.below(8) + 1)"]
    words.append(
      ["document_seconds=0", "document_seconds=0.1", "document_seconds=0.5-3", "document_seconds=2"][random.below(4)])
    if random.chance(500) { words.append("start_seconds=0-\(random.below(50) + 1)") }
    if random.chance(300) { words.append("fail=\(random.below(60))%:corrupt") }
    if random.chance(200) { words.append("repeat=50%") }
    if random.chance(200) { words.append("end_seconds=\(random.below(20))") }
    if random.chance(200) { words.append("ignore_term") }
    if random.chance(200) { words.append("late") }
    if random.chance(150) { words.append("lost_answer") }
    if random.chance(150) { words.append("duplicate") }
    if random.chance(500) {
      words += [fault(&random), "times=\(random.below(3) + 1)"]
    } else if random.chance(100) {
      words.append("opaque")
    }
    return words.joined(separator: " ")
  }

  static func fault(_ random: inout Random) -> String {
    let at = random.below(6) + 1
    return random.of([
      "oom_at=\(at) memory=\(random.below(3000) + 1)", "oom_at=\(at)", "exit_at=\(at):\(random.below(120) + 1)",
      "signal_at=\(at):11", "exit=3", "preempt_at=\(at)", "hang_at=\(at)", "silence_at=\(at)",
      "lost_supervisor_at=\(at)", "vanish_at=\(at)", "launch_fails", "never_starts",
    ])
  }
}

import MendCore

// What some seeds are made for.

extension Plan {
  /// Scores of batches of several tenants that wait for several things: a GPU, CPUs, memory, their quota.
  mutating func drawCrowd(_ random: inout Random) {
    capacity = Capacity(
      executor: .simulated, cpus: Double(random.below(6) + 4), memoryBytes: 8000, gpus: random.below(2) + 1)
    drawFaults(&random)
    (crashes, lies, reboot) = (0, 0, nil)
    kills = random.chance(300) ? [.milliseconds(random.below(90_000))] : []
    if random.chance(500) { drawChange(&random) }
    if random.chance(400) { quotas["third"] = Quota(cpus: 1, batches: random.chance(500) ? 2 : nil) }
    // Who has the GPUs has them for a while.
    for hog in 0..<capacity.gpus {
      batches.append(
        Self.small("hog\(hog)", "document_seconds=\(random.below(16) + 20)", documents: 2, gpu: true, after: 0, &random)
      )
    }
    let waiting = random.below(14) + 58
    for number in 0..<waiting {
      batches.append(Self.small("g\(number)", "document_seconds=0.2", documents: 1, gpu: true, after: 2000, &random))
    }
    // One that needs the whole machine, so that room is kept for it.
    if random.chance(600) {
      batches.append(
        Self.small(
          "big", "document_seconds=1", documents: 1, cpus: capacity.cpus, after: 4000 + random.below(2000), &random))
    }
    for number in 0..<(random.below(10) + 4) {
      var work = Self.small(
        "c\(number)", "document_seconds=\(random.below(8) + 1)", documents: random.below(3) + 1,
        cpus: Double(random.below(3) + 1) / 2, after: 5000 + random.below(60_000), &random)
      work.namespace = random.of(Self.namespaces)
      if work.namespace == "third" { work.specification.tiers[0].extractors[0].resources.cpus = 0.5 }
      if random.chance(300) {
        work.specification.tiers[0].extractors[0].resources.memoryBytes = Int64(random.below(8000))
      }
      batches.append(work)
    }
    for number in batches.indices where random.chance(150) {
      batches[number].acts.append(
        random.chance(500) ? Self.pause(&random, longest: 60) : Self.cancel(1, grace: 5, &random))
    }
    for number in batches.indices where batches[number].id == "big" && random.chance(600) {
      let what: Act.What = random.chance(500) ? .pause(.seconds(90)) : .cancel(.batch, grace: .zero)
      batches[number].acts = [Act(after: .seconds(random.below(40) + 62), what: what)]
    }
  }

  /// Room is kept for one that needs the whole machine, others wait for it, and it goes away: nothing else happens then.
  mutating func drawStandoff(_ random: inout Random) {
    capacity.cpus = Double(random.below(5) + 4)
    batches.append(Self.small("hog", "document_seconds=35", documents: random.below(3) + 4, cpus: 1, after: 0, &random))
    var big = Self.small("big", "document_seconds=1", documents: 1, cpus: capacity.cpus, after: 2000, &random)
    let leaves: [Act.What] = [
      .pause(.seconds(random.below(60) + 30)), .cancel(.batch, grace: .zero),
      .cancel(.job(JobID(tier: 0, index: 0)), grace: .zero),
    ]
    big.acts = [Act(after: .seconds(random.below(20) + 72), what: random.of(leaves))]
    batches.append(big)
    for number in 0..<(random.below(4) + 2) {
      var work = Self.small(
        "s\(number)", "document_seconds=2", documents: 2, cpus: Double(random.below(2) + 1) / 2,
        after: 64_000 + random.below(4000), &random)
      work.namespace = random.of(Self.namespaces)
      batches.append(work)
    }
  }

  private static func small(
    _ id: String, _ words: String, documents: Int, cpus: Double = 0.1, gpu: Bool = false, after: Int,
    _ random: inout Random
  ) -> Work {
    let extractor = ExtractorSpecification(
      name: "x", work: .documentCommand("simulate \(words)"), resources: Resources(cpus: cpus, requiresGPU: gpu),
      timers: timers())
    return Work(
      namespace: namespaces[0], id: id,
      specification: BatchSpecification(
        priority: random.chance(800) ? 50 : random.below(101), executor: .simulated,
        tiers: [TierSpecification(extractors: [extractor])]),
      documents: documents, submittedAfter: .milliseconds(after + random.below(1000)))
  }

  /// Timeouts that fall into an end, graces over restarts, pauses over timers.
  mutating func drawClocks(_ random: inout Random) {
    capacity.cpus = Double(random.below(3) + 1)
    drawFaults(&random, isCalm: random.chance(300))
    var shortOfMemory: [Int] = []
    for number in 0..<(random.below(3) + 1) {
      var words = ["claim=\(random.below(3) + 1)", "document_seconds=\(random.of(["0.3", "1", "2", "0.5-4"]))"]
      if random.chance(500) { words.append("ignore_term") }
      if random.chance(400) { words.append("end_seconds=\(random.below(60))") }
      // What auto_heal retries for memory has what is left of its batch's time.
      let isShortOfMemory = random.chance(250)
      if isShortOfMemory {
        shortOfMemory.append(number)
        words += ["oom_at=\(random.below(4) + 1)", "memory=1500"]
      } else if random.chance(300) {
        words += [Self.fault(&random), "times=1"]
      }
      let run: Duration? = random.chance(600) ? .seconds(random.below(20) + 3) : nil
      let rules =
        random.chance(700)
        ? [RetryRule(category: .timeout, action: .retry, maxAttempts: 5, backoff: .milliseconds(200))] : []
      let extractor = ExtractorSpecification(
        name: "x", work: .documentCommand("simulate \(words.joined(separator: " "))"), shards: random.below(2) + 1,
        resources: Resources(cpus: 0.5, memoryBytes: isShortOfMemory ? 1000 : 0), timers: Self.timers(run: run),
        retryRules: isShortOfMemory ? [RetryRule(cause: .oom, action: .fail)] + rules : rules)
      var work = Work(
        namespace: Self.namespaces[random.below(2)], id: "b\(number)",
        specification: BatchSpecification(
          priority: random.below(101), timeout: random.chance(700) ? .seconds(random.below(50) + 5) : nil,
          executor: .simulated,
          tiers: (0..<(random.below(2) + 1)).map { _ in TierSpecification(extractors: [extractor]) }),
        documents: random.below(30) + 5, submittedAfter: .milliseconds(random.below(10_000)))
      work.retries = random.below(3)
      work.retriesAfter = .seconds(random.below(60))
      if random.chance(500) { work.acts.append(Self.pause(&random, longest: 60)) }
      if random.chance(350) {
        let act = Self.cancel(work.specification.tiers.count, grace: random.below(50) + 10, &random)
        work.acts.append(act)
        if random.chance(700) { kills.append(work.submittedAfter + act.after + .seconds(random.below(6) + 1)) }
      }
      batches.append(work)
    }
    healThemselves(350, &random)
    for number in shortOfMemory where random.chance(700) {
      batches[number].specification.autoHeal = AutoHeal(maxHeals: 3, maxRisk: .medium)
    }
  }

  /// Documents that end their attempts, rules for all causes, shards, work that is done again.
  mutating func drawDocuments(_ random: inout Random) {
    capacity.cpus = Double(random.below(5) + 2)
    drawFaults(&random, isCalm: random.chance(400))
    for number in 0..<(random.below(2) + 1) {
      let documents = random.below(16) + 4
      var tiers: [TierSpecification] = []
      for tier in 0..<(random.below(3) + 1) {
        tiers.append(
          TierSpecification(
            extractors: (0..<(random.below(3) + 1)).map { Self.hard("x\(tier)\($0)", documents, &random) }))
      }
      var work = Work(
        namespace: Self.namespaces[0], id: "b\(number)",
        specification: BatchSpecification(priority: 50, executor: .simulated, tiers: tiers), documents: documents,
        submittedAfter: .milliseconds(random.below(5000)))
      work.retries = random.below(3)
      work.scope = random.chance(500) ? .all : .failed
      if random.chance(300) {
        work.acts.append(
          Act(
            after: .milliseconds(random.below(20_000)),
            what: .cancel(.job(JobID(tier: 0, index: random.below(2))), grace: .seconds(5))))
      }
      if random.chance(200) { work.acts.append(Self.retry(tiers.count, &random)) }
      batches.append(work)
    }
    healThemselves(300, &random)
  }

  private static func hard(_ name: String, _ documents: Int, _ random: inout Random) -> ExtractorSpecification {
    var words = ["seed=\(random.below(1000))", "claim=\(random.below(8) + 1)"]
    words.append("document_seconds=\(random.of(["0", "0.2", "0.5-2"]))")
    let poison = "poison=d\(random.below(documents))"
    switch random.below(8) {
    case 0: words += ["oom_at=1 memory=4000000", poison]
    case 1: words += ["exit_at=1:3", poison]
    case 2: words += ["preempt_at=\(random.below(4) + 1)", "times=\(random.below(6) + 2)"]
    case 3: words += ["exit_at=\(random.below(4) + 1):3", "times=\(random.below(4) + 1)"]
    case 4: words += ["vanish_at=\(random.below(4) + 1)", "times=1", "late"]
    case 5: words += [fault(&random), "times=\(random.below(3) + 1)"]
    case 6: words.append("fail=\(random.of([20, 40, 60, 100]))%:corrupt")
    default: words.append("fail=30%:corrupt")
    }
    let memory: Int64 = random.chance(600) ? Int64(random.below(1500) + 500) : 0
    let ceiling: Int64 = random.chance(500) ? 2 * memory : 0
    let rules: [RetryRule] = random.of([
      [],
      [RetryRule(cause: .oom, action: .retry, maxAttempts: 3, memoryFactor: 2, memoryCeilingBytes: ceiling)],
      [
        RetryRule(
          category: .infrastructure, action: .retry, maxAttempts: 5, memoryFactor: 2, memoryCeilingBytes: ceiling),
        RetryRule(cause: .exitCode, action: random.chance(500) ? .retry : .ignore, maxAttempts: 2),
      ],
      [RetryRule(category: .pipeline, action: .retry, maxAttempts: 2), RetryRule(action: .retry, maxAttempts: 3)],
      [RetryRule(exitCodes: [3], action: .ignore), RetryRule(cause: .documentErrors, action: .retry, maxAttempts: 2)],
    ])
    return ExtractorSpecification(
      name: name, work: .documentCommand("simulate \(words.joined(separator: " "))"), shards: random.below(4) + 1,
      resources: Resources(cpus: 0.5, memoryBytes: memory), timers: timers(), retryRules: rules)
  }

  /// Nothing goes wrong but what is planned, so that what is foretold can be held against what comes.
  mutating func drawSteady(_ random: inout Random) {
    capacity.cpus = 16
    chaosEnds = .zero
    let each = random.of(["0.2", "0.5", "1"])
    let documents = random.below(60) + 40
    var words = "document_seconds=\(each) claim=4"
    let fails = random.chance(400)
    if fails { words += " exit_at=\(random.below(documents / 2) + documents / 4):3 times=1" }
    var extractors = [
      ExtractorSpecification(
        name: "x", work: .documentCommand("simulate \(words)"), resources: Resources(cpus: 1), timers: Self.timers(),
        retryRules: [RetryRule(action: .fail)])
    ]
    if random.chance(300) {
      extractors.append(
        ExtractorSpecification(
          name: "y", work: .documentCommand("simulate document_seconds=0 fail=100%:corrupt"),
          resources: Resources(cpus: 1), timers: Self.timers()))
    }
    var work = Work(
      namespace: Self.namespaces[0], id: "b0",
      specification: BatchSpecification(executor: .simulated, tiers: [TierSpecification(extractors: extractors)]),
      documents: documents, submittedAfter: .zero)
    work.isSteady = true
    work.retries = fails ? 1 : 0
    work.retriesAfter = .seconds(random.below(300) + 20)
    if !fails || random.chance(300) {
      let whole = Double(documents) * (Double(each) ?? 1) * 1000
      work.acts.append(
        Act(
          after: .milliseconds(Int64(whole / 4) + Int64(random.below(Int(whole / 2)))),
          what: .pause(.seconds(random.below(300) + 10))))
    }
    batches.append(work)
  }
}

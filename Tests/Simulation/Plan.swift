import MendCore

/// What a seed stands for: the batches, how their attempts go, and what goes wrong around them.
struct Plan {
  struct Job {
    var namespace: String
    /// Two namespaces may have the same.
    var id: String
    var specification: BatchSpecification
    var documents: Int
    var submittedAfter: Duration
    /// What its caller does besides: pauses, heals, cancels, retries.
    var cancels: CancelScope?
    var pauses: Bool
    var retries: Int
    var scope: RetryScope
    var actsAfter: Duration
  }

  var batches: [Job] = []
  var capacity: Capacity
  /// Of a second executor beside it, where the server has one.
  var other: Capacity?
  /// Of a thousand: commits that fail, requests and answers that get lost, reports that are said twice.
  var crashes: Int
  var losses: Int
  var duplicates: Int
  /// Calls of workers that take just longer than the heartbeat timer, and not long enough to be stuck.
  var hiccups: Int
  /// The life of the server that is started without the second executor, where one is.
  var lifeWithoutOther: Int?
  /// When the executor cannot be asked, and for how long; the second one at its own time.
  var outage: (at: Duration, length: Duration)?
  var otherOutage: (at: Duration, length: Duration)?
  /// Attempts that the executor says it lost, while they run on.
  var lies: Int
  /// The server's deaths without any write being involved.
  var kills: [Duration]
  /// When the whole machine goes down: with the server all that runs.
  var reboot: Duration?
  /// What one of the namespaces may have at once.
  var quota: Quota?
  /// Of a thousand: how often a snapshot is made after a commit.
  var snapshots: Int
  var eventsPerRound: Int
  var chaosEnds: Duration = .seconds(120)

  init(seed: UInt64) {
    var random = Random(seed: seed)
    capacity = Capacity(
      executor: .simulated, cpus: Double(random.below(6) + 1), memoryBytes: 8000, gpus: 0)
    let isCalm = random.chance(200)
    crashes = isCalm ? 0 : random.below(12)
    losses = isCalm ? 0 : random.below(30)
    duplicates = isCalm ? 0 : random.below(250)
    hiccups = isCalm ? 60 : 0
    lies = random.chance(150) ? 100 : 0
    outage = random.chance(250) ? (.seconds(random.below(60)), .seconds(random.below(120) + 1)) : nil
    kills = isCalm ? [] : (0..<random.below(3)).map { _ in .milliseconds(random.below(90_000)) }
    eventsPerRound = random.chance(300) ? 2 : 1024
    for number in 0..<(random.below(3) + 1) { batches.append(Self.batch(number, &random)) }
    reboot = !isCalm && random.chance(150) ? .milliseconds(random.below(90_000)) : nil
    quota = random.chance(300) ? Quota(cpus: Double(random.below(2) + 1), batches: random.chance(500) ? 1 : nil) : nil
    snapshots = random.chance(500) ? random.below(100) : 0
    for number in batches.indices.dropFirst() where random.chance(400) {
      batches[number].namespace = Self.namespaces[1]
      if number == 1, random.chance(500) { batches[number].id = batches[0].id }
    }
    for number in batches.indices where random.chance(200) {
      batches[number].specification.autoHeal = AutoHeal(
        maxHeals: random.below(3) + 1, memoryCeilingBytes: random.chance(500) ? 2000 : 0,
        maxRisk: Risk.allCases[random.below(Risk.allCases.count)])
    }
    // Drawn last, so that what a seed stood for before is still in it.
    guard random.chance(400) else { return }
    other = Capacity(executor: .ray, cpus: Double(random.below(4) + 1), memoryBytes: 8000, gpus: 0)
    if random.chance(400) { otherOutage = (.seconds(random.below(60)), .seconds(random.below(120) + 1)) }
    for number in batches.indices where random.chance(500) { batches[number].specification.executor = .ray }
    if random.chance(400) { lifeWithoutOther = random.below(3) + 1 }
  }

  var capacities: Capacities { Capacities(capacity, other.map { [$0] } ?? []) }

  /// As the server has them in one of its lives.
  func capacities(inLife life: Int) -> Capacities { life == lifeWithoutOther ? Capacities(capacity) : capacities }

  static let namespaces = ["simulation", "other"]

  private static func batch(_ number: Int, _ random: inout Random) -> Job {
    var tiers: [TierSpecification] = []
    for tier in 0..<(random.below(3) + 1) {
      var extractors: [ExtractorSpecification] = []
      for index in 0..<(random.below(2) + 1) { extractors.append(extractor("x\(tier)\(index)", &random)) }
      tiers.append(TierSpecification(extractors: extractors))
    }
    let specification = BatchSpecification(
      priority: random.below(101), maxConcurrent: random.chance(250) ? random.below(4) + 1 : 0,
      timeout: random.chance(80) ? .seconds(random.below(100) + 20) : nil, executor: .simulated, tiers: tiers)
    let cancels: CancelScope? =
      random.chance(150)
      ? [.batch, .tier(random.below(tiers.count)), .job(JobID(tier: 0, index: 0))][random.below(3)] : nil
    return Job(
      namespace: namespaces[0], id: "b\(number)", specification: specification, documents: random.below(25) + 1,
      submittedAfter: .milliseconds(random.below(20_000)), cancels: cancels, pauses: random.chance(250),
      retries: random.below(3), scope: random.chance(300) ? .all : .failed,
      actsAfter: .milliseconds(random.below(60_000)))
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
      timers: Timers(
        start: .seconds(60), heartbeat: .seconds(15), progress: hasProgressTimer ? .seconds(40) : nil,
        run: random.chance(100) ? .seconds(random.below(60) + 5) : nil),
      retryRules: rules)
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
    let at = random.below(6) + 1
    let faults = [
      "oom_at=\(at) memory=\(random.below(3000) + 1)", "oom_at=\(at)", "exit_at=\(at):\(random.below(120) + 1)",
      "signal_at=\(at):11", "exit=3", "preempt_at=\(at)", "hang_at=\(at)", "silence_at=\(at)",
      "lost_supervisor_at=\(at)", "vanish_at=\(at)", "launch_fails", "never_starts",
    ]
    if random.chance(500) {
      words += [faults[random.below(faults.count)], "times=\(random.below(3) + 1)"]
    } else if random.chance(100) {
      words.append("opaque")
    }
    return words.joined(separator: " ")
  }
}

/// The one source of chance in a run.
struct Random: RandomNumberGenerator, Sendable {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x2545_F491_4F6C_DD1D &+ 0x9E37_79B9 }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }

  /// So many of a thousand.
  mutating func chance(_ perMille: Int) -> Bool { below(1000) < perMille }
}

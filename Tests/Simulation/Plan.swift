import MendCore
import MendExecutors

/// What a seed stands for: the batches, how their attempts go, what their callers do, and what goes wrong around them.
struct Plan {
  /// Most seeds are of any kind; some are made for what comes of many, of clocks, of single documents, or of calm.
  enum Theme: CaseIterable { case ordinary, crowd, standoff, clocks, documents, steady }

  /// A batch and its caller.
  struct Work {
    var namespace: String
    /// Two namespaces may have the same.
    var id: String
    var specification: BatchSpecification
    var documents: Int
    var submittedAfter: Duration
    /// What its caller does besides, each so long after the submission.
    var acts: [Act] = []
    /// Once it is over.
    var retries = 0
    var scope = RetryScope.failed
    /// How long its caller looks elsewhere before a retry.
    var retriesAfter: Duration = .zero
    /// Each document takes as long as the next, so that its end can be foretold.
    var isSteady = false
    /// Its workers send an id with each report.
    var namesReports = false
  }

  struct Act {
    enum What {
      case pause(Duration)
      case cancel(CancelScope, grace: Duration)
      /// Whatever it is at.
      case retry(tier: Int, jobs: [JobID], RetryScope)
    }
    var after: Duration
    var what: What
  }

  /// Nodes that go, with what runs on them, or that come, for a while.
  struct Change {
    var at: Duration
    var length: Duration
    var executor: ExecutorKind
    var cpus: Double
    var gpus: Int
  }

  struct Outage {
    var executor: ExecutorKind
    var at: Duration
    var length: Duration
  }

  var theme = Theme.ordinary
  var batches: [Work] = []
  var capacity = Capacity(executor: .simulated, cpus: 4, memoryBytes: 8000)
  /// Of a second executor beside it, where the server has one.
  var other: Capacity?
  /// It says what it has only once it is asked.
  var otherIsUnknownAtFirst = false
  var changes: [Change] = []
  /// Of a thousand: commits that fail, requests and answers that get lost, reports that are said twice.
  var crashes = 0
  var losses = 0
  var duplicates = 0
  /// Calls of workers that take just longer than the heartbeat timer, and not long enough to be stuck.
  var hiccups = 0
  /// The life of the server that is started without the second executor, where one is.
  var lifeWithoutOther: Int?
  var outages: [Outage] = []
  /// Of a thousand: attempts that the executor says it lost, while they run on.
  var lies = 0
  /// The server's deaths without any write being involved.
  var kills: [Duration] = []
  /// When the whole machine goes down: with the server all that runs.
  var reboot: Duration?
  /// What namespaces may have at once.
  var quotas: [String: Quota] = [:]
  /// Of a thousand: how often a snapshot is made after a commit.
  var snapshots = 0
  var eventsPerRound = 1024
  /// Of a thousand: webhooks that their receiver refuses.
  var refusals = 0
  var chaosEnds: Duration = .seconds(120)

  init(seed: UInt64) {
    var random = Random(seed: seed)
    let draw = random.below(1000)
    theme =
      draw < 500
      ? .ordinary
      : draw < 530 ? .crowd : draw < 570 ? .standoff : draw < 760 ? .clocks : draw < 930 ? .documents : .steady
    refusals = random.chance(500) ? random.below(500) : 0
    switch theme {
    case .ordinary: drawOrdinary(&random)
    case .crowd: drawCrowd(&random)
    case .standoff: drawStandoff(&random)
    case .clocks: drawClocks(&random)
    case .documents: drawDocuments(&random)
    case .steady: drawSteady(&random)
    }
    for number in batches.indices { batches[number].specification.notificationEnabled = random.chance(700) }
    for number in batches.indices { batches[number].namesReports = random.chance(500) }
  }

  var capacities: Capacities { Capacities(capacity, other.map { [$0] } ?? []) }

  static let namespaces = ["simulation", "other", "third", "fourth"]

  /// Of any kind.
  private mutating func drawOrdinary(_ random: inout Random) {
    capacity.cpus = Double(random.below(6) + 1)
    let isCalm = random.chance(200)
    drawFaults(&random, isCalm: isCalm)
    hiccups = isCalm ? 60 : 0
    for number in 0..<(random.below(3) + 1) { batches.append(Self.ordinary(number, &random)) }
    if random.chance(300) {
      quotas["other"] = Quota(cpus: Double(random.below(2) + 1), batches: random.chance(500) ? 1 : nil)
    }
    for number in batches.indices.dropFirst() where random.chance(400) {
      batches[number].namespace = Self.namespaces[1]
      if number == 1, random.chance(500) { batches[number].id = batches[0].id }
    }
    healThemselves(200, &random)
    guard random.chance(400) else { return }
    other = Capacity(executor: .ray, cpus: Double(random.below(4) + 1), memoryBytes: 8000, gpus: 0)
    // As of a cluster: attempts have no supervisor, and machines may have to be made first.
    other?.traits.isSupervised = false
    other?.traits.enforcesAttemptLimits = false
    other?.traits.startsFromZero = true
    otherIsUnknownAtFirst = random.chance(300)
    if random.chance(400) {
      outages.append(
        Outage(executor: .ray, at: .seconds(random.below(60)), length: .seconds(random.below(120) + 1)))
    }
    for number in batches.indices where random.chance(500) { batches[number].specification.executor = .ray }
    if random.chance(400) { lifeWithoutOther = random.below(3) + 1 }
  }

  mutating func drawFaults(_ random: inout Random, isCalm: Bool = false) {
    eventsPerRound = random.chance(300) ? 2 : 1024
    snapshots = random.chance(500) ? random.below(100) : 0
    if isCalm { return }
    crashes = random.below(12)
    losses = random.below(30)
    duplicates = random.below(250)
    lies = random.chance(150) ? 100 : 0
    if random.chance(250) {
      outages.append(
        Outage(executor: .simulated, at: .seconds(random.below(60)), length: .seconds(random.below(120) + 1)))
    }
    kills = (0..<random.below(3)).map { _ in .milliseconds(random.below(90_000)) }
    reboot = random.chance(150) ? .milliseconds(random.below(90_000)) : nil
    if random.chance(250) { drawChange(&random) }
  }

  /// It goes down to less than half, or up.
  mutating func drawChange(_ random: inout Random) {
    let isLess = random.chance(700)
    let cpus = isLess ? Double(random.below(max(1, Int(capacity.cpus)))) : capacity.cpus * 2
    changes.append(
      Change(
        at: .seconds(random.below(70) + 1), length: .seconds(random.below(100) + 5), executor: .simulated, cpus: cpus,
        gpus: isLess && random.chance(500) ? 0 : capacity.gpus))
  }

  mutating func healThemselves(_ perMille: Int, _ random: inout Random) {
    for number in batches.indices where random.chance(perMille) {
      batches[number].specification.autoHeal = AutoHeal(
        maxHeals: random.below(3) + 1, memoryCeilingBytes: random.chance(500) ? 2000 : 0,
        maxRisk: Risk.allCases[random.below(Risk.allCases.count)])
    }
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

  mutating func of<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }
}

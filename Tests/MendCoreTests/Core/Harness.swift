import MendCore
import Testing

extension ExecutorTraits {
  /// Of a cluster that runs its jobs itself.
  static let cluster = {
    var traits = ExecutorTraits()
    traits.title = "the cluster"
    traits.isSupervised = false
    traits.enforcesAttemptLimits = false
    traits.startsFromZero = true
    traits.howToAdd = "serve with a cluster"
    return traits
  }()
}

/// A core on a manual clock, with everything that it said kept.
struct Harness {
  var core: Core
  var now = Instant(milliseconds: 1_000_000)
  var journal: [BatchKey: [Record]] = [:]
  var keys: [IdempotencyEntry] = []
  var starts: [Int: StartHistory] = [:]
  var output = Output()
  private var calls: UInt64 = 0
  /// The number of the latest call.
  var callCount: UInt64 { calls }

  static let traits: [ExecutorKind: ExecutorTraits] = [.ray: .cluster]

  init(
    cpus: Double = 4, memory: Int64 = 1 << 30, gpus: Int = 0, seed: UInt64 = 1, limits: Limits = Limits(),
    others: [Capacity] = []
  ) {
    let standard = Capacity(executor: .simulated, cpus: cpus, memoryBytes: memory, gpus: gpus)
    let capacities = Capacities(standard, others, traits: Self.traits)
    core = Core(limits: limits, capacities: capacities, generator: SplitMix(state: seed))
  }

  // MARK: Steps

  @discardableResult
  mutating func step(_ event: Event) -> Output {
    output = core.step(event, at: now)
    for write in output.writes {
      switch write {
      case .record(let record): journal[record.batch, default: []].append(record)
      case .idempotency(let entry): keys.append(entry)
      case .start(let history): starts[history.slot] = history
      case .notification: break
      }
    }
    return output
  }

  mutating func advance(_ seconds: Double) { now = now + .seconds(seconds) }

  mutating func tick(after seconds: Double) {
    advance(seconds)
    step(.tick)
  }

  mutating func nextCall() -> CallID {
    calls += 1
    return CallID(calls)
  }

  /// The answer to the call that was just made; nil while it is still to come.
  mutating func ask(
    _ operation: Command.Operation, namespace: String = "default", key: String = "", fingerprint: UInt64 = 0
  ) -> Result<Reply, Refusal>? {
    let call = nextCall()
    let command = Command(
      namespace: namespace, idempotencyKey: key, fingerprint: fingerprint, actor: "tester", operation: operation)
    step(.command(call, command))
    return answer(to: call)
  }

  func answer(to call: CallID) -> Result<Reply, Refusal>? {
    for effect in output.afterCommit {
      switch effect {
      case .reply(call, let reply): return .success(reply)
      case .refuse(call, let refusal): return .failure(refusal)
      default: continue
      }
    }
    return nil
  }

  mutating func say(_ token: String, _ operation: WorkerRequest.Operation) -> Result<Reply, Refusal>? {
    let call = nextCall()
    step(.worker(call, WorkerRequest(token: token, operation: operation)))
    return answer(to: call)
  }

  mutating func see(_ observation: Observation) { step(.observation(observation)) }

  // MARK: Batches

  static let key = BatchKey(namespace: "default", batchID: "b")
  var key: BatchKey { Self.key }
  func key(of id: String) -> BatchKey { BatchKey(namespace: "default", batchID: id) }
  var batch: Batch { core.batches[key]! }
  func job(_ tier: Int = 0, _ index: Int = 0) -> Job { batch.tiers[tier].jobs[index] }

  /// Creates `b` with documents d0, d1 ... and submits it.
  mutating func submit(
    _ tiers: [TierSpecification], documents: Int = 3, priority: Int = 50, maxConcurrent: Int = 0,
    timeout: Duration? = nil, id: String = "b", on executor: ExecutorKind = .simulated
  ) {
    let specification = BatchSpecification(
      priority: priority, maxConcurrent: maxConcurrent, timeout: timeout, executor: executor, tiers: tiers)
    _ = ask(.createBatch(batchID: id, specification, documents: Harness.documents(documents)))
    _ = ask(.submitBatch(batchID: id))
  }

  /// Creates a batch without documents, to see whether it is taken.
  mutating func create(
    _ id: String, _ tiers: [TierSpecification], in namespace: String = "default"
  ) -> Result<Reply, Refusal>? {
    ask(
      .createBatch(batchID: id, BatchSpecification(executor: .simulated, tiers: tiers), documents: []),
      namespace: namespace)
  }

  static func documents(_ count: Int, from first: Int = 0) -> [Document] {
    (first..<first + count).map { Document(id: "d\($0)", uri: "file:///d\($0)") }
  }

  // MARK: Attempts

  func attempt(_ tier: Int = 0, _ index: Int = 0, batch id: String = "b") -> AttemptKey {
    let key = BatchKey(namespace: "default", batchID: id)
    let job = core.batches[key]!.tiers[tier].jobs[index]
    return AttemptKey(batch: key, job: job.id, number: job.attempts.count)
  }

  func token(_ tier: Int = 0, _ index: Int = 0, batch id: String = "b") -> String {
    core.batches[BatchKey(namespace: "default", batchID: id)]!.tiers[tier].jobs[index].attempts.last?.token ?? ""
  }

  /// The executor takes the job's current attempt, and its worker starts.
  mutating func run(_ tier: Int = 0, _ index: Int = 0, batch id: String = "b") {
    let name = attempt(tier, index, batch: id)
    see(.taken(name, ExecutorHandle(node: "n", pid: 7, reference: "ref-\(name)")))
    _ = say(token(tier, index, batch: id), .start)
  }

  mutating func claim(
    _ maximum: Int, id claim: String = "", _ tier: Int = 0, _ index: Int = 0, batch id: String = "b"
  ) -> [String] {
    let answer = say(token(tier, index, batch: id), .claim(maximum: maximum, id: claim))
    guard case .success(.claimed(let claimed)) = answer else { return [] }
    return claimed.documents.map(\.id)
  }

  @discardableResult
  mutating func report(
    _ completed: [String] = [], failed: [String] = [], _ tier: Int = 0, _ index: Int = 0, batch id: String = "b"
  ) -> Result<Reply, Refusal>? {
    let failures = failed.map { WorkerRequest.Failure(documentID: $0, code: "format_error", message: "bad") }
    return say(
      token(tier, index, batch: id), .report(WorkerRequest.Report(completed: completed, failed: failures)))
  }

  mutating func end(
    _ termination: ExitRecord.Termination, _ tier: Int = 0, _ index: Int = 0, batch id: String = "b", peak: Int64 = 0,
    limit: Int64 = 0, exceeded: Bool = false, receipt: EndReceipt? = nil
  ) {
    let exit = ExitRecord(
      termination: termination, at: now, peakMemoryBytes: peak, memoryLimitBytes: limit, memoryLimitExceeded: exceeded,
      lastStderrLine: "last words")
    see(.ended(attempt(tier, index, batch: id), exit, receipt))
  }

  /// Runs the job's current attempt to its end: everything that is left is committed, then exit 0.
  mutating func finish(_ tier: Int = 0, _ index: Int = 0, batch id: String = "b") {
    run(tier, index, batch: id)
    while true {
      let claimed = claim(1000, tier, index, batch: id)
      if claimed.isEmpty { break }
      report(claimed, tier, index, batch: id)
    }
    end(.exited(0), tier, index, batch: id)
  }

  var launches: [AttemptKey] {
    output.afterCommit.compactMap { if case .launch(let attempt, _) = $0 { attempt } else { nil } }
  }

  var ends: [AttemptKey] {
    output.afterCommit.compactMap { if case .end(let attempt, _, _, _) = $0 { attempt } else { nil } }
  }
}

/// A seeded generator: the same seed gives the same ids and the same walk.
struct SplitMix: RandomNumberGenerator, Sendable {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

func tier(_ extractors: ExtractorSpecification...) -> TierSpecification { TierSpecification(extractors: extractors) }

func extractor(
  _ name: String = "text", shards: Int = 1, cpus: Double = 1, memory: Int64 = 0, opaque: Bool = false,
  timers: Timers = Timers(), retry: [RetryRule] = []
) -> ExtractorSpecification {
  ExtractorSpecification(
    name: name, work: opaque ? .entrypoint("run") : .documentCommand("true"), shards: shards,
    resources: Resources(cpus: cpus, memoryBytes: memory), timers: timers, retryRules: retry)
}

extension Batch {
  /// Without what is not journaled.
  var durable: Batch {
    var copy = self
    copy.outage = nil
    copy.queued = nil
    copy.duplicates = []
    for tier in copy.tiers.indices {
      for job in copy.tiers[tier].jobs.indices {
        for attempt in copy.tiers[tier].jobs[job].attempts.indices {
          let intendedAt = copy.tiers[tier].jobs[job].attempts[attempt].intendedAt
          copy.tiers[tier].jobs[job].attempts[attempt].lastHeartbeatAt = intendedAt
          copy.tiers[tier].jobs[job].attempts[attempt].suspectedSince = nil
          copy.tiers[tier].jobs[job].attempts[attempt].adoptedAt = nil
          copy.tiers[tier].jobs[job].attempts[attempt].heldBackAt = nil
          copy.tiers[tier].jobs[job].attempts[attempt].delayedBy = nil
        }
      }
    }
    return copy
  }

  /// What its journal folds to.
  static func folded(_ records: [Record]) -> Batch? {
    do {
      return try Batch.folding(records)
    } catch {
      Issue.record(error)
      return nil
    }
  }
}

extension Core {
  /// As `restore(_:)`, of a journal that is whole.
  mutating func restore(whole records: [Record]) {
    do {
      try restore(records)
    } catch {
      Issue.record(error)
    }
  }
}

import MendCore
import Testing

@Suite("Random walks")
struct WalkTests {
  @Test(
    "Whatever happens, the invariants hold, the journal folds to the state, and everything comes to an end",
    arguments: Array(UInt64(1)...12))
  func walk(_ seed: UInt64) {
    var walk = RandomWalk(seed: seed)
    for _ in 0..<2000 {
      walk.takeStep()
      if let broken = walk.broken {
        Issue.record("seed \(seed), event \(walk.events): \(broken)")
        return
      }
    }
    walk.checkFolds()
    walk.settle()
    if let broken = walk.broken { Issue.record("seed \(seed), at the end: \(broken)") }
    #expect(walk.harness.core.batches.values.allSatisfy { $0.status.isFinal || $0.status == .created })
    #expect(walk.unanswered.isEmpty)
  }
}

/// Callers, workers, an unreliable executor and restarts, all from one seed.
private struct RandomWalk {
  var harness: Harness
  var generator: SplitMix
  var invariants = Invariants()
  var broken: String?
  var events = 0
  var unanswered: Set<CallID> = []
  private var batches = 0
  private var oldTokens: [String] = []

  init(seed: UInt64) {
    var limits = Limits()
    limits.endTimeout = .seconds(20)
    limits.unreachableGrace = .seconds(30)
    limits.retireAfter = .seconds(100_000)
    harness = Harness(cpus: 4, memory: 10_000, seed: seed, limits: limits)
    generator = SplitMix(state: seed &* 977)
  }

  mutating func takeStep() {
    events += 1
    let isLongGap = Int.random(in: 0..<40, using: &generator) == 0
    harness.now = harness.now + .milliseconds(Int64.random(in: 0...(isLongGap ? 30_000 : 500), using: &generator))
    switch Int.random(in: 0..<200, using: &generator) {
    case 0..<12: create()
    case 12..<14: onSomeBatch { .submitBatch(batchID: $0) }
    case 14: onSomeBatch { .pauseBatch(batchID: $0) }
    case 15..<24: onSomeBatch { .resumeBatch(batchID: $0) }
    case 24..<26: cancel()
    case 26..<37: retry()
    case 37..<42: heal()
    case 42..<148: work()
    case 148..<182: observe()
    case 182..<197: step(.tick)
    case 197: outage()
    default: restart()
    }
  }

  private mutating func step(_ event: Event) {
    switch event {
    case .command(let call, _), .worker(let call, _): unanswered.insert(call)
    default: break
    }
    harness.step(event)
    for effect in harness.output.afterCommit {
      switch effect {
      case .reply(let call, _), .refuse(let call, _):
        if unanswered.remove(call) == nil { broken = "call \(call.rawValue) was answered twice" }
      default:
        continue
      }
    }
    if broken == nil { broken = invariants.broken(after: harness.output, harness.core) }
  }

  private mutating func ask(_ operation: Command.Operation) {
    let key = Int.random(in: 0..<4, using: &generator) == 0 ? "k\(events)" : ""
    step(.command(harness.nextCall(), Command(namespace: "default", idempotencyKey: key, operation: operation)))
  }

  private mutating func create() {
    if harness.core.batches.values.count(where: { !$0.status.isFinal && $0.status != .created }) >= 4 { return }
    batches += 1
    let id = "b\(batches)"
    let tiers = (0..<Int.random(in: 1...3, using: &generator)).map { _ in
      TierSpecification(
        extractors: (0..<Int.random(in: 1...2, using: &generator)).map { number in
          extractor(
            "e\(number)", shards: Int.random(in: 1...2, using: &generator),
            cpus: [0.5, 1, 2].randomElement(using: &generator) ?? 1,
            memory: [0, 1000, 3000].randomElement(using: &generator) ?? 0, opaque: Bool.random(using: &generator),
            timers: Timers(
              start: .seconds(40), heartbeat: .seconds(20), progress: .seconds(60),
              run: Bool.random(using: &generator) ? .seconds(90) : nil),
            retry: [
              [], [RetryRule(action: .retry, maxAttempts: 2, memoryFactor: 2, backoff: .seconds(2))],
              [RetryRule(exitCodes: [1], action: .ignore), RetryRule(action: .fail)],
            ].randomElement(using: &generator) ?? [])
        })
    }
    let specification = BatchSpecification(
      priority: Int.random(in: 0...100, using: &generator), maxConcurrent: Int.random(in: 0...4, using: &generator),
      timeout: Int.random(in: 0..<5, using: &generator) == 0 ? .seconds(300) : nil, executor: .simulated, tiers: tiers)
    let count = Int.random(in: 0..<12, using: &generator) * 3
    ask(.createBatch(batchID: id, specification, documents: Harness.documents(count)))
    ask(.submitBatch(batchID: id))
  }

  private mutating func someBatch() -> Batch? {
    // Mostly one that is not over.
    let isAny = Int.random(in: 0..<4, using: &generator) == 0
    let keys = harness.core.batches.filter { isAny || !$0.value.status.isFinal }.keys.sorted()
    return keys.randomElement(using: &generator).flatMap { harness.core.batches[$0] }
  }

  private mutating func onSomeBatch(_ operation: (String) -> Command.Operation) {
    if let batch = someBatch() { ask(operation(batch.key.batchID)) }
  }

  private mutating func cancel() {
    guard let batch = someBatch(), let tier = batch.tiers.randomElement(using: &generator),
      let job = tier.jobs.randomElement(using: &generator)
    else { return }
    let scope: CancelScope = [.batch, .tier(tier.number), .job(job.id), .job(job.id), .job(job.id)].randomElement(
      using: &generator)!
    ask(.cancel(batchID: batch.key.batchID, scope, grace: .seconds(1)))
  }

  private mutating func retry() {
    guard let batch = someBatch(), let tier = batch.tiers.randomElement(using: &generator) else { return }
    let jobs = Bool.random(using: &generator) ? [] : tier.jobs.randomElement(using: &generator).map { [$0.id] } ?? []
    let scope: RetryScope = Bool.random(using: &generator) ? .failed : .all
    ask(.retry(batchID: batch.key.batchID, tier: tier.number, jobs: jobs, Job.Overrides(memoryBytes: 2000), scope))
  }

  private mutating func heal() {
    guard let batch = someBatch(), let action = HealAction.allCases.randomElement(using: &generator) else { return }
    let dryRun = Bool.random(using: &generator)
    ask(.heal(batchID: batch.key.batchID, tier: nil, action, dryRun: dryRun, generation: 0))
  }

  private var live: [(AttemptKey, Job)] {
    harness.core.batches.keys.sorted().flatMap { key in
      (harness.core.batches[key]?.tiers ?? []).flatMap(\.jobs).compactMap { job in
        job.current.map { (AttemptKey(batch: key, job: job.id, number: $0.number), job) }
      }
    }
  }

  private mutating func work() {
    guard let (_, job) = live.randomElement(using: &generator), var token = job.current?.token else { return }
    oldTokens.append(token)
    if Int.random(in: 0..<30, using: &generator) == 0 { token = oldTokens.randomElement(using: &generator) ?? token }
    let operation: WorkerRequest.Operation
    switch Int.random(in: 0..<6, using: &generator) {
    case 0: operation = .start
    case 1, 2, 3: operation = .claim(maximum: Int.random(in: 0...3, using: &generator))
    default: operation = .report(report(job))
    }
    step(.worker(harness.nextCall(), WorkerRequest(token: token, operation: operation)))
  }

  private mutating func report(_ job: Job) -> WorkerRequest.Report {
    var report = WorkerRequest.Report()
    let unclaimed =
      Int.random(in: 0..<6, using: &generator) == 0 ? job.assigned.shuffled(using: &generator).prefix(1) : []
    for position in Array(job.processing) + unclaimed {
      switch Int.random(in: 0..<8, using: &generator) {
      case 0..<3: report.completed.append("d\(position)")
      case 4: report.failed.append(.init(documentID: "d\(position)", code: "bad", message: "m"))
      case 5: report.released.append("d\(position)")
      default: continue
      }
    }
    if Int.random(in: 0..<40, using: &generator) == 0 { report.completed.append("d999") }
    report.stage = ["", "", "parse", "embed"].randomElement(using: &generator) ?? ""
    return report
  }

  /// Sometimes of an attempt that is long over.
  private mutating func observe() {
    guard let batch = someBatch(), let job = batch.tiers.flatMap(\.jobs).randomElement(using: &generator),
      let attempt =
        (Bool.random(using: &generator)
          ? job.current ?? job.attempts.last : job.attempts.randomElement(using: &generator))
    else { return }
    let name = AttemptKey(batch: batch.key, job: job.id, number: attempt.number)
    switch Int.random(in: 0..<24, using: &generator) {
    case 0..<10: step(.observation(.taken(name, ExecutorHandle(node: "n", reference: "r\(attempt.number)"))))
    case 10..<17: step(.observation(.started(name)))
    case 17: step(.observation(.lost(name, message: "gone")))
    case 18: step(.observation(.launchFailed(name, .nodeFailure, message: "no node")))
    case 19: step(.observation(.duplicate(name, reference: "dup\(events)")))
    default:
      let terminations: [ExitRecord.Termination] = [
        .exited(0), .exited(0), .exited(1), .exited(137), .signalled(9), .signalled(15), .unknown("?"),
      ]
      let exit = ExitRecord(
        termination: terminations.randomElement(using: &generator) ?? .exited(0), at: harness.now,
        peakMemoryBytes: 1100,
        memoryLimitBytes: 1000, memoryLimitExceeded: Int.random(in: 0..<5, using: &generator) == 0)
      step(.observation(.ended(name, exit, EndReceipt(processes: 1, how: "SIGTERM"))))
    }
  }

  private mutating func outage() {
    step(.observation(.unreachable(.simulated, message: "away")))
    harness.now = harness.now + .seconds(Int64.random(in: 1...40, using: &generator))
    step(.tick)
    step(.observation(.reachable(.simulated)))
  }

  /// Calls that wait have no answer after a restart; everything else goes on.
  private mutating func restart() {
    checkFolds()
    harness.core = harness.restarted().core
    unanswered = []
    step(.recovered)
  }

  mutating func checkFolds() {
    for (key, records) in harness.journal where Batch.folded(records)?.durable != harness.core.batches[key]?.durable {
      broken = "\(key.batchID): the journal folds to something else"
    }
  }

  /// From here on everything behaves: executors start and end what they are told, workers do their work.
  mutating func settle() {
    for round in 0..<400 where broken == nil {
      harness.now = harness.now + .seconds(3)
      step(.tick)
      for key in harness.core.batches.keys.sorted() where harness.core.batches[key]?.status == .paused {
        ask(.resumeBatch(batchID: key.batchID))
      }
      for (name, job) in live {
        step(.observation(.started(name)))
        if job.current?.state.isBeingEnded == false, let token = job.current?.token {
          let left = job.assigned.subtracting(job.committed).subtracting(job.failed)
          let report = WorkerRequest.Report(completed: left.map { "d\($0)" })
          step(.worker(harness.nextCall(), WorkerRequest(token: token, operation: .report(report))))
        }
        let exit = ExitRecord(termination: .exited(0), at: harness.now)
        step(.observation(.ended(name, exit, EndReceipt(processes: 0, how: "exited"))))
      }
      if round > 5 && live.isEmpty && unanswered.isEmpty
        && harness.core.batches.values.allSatisfy({ $0.status.isFinal || $0.status == .created })
      {
        break
      }
    }
    checkFolds()
  }
}

extension Attempt.State {
  fileprivate var isBeingEnded: Bool { if case .ending = self { true } else { false } }
}

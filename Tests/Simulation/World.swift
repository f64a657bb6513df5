import Foundation
import Logging
import MendCore
import MendRuntime

@testable import MendExecutors

/// A server's world on a manual clock: the real core and the real runtime, and around them a disk, an executor, workers,
/// callers and lines between them that fail as the seed has it. Nothing in it waits, and nothing happens by itself: one
/// queue of what happens when, one source of chance. So a seed replays a run exactly.
///
/// Unchecked, because all of it is used from one thread: the stepper calls everything on the thread that steps it.
final class World: @unchecked Sendable {
  struct Scheduled: Comparable, Sendable {
    var at: Instant
    var order: Int
    var action: @Sendable (World) -> Void

    static func == (left: Scheduled, right: Scheduled) -> Bool { left.order == right.order }
    static func < (left: Scheduled, right: Scheduled) -> Bool { (left.at, left.order) < (right.at, right.order) }
  }

  /// One life of the server.
  final class Server {
    let runtime: Runtime
    let stepper: RuntimeStepper
    var roundAt: Instant?
    var tickAt = Instant.distantFuture

    init(_ runtime: Runtime, _ stepper: RuntimeStepper) {
      self.runtime = runtime
      self.stepper = stepper
    }
  }

  let plan: Plan
  let store: CheckedStore
  let coverage: Coverage
  let began = Instant(milliseconds: 1_000_000)
  var now: Instant
  var random: Random
  private var queue = Heap<Scheduled>()
  private var order = 0
  private(set) var steps = 0

  var server: Server?
  var life = 0
  /// What the runtime asked of the executor in this round; carried out after it, unless the server dies first.
  var calls: [@Sendable (World) -> Void] = []
  /// When the executor has carried out what it was asked so far.
  var callsBusyUntil = Instant(milliseconds: 0)

  var processes: [AttemptKey: Process] = [:]
  var outages: [ExecutorKind: Instant] = [:]
  /// What an executor was asked while it could not be, by which life of the server; its order is kept.
  var putOff: [ExecutorKind: [(life: Int, carryOut: @Sendable (World) -> Void)]] = [:]
  /// What each executor really has now.
  var actual: [ExecutorKind: Capacity] = [:]
  /// What the server was told that executors have, and when.
  var toldCapacities: [(at: Instant, capacity: Capacity)] = []
  /// Since when it can be asked again.
  var reachableSince: [ExecutorKind: Instant] = [:]
  var lifeBegan = Instant(milliseconds: 0)

  /// What happens to the core, where somebody wants to read it.
  var script: Script?

  // What the checks remember.
  var told: [JobName: Told] = [:]
  var unsaid: [BatchKey: (life: Int, at: Instant)] = [:]
  var lastSaid: [BatchKey: Health] = [:]
  var toBeTold: Set<String> = []
  var delivered: Set<String> = []
  var putOffUntil: [String: Instant] = [:]
  var foretold: [BatchKey: [Foretold]] = [:]
  var promisedUntil: [AttemptKey: Instant] = [:]
  /// Batches that have changed since they were looked at last.
  var changed: Set<BatchKey> = []

  /// Calls without an answer, by number.
  var waiting: [UInt64: @Sendable (Result<Reply, Refusal>) -> Void] = [:]
  var lastCall: UInt64 = 0
  var callers: [Caller] = []
  /// The first thing that does not hold; the run ends with it.
  private(set) var broken: String?
  private(set) var brokenInvariant: Invariant?

  convenience init(seed: UInt64, store: CheckedStore, coverage: Coverage = Coverage()) {
    self.init(seed: seed, plan: Plan(seed: seed), store: store, coverage: coverage)
  }

  init(seed: UInt64, plan: Plan, store: CheckedStore, coverage: Coverage = Coverage()) {
    self.plan = plan
    self.coverage = coverage
    self.store = store
    now = began
    random = Random(seed: seed ^ 0xC0FF_EE00)
    store.death = { [unowned self] in death() }
    store.broken = { [unowned self] in fail($0, $1) }
    store.onRecord = { [unowned self] in checkHistory($0, $1) }
    store.afterRecord = { [unowned self] record in
      changed.insert(record.batch)
      cover(record.fact.name)
      look(at: record)
    }
    store.afterCommit = { [unowned self] in checkNotifications($0) }
    for capacity in plan.capacities.all { actual[capacity.executor] = capacity }
  }

  func fail(_ invariant: Invariant, _ what: String) {
    if broken != nil || Self.leftOut.contains(invariant) { return }
    broken = "at \((now - began).inSeconds) s, \(invariant.rawValue): \(what)"
    brokenInvariant = invariant
  }

  /// Not looked at: `MEND_LEAVE_OUT` names them, separated by commas, while others are looked for.
  static let leftOut: Set<Invariant> = {
    guard let names = ProcessInfo.processInfo.environment["MEND_LEAVE_OUT"] else { return [] }
    return Set(names.split(separator: ",").compactMap { Invariant(rawValue: String($0)) })
  }()

  func note(_ directive: String) { script?.add(directive, at: now) }

  func count(_ invariant: Invariant) { coverage.checks[invariant, default: 0] += 1 }
  func cover(_ what: String) { coverage.happened[what, default: 0] += 1 }

  // MARK: Time

  func after(_ delay: Duration, _ action: @escaping @Sendable (World) -> Void) {
    order += 1
    queue.insert(Scheduled(at: now + delay, order: order, action: action))
  }

  /// Between nothing and so much.
  func some(_ most: Duration) -> Duration { .milliseconds(random.below(Int(most.milliseconds) + 1)) }

  /// While things go wrong; after it everything works, and everything is to come to an end.
  var isChaotic: Bool { now - began < plan.chaosEnds }

  static let stepsLimit = 150_000

  /// Runs to the end of all batches; what did not hold, or nil.
  func run() -> String? {
    start()
    for (number, batch) in plan.batches.enumerated() {
      callers.append(Caller(batch))
      after(batch.submittedAfter) { $0.create(number) }
    }
    for kill in plan.kills { after(kill) { $0.die("killed") } }
    if let reboot = plan.reboot { after(reboot) { $0.reboot() } }
    for outage in plan.outages { after(outage.at) { $0.beginOutage(of: outage.executor, outage.length) } }
    // What waits for nodes that were gone does not come to an end before it is mended.
    for change in plan.changes where !Self.leftOut.contains(.idleRoom) { after(change.at) { $0.begin(change) } }
    after(.seconds(2)) { $0.sendNotifications() }
    after(.seconds(5)) { $0.probe() }
    after(plan.chaosEnds) { $0.mend() }
    while broken == nil, let next = queue.popFirst() {
      now = max(now, next.at)
      next.action(self)
      steps += 1
      if steps > Self.stepsLimit || now - began > .seconds(6 * 3600) {
        fail(.ending, "it does not come to an end: \(unfinished)")
      }
      if steps % 16 == 0, isOver { break }
    }
    if broken == nil { checkEnd() }
    server = nil
    return broken
  }

  /// What a failure is looked at with: the end of each history, and what runs.
  var account: String {
    var lines: [String] = []
    for (key, records) in store.journals.sorted(by: { $0.key < $1.key }) {
      lines.append("\(key.namespace) \(key.batchID):")
      for record in records.suffix(120) {
        lines.append("  \((record.at - began).inSeconds) \(record.cause) \("\(record.fact)".prefix(200))")
      }
    }
    for (key, process) in processes.sorted(by: { $0.key < $1.key }) {
      let attempt = process.attempt
      lines.append(
        "\(key) \(attempt.phase) lied=\(process.isLied) handled=\(attempt.handled) in hand=\(attempt.inHand.count) "
          + "said=\(String(describing: attempt.said)) finished=\(attempt.isFinished) wake=\((attempt.wakeAt - began).inSeconds)"
      )
    }
    return lines.joined(separator: "\n")
  }

  private var isOver: Bool {
    !isChaotic && callers.allSatisfy(\.isDone) && processes.values.allSatisfy { $0.attempt.phase == .over || $0.isLied }
      && store.models.count == plan.batches.count && store.models.values.allSatisfy(\.status.isFinal)
      && toBeTold.isSubset(of: delivered)
  }

  private var unfinished: String {
    let batches = store.models.values.filter { !$0.status.isFinal }.sorted { $0.key < $1.key }.map { batch in
      "\(batch.key.batchID) \(batch.status) "
        + batch.tiers.flatMap(\.jobs).map { "\($0.id):\($0.status) \($0.count(.pending))p\($0.count(.processing))r" }
        .joined(separator: " ")
    }
    let callers = callers.filter { !$0.isDone }.map { "the caller of \($0.plan.id) is not done" }
    return (batches + callers).joined(separator: "; ")
  }
}

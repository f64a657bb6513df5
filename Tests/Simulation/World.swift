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
  let began = Instant(milliseconds: 1_000_000)
  var now: Instant
  var random: Random
  private var queue = Heap<Scheduled>()
  private var order = 0
  private(set) var steps = 0

  var server: Server?
  private(set) var life = 0
  /// What the runtime asked of the executor in this round; carried out after it, unless the server dies first.
  var calls: [@Sendable (World) -> Void] = []
  /// When the executor has carried out what it was asked so far.
  private var callsBusyUntil = Instant(milliseconds: 0)

  var processes: [AttemptKey: Process] = [:]
  var outages: [ExecutorKind: Instant] = [:]
  /// What an executor was asked while it could not be, by which life of the server; its order is kept.
  var putOff: [ExecutorKind: [(life: Int, carryOut: @Sendable (World) -> Void)]] = [:]
  /// Calls without an answer, by number.
  var waiting: [UInt64: @Sendable (Result<Reply, Refusal>) -> Void] = [:]
  var lastCall: UInt64 = 0
  var callers: [Caller] = []
  /// The first thing that does not hold; the run ends with it.
  private(set) var broken: String?

  init(seed: UInt64, store: CheckedStore) {
    plan = Plan(seed: seed)
    self.store = store
    now = began
    random = Random(seed: seed ^ 0xC0FF_EE00)
    store.death = { [unowned self] in death() }
    store.broken = { [unowned self] in fail($0) }
    store.onRecord = { [unowned self] in look(at: $0) }
  }

  func fail(_ what: String) {
    if broken == nil { broken = "at \((now - began).inSeconds) s: \(what)" }
  }

  // MARK: Time

  func after(_ delay: Duration, _ action: @escaping @Sendable (World) -> Void) {
    order += 1
    queue.insert(Scheduled(at: now + delay, order: order, action: action))
  }

  /// Between nothing and so much.
  func some(_ most: Duration) -> Duration { .milliseconds(random.below(Int(most.milliseconds) + 1)) }

  /// While things go wrong; after it everything works, and everything is to come to an end.
  var isChaotic: Bool { now - began < plan.chaosEnds }

  static let stepsLimit = 60_000

  /// Runs to the end of all batches; what did not hold, or nil.
  func run() -> String? {
    start()
    for (number, batch) in plan.batches.enumerated() {
      callers.append(Caller(batch))
      after(batch.submittedAfter) { $0.create(number) }
    }
    for kill in plan.kills { after(kill) { $0.die("killed") } }
    if let reboot = plan.reboot { after(reboot) { $0.reboot() } }
    if let outage = plan.outage {
      after(outage.at) { $0.beginOutage(of: .simulated, outage.length) }
    }
    if let outage = plan.otherOutage {
      after(outage.at) { $0.beginOutage(of: .ray, outage.length) }
    }
    after(.seconds(5)) { $0.probe() }
    after(plan.chaosEnds) { $0.mend() }
    while broken == nil, let next = queue.popFirst() {
      now = max(now, next.at)
      next.action(self)
      steps += 1
      if steps > Self.stepsLimit || now - began > .seconds(6 * 3600) {
        fail("it does not come to an end: \(unfinished)")
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
      && store.batches.count == plan.batches.count && store.batches.values.allSatisfy(\.status.isFinal)
  }

  private var unfinished: String {
    let batches = store.batches.sorted { $0.key < $1.key }.map { key, batch in
      "\(key.batchID) \(batch.status) "
        + batch.tiers.flatMap(\.jobs).map { "\($0.id):\($0.status) \($0.pendingCount)p\($0.processing.count)r" }
        .joined(separator: " ")
    }
    let callers = callers.map { "\($0.plan.id)\($0.isDone ? "" : " not") done" }
    return (batches + callers).joined(separator: "; ")
  }

  // MARK: The server's lives

  func start() {
    guard server == nil, broken == nil else { return }
    life += 1
    do {
      try store.reopen()
    } catch {
      return fail("the store cannot be opened again: \(error)")
    }
    var settings = RuntimeSettings()
    settings.eventsPerRound = plan.eventsPerRound
    settings.tickInterval = .seconds(10)
    var limits = Limits()
    limits.retireAfter = .seconds(30)
    limits.unreachableGrace = .seconds(60)
    limits.endTimeout = .seconds(40)
    if let quota = plan.quota { limits.quotas[Plan.namespaces[1]] = quota }
    let capacities = isChaotic ? plan.capacities(inLife: life) : plan.capacities
    let core = Core(
      limits: limits, capacities: capacities, generator: Random(seed: UInt64(life) &+ random.next()))
    let runtime = Runtime(
      core: core, store: store, executors: capacities.all.map { WorldExecutor(self, $0.executor) },
      clock: WorldClock(self),
      settings: settings, logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() })
    guard let stepper = RuntimeStepper(runtime) else { return fail("the runtime has no core") }
    server = Server(runtime, stepper)
    do throws(StoreError) {
      try stepper.recover()
    } catch {
      return die("\(error)")
    }
    checkRecovery()
    afterRound()
  }

  /// kill -9: what is in memory is gone, calls under way are cut, the executor keeps what it has.
  func die(_ why: String) {
    guard server != nil else { return }
    server = nil
    calls = []
    callsBusyUntil = now
    let cut = waiting.sorted { $0.key < $1.key }.map(\.value)
    waiting = [:]
    for answer in cut { answer(.failure(.unavailable("the line was cut"))) }
    after(.milliseconds(100) + some(.seconds(4))) { $0.start() }
  }

  /// The machine goes down: what ran is gone, and its end is found by who looks for it afterwards.
  private func reboot() {
    die("the machine went down")
    for key in processes.keys.sorted() {
      guard var process = processes[key], process.attempt.phase != .over else { continue }
      process.attempt.vanish(.unknown("the machine was restarted"), at: now)
      if !process.isEnded { process.diedOf = process.attempt.cause }
      processes[key] = process
    }
  }

  private func death() -> CheckedStore.Death {
    guard isChaotic, random.chance(plan.crashes) else { return .none }
    return random.chance(500) ? .before : .after
  }

  /// Something is in the mailbox: the writer gets to it in a while, with whatever else has come by then.
  func wakeWriter() {
    guard let server, server.roundAt == nil else { return }
    let delay = some(.milliseconds(3))
    server.roundAt = now + delay
    after(delay) { [life] world in if world.life == life { world.round() } }
  }

  private func round() {
    guard let server else { return }
    server.roundAt = nil
    do throws(StoreError) {
      // All of it, as the writer does that never sleeps while there is something.
      while try server.stepper.round() {}
    } catch {
      return die("\(error)")
    }
    afterRound()
    // As the snapshotter does, beside the writer.
    guard plan.snapshots > 0, random.chance(plan.snapshots) else { return }
    for key in store.batches.keys.sorted() {
      guard let batch = server.runtime.view(of: key)?.batch, batch.status != .created else { continue }
      do throws(StoreError) {
        try store.keepSnapshot(of: key, documents: batch.documents)
      } catch {
        fail("no snapshot of \(key): \(error)")
      }
    }
  }

  private func afterRound() {
    guard let server else { return }
    let asked = calls
    calls = []
    let slow: Duration = isChaotic ? .milliseconds(800) : .milliseconds(5)
    for call in asked {
      // In their order, as every executor carries them out: none overtakes one of an earlier round.
      callsBusyUntil = max(callsBusyUntil, now) + some(slow)
      after(callsBusyUntil - now) { [life] world in if world.life == life { call(world) } }
    }
    let alarm = server.stepper.alarm
    if alarm != server.tickAt, alarm < .distantFuture {
      server.tickAt = alarm
      after(max(.zero, alarm - now)) { [life] world in world.tick(alarm, life) }
    }
    checkViews()
  }

  private func tick(_ alarm: Instant, _ life: Int) {
    guard let server, self.life == life, server.tickAt == alarm else { return }
    server.tickAt = .distantFuture
    server.stepper.tick()
    wakeWriter()
  }
}

final class WorldClock: Clock {
  private unowned let world: World
  init(_ world: World) { self.world = world }
  func now() -> Instant { world.now }
  /// Nobody sleeps in a world that is stepped.
  func sleep(until deadline: Instant) async {}
}

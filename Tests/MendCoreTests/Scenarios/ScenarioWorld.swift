@testable import MendCore

/// A core on a manual clock that directives are played to.
struct ScenarioWorld {
  var core: Core
  var now = Instant(milliseconds: 1_000_000)
  var journal: [BatchKey: [Record]] = [:]
  var keys: [IdempotencyEntry] = []
  var starts: [Int: StartHistory] = [:]
  var calls: UInt64 = 0
  /// Calls that wait for their answer.
  var waiting: [CallID: String] = [:]
  var lines: [String] = []
  var namespace = "default"
  /// The latest dry run's, for `generation=planned`.
  var plannedGeneration: UInt64 = 0

  init() {
    core = Self.core(Limits(), Capacity(executor: .simulated, cpus: 4, memoryBytes: 1 << 30))
  }

  private static func core(_ limits: Limits, _ capacity: Capacity) -> Core {
    Core(limits: limits, capacity: capacity, generator: SplitMix(state: 7))
  }

  mutating func play(_ directive: [String]) throws -> [String] {
    lines = []
    let words = ScenarioWords(directive[0])
    switch words.name {
    case "capacity": try setCapacity(words)
    case "limits": try setLimits(words)
    case "as":
      // `as NAMESPACE DIRECTIVE`
      namespace = try words.argument(0)
      defer { namespace = "default" }
      return try play([directive[0].split(separator: " ", maxSplits: 2).last.map(String.init) ?? ""])
    case "batch": try createBatch(words, directive.dropFirst().map { ScenarioWords($0) })
    case "wait": try wait(try ScenarioWords.duration(try words.argument(0)))
    case "restart": restart()
    case "show": show(try batch(words))
    case "diagnose": diagnose(try batch(words))
    case "died", "document": try die(words)
    default:
      if try !ask(words), try !work(words), try !observe(words) {
        throw ScenarioWords.Mistake(description: "no directive is called \(words.name)")
      }
    }
    return lines
  }

  // MARK: Steps

  mutating func step(_ event: Event) {
    let output = core.step(event, at: now)
    for write in output.writes {
      switch write {
      case .record(let record):
        journal[record.batch, default: []].append(record)
        if let line = describe(record) { lines.append(line) }
      case .idempotency(let entry): keys.append(entry)
      case .start(let history): starts[history.slot] = history
      case .notification: break
      }
    }
    for effect in output.afterCommit {
      if let words = describe(effect) { lines += words.split(separator: "\n").map(String.init) }
    }
  }

  mutating func nextCall(_ name: String) -> CallID {
    calls += 1
    waiting[CallID(calls)] = name
    return CallID(calls)
  }

  /// Lets the time pass as the runtime does: a tick whenever the core asked for one, and one at the end.
  private mutating func wait(_ duration: Duration) throws {
    let end = now + duration
    while core.nextDeadline < end {
      now = max(now, core.nextDeadline)
      let before = lines.count
      step(.tick)
      if lines.count > before { lines.insert("at \(clock):", at: before) }
    }
    now = end
    let before = lines.count
    step(.tick)
    if lines.count > before { lines.insert("at \(clock):", at: before) }
  }

  var clock: String { "\((now - Instant(milliseconds: 1_000_000)).inSeconds) s" }

  /// Kill -9 and the next server: what was durable, and the question who still runs.
  private mutating func restart() {
    core = Self.core(core.limits, core.capacity)
    for key in journal.keys.sorted() { core.restore(whole: journal[key] ?? []) }
    for entry in keys { core.restore(entry) }
    for history in starts.values { core.restore(history) }
    waiting = [:]
    step(.recovered)
  }

  private mutating func setCapacity(_ words: ScenarioWords) throws {
    var capacity = core.capacity
    capacity.cpus = words.settings["cpus"].flatMap(Double.init) ?? capacity.cpus
    capacity.memoryBytes = Int64(try words.integer("memory", Int(capacity.memoryBytes)))
    capacity.gpus = try words.integer("gpus", capacity.gpus)
    core.capacities.learn(capacity)
  }

  private mutating func setLimits(_ words: ScenarioWords) throws {
    core.limits.unreachableGrace = try words.duration("unreachable_grace") ?? core.limits.unreachableGrace
    core.limits.stuckConfirmation = try words.duration("stuck_confirmation") ?? core.limits.stuckConfirmation
    core.limits.endTimeout = try words.duration("end_timeout") ?? core.limits.endTimeout
    core.limits.retireAfter = try words.duration("retire_after") ?? core.limits.retireAfter
    core.limits.staleReportsPerAttempt = try words.integer("stale_reports", core.limits.staleReportsPerAttempt)
  }

  // MARK: Names

  /// The first argument that is a batch, `b` where none is.
  func batch(_ words: ScenarioWords) throws -> BatchKey {
    BatchKey(namespace: namespace, batchID: words.arguments.first ?? "b")
  }

  /// `t0-j0.1`, or `c/t0-j0.1` of another batch than `b`.
  func attempt(_ text: String) throws -> AttemptKey {
    let parts = text.split(separator: "/")
    let batch = parts.count == 2 ? String(parts[0]) : "b"
    guard let name = parts.last, let key = AttemptKey("\(namespace).\(batch).\(name)") else {
      throw ScenarioWords.Mistake(description: "\(text) is no attempt such as t0-j0.1")
    }
    return key
  }

  func token(of attempt: AttemptKey) -> String {
    guard let job = core.batches[attempt.batch]?.tiers[attempt.job], job.attempts.count >= attempt.number else {
      return "unknown"
    }
    return job.attempts[attempt.number - 1].token
  }
}

import MendCore

/// What a server decides that takes a batch over at some record of its journal, finds none of its attempts, and starts
/// them anew: the facts and the orders, as lines without a sentence.
struct Continuation {
  private(set) var lines: [String] = []
  private var core: Core
  /// What the records so far come to, without anything that is not journaled.
  private var folded: Batch
  private var now: Instant

  /// - Parameter batch: as its journal has it up to there.
  init(of batch: Batch) throws {
    core = Self.core(with: batch)
    folded = batch
    now = batch.updatedAt + .seconds(2)
    try step(.recovered)
    // Ten minutes later what waited for a retry is due, too.
    now = now + .seconds(600)
    try step(.tick)
  }

  /// What the server decides then, before anything answers it.
  static func facts(of batch: Batch, at now: Instant) -> [Fact] {
    var core = core(with: batch)
    return [Event.recovered, .tick].flatMap { core.step($0, at: now).writes }.compactMap { write in
      if case .record(let record) = write { record.fact } else { nil }
    }
  }

  private static func core(with batch: Batch) -> Core {
    var core = Core(capacity: DecisionDigest.capacity(for: batch), generator: Counting())
    core.restore(batch)
    return core
  }

  /// Takes the event in, and answers for an executor that has nothing, takes everything and ends what it is told to end.
  private mutating func step(_ event: Event) throws {
    var events = [event]
    while let next = events.popLast() {
      try take(core.step(next, at: now), &events)
    }
    try take(core.review(at: now), &events)
  }

  private mutating func take(_ output: Output, _ events: inout [Event]) throws {
    if let fault = output.faults.first { throw fault }
    for case .record(let record) in output.writes {
      try folded.apply(record)
      lines.append("  \(record.sequence) \(Self.brief(record.fact))")
    }
    for effect in output.afterCommit {
      switch effect {
      case .launch(let attempt, let launch):
        lines.append("  launch \(attempt) \(launch.parameters.resources.memoryBytes)")
        events.append(.observation(.taken(attempt, ExecutorHandle(node: "n", reference: "\(attempt)"))))
      case .adopt(let attempt, let handle, _):
        lines.append("  adopt \(attempt) \(handle?.reference ?? "without a handle")")
        events.append(.observation(.lost(attempt, message: "it is not there")))
      case .end(let attempt, _, let grace, on: _):
        lines.append("  end \(attempt) within \(grace.milliseconds) ms")
        let exit = ExitRecord(termination: .signalled(15), at: now)
        events.append(.observation(.ended(attempt, exit, EndReceipt(processes: 1, how: "SIGTERM"))))
      case .endStray(let attempt, let reference, on: _): lines.append("  end stray \(attempt) \(reference)")
      case .look(let attempt, on: _): lines.append("  look at \(attempt)")
      case .retire: lines.append("  retire")
      case .reply, .refuse, .changed, .wakeAt: break
      }
    }
  }

  private static func brief(_ fact: Fact) -> String {
    switch fact {
    case .batchStatusChanged(let changed): "batch \(changed.status.rawValue)"
    case .tierStarted(let started): "tier \(started.tier) starts with \(started.handed.count)"
    case .tierStatusChanged(let changed): "tier \(changed.tier) \(changed.status.rawValue)"
    case .jobStatusChanged(let changed):
      "job \(changed.job) \(changed.status.rawValue) \(changed.failure?.cause.rawValue ?? "")"
    case .attemptIntended(let intended):
      "intend \(intended.attempt) \(intended.parameters.resources.memoryBytes) "
        + "\(intended.parameters.startWindow?.milliseconds ?? 0) ms"
    case .attemptTaken(let fact): "taken \(fact.attempt)"
    case .attemptEnding(let fact):
      "ending \(fact.attempt) \(DecisionDigest.name(fact.reason)) \(fact.grace?.milliseconds ?? 0) ms"
    case .attemptEnded(let fact): "ended \(fact.attempt) \(DecisionDigest.verdict(fact.end.verdict))"
    case .nextAttemptScheduled(let scheduled): "again \(scheduled.job) at \(scheduled.at.milliseconds)"
    case .documentsFailed(let fact):
      "failed \(fact.attempt) \(fact.groups.map { "\($0.documents.ranges) \($0.error.code)" }.joined(separator: " "))"
    case .documentsReleased(let fact): "released \(fact.attempt) \(fact.documents.ranges)"
    case .retried(let fact):
      "retried \(fact.tier) \(fact.jobs.map { "\($0.job) \($0.reopened.ranges)" }.joined(separator: " ")) "
        + "by \(fact.by.rawValue)"
    case .healed(let heal): "healed \(heal.action.rawValue) \(heal.steps.count) steps by \(heal.by.rawValue)"
    case .verdictChanged(let summary):
      "verdict \(summary.health.rawValue) \(summary.reason.rawValue) \(summary.causes.map(\.cause.rawValue).joined(separator: " "))"
    default: String("\(fact)".prefix { $0 != "(" })
    }
  }
}

/// The same numbers each time.
private struct Counting: RandomNumberGenerator {
  private var state: UInt64 = 0

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return state
  }
}

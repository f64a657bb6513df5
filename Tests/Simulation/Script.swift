import MendCore

/// What happened to the core in a run, in the form of Tests/Scenarios: to be kept there once it is mended.
struct Script {
  private(set) var directives: [String] = []
  private var last = Instant(milliseconds: 1_000_000)

  var text: String { directives.joined(separator: "\n\n") }

  mutating func add(_ directive: String, at now: Instant) {
    if now > last {
      directives.append("wait \((now - last).milliseconds)ms")
      last = now
    }
    directives.append(directive)
  }

  /// Nil for what no directive does.
  static func directive(_ command: Command) -> String? {
    let words: String? =
      switch command.operation {
      case .createBatch(let id, let specification, let documents): batch(id, specification, documents.count)
      case .submitBatch(let id): "submit \(id)"
      case .pauseBatch(let id): "pause \(id)"
      case .resumeBatch(let id): "resume \(id)"
      case .addDocuments(let id, let documents): "add \(id) documents=\(documents.count)"
      case .retry(let id, let tier, let jobs, _, let scope):
        "retry \(id) tier=\(tier)" + (jobs.isEmpty ? "" : " job=" + jobs.map(\.description).joined(separator: ","))
          + (scope == .all ? " scope=all" : "")
      case .heal(let id, _, let action, let dryRun, _):
        "heal \(id) action=\(action.rawValue)" + (dryRun ? " dry-run" : " generation=planned")
      case .cancel(let id, let scope, let grace):
        switch scope {
        case .batch: "cancel \(id) grace=\(grace.milliseconds)ms"
        case .tier(let tier): "cancel \(id) tier=\(tier) grace=\(grace.milliseconds)ms"
        case .job(let job): "cancel \(id) job=\(job) grace=\(grace.milliseconds)ms"
        }
      }
    guard let words else { return nil }
    let key = command.idempotencyKey.isEmpty ? "" : " key=\(command.idempotencyKey)"
    let lines = words.split(separator: "\n", maxSplits: 1)
    let first = lines[0] + key
    let named = command.namespace == "default" ? String(first) : "as \(command.namespace) \(first)"
    return lines.count == 1 ? named : "\(named)\n\(lines[1])"
  }

  private static func batch(_ id: String, _ specification: BatchSpecification, _ documents: Int) -> String {
    var lines = ["batch \(id) documents=\(documents) priority=\(specification.priority)"]
    if specification.maxConcurrent > 0 { lines[0] += " max_concurrent=\(specification.maxConcurrent)" }
    if let timeout = specification.timeout { lines[0] += " timeout=\(timeout.milliseconds)ms" }
    for tier in specification.tiers {
      for (number, extractor) in tier.extractors.enumerated() {
        var line = "  \(number == 0 ? "tier" : "with") \(extractor.name) cpus=\(extractor.resources.cpus)"
        if case .entrypoint = extractor.work { line += " entrypoint" }
        if extractor.resources.memoryBytes > 0 { line += " memory=\(extractor.resources.memoryBytes)" }
        if extractor.resources.requiresGPU { line += " gpu" }
        if extractor.shards > 1 { line += " shards=\(extractor.shards)" }
        line += " start=\(extractor.timers.start.milliseconds)ms heartbeat=\(extractor.timers.heartbeat.milliseconds)ms"
        if let progress = extractor.timers.setProgress { line += " progress=\(progress.milliseconds)ms" }
        if let run = extractor.timers.run { line += " run=\(run.milliseconds)ms" }
        lines.append(line)
        for rule in extractor.retryRules {
          let filter = rule.cause?.rawValue ?? rule.category?.rawValue ?? "any"
          lines.append(
            "  rule \(filter) \(rule.action.rawValue) max=\(rule.maxAttempts) factor=\(Int(rule.memoryFactor)) "
              + "ceiling=\(rule.memoryCeilingBytes) backoff=\(rule.backoff.milliseconds)ms")
        }
      }
    }
    return lines.joined(separator: "\n")
  }

  static func directive(_ operation: WorkerRequest.Operation, of attempt: AttemptKey) -> String {
    let name = name(attempt)
    switch operation {
    case .start: return "start \(name)"
    case .claim(let maximum, let id): return "claim \(name) \(maximum)" + (id.isEmpty ? "" : " id=\(id)")
    case .report(let report):
      var words = ["report", name]
      if !report.completed.isEmpty { words.append("done=" + report.completed.joined(separator: ",")) }
      if !report.failed.isEmpty {
        words.append("failed=" + report.failed.map { "\($0.documentID):\($0.code)" }.joined(separator: ","))
      }
      if !report.released.isEmpty { words.append("released=" + report.released.joined(separator: ",")) }
      return words.count == 2 ? "beat \(name)" : words.joined(separator: " ")
    }
  }

  static func directive(_ observation: Observation) -> String {
    switch observation {
    case .taken(let attempt, _): return "taken \(name(attempt))"
    case .delayed(let attempt, _): return "# delayed \(name(attempt))"
    case .hidden(let attempt, _): return "# hidden \(name(attempt))"
    case .looked(let attempt, _): return "# looked \(name(attempt))"
    case .started(let attempt): return "started \(name(attempt))"
    case .launchFailed(let attempt, let cause, _): return "launch-failed \(name(attempt)) \(cause.rawValue)"
    case .lost(let attempt, _): return "lost \(name(attempt))"
    case .unreachable: return "unreachable"
    case .reachable: return "reachable"
    case .capacity(let capacity):
      return "capacity cpus=\(capacity.cpus) memory=\(capacity.memoryBytes) gpus=\(capacity.gpus)"
    case .duplicate(let attempt, let reference): return "duplicate \(name(attempt)) \(reference)"
    case .ended(let attempt, let exit, let receipt):
      var words = ["ended", name(attempt)]
      switch exit.termination {
      case .exited(let code): words.append("exit=\(code)")
      case .signalled(let signal): words.append("signal=\(signal)")
      case .notStarted, .unknown: words.append("unknown")
      }
      if exit.peakMemoryBytes > 0 { words.append("peak=\(exit.peakMemoryBytes)") }
      if exit.memoryLimitBytes > 0 { words.append("limit=\(exit.memoryLimitBytes)") }
      if exit.memoryLimitExceeded { words.append("exceeded") }
      if let receipt { words.append("\"receipt=\(receipt.how)\"") }
      return words.joined(separator: " ")
    }
  }

  private static func name(_ attempt: AttemptKey) -> String {
    (attempt.batch.batchID == "b" ? "" : "\(attempt.batch.batchID)/") + "\(attempt.id)"
  }
}

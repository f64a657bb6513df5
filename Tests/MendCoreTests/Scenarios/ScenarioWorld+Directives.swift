@testable import MendCore

extension ScenarioWorld {
  // MARK: Batches

  /// `batch ID documents=3` and below it `tier NAME ...`, `with NAME ...` for another extractor of the same tier,
  /// `rule CAUSE ACTION ...` for the extractor above it.
  mutating func createBatch(_ words: ScenarioWords, _ parts: [ScenarioWords]) throws {
    var tiers: [TierSpecification] = []
    for part in parts {
      switch part.name {
      case "tier": tiers.append(TierSpecification(extractors: [try extractor(part)]))
      case "with": tiers[tiers.count - 1].extractors.append(try extractor(part))
      case "rule":
        let last = tiers[tiers.count - 1].extractors.count - 1
        tiers[tiers.count - 1].extractors[last].retryRules.append(try rule(part))
      default: throw ScenarioWords.Mistake(description: "\(part.name) is no part of a batch")
      }
    }
    let specification = BatchSpecification(
      priority: try words.integer("priority", 50), maxConcurrent: try words.integer("max_concurrent"),
      timeout: try words.duration("timeout"), executor: .simulated, tiers: tiers)
    let documents = (0..<(try words.integer("documents"))).map { Document(id: "d\($0)", uri: "file:///d\($0)") }
    command(words, .createBatch(batchID: try words.argument(0), specification, documents: documents))
  }

  private func extractor(_ words: ScenarioWords) throws -> ExtractorSpecification {
    let timers = Timers(
      start: try words.duration("start") ?? Timers.defaultStart,
      heartbeat: try words.duration("heartbeat"),
      progress: try words.duration("progress"), run: try words.duration("run"))
    return ExtractorSpecification(
      name: try words.argument(0), work: words.has("entrypoint") ? .entrypoint("run") : .documentCommand("true"),
      shards: try words.integer("shards", 1),
      resources: Resources(
        cpus: words.settings["cpus"].flatMap(Double.init) ?? 1, memoryBytes: Int64(try words.integer("memory")),
        requiresGPU: words.has("gpu")),
      timers: timers)
  }

  private func rule(_ words: ScenarioWords) throws -> RetryRule {
    let filter = try words.argument(0)
    guard let action = RetryRule.Action(rawValue: try words.argument(1)) else {
      throw ScenarioWords.Mistake(description: "\(words.arguments) is no rule")
    }
    var rule = RetryRule(
      cause: FailureCause(rawValue: filter), exitCodes: words.list("exit").compactMap { Int32($0) }, action: action,
      maxAttempts: try words.integer("max", 3), memoryFactor: Double(try words.integer("factor", 1)),
      memoryCeilingBytes: Int64(try words.integer("ceiling")))
    rule.category = FailureCategory(rawValue: filter)
    if rule.cause != nil { rule.category = nil }
    rule.backoff = try words.duration("backoff") ?? rule.backoff
    return rule
  }

  // MARK: Callers

  mutating func ask(_ words: ScenarioWords) throws -> Bool {
    let id = try batch(words).batchID
    switch words.name {
    case "submit": command(words, .submitBatch(batchID: id))
    case "add":
      let first = core.batches[try batch(words)]?.documents.count ?? 0
      let documents = (0..<(try words.integer("documents", 1))).map {
        Document(id: "d\(first + $0)", uri: "file:///d\(first + $0)")
      }
      command(words, .addDocuments(batchID: id, documents))
    case "pause": command(words, .pauseBatch(batchID: id))
    case "resume": command(words, .resumeBatch(batchID: id))
    case "retry":
      let overrides = Job.Overrides(memoryBytes: words.settings["memory"].flatMap(Int64.init))
      let jobs = words.list("job").compactMap { JobID($0) }
      let scope = RetryScope(rawValue: words.settings["scope"] ?? "failed") ?? .failed
      command(words, .retry(batchID: id, tier: try words.integer("tier"), jobs: jobs, overrides, scope))
    case "heal":
      let action = HealAction(rawValue: words.settings["action"] ?? "auto") ?? .auto
      let text = words.settings["generation"] ?? "0"
      let generation = text == "planned" ? plannedGeneration : UInt64(text) ?? 0
      command(
        words, .heal(batchID: id, tier: nil, action, dryRun: words.has("dry-run"), generation: generation))
    case "cancel":
      let scope: CancelScope =
        if let job = words.settings["job"].flatMap({ JobID($0) }) {
          .job(job)
        } else if let tier = words.settings[
          "tier"
        ].flatMap({ Int($0) }) { .tier(tier) } else { .batch }
      command(words, .cancel(batchID: id, scope, grace: try words.duration("grace") ?? .seconds(10)))
    default: return false
    }
    return true
  }

  /// The fingerprint is of everything that was asked for, as the server's is of the request's bytes.
  private mutating func command(_ words: ScenarioWords, _ operation: Command.Operation) {
    var print: UInt64 = 5381
    for byte in "\(operation)".utf8 { print = print &* 33 &+ UInt64(byte) }
    let command = Command(
      namespace: namespace, idempotencyKey: words.settings["key"] ?? "", fingerprint: print, actor: "caller",
      operation: operation)
    step(.command(nextCall(words.name), command))
  }

  // MARK: Workers

  mutating func work(_ words: ScenarioWords) throws -> Bool {
    switch words.name {
    case "start": try say(words, .start)
    case "claim": try say(words, .claim(maximum: Int(try words.argument(1)) ?? 1, id: words.settings["id"] ?? ""))
    case "beat": try say(words, .report(WorkerRequest.Report()))
    case "report":
      let failed = words.list("failed").map { text in
        let parts = text.split(separator: ":").map(String.init)
        return WorkerRequest.Failure(
          documentID: parts[0], code: parts.count > 1 ? parts[1] : "format_error", message: "said the worker")
      }
      let report = WorkerRequest.Report(
        completed: words.list("done"), failed: failed, released: words.list("released"),
        stage: words.settings["stage"] ?? "")
      try say(words, .report(report))
    default: return false
    }
    return true
  }

  private mutating func say(_ words: ScenarioWords, _ operation: WorkerRequest.Operation) throws {
    let token = token(of: try attempt(try words.argument(0)))
    step(.worker(nextCall(words.name), WorkerRequest(token: token, operation: operation)))
  }

  // MARK: Executors

  mutating func observe(_ words: ScenarioWords) throws -> Bool {
    switch words.name {
    case "unreachable": step(.observation(.unreachable(.simulated, message: "no answer")))
    case "reachable": step(.observation(.reachable(.simulated)))
    case "taken":
      let attempt = try attempt(try words.argument(0))
      step(.observation(.taken(attempt, ExecutorHandle(node: "n1", pid: 7, reference: "ref-\(attempt.job)"))))
    case "started": step(.observation(.started(try attempt(try words.argument(0)))))
    case "lost":
      step(.observation(.lost(try attempt(try words.argument(0)), message: "the executor does not know it")))
    case "launch-failed":
      let cause = FailureCause(rawValue: try words.argument(1)) ?? .environmentSetup
      step(.observation(.launchFailed(try attempt(try words.argument(0)), cause, message: "it could not be launched")))
    case "duplicate":
      step(.observation(.duplicate(try attempt(try words.argument(0)), reference: try words.argument(1))))
    case "ended": try ended(words)
    default: return false
    }
    return true
  }

  private mutating func ended(_ words: ScenarioWords) throws {
    let attempt = try attempt(try words.argument(0))
    let termination: ExitRecord.Termination =
      if let signal = words.settings["signal"].flatMap(Int32.init) { .signalled(signal) } else if words.has("unknown") {
        .unknown("the supervisor was killed")
      } else { .exited(words.settings["exit"].flatMap(Int32.init) ?? 0) }
    var exit = ExitRecord(
      termination: termination, at: now, peakMemoryBytes: Int64(try words.integer("peak")),
      memoryLimitBytes: Int64(try words.integer("limit")), memoryLimitExceeded: words.has("exceeded"),
      lastStderrLine: words.settings["stderr"] ?? "")
    exit.finding = words.settings["found"].flatMap(FailureCause.init).map {
      ExitRecord.Finding(cause: $0, confidence: .high, text: "the executor's own word")
    }
    let receipt = words.settings["receipt"].map { EndReceipt(processes: 1, how: $0) }
    step(.observation(.ended(attempt, exit, receipt)))
  }
}

import MendAPI
import MendCore
import MendProtobuf
import Testing

@testable import MendServer

/// A core on a manual clock that plays one batch to its end, and answers as the server would, in JSON.
struct AnswerFieldScript {
  var core: Core
  var now = Instant(milliseconds: 1_700_000_000_000)
  private var calls: UInt64 = 0
  private let job = JobID(tier: 0, index: 0)
  private let key = BatchKey(namespace: "default", batchID: "batch-abc123")

  init(_ executor: MendCore.ExecutorKind = .local) {
    var capacity = Capacity(executor: executor, cpus: 8, memoryBytes: 64 << 30, gpus: 1)
    capacity.traits.startsFromZero = executor == .ray
    core = Core(
      capacity: capacity,
      generator: SystemRandomNumberGenerator())
  }

  mutating func wait(_ seconds: Double) {
    now = now + .seconds(seconds)
    _ = core.step(.tick, at: now)
  }

  mutating func ask(_ operation: Command.Operation) {
    calls += 1
    _ = core.step(.command(CallID(calls), Command(namespace: "default", operation: operation)), at: now)
  }

  /// Two tiers over ten documents, submitted.
  mutating func submit(rules: [MendCore.RetryRule] = []) {
    let text = MendCore.ExtractorSpecification(
      name: "universal_extractor_v1", work: .entrypoint("python -m engine.pipelines.entrypoint"), collectionID: "texts",
      resources: Resources(cpus: 1, memoryBytes: 8 << 30, requiresGPU: true), retryRules: rules)
    let index = MendCore.ExtractorSpecification(name: "index", work: .documentCommand("./index"))
    let specification = MendCore.BatchSpecification(
      bucketID: "reports", batchName: "Monthly Reports Processing", priority: 100, maxConcurrent: 5,
      timeout: .seconds(36_000), executor: core.capacity.executor,
      tiers: [.init(extractors: [text]), .init(extractors: [index])])
    let documents = (0..<10).map {
      MendCore.Document(id: "d\($0)", uri: "file:///reports/q\($0).pdf", mediaType: "document")
    }
    ask(.createBatch(batchID: "batch-abc123", specification, documents: documents))
    wait(5)
    ask(.submitBatch(batchID: "batch-abc123"))
  }

  private func attempt(_ tier: Int = 0) -> AttemptKey {
    let job = JobID(tier: tier, index: 0)
    return AttemptKey(batch: key, job: job, number: core.batches[key]?.tiers[tier].jobs[0].attempts.count ?? 0)
  }

  mutating func see(_ observation: Observation) { _ = core.step(.observation(observation), at: now) }

  mutating func take(_ tier: Int = 0) {
    see(.taken(attempt(tier), ExecutorHandle(node: "node-1", pid: 42, reference: "raysubmit_abc")))
  }

  mutating func say(_ operation: WorkerRequest.Operation, _ tier: Int = 0) {
    calls += 1
    let token = core.batches[key]?.tiers[tier].jobs[0].attempts.last?.token ?? ""
    _ = core.step(.worker(CallID(calls), WorkerRequest(token: token, operation: operation)), at: now)
  }

  mutating func run(_ tier: Int = 0) {
    take(tier)
    wait(1)
    say(.start, tier)
  }

  mutating func end(
    _ termination: MendCore.ExitRecord.Termination, _ tier: Int = 0, peak: Int64 = 0, over: Bool = false
  ) {
    let exit = MendCore.ExitRecord(
      termination: termination, at: now, peakMemoryBytes: peak, memoryLimitBytes: 8 << 30, memoryLimitExceeded: over)
    see(.ended(attempt(tier), exit, nil))
  }

  func diagnose(_ dashboard: String = "") throws -> JSONValue {
    let batch = try #require(core.batches[key])
    let diagnosis = batch.diagnosis(at: now, capacity: core.capacity, limits: core.limits)
    return try DiagnoseResponse(batch, diagnosis, at: now, dashboard: dashboard).jsonValue()
  }

  static let claimed = WorkerRequest.Operation.claim(maximum: 5)

  static func done(_ documents: Range<Int>, stages: [Job.StageTotal] = []) -> WorkerRequest.Operation {
    .report(.init(completed: documents.map { "d\($0)" }, stageTimings: stages))
  }

  static let stages = [("loading", 2.5), ("processing", 90.3), ("writing", 8.1)].map {
    Job.StageTotal(name: $0.0, duration: .seconds($0.1))
  }
}

/// The answers that the table of fields looks at, by name.
struct ScriptedAnswers {
  var answers: [String: JSONValue] = [:]

  init() throws {
    try ray()
    try completed()
    try failed()
  }

  /// A batch on a cluster, from its cold start to its being stuck.
  private mutating func ray() throws {
    var script = AnswerFieldScript(.ray)
    script.submit()
    script.take()
    script.wait(60)
    answers["scaling"] = try script.diagnose("http://ray-head:8265")
    script.wait(1200)
    script.wait(5)
    answers["stuck"] = try script.diagnose("http://ray-head:8265")
    script.say(.start)
    script.say(AnswerFieldScript.claimed)
    script.wait(30)
    script.say(AnswerFieldScript.done(0..<3))
    answers["running"] = try script.diagnose("http://ray-head:8265")
    // The job beats, and nothing moves.
    for _ in 0..<12 {
      script.wait(30)
      script.say(.start)
    }
    answers["stale"] = try script.diagnose()
    script.wait(3600)
  }

  /// One attempt runs out of memory and is retried by rule; one document is refused; all else completes.
  private mutating func completed() throws {
    var script = AnswerFieldScript()
    script.submit(rules: [MendCore.RetryRule(cause: .oom, action: .retry, memoryFactor: 2, backoff: .zero)])
    script.run()
    script.say(AnswerFieldScript.claimed)
    script.wait(20)
    script.end(.signalled(9), peak: 9 << 30, over: true)
    script.wait(1)
    script.run()
    script.say(AnswerFieldScript.claimed)
    script.wait(100)
    script.say(AnswerFieldScript.done(0..<5, stages: AnswerFieldScript.stages))
    script.say(AnswerFieldScript.done(0..<1))
    script.say(AnswerFieldScript.claimed)
    script.wait(5)
    script.say(
      .report(
        .init(
          completed: (5..<9).map { "d\($0)" },
          failed: [.init(documentID: "d9", code: "format_error", message: "Unsupported file format")],
          written: [.init(collectionID: "texts", count: 9)])))
    script.end(.exited(0), peak: 1 << 30)
    script.run(1)
    while script.core.batches.values.first?.status == .running {
      script.say(AnswerFieldScript.claimed, 1)
      script.wait(1)
      let left = script.core.batches.values.first?.tiers[1].jobs[0].processing
      if left?.isEmpty != false { break }
      script.say(.report(.init(completed: left?.map { "d\($0)" } ?? [])), 1)
    }
    script.end(.exited(0), 1)
    answers["completed"] = try script.diagnose()
  }

  private mutating func failed() throws {
    var script = AnswerFieldScript()
    script.submit()
    script.run()
    script.say(AnswerFieldScript.claimed)
    script.wait(20)
    script.end(.signalled(9), peak: 9 << 30, over: true)
    answers["failed"] = try script.diagnose()
  }
}

extension JSONValue {
  /// `tiers[0].progress.percentage`; nil where there is nothing.
  func value(at path: String) -> JSONValue? {
    var here: JSONValue? = self
    for part in path.split(separator: ".") {
      let names = part.split(separator: "[")
      here = names.first.flatMap { here?[String($0)] }
      for index in names.dropFirst() {
        guard let number = Int(index.dropLast()), case .array(let elements)? = here, number < elements.count else {
          return nil
        }
        here = elements[number]
      }
    }
    return here == .null ? nil : here
  }
}

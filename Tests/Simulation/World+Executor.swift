import MendCore
import MendRuntime

@testable import MendExecutors

/// What the runtime asks for goes into the world's queue.
final class WorldExecutor: Executor {
  let kind: ExecutorKind
  private unowned let world: World

  init(_ world: World, _ kind: ExecutorKind) {
    self.world = world
    self.kind = kind
  }

  func run(sink: @escaping @Sendable (Observation) -> Void) async {}

  func launch(_ attempt: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document]) {
    world.checkIntent(of: attempt)
    world.check(attempt, isFor: kind)
    world.calls.append { $0.launch(attempt, launch, documents) }
  }

  func adopt(_ attempt: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch) {
    world.check(attempt, isFor: kind)
    world.calls.append { $0.adopt(attempt) }
  }

  func end(_ attempt: AttemptKey, _ handle: ExecutorHandle?, grace: Duration) {
    world.check(attempt, isFor: kind)
    world.calls.append { $0.end(attempt, grace: grace) }
  }

  func endStray(_ attempt: AttemptKey, reference: String) {
    world.check(attempt, isFor: kind)
    world.calls.append { $0.endStray(attempt, reference: reference) }
  }
}

extension World {
  /// What runs under an attempt's name: supervisor and worker, whoever serves.
  struct Process {
    var attempt: SimulatedAttempt
    /// What it died of by itself, as it is to be named.
    var diedOf: FailureCause?
    /// The executor said that it lost it, and it runs on.
    var isLied = false
    var isEnded = false
  }

  // MARK: The executor

  /// Which of the server's executors has it.
  func executor(of key: AttemptKey) -> ExecutorKind {
    store.models[key.batch]?.specification.executor ?? .simulated
  }

  func check(_ key: AttemptKey, isFor kind: ExecutorKind) {
    if executor(of: key) != kind { fail(.attempts, "\(kind) is asked for \(key), which is of \(executor(of: key))") }
  }

  func beginOutage(of executor: ExecutorKind, _ length: Duration) {
    cover("outage")
    outages[executor] = now + length
    observe(.unreachable(executor, message: "no answer"))
    after(length) { world in
      world.outages[executor] = nil
      world.reachableSince[executor] = world.now
      world.observe(.reachable(executor))
      // What it has now is seen with its first answer.
      if let capacity = world.actual[executor] { world.observe(.capacity(capacity)) }
      let calls = world.putOff[executor] ?? []
      world.putOff[executor] = []
      for call in calls where call.life == world.life { call.carryOut(world) }
    }
  }

  /// Calls wait while the executor cannot be asked, in their order: none overtakes another.
  private func whenReachable(_ key: AttemptKey, _ call: @escaping @Sendable (World) -> Void) -> Bool {
    let executor = executor(of: key)
    guard outages[executor] != nil else { return true }
    putOff[executor, default: []].append((life: life, carryOut: call))
    return false
  }

  func launch(_ key: AttemptKey, _ launch: Launch, _ documents: @escaping @Sendable () -> [Document]) {
    guard whenReachable(key, { $0.launch(key, launch, documents) }) else { return }
    if processes[key] != nil { return update(key) { $0.announce() } }
    for (other, process) in processes where other.batch == key.batch && other.job == key.job {
      if process.attempt.phase != .over, !process.isLied {
        fail(.attempts, "\(key) is launched while \(other) still runs")
      }
    }
    do throws(SimulatedBehaviour.Mistake) {
      let behaviour = try SimulatedBehaviour(of: launch.parameters)
      let attempt = SimulatedAttempt(key, launch, behaviour, documents: documents(), at: now)
      if attempt.launching == .fails {
        return observe(.launchFailed(key, .environmentSetup, message: "no such environment"))
      }
      processes[key] = Process(attempt: attempt)
      update(key) { [now] in $0.begin(at: now) }
      if behaviour.hasDuplicate { observe(.duplicate(key, reference: "simulated:\(key):again")) }
      if isChaotic, random.chance(plan.lies) { after(some(.seconds(20))) { $0.lie(about: key) } }
    } catch {
      fail(.attempts, "\(error)")
    }
  }

  func adopt(_ key: AttemptKey) {
    guard whenReachable(key, { $0.adopt(key) }) else { return }
    guard let process = processes[key], !process.isLied else {
      return observe(.lost(key, message: "the executor does not know it"))
    }
    update(key) { $0.announce() }
  }

  func end(_ key: AttemptKey, grace: Duration) {
    guard whenReachable(key, { $0.end(key, grace: grace) }) else { return }
    checkGrace(key, grace)
    guard let process = processes[key], !process.isLied else {
      return observe(.lost(key, message: "the executor does not know it"))
    }
    if process.attempt.phase != .over { processes[key]?.isEnded = true }
    update(key) { [now] in $0.end(grace: grace, at: now) }
  }

  func endStray(_ key: AttemptKey, reference: String) {
    guard reference == "simulated:\(key)", processes[key] != nil else { return }
    processes[key]?.isEnded = true
    update(key) { [now] in $0.end(grace: .zero, at: now) }
  }

  /// The executor says that it lost what runs: the fence has to hold.
  private func lie(about key: AttemptKey) {
    guard let process = processes[key], process.attempt.phase == .working, !process.isEnded, server != nil else {
      return
    }
    processes[key]?.isLied = true
    cover("lie")
    observe(.lost(key, message: "the executor does not know it"))
  }

  // MARK: What attempts do

  /// Lets something happen to one, and carries out what it does then.
  func update(_ key: AttemptKey, _ change: (inout SimulatedAttempt) -> [SimulatedAttempt.Action]) {
    guard var process = processes[key] else { return }
    let (before, wasOver) = (process.attempt.wakeAt, process.attempt.phase == .over)
    let actions = change(&process.attempt)
    if process.attempt.phase == .over, !wasOver, !process.isEnded { process.diedOf = process.attempt.cause }
    let wake = process.attempt.wakeAt
    processes[key] = process
    for action in actions {
      switch action {
      case .observe(let observation): if !process.isLied { tell(observation) }
      case .say(let operation): say(operation, by: key)
      }
    }
    if wake != before, wake < .distantFuture {
      after(max(.zero, wake - now)) { world in
        guard world.processes[key]?.attempt.wakeAt == wake else { return }
        world.update(key) { attempt in
          attempt.wakeAt = .distantFuture
          return attempt.wake(at: world.now)
        }
      }
    }
  }

  /// Late, and twice, where the plan has it. What a dead server was to hear is gone; the next one asks.
  func tell(_ observation: Observation) {
    // Nobody sees what an executor does that the server was started without.
    if let key = observation.attempt, server?.runtime.capacities[executor(of: key)] == nil { return }
    if let key = observation.attempt, let until = outages[executor(of: key)] {
      after(until - now) { $0.tell(observation) }
      return
    }
    observe(observation)
    guard isChaotic, random.chance(plan.duplicates) else { return }
    switch observation {
    case .ended, .started, .taken: after(some(.seconds(20))) { $0.observe(observation) }
    default: break
    }
  }

  func observe(_ observation: Observation) {
    guard let server else { return }
    if script != nil { note(Script.directive(observation)) }
    if case .capacity(let capacity) = observation { toldCapacities.append((at: now, capacity: capacity)) }
    server.stepper.post(observation)
    wakeWriter()
  }

  /// Results come with what was written and how long it took. Said again, they are the same.
  private func saidBesides(_ operation: WorkerRequest.Operation, by key: AttemptKey) -> WorkerRequest.Operation {
    guard case .report(var report) = operation, !report.completed.isEmpty || !report.failed.isEmpty,
      let model = store.models[key.batch], plan.theme != .crowd
    else { return operation }
    report.written = [
      WorkerRequest.Written(collectionID: model.extractor(key.job).collectionID, count: report.completed.count)
    ]
    report.stageTimings = [Job.StageTotal(name: "processing", duration: Told.ofEach)]
    let (name, words) = (JobName(batch: key.batch, job: key.job), Told.words(of: report, by: key))
    let isNamed = callers.first { $0.key == key.batch }?.plan.namesReports == true
    if told[name] == nil { told[name] = Told() }
    let known = told[name]?.reports.count ?? 0
    if told[name]?.reports[words] == nil {
      told[name]?.reports[words] = known
      told[name]?.written += report.completed.count
      told[name]?.spent += Told.ofEach
      told[name]?.failed += report.failed.count
    } else {
      cover(isNamed ? "report named and said again" : "report said again")
    }
    if isNamed, let number = told[name]?.reports[words] { report.id = "r\(number)" }
    return .report(report)
  }

  /// Its worker knows that it was taken.
  private func noteAnswer(to operation: WorkerRequest.Operation, by key: AttemptKey, _ answer: Result<Reply, Refusal>) {
    guard case .success(.reported) = answer, case .report(let report) = operation, !report.written.isEmpty else {
      return
    }
    let (name, words) = (JobName(batch: key.batch, job: key.job), Told.words(of: report, by: key))
    guard told[name]?.answered.insert(words).inserted == true else { return }
    told[name]?.writtenAtLeast += report.completed.count
    told[name]?.spentAtLeast += Told.ofEach
  }

  /// A worker's call: it may not arrive, its answer may not, and a report may arrive twice.
  private func say(_ operation: WorkerRequest.Operation, by key: AttemptKey) {
    guard let token = processes[key]?.attempt.launch.token else { return }
    let request = WorkerRequest(token: token, operation: saidBesides(operation, by: key))
    let answer: @Sendable (World, Result<Reply, Refusal>) -> Void = { world, answer in
      world.update(key) { $0.answered(answer, at: world.now) }
    }
    let isLost = isChaotic && random.chance(plan.losses)
    if isLost, random.chance(500) {
      if case .report = operation, random.chance(500) {
        // It was on its way for longer than its worker waited.
        cover("report late")
        after(.seconds(1) + some(.seconds(20))) { $0.call(worker: request) { _, _ in } }
      }
      return after(.seconds(1)) { answer($0, .failure(.unavailable("the request was lost"))) }
    }
    var delay = some(.milliseconds(isChaotic ? 300 : 2))
    if isChaotic, random.chance(plan.hiccups) { delay = .milliseconds(10_300 + random.below(900)) }
    after(delay) { world in
      world.call(worker: request) { world, result in
        world.noteAnswer(to: request.operation, by: key, result)
        if isLost {
          world.after(.seconds(1)) { answer($0, .failure(.unavailable("the answer was lost"))) }
        } else {
          answer(world, result)
        }
      }
      if case .report = operation, world.isChaotic, world.random.chance(world.plan.duplicates) {
        world.after(world.some(.seconds(10))) { $0.call(worker: request) { _, _ in } }
      }
    }
  }
}

extension Observation {
  fileprivate var attempt: AttemptKey? {
    switch self {
    case .taken(let attempt, _), .delayed(let attempt, _), .started(let attempt), .launchFailed(let attempt, _, _),
      .ended(let attempt, _, _),
      .lost(let attempt, _), .duplicate(let attempt, _):
      attempt
    case .unreachable, .reachable, .capacity, .looked, .hidden: nil
    }
  }
}

extension SimulatedAttempt {
  /// What its own end is to be called.
  var cause: FailureCause? {
    guard case .ended(_, let exit, _) = lastWord else {
      if case .lost = lastWord { return .orphaned }
      return nil
    }
    if exit.memoryLimitExceeded { return .oom }
    if let finding = exit.finding { return finding.cause }
    switch exit.termination {
    case .exited(0): return nil
    case .exited(let code): return code == 126 || code == 127 ? .entrypointNotFound : .exitCode
    case .signalled: return .signal
    case .notStarted: return .environmentSetup
    case .unknown: return .orphaned
    }
  }
}

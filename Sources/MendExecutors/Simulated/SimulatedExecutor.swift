internal import Logging
package import MendCore
package import MendRuntime
internal import Synchronization

/// Runs attempts that are no processes: for tests, and for load (`mend serve --executor simulated`).
///
/// An attempt goes as its `SimulatedBehaviour` says. Its worker claims and reports by the runtime's own worker calls, in
/// this process. Attempts end with the executor, as nothing outlives the process that they are in: the next one
/// says of them that they are lost, which makes them orphaned.
package final class SimulatedExecutor: Executor {
  /// What the server answers a worker.
  package typealias Workers = @Sendable (WorkerRequest) async -> Result<Reply, Refusal>

  package let kind = ExecutorKind.simulated

  /// Ended attempts whose end is said again to who asks again; older ones are lost.
  static let rememberedEnds = 10_000

  private let clock: any Clock
  private let state: Mutex<State>
  /// Wakes the loop for what is new in the inbox.
  private let wakeup = Wakeup()

  private struct State {
    var workers: Workers?
    var isOver = false
    var inbox: [Input] = []
  }

  private enum Input {
    case launch(AttemptKey, Launch, documents: @Sendable () -> [Document])
    case adopt(AttemptKey)
    case end(AttemptKey, grace: Duration)
    case endStray(reference: String)
    case answer(AttemptKey, Result<Reply, Refusal>)
  }

  package init(clock: any Clock) {
    self.clock = clock
    state = Mutex(State())
  }

  /// Says whom workers call; before `run`, or they are told to come again.
  package func connect(_ workers: @escaping Workers) { state.withLock { $0.workers = workers } }

  package func launch(_ attempt: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document]) {
    add(.launch(attempt, launch, documents: documents))
  }

  package func adopt(_ attempt: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch) { add(.adopt(attempt)) }

  package func end(_ attempt: AttemptKey, _ handle: ExecutorHandle?, grace: Duration) {
    add(.end(attempt, grace: grace))
  }

  package func endStray(_ attempt: AttemptKey, reference: String) { add(.endStray(reference: reference)) }

  /// The inbox holds what the runtime's own bounds let through: a call for each attempt, and one answer for each.
  private func add(_ input: Input) {
    state.withLock { if !$0.isOver { $0.inbox.append(input) } }
    wakeup.set()
  }

  // MARK: The loop

  package func run(sink: @escaping @Sendable (Observation) -> Void) async {
    await withDiscardingTaskGroup { group in
      var attempts = Attempts()
      while !Task.isCancelled {
        let inputs = state.withLock { state in
          defer { state.inbox = [] }
          return state.inbox
        }
        let now = clock.now()
        var actions: [(AttemptKey, SimulatedAttempt.Action)] = []
        for input in inputs { take(input, now, &attempts, &actions) }
        attempts.wake(at: now, &actions)
        for (key, action) in actions {
          switch action {
          case .observe(let observation): sink(observation)
          case .say(let operation):
            guard let token = attempts.token(of: key) else { continue }
            group.addTask { await self.call(key, WorkerRequest(token: token, operation: operation)) }
          }
        }
        if actions.isEmpty { await wakeup.wait(until: attempts.nextWake, clock: clock) }
      }
      group.cancelAll()
    }
    state.withLock { state in
      state.isOver = true
      state.inbox = []
      state.workers = nil
    }
  }

  private func call(_ key: AttemptKey, _ request: WorkerRequest) async {
    let answer =
      if let workers = state.withLock({ $0.workers }) { await workers(request) } else {
        Result<Reply, Refusal>.failure(.unavailable("the server does not take calls yet"))
      }
    add(.answer(key, answer))
  }

  private func take(
    _ input: Input, _ now: Instant, _ attempts: inout Attempts,
    _ actions: inout [(AttemptKey, SimulatedAttempt.Action)]
  ) {
    switch input {
    case .launch(let key, let launch, let documents):
      if attempts.update(key, &actions, { $0.announce() }) { return }
      do throws(SimulatedBehaviour.Mistake) {
        let behaviour = try SimulatedBehaviour(of: launch.parameters)
        if behaviour.launching == .fails, key.number <= behaviour.faultAttempts {
          actions.append(
            (key, .observe(.launchFailed(key, .environmentSetup, message: "simulated: it could not be launched"))))
          return
        }
        attempts.add(SimulatedAttempt(key, launch, behaviour, documents: documents(), at: now))
        attempts.update(key, &actions) { $0.begin(at: now) }
        guard behaviour.hasDuplicate else { return }
        let stray = "simulated:\(key):again"
        attempts.strays.insert(stray)
        actions.append((key, .observe(.duplicate(key, reference: stray))))
      } catch {
        actions.append((key, .observe(.launchFailed(key, .entrypointNotFound, message: error.description))))
      }
    case .adopt(let key):
      if attempts.update(key, &actions, { $0.announce() }) { return }
      actions.append(
        (key, .observe(.lost(key, message: "simulated attempts end with their server, and this is another one"))))
    case .end(let key, let grace):
      if attempts.update(key, &actions, { $0.end(grace: grace, at: now) }) { return }
      actions.append((key, .observe(.lost(key, message: "no simulated attempt has this name"))))
    case .endStray(let reference):
      attempts.strays.remove(reference)
    case .answer(let key, let answer):
      attempts.update(key, &actions) { $0.answered(answer, at: now) }
    }
  }
}

/// The attempts of one executor, and which of them is due next.
private struct Attempts {
  private var all: [AttemptKey: SimulatedAttempt] = [:]
  private var due = Heap<Due>()
  /// In the order of their ends.
  private var ended: [AttemptKey] = []
  var strays: Set<String> = []

  private struct Due: Comparable {
    var at: Instant
    var key: AttemptKey
    static func < (left: Due, right: Due) -> Bool { (left.at, left.key) < (right.at, right.key) }
  }

  var nextWake: Instant { due.first?.at ?? .distantFuture }

  func token(of key: AttemptKey) -> String? { all[key]?.launch.token }

  mutating func add(_ attempt: SimulatedAttempt) { all[attempt.key] = attempt }

  /// False where there is no such attempt.
  @discardableResult
  mutating func update(
    _ key: AttemptKey, _ actions: inout [(AttemptKey, SimulatedAttempt.Action)],
    _ change: (inout SimulatedAttempt) -> [SimulatedAttempt.Action]
  ) -> Bool {
    guard let place = all.index(forKey: key) else { return false }
    let (before, wasOver) = (all.values[place].wakeAt, all.values[place].phase == .over)
    for action in change(&all.values[place]) { actions.append((key, action)) }
    let after = all.values[place].wakeAt
    if after != before, after < .distantFuture { due.insert(Due(at: after, key: key)) }
    if all.values[place].phase == .over, !wasOver {
      ended.append(key)
      if ended.count > SimulatedExecutor.rememberedEnds { all[ended.removeFirst()] = nil }
    }
    return true
  }

  mutating func wake(at now: Instant, _ actions: inout [(AttemptKey, SimulatedAttempt.Action)]) {
    while let first = due.first, first.at <= now, let next = due.popFirst() {
      // What it was set for may be over by then.
      guard all[next.key]?.wakeAt == next.at else { continue }
      update(next.key, &actions) { attempt in
        attempt.wakeAt = .distantFuture
        return attempt.wake(at: now)
      }
    }
  }
}

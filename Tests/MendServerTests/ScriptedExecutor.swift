import MendCore
import MendRuntime
import Synchronization

/// Takes every launch, says at once that it runs, and ends only what it is asked to: the test is the worker.
final class ScriptedExecutor: Executor {
  private struct State {
    var sink: (@Sendable (Observation) -> Void)?
    var held: [Observation] = []
    var launches: [AttemptKey: Launch] = [:]
    var logs: [AttemptKey: [LogStream: [UInt8]]] = [:]
    var waiting: [AttemptKey: [CheckedContinuation<Launch, Never>]] = [:]
  }

  let kind = ExecutorKind.local
  private let state = Mutex(State())

  func run(sink: @escaping @Sendable (Observation) -> Void) async {
    let held = state.withLock { state in
      defer { state.held = [] }
      state.sink = sink
      return state.held
    }
    for observation in held { sink(observation) }
    // Until cancelled.
    let (stream, _) = AsyncStream.makeStream(of: Void.self)
    for await _ in stream {}
    // The sink holds the runtime, which holds this.
    state.withLock { $0.sink = nil }
  }

  func launch(_ attempt: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document]) {
    let waiting = state.withLock { state in
      state.launches[attempt] = launch
      return state.waiting.removeValue(forKey: attempt) ?? []
    }
    observe(.taken(attempt, ExecutorHandle(node: "test", pid: 1, reference: attempt.description)))
    observe(.started(attempt))
    for continuation in waiting { continuation.resume(returning: launch) }
  }

  func adopt(_ attempt: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch) {
    observe(.taken(attempt, ExecutorHandle(node: "test", pid: 1, reference: attempt.description)))
    observe(.started(attempt))
  }

  func end(_ attempt: AttemptKey, _ handle: ExecutorHandle?, grace: Duration) {
    let record = ExitRecord(termination: .signalled(15), at: Instant(milliseconds: 1))
    observe(.ended(attempt, record, EndReceipt(processes: 2, how: "SIGTERM")))
  }

  func endStray(_ attempt: AttemptKey, reference: String) {}

  /// What the attempt's process writes.
  func write(_ attempt: AttemptKey, _ stream: LogStream, _ text: String) {
    state.withLock { $0.logs[attempt, default: [:]][stream, default: []] += Array(text.utf8) }
  }

  func log(
    of attempt: AttemptKey, _ handle: ExecutorHandle?, _ stream: LogStream, from offset: Int64, limit: Int
  ) async -> Result<LogPiece, LogError> {
    state.withLock { state in
      guard state.launches[attempt] != nil else { return .failure(.gone) }
      let rest = (state.logs[attempt]?[stream] ?? []).dropFirst(Int(offset))
      return .success(LogPiece(offset: offset, bytes: Array(rest.prefix(limit))))
    }
  }

  /// What the attempt was launched with, once it was.
  func launched(_ attempt: AttemptKey) async -> Launch {
    await withCheckedContinuation { continuation in
      let launch = state.withLock { state -> Launch? in
        if let launch = state.launches[attempt] { return launch }
        state.waiting[attempt, default: []].append(continuation)
        return nil
      }
      if let launch { continuation.resume(returning: launch) }
    }
  }

  /// The entrypoint returned.
  func exit(_ attempt: AttemptKey, code: Int32) {
    let record = ExitRecord(termination: .exited(code), at: Instant(milliseconds: 1))
    observe(.ended(attempt, record, EndReceipt(processes: 1, how: "exited")))
  }

  private func observe(_ observation: Observation) {
    let sink = state.withLock { state in
      if state.sink == nil { state.held.append(observation) }
      return state.sink
    }
    sink?(observation)
  }
}

import MendCore
import MendRuntime
import Synchronization
import TestSupport

/// An executor that keeps what it was asked, and says what a test has it say.
final class ScriptedExecutor: Executor {
  struct Launched: Sendable {
    var attempt: AttemptKey
    var launch: Launch
    var documents: @Sendable () -> [Document]
  }

  private struct State {
    var sink: (@Sendable (Observation) -> Void)?
    var launched: [Launched] = []
    var adopted: [AttemptKey] = []
    var ended: [AttemptKey] = []
  }

  let kind = ExecutorKind.local
  private let trace: Seen<String>
  private let state = Mutex(State())
  /// Says `taken` and `started` from within the call to `launch`.
  let answersAtOnce: Bool

  init(_ trace: Seen<String>, answersAtOnce: Bool = false) {
    self.trace = trace
    self.answersAtOnce = answersAtOnce
  }

  var launched: [Launched] { state.withLock { $0.launched } }
  var adopted: [AttemptKey] { state.withLock { $0.adopted } }
  var ended: [AttemptKey] { state.withLock { $0.ended } }
  var isRunning: Bool { state.withLock { $0.sink != nil } }

  func say(_ observation: Observation) { state.withLock { $0.sink }?(observation) }

  func run(sink: @escaping @Sendable (Observation) -> Void) async {
    state.withLock { $0.sink = sink }
    let forever = AsyncStream<Never> { _ in }
    for await _ in forever {}
    state.withLock { $0.sink = nil }
  }

  func launch(_ attempt: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document]) {
    trace.add("launched \(attempt)")
    state.withLock { $0.launched.append(Launched(attempt: attempt, launch: launch, documents: documents)) }
    if answersAtOnce {
      say(.taken(attempt, ExecutorHandle(node: "here", pid: 1, reference: "1:1:boot")))
      say(.started(attempt))
    }
  }

  func adopt(_ attempt: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch) {
    trace.add("adopted \(attempt)")
    state.withLock { $0.adopted.append(attempt) }
  }

  func end(_ attempt: AttemptKey, _ handle: ExecutorHandle?, grace: Duration) {
    trace.add("ended \(attempt)")
    state.withLock { $0.ended.append(attempt) }
  }

  func forget(_ batch: BatchKey) { trace.add("forgot \(batch.batchID)") }

  func endStray(_ attempt: AttemptKey, reference: String) { trace.add("ended stray \(reference)") }
}

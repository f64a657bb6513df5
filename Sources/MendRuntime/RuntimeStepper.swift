package import MendCore
import Synchronization

/// Drives a runtime by hand instead of by `run()`: the same writer, mailbox, views and alarm, on the caller's thread, a
/// round at a time. The simulator's: with it nothing but the seed decides what happens when.
///
/// The executor's `run` is not called; who steps posts its observations. Used from one thread.
package final class RuntimeStepper {
  private let runtime: Runtime
  private var writer: Writer

  /// Takes the runtime's core, as `run()` would; nil where something else has it.
  package init?(_ runtime: Runtime) {
    self.runtime = runtime
    let core = runtime.core.withLock { core in
      defer { core = nil }
      return core
    }
    guard let core else { return nil }
    writer = Writer(runtime: runtime, core: core)
  }

  package func recover() throws(StoreError) { try writer.recover() }

  /// One round with what is in the mailbox; false where nothing is. After an error nothing may be done with it any more.
  package func round() throws(StoreError) -> Bool {
    let events = runtime.mailbox.takeNow()
    if events.isEmpty { return false }
    try writer.round(events)
    return true
  }

  /// When the runtime wants its next tick.
  package var alarm: Instant { runtime.alarm.deadline }

  package func tick() { runtime.mailbox.tick() }

  package func post(_ observation: Observation) { runtime.mailbox.post(observation) }

  package func post(_ outcome: NotificationOutcome, of batch: BatchKey) { runtime.mailbox.post(outcome, of: batch) }

  /// `answer` is called from within `round()`, or at once where the call is refused.
  package func command(_ command: Command, answer: @escaping @Sendable (Result<Reply, Refusal>) -> Void) {
    runtime.mailbox.call({ .command($0, command) }, answer: answer)
  }

  package func worker(_ request: WorkerRequest, answer: @escaping @Sendable (Result<Reply, Refusal>) -> Void) {
    runtime.mailbox.call({ .worker($0, request) }, answer: answer)
  }
}

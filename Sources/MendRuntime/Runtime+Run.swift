import Foundation
import Logging
import MendCore
import Synchronization

extension Runtime {
  private enum Finished: Sendable {
    case writer(Result<Void, RuntimeError>)
    case executor(ExecutorKind)
    case ticker
    case snapshotter
  }

  /// Recovers, then drives the core until the task is cancelled; then answers what is in the mailbox, and returns.
  ///
  /// Attempts stay; who waits for one to end is told to ask again. Runs once. Throws when the store failed: nothing of
  /// that round got out, and whether it is durable is unknown, so the process is to end.
  package func run() async throws(RuntimeError) {
    let isFirst = wasRun.withLock { wasRun in
      defer { wasRun = true }
      return !wasRun
    }
    guard isFirst else { throw .alreadyRun }
    let result = await withTaskGroup(of: Finished.self) { group in
      group.addTask { .writer(await self.write()) }
      for executor in self.executors where self.settings.refusal == nil {
        group.addTask {
          await executor.run { self.mailbox.post($0) }
          return .executor(executor.kind)
        }
      }
      group.addTask {
        await self.alarm.run(clock: self.clock) { self.mailbox.tick() }
        return .ticker
      }
      group.addTask {
        await self.snapshotter.run { self.tell($0) }
        return .snapshotter
      }
      var result: Result<Void, RuntimeError> = .success(())
      for await finished in group {
        switch finished {
        case .writer(let outcome):
          result = outcome
          group.cancelAll()
        case .executor(let kind) where !Task.isCancelled && self.mailbox.isOpen:
          self.logger.warning("the executor ended before the runtime", metadata: ["executor": "\(kind)"])
        case .executor, .ticker, .snapshotter: break
        }
      }
      return result
    }
    try result.get()
  }

  /// Runs the writer on a thread of its own, since its commits block; neither the cooperative pool nor an event loop
  /// does.
  private func write() async -> Result<Void, RuntimeError> {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let thread = Thread { continuation.resume(returning: self.driveWriter()) }
        thread.name = "mend-writer"
        thread.start()
      }
    } onCancel: {
      mailbox.close()
    }
  }

  private func driveWriter() -> Result<Void, RuntimeError> {
    return core.withLock { core in
      guard let fresh = core else { return .failure(.alreadyRun) }
      core = nil
      var writer = Writer(runtime: self, core: fresh)
      do throws(StoreError) {
        try writer.drive()
        recovery.settle(false)
        mailbox.end(Mailbox.stopping)
        return .success(())
      } catch {
        logger.critical("the store failed; the server stops", metadata: ["error": "\(error)"])
        recovery.settle(false)
        mailbox.end(
          .unavailable(
            "the journal failed; whether this was carried out is unknown; repeat it with the same idempotency_key when "
              + "the server is back"))
        return .failure(.store(error))
      }
    }
  }
}

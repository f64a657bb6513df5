internal import MendHTTP2
internal import NIOCore
internal import NIOPosix

/// Runs tasks on one event loop's thread, in batches: one entry in the loop's queue for all jobs of a tick.
///
/// Tasks that prefer it, and the nonisolated async functions they call, resume on the loop. So a call's handler and
/// its connection share a thread and need neither locks nor hops between them.
final class LoopTaskExecutor: TaskExecutor, @unchecked Sendable {
  // Unchecked: `queue`, `spare` and `scheduled` are used on the loop's thread alone.
  private let loop: any EventLoop
  private var queue: [UnownedJob] = []
  private var spare: [UnownedJob] = []
  private var scheduled = false
  private var draining = false
  /// The number of consecutive batches that left work behind.
  private var rounds = 0
  /// A loop does no I/O while its tasks add tasks. After this many batches it gets the chance, or a handler that yields
  /// in a loop would never see its own cancellation.
  private static let maxRounds = 16

  init(_ loop: any EventLoop) {
    self.loop = loop
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    if loop.inEventLoop {
      queue.append(job)
      schedule()
    } else {
      loop.execute {
        self.queue.append(job)
        self.schedule()
      }
    }
  }

  private func schedule() {
    guard !scheduled, !draining else { return }
    scheduled = true
    let run: @Sendable () -> Void = {
      self.scheduled = false
      self.drain()
    }
    if rounds < Self.maxRounds {
      loop.execute(run)
    } else {
      rounds = 0
      // Long enough for the loop to poll its sockets first.
      loop.scheduleTask(in: .microseconds(50), run)
    }
  }

  /// Runs the queued jobs. Jobs that they add wait for the loop's next tick, after I/O.
  func drain() {
    guard !queue.isEmpty, !draining else { return }
    draining = true
    swap(&queue, &spare)
    let executor = asUnownedTaskExecutor()
    for job in spare { unsafe job.runSynchronously(on: executor) }
    spare.removeAll(keepingCapacity: true)
    draining = false
    rounds = queue.isEmpty ? 0 : rounds + 1
    if !queue.isEmpty { schedule() }
  }
}

/// The state that all connections of one event loop share.
final class LoopContext: @unchecked Sendable {
  // Unchecked: only code on its loop's thread gets it.
  let executor: LoopTaskExecutor
  let memory = HTTP2Memory(boundToThread: true)
  let outbox = Outbox()
  let inflations: InflationQueue

  private init(_ loop: any EventLoop) {
    executor = LoopTaskExecutor(loop)
    inflations = InflationQueue(loop)
  }

  private static let current = ThreadSpecificVariable<LoopContext>()

  /// The context of the current thread's loop, made at its first use.
  static func of(_ loop: any EventLoop) -> LoopContext {
    loop.preconditionInEventLoop()
    if let context = current.currentValue { return context }
    let context = LoopContext(loop)
    current.currentValue = context
    return context
  }
}

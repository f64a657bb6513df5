internal import NIOCore

/// The tasks that run one connection's handlers.
///
/// Owned by the connection: its end cancels those that run a call and ends those that wait, and the connection counts
/// as closed only when all have returned. A task is used for one call after another, because making a task per call
/// costs a quarter more; one whose call was cancelled is not used again, since a task can't be uncancelled. Tasks are
/// detached, so no call sees another's task-local values.
final class CallWorkers: @unchecked Sendable {
  // Unchecked: used on the connection's loop alone, where the tasks run, too.
  private let executor: LoopTaskExecutor
  private var queue: [ServerCall] = []
  private var head = 0
  private var idle: [CallWorker] = []
  private var isClosed = false
  /// The number of tasks that have not returned yet.
  private(set) var liveCount = 0
  /// Called when the last task of a closed connection has returned.
  var onIdle: (() -> Void)?

  /// The number of waiting tasks that a connection keeps: enough for one batch of calls that suspend.
  private static let maxIdle = 32

  init(_ executor: LoopTaskExecutor) {
    self.executor = executor
  }

  /// The number of calls that wait or run. Kept as a number, because each call asks for it, and reading the lists costs
  /// a check for exclusive access.
  private(set) var busyCount = 0

  func submit(_ call: ServerCall) {
    queue.append(call)
    busyCount += 1
  }

  /// Starts the submitted calls. A handler that doesn't suspend has finished when this returns.
  func kick() {
    while head < queue.count {
      let before = head
      if let worker = idle.popLast() {
        worker.wake()
      } else {
        start()
      }
      executor.drain()
      // Called from within a drain: the job runs after this one.
      if head == before { break }
    }
    executor.drain()
  }

  /// The connection is gone.
  func close() {
    isClosed = true
    busyCount -= queue.count - head
    queue.removeAll()
    head = 0
    for worker in idle { worker.wake() }
    idle.removeAll()
    if liveCount == 0 { finishIdle() }
  }

  private func start() {
    let worker = CallWorker()
    liveCount += 1
    worker.task = Task.detached(executorPreference: executor) { [self] in
      await run(worker)
    }
  }

  private func run(_ worker: CallWorker) async {
    while true {
      while let call = next() {
        worker.call = call
        call.worker = worker
        await call.run()
        busyCount -= 1
        call.worker = nil
        worker.call = nil
        if worker.isCancelled { break }
      }
      guard !worker.isCancelled, !isClosed, idle.count < Self.maxIdle else { break }
      await worker.sleep { idle.append(worker) }
    }
    worker.task = nil
    liveCount -= 1
    if liveCount == 0, isClosed { finishIdle() }
    // A worker that was woken for a call and then retires must not leave the call waiting.
    if head < queue.count { kick() }
  }

  private func next() -> ServerCall? {
    guard head < queue.count else {
      if head > 0 {
        queue.removeAll(keepingCapacity: true)
        head = 0
      }
      return nil
    }
    defer { head += 1 }
    return queue[head]
  }

  private func finishIdle() {
    onIdle?()
    onIdle = nil
  }
}

/// One task of a connection, for one call after another.
final class CallWorker: @unchecked Sendable {
  // Unchecked: as CallWorkers.
  var task: Task<Void, Never>?
  var call: ServerCall?
  private(set) var isCancelled = false
  private var continuation: UnsafeContinuation<Void, Never>?

  func cancel() {
    isCancelled = true
    task?.cancel()
  }

  func wake() {
    let waiting = unsafe continuation
    unsafe continuation = nil
    unsafe waiting?.resume()
  }

  func sleep(_ begin: () -> Void) async {
    await unsafe withUnsafeContinuation {
      unsafe continuation = $0
      begin()
    }
  }
}

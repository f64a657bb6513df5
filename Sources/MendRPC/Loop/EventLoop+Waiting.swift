internal import NIOCore

extension EventLoop {
  /// Runs `body` on the loop's thread and returns its result.
  func hop<R: Sendable>(_ body: @escaping @Sendable () -> R) async -> R {
    await withCheckedContinuation { continuation in
      execute { continuation.resume(returning: body()) }
    }
  }

  /// Runs `begin` on the loop's thread, and suspends until its continuation is resumed. If the task is cancelled, runs
  /// `wake`, which must resume it, and throws.
  func wait(
    _ begin: @escaping @Sendable (CheckedContinuation<Void, Never>) -> Void, wake: @escaping @Sendable () -> Void
  ) async throws(RPCError) {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if inEventLoop { begin(continuation) } else { execute { begin(continuation) } }
        // An earlier cancellation had nobody to wake.
        if Task.isCancelled { execute(wake) }
      }
    } onCancel: {
      execute(wake)
    }
    if Task.isCancelled { throw RPCError(.cancelled, "the call was cancelled") }
  }
}

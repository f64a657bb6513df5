internal import MendHTTP2
internal import NIOCore

/// Operations of callers on a call, from any thread: start, write, wait, read, cancel. Each hops to the connection's
/// loop.
extension ClientCall {
  /// Starts the call and waits for the payload of its only response.
  func response() async -> Result<ReceivedPayload, RPCError> {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        onLoop { call in
          if let outcome = call.outcome {
            continuation.resume(returning: outcome.flatMap { call.onlyPayload() })
          } else {
            call.completion = continuation
            call.connection.start(call)
          }
        }
      }
    } onCancel: {
      cancel(RPCError(.cancelled, "the call was cancelled"))
    }
  }

  /// Starts the call and waits until it is open or has ended.
  func started() async throws(RPCError) {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        onLoop { call in
          call.starter = continuation
          call.connection.start(call)
          if call.outcome != nil { call.opened() }
        }
      }
    } onCancel: {
      cancel(RPCError(.cancelled, "the call was cancelled"))
    }
    let failure: RPCError? = await loop.hop { [self] in
      if case .failure(let error) = outcome, !sawHeaders { return error }
      return nil
    }
    if let failure { throw failure }
  }

  /// Runs `body` with the closure that writes the requests beside it, in a child task that is cancelled when `body` is
  /// done.
  func withRequests<I: RPCMessage, R>(
    _ requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void, _ body: () async -> R
  ) async -> R {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [self] in
        do throws(RPCError) {
          try await requests(RequestWriter(call: self))
          // The requests of a cancelled writer are incomplete, and must not end as if they were not.
          if Task.isCancelled { throw RPCError(.cancelled, "the call was cancelled") }
          onLoop { $0.finishRequests() }
        } catch {
          cancel(error)
        }
      }
      let result = await body()
      group.cancelAll()
      return result
    }
  }

  /// Writes the requests of an open call and waits for its only response's payload.
  func response<I: RPCMessage>(
    to requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void
  ) async throws(RPCError) -> ReceivedPayload {
    try await withRequests(requests) { await response() }.get()
  }

  /// Writes the requests of an open call while `body` reads its responses, and returns the result of `body`.
  func responses<I: RPCMessage, O: RPCMessage, R>(
    to requests: @escaping @Sendable (RequestWriter<I>) async throws(RPCError) -> Void,
    _ body: (ResponseStream<O>) async throws(RPCError) -> R
  ) async throws(RPCError) -> R {
    let result: Result<R, RPCError> = await withRequests(requests) {
      do throws(RPCError) { return .success(try await body(ResponseStream(self))) } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// Ends the call with this error unless it has ended.
  func cancel(_ error: RPCError) {
    onLoop { call in call.fail(error) }
  }

  enum Next: Sendable {
    case payloads([ReceivedPayload])
    case end
    case wait
  }

  func nextPayloads() async -> Result<Next, RPCError> {
    if loop.inEventLoop { return takePayloads() }
    return await loop.hop { [self] in takePayloads() }
  }

  func waitForResponse() async throws(RPCError) {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        onLoop { call in
          if call.outcome != nil || call.arrivals != call.arrivalsSeen {
            continuation.resume()
          } else {
            call.reader?.resume()
            call.reader = continuation
          }
        }
      }
    } onCancel: {
      cancel(RPCError(.cancelled, "the call was cancelled"))
    }
  }

  /// Queues a framed message; false when the writer should wait.
  func write(_ frame: [UInt8]) async -> Result<Bool, RPCError> {
    if loop.inEventLoop { return writeFrame(frame) }
    return await loop.hop { [self] in writeFrame(frame) }
  }

  func waitUntilDrained() async throws(RPCError) {
    try await loop.wait { [self] continuation in
      let low = connection.configuration.limits.requestHighWaterBytes / 2
      guard outcome == nil, let handle, connection.session.pendingCount(of: handle) > low else {
        return continuation.resume()
      }
      writers.append(continuation)
    } wake: { [self] in
      drained()
    }
  }

  private func onLoop(_ body: @escaping @Sendable (ClientCall) -> Void) {
    if loop.inEventLoop {
      body(self)
    } else {
      loop.execute { body(self) }
    }
  }
}

internal import MendHTTP2
internal import NIOCore
internal import Synchronization

/// One call on a server: carries out what its ``CallState`` decides, on its stream and with its handler.
final class ServerCall: @unchecked Sendable {
  // Unchecked: everything but `loop` and `context` is touched on the loop's thread alone; what handlers call from
  // elsewhere hops there first.
  let loop: any EventLoop
  let connection: ServerConnection
  private(set) var storage: CallStorage
  /// Unchecked: nothing of ``CallState`` calls out, so no two accesses overlap; the checks were 4 % of a call.
  @exclusivity(unchecked) var state: CallState
  /// The task that runs the handler, while it does.
  var worker: CallWorker?
  var reader: CheckedContinuation<Void, Never>?
  var writers: [CheckedContinuation<Void, Never>] = []

  var handle: StreamHandle { state.handle }
  var failure: RPCError? { state.failure?.error }

  init(_ connection: ServerConnection, _ handle: StreamHandle, now: NIODeadline) {
    self.connection = connection
    state = CallState(handle, at: now)
    storage = CallStorage(connection.facts)
    loop = connection.loop
  }

  /// Makes a call that nobody else knows any more ready for another stream.
  func reuse(_ handle: StreamHandle, now: NIODeadline) {
    if isKnownUniquelyReferenced(&storage) { storage.recycle() } else { storage = CallStorage(connection.facts) }
    state = CallState(handle, at: now)
  }

  var context: ServerContext { ServerContext(storage: storage) }

  // MARK: The handler

  /// Runs an inline handler on the complete request. One that was declined is as it was before.
  func runInline(_ handler: Route.Inline) -> InlineOutcome {
    var outcome = InlineOutcome.answered
    var thrown: CallState.Failure?
    do throws(RPCError) {
      let context = context
      try takeOnly(consumes: { outcome == .answered }) { payload throws(RPCError) in
        connection.session.write(handle) { buffer in
          let before = buffer.count
          do throws(RPCError) {
            try MessageFraming.append(to: &buffer, as: responsePolicy) { (buffer) throws(RPCError) in
              outcome = try handler(payload, context, &buffer)
            }
            if outcome == .declined { buffer.removeLast(buffer.count - before) }
          } catch {
            thrown = CallState.Failure(error)
          }
          state.responseBytes = buffer.count - before
        }
      }
    } catch {
      thrown = CallState.Failure(error)
    }
    if let thrown {
      finish(thrown.error)
      return .answered
    }
    if outcome == .answered { finish() }
    return outcome
  }

  /// Runs a handler that may suspend, within a worker's task.
  func run() async {
    guard case .running = state.phase, let run = state.route?.run else { return }
    do throws(RPCError) {
      if let deadline = storage.request.value.deadline {
        try await CallDeadline.$current.withValue(deadline) { await Self.outcome(of: run, self) }.get()
      } else {
        try await run(self)
      }
      finish()
    } catch {
      finish(error)
    }
  }

  /// `withValue` would make any error of a typed one.
  private static func outcome(of run: Route.Run, _ call: ServerCall) async -> Result<Void, RPCError> {
    do throws(RPCError) {
      return .success(try await run(call))
    } catch {
      return .failure(error)
    }
  }

  // MARK: The end

  /// Sends OK, unless the call ended otherwise before.
  private func finish() {
    guard !state.isOver else { return }
    if !state.isHeadSent { startResponse() }
    guard !state.isOver else { return }
    if storage.hasResponse, let trailing = storage.takeResponse().trailing, !trailing.isEmpty {
      var block = HeaderBlock()
      block.append("grpc-status", "0")
      trailing.append(to: &block)
      if let fault = connection.fault(of: block) { return finish(fault) }
      connection.session.finish(handle, trailers: block)
    } else {
      connection.session.finish(handle, trailers: WireHeaders.okTrailers)
    }
    end(.ok)
    connection.scheduleFlush()
  }

  /// Sends the status that an error stands for, unless the call ended otherwise before.
  func finish(_ error: RPCError) {
    guard !state.isOver else { return }
    var error = error
    if error.details.isEmpty, let explain = connection.server.explain { error = explain(error, state.route?.method) }
    var block = statusBlock(error)
    let bare = block
    storage.takeResponse().trailing?.append(to: &block)
    error.metadata.append(to: &block)
    // The status is what must arrive.
    if connection.fault(of: block) != nil { block = bare }
    if state.isHeadSent {
      connection.session.finish(handle, trailers: block)
    } else {
      connection.session.respond(handle, block, endStream: true)
    }
    end(error.code)
    connection.scheduleFlush()
  }

  private func statusBlock(_ error: RPCError) -> HeaderBlock {
    var block = state.isHeadSent ? HeaderBlock() : WireHeaders.responseBlock()
    WireHeaders.appendStatus(error, to: &block)
    return block
  }

  /// Forgets what arrived of a request that is not a gRPC call.
  func dropRequest() {
    connection.session.withReceived(handle) { $0.byteCount }
    connection.session.giveCredit(handle, keeping: 0)
  }

  /// Answers with an HTTP status, once the request has ended: HTTP clients expect that.
  func refuse(_ request: NonGRPCRequest) {
    let answer = request.answer
    connection.session.respond(handle, answer.headers, endStream: false)
    connection.session.write(handle) { $0 += answer.text.utf8 }
    connection.session.finish(handle)
    end(.unknown)
  }

  /// Ends the call and its handler, and tells the caller if it may still listen.
  func abort(_ error: RPCError) {
    switch state.aborted(error, unsentBytes: connection.session.pendingCount(of: handle)) {
    case .sendStatus: finish(error)
    case .reset:
      connection.session.reset(handle, .cancel)
      end(error.code)
    case .refuse(let request): refuse(request)
    case .nothing, .record, .stop: return
    }
    stop()
    connection.scheduleFlush()
  }

  /// The stream is gone: nothing can be sent any more.
  func streamClosed(_ error: @autoclosure () -> RPCError) {
    switch state.streamClosed(isHandled: worker != nil) {
    case .record:
      let error = error()
      state.failed(error)
      end(error.code)
      stop()
    case .stop: stop()
    case .nothing, .sendStatus, .reset, .refuse: break
    }
  }

  /// Every wait of the handler ends, and its task is cancelled if it still runs.
  private func stop() {
    state.failed(RPCError(.cancelled, "the call has ended"))
    wakeReader()
    drained()
    worker?.cancel()
  }

  private func end(_ code: StatusCode) {
    state.ended()
    connection.callEnded(self)
    guard connection.server.isObserved, let observer = connection.server.observer else { return }
    if let route = state.route {
      observer.callFinished(
        route.method, ordinal: route.ordinal, code, nanoseconds: (NIODeadline.now() - state.startedAt).nanoseconds,
        requestBytes: state.requestBytes, responseBytes: state.responseBytes)
    } else {
      observer.callRejected(code)
    }
  }
}

internal import MendHTTP2
internal import NIOCore
internal import Synchronization

/// One call on a server: its stream, its handler and its end.
///
/// The call is over when its status was sent, or when something ended it before: the caller's reset, its deadline, the
/// connection's loss, a broken request. `failure` then says which, every wait ends with it, and the handler's task is
/// cancelled.
final class ServerCall: @unchecked Sendable {
  // Unchecked: everything but `loop` and `context` is touched on the loop's thread alone; what handlers call from
  // elsewhere hops there first.
  let loop: any EventLoop
  let connection: ServerConnection
  private(set) var storage: CallStorage
  private(set) var handle: StreamHandle
  private(set) var route: Route?
  var worker: CallWorker?
  var deadline: NIODeadline?
  /// Of the request's messages.
  var encoding = MessageEncoding.identity
  var acceptsGzip = false
  /// The message that begins the request, decompressed; and whether it is being so.
  var inflated: Inflated?
  var isInflating = false
  private(set) var startedAt: NIODeadline

  /// The caller sent all that it wants to send.
  var requestEnded = false
  /// Why this is no call at all.
  var refusal: HTTPRefusal?
  /// Why the call ended before its handler did. Boxed: a large optional costs every call that has none.
  private(set) var failureBox: FailureBox?
  private(set) var isOver = false
  private(set) var isStarted = false
  var responseStarted = false
  var requestBytes = 0
  var responseBytes = 0

  var arrivals = 0
  var arrivalsSeen = 0
  var reader: CheckedContinuation<Void, Never>?
  var writers: [CheckedContinuation<Void, Never>] = []
  /// Somebody waited on this call: spares those on which nobody did the look at both.
  var wasWaitedFor = false

  var failure: RPCError? { failureBox?.error }

  final class FailureBox {
    let error: RPCError

    init(_ error: RPCError) {
      self.error = error
    }
  }

  init(_ connection: ServerConnection, _ handle: StreamHandle, now: NIODeadline) {
    self.connection = connection
    self.handle = handle
    storage = CallStorage(connection.facts)
    loop = connection.loop
    startedAt = now
  }

  /// Makes a call that nobody else knows any more ready for another stream.
  func reuse(_ handle: StreamHandle, now: NIODeadline) {
    if !isKnownUniquelyReferenced(&storage) { storage = CallStorage(connection.facts) } else { storage.recycle() }
    self.handle = handle
    route = nil
    deadline = nil
    if encoding != .identity {
      encoding = .identity
      inflated = nil
      isInflating = false
    }
    acceptsGzip = false
    startedAt = now
    requestEnded = false
    refusal = nil
    failureBox = nil
    isOver = false
    isStarted = false
    responseStarted = false
    requestBytes = 0
    responseBytes = 0
    arrivals = 0
    arrivalsSeen = 0
    wasWaitedFor = false
  }

  var context: ServerContext { ServerContext(storage: storage) }

  func assign(_ route: Route) {
    self.route = route
    if connection.server.isObserved { connection.server.observer?.callStarted(route.method, ordinal: route.ordinal) }
  }

  // MARK: The handler

  /// Runs an inline handler on the complete request. One that was declined is as it was before.
  func runInline(_ handler: Route.Inline) -> InlineOutcome {
    isStarted = true
    var outcome = InlineOutcome.answered
    var thrown: FailureBox?
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
            thrown = FailureBox(error)
          }
          responseBytes = buffer.count - before
        }
      }
    } catch {
      thrown = FailureBox(error)
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
    guard failureBox == nil, !isOver, let route, let run = route.run else { return }
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

  func markStarted() {
    isStarted = true
  }

  /// Runs `body` now on the loop's thread, soon from elsewhere.
  func onLoop(_ body: @escaping @Sendable (ServerCall) -> Void) {
    if loop.inEventLoop {
      body(self)
    } else {
      loop.execute { body(self) }
    }
  }

  // MARK: The end

  /// Sends OK, unless the call ended otherwise before.
  private func finish() {
    guard !isOver else { return }
    if !responseStarted { startResponse() }
    guard !isOver else { return }
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
    guard !isOver else { return }
    var error = error
    if error.details.isEmpty, let explain = connection.server.explain { error = explain(error, route?.method) }
    var block = statusBlock(error)
    let bare = block
    storage.takeResponse().trailing?.append(to: &block)
    error.metadata.append(to: &block)
    // The status is what must arrive.
    if connection.fault(of: block) != nil { block = bare }
    if responseStarted {
      connection.session.finish(handle, trailers: block)
    } else {
      connection.session.respond(handle, block, endStream: true)
    }
    end(error.code)
    connection.scheduleFlush()
  }

  private func statusBlock(_ error: RPCError) -> HeaderBlock {
    var block = responseStarted ? HeaderBlock() : WireHeaders.responseBlock()
    WireHeaders.appendStatus(error, to: &block)
    return block
  }

  /// What asked is no gRPC client: it is answered once its request has ended, as HTTP clients expect.
  func dropRequest() {
    connection.session.withReceived(handle) { $0.byteCount }
    connection.session.giveCredit(handle, keeping: 0)
    if requestEnded { refuse() }
  }

  /// Answers with an HTTP status.
  func refuse() {
    guard !isOver, let refusal else { return }
    let answer = refusal.answer
    connection.session.respond(handle, answer.headers, endStream: false)
    connection.session.write(handle) { $0 += answer.text.utf8 }
    connection.session.finish(handle)
    end(.unknown)
  }

  /// Ends the call and its handler, and says so to the caller if it may still listen.
  func abort(_ error: RPCError) {
    guard !isOver else { return }
    failureBox = FailureBox(error)
    if responseStarted, connection.session.pendingCount(of: handle) > 0 {
      // The status would have to wait behind what the caller doesn't read.
      connection.session.reset(handle, .cancel)
      end(error.code)
    } else {
      finish(error)
    }
    stop()
    connection.scheduleFlush()
  }

  /// The stream is gone: nothing can be sent any more.
  func streamClosed(_ error: @autoclosure () -> RPCError) {
    if !isOver {
      let error = error()
      failureBox = FailureBox(error)
      end(error.code)
    } else if worker == nil, !wasWaitedFor {
      // Answered, and nobody waits: the ordinary end.
      return
    }
    stop()
  }

  /// Every wait of the handler ends, and its task is cancelled if it still runs.
  private func stop() {
    if failureBox == nil { failureBox = FailureBox(RPCError(.cancelled, "the call has ended")) }
    wakeReader()
    drained()
    worker?.cancel()
  }

  private func end(_ code: StatusCode) {
    isOver = true
    // The call is kept for another one.
    if encoding != .identity { inflated = nil }
    connection.callEnded(self)
    guard connection.server.isObserved, let observer = connection.server.observer else { return }
    if let route {
      observer.callFinished(
        route.method, ordinal: route.ordinal, code, nanoseconds: (NIODeadline.now() - startedAt).nanoseconds,
        requestBytes: requestBytes, responseBytes: responseBytes)
    } else {
      observer.callRejected(code)
    }
  }
}

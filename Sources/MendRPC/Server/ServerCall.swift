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
  private(set) var startedAt: NIODeadline

  /// The caller sent all that it wants to send.
  var requestEnded = false
  /// Why this is no call at all.
  var refusal: HTTPRefusal?
  /// Why the call ended before its handler did. Boxed: a large optional costs every call that has none.
  private var failureBox: FailureBox?
  private(set) var isOver = false
  private(set) var isStarted = false
  private var responseStarted = false
  private(set) var requestBytes = 0
  private var responseBytes = 0

  private var arrivals = 0
  private var arrivalsSeen = 0
  private var reader: CheckedContinuation<Void, Never>?
  private var writers: [CheckedContinuation<Void, Never>] = []
  /// Somebody waited on this call: spares those on which nobody did the look at both.
  private var wasWaitedFor = false

  var failure: RPCError? { failureBox?.error }

  private final class FailureBox {
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
    encoding = .identity
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

  // MARK: Requests

  enum Next<Message: Sendable>: Sendable {
    case message(Message)
    case end
    case wait
  }

  /// The one message of a request that is complete.
  func takeOnlyMessage<M: RPCMessage>(_ type: M.Type) throws(RPCError) -> M {
    if let failure { throw failure }
    var message: M?
    try takeOnly { payload throws(RPCError) in message = try Self.decode(M.self, payload) }
    guard let message else { throw RPCError(.internal, "the request ended without a message") }
    return message
  }

  private func takeOnly(
    consumes: () -> Bool = { true }, _ body: (RawSpan) throws(RPCError) -> Void
  ) throws(RPCError) {
    var found = false
    var left = 0
    var compressed: [UInt8]?
    let limit = connection.server.limits.maxRequestBytes
    try connection.session.withReceived(handle) { bytes throws(RPCError) in
      requestBytes = bytes.byteCount
      left = bytes.byteCount
      switch try MessageFraming.scan(bytes, limit: limit, encoding: encoding, who: "the request") {
      case .incomplete:
        return 0
      case .payload(let range):
        found = true
        left = bytes.byteCount - range.upperBound
        if left == 0 { try body(bytes.extracting(range)) }
        return consumes() ? range.upperBound : 0
      case .gzip(let range):
        found = true
        left = bytes.byteCount - range.upperBound
        compressed = Array(copying: bytes.extracting(range))
        return 0
      }
    }
    if found, left == 0 {
      guard let compressed else { return }
      let payload = try decompressed(compressed, "the request")
      try body(payload.span.bytes)
      if consumes() { try connection.session.withReceived(handle) { bytes throws(RPCError) in bytes.byteCount } }
      return
    }
    throw RPCError(
      .internal,
      found
        ? "the request has \(left) bytes after its message; this method takes one"
        : left == 0
          ? "the request ended without a message"
          : "the request was cut short: its stream ended \(left) bytes into a message")
  }

  private func decompressed(_ payload: [UInt8], _ who: String) throws(RPCError) -> [UInt8] {
    storage.requestWasCompressed.store(true, ordering: .relaxed)
    return try Gzip.decompress(payload.span.bytes, limit: connection.server.limits.maxRequestBytes, who: who)
  }

  private static func decode<M: RPCMessage>(_ type: M.Type, _ payload: RawSpan) throws(RPCError) -> M {
    do {
      return try M.decode(payload: payload)
    } catch {
      throw RPCError(.invalidArgument, "the request is not a \(M.self): \(error.message)")
    }
  }

  func nextResult<M: RPCMessage>(_ type: M.Type) -> Result<Next<M>, RPCError> {
    do throws(RPCError) { return .success(try next(type)) } catch { return .failure(error) }
  }

  private func next<M: RPCMessage>(_ type: M.Type) throws(RPCError) -> Next<M> {
    if let failure { throw failure }
    guard !isOver else { throw RPCError(.cancelled, "the call has ended") }
    let session = connection.session
    var message: M?
    var compressed: [UInt8]?
    let limit = connection.server.limits.maxRequestBytes
    try session.withReceived(handle) { bytes throws(RPCError) in
      switch try MessageFraming.scan(bytes, limit: limit, encoding: encoding, who: "a request message") {
      case .incomplete:
        return 0
      case .payload(let range):
        if encoding != .identity { storage.requestWasCompressed.store(false, ordering: .relaxed) }
        message = try Self.decode(M.self, bytes.extracting(range))
        requestBytes += range.upperBound
        return range.upperBound
      case .gzip(let range):
        compressed = Array(copying: bytes.extracting(range))
        requestBytes += range.upperBound
        return range.upperBound
      }
    }
    if let compressed {
      let payload = try decompressed(compressed, "a request message")
      message = try Self.decode(M.self, payload.span.bytes)
    }
    let unread = session.unreadCount(of: handle)
    if let message {
      session.giveCredit(handle, keeping: unread)
      connection.scheduleFlush()
      return .message(message)
    }
    if requestEnded {
      guard unread == 0 else {
        throw RPCError(.internal, "the request was cut short: its stream ended \(unread) bytes into a message")
      }
      return .end
    }
    // A message may be larger than the window: while somebody waits for it, its parts are credited as they come.
    guard session.unreadBytes <= connection.server.limits.maxBufferedRequestBytes else {
      throw RPCError(
        .resourceExhausted,
        "\(session.unreadBytes) bytes of requests wait on this connection; send fewer large requests at once")
    }
    session.giveCredit(handle, keeping: 0)
    connection.scheduleFlush()
    arrivalsSeen = arrivals
    return .wait
  }

  /// Suspends until more of the request arrived or the call is over. Throws only when its own task is cancelled.
  func waitForRequest() async throws(RPCError) {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        onLoop { call in
          if call.failureBox != nil || call.requestEnded || call.arrivals != call.arrivalsSeen {
            continuation.resume()
          } else {
            call.reader?.resume()
            call.reader = continuation
            call.wasWaitedFor = true
          }
        }
      }
    } onCancel: {
      loop.execute { self.wakeReader() }
    }
    if Task.isCancelled { throw RPCError(.cancelled, "the call was cancelled") }
  }

  /// Bytes or the end of the request arrived.
  func requestArrived() {
    arrivals += 1
    wakeReader()
  }

  private func wakeReader() {
    guard let waiting = reader else { return }
    reader = nil
    waiting.resume()
  }

  // MARK: Responses

  /// Queues a message; false when the writer should wait.
  func write(_ message: some RPCMessage, compressed: Bool = true) throws(RPCError) -> Bool {
    if let failure { throw failure }
    guard !isOver else { throw RPCError(.cancelled, "the call has ended") }
    let session = connection.session
    if !responseStarted { startResponse() }
    let pending = session.write(handle) { buffer in
      let before = buffer.count
      MessageFraming.append(to: &buffer, as: compressed ? responsePolicy : .none) { message.encodePayload(into: &$0) }
      responseBytes += buffer.count - before
    }
    connection.answered()
    connection.scheduleFlush()
    let limits = connection.server.limits
    if pending < limits.responseHighWaterBytes, session.outboundBytes < limits.maxBufferedResponseBytes { return true }
    session.notifyWhenDrained(handle, to: limits.responseHighWaterBytes / 2)
    return false
  }

  /// The one response of a call that has one.
  func writeOnly(_ message: some RPCMessage) throws(RPCError) {
    _ = try write(message)
  }

  func waitUntilDrained() async throws(RPCError) {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        onLoop { call in
          let low = call.connection.server.limits.responseHighWaterBytes / 2
          if call.failureBox != nil || call.isOver || call.connection.session.pendingCount(of: call.handle) <= low {
            continuation.resume()
          } else {
            call.writers.append(continuation)
            call.wasWaitedFor = true
          }
        }
      }
    } onCancel: {
      loop.execute { self.drained() }
    }
    if Task.isCancelled { throw RPCError(.cancelled, "the call was cancelled") }
  }

  func drained() {
    let waiting = writers
    guard !waiting.isEmpty else { return }
    writers = []
    for continuation in waiting { continuation.resume() }
  }

  private func onLoop(_ body: @escaping @Sendable (ServerCall) -> Void) {
    if loop.inEventLoop {
      body(self)
    } else {
      loop.execute { body(self) }
    }
  }

  /// How responses are sent; settled once the first has been.
  private var responsePolicy: CompressionPolicy {
    guard acceptsGzip else { return .none }
    if storage.hasResponse, let chosen = storage.takeResponse().compression { return chosen }
    return connection.server.compression
  }

  private func startResponse() {
    responseStarted = true
    let isGzip = responsePolicy.encoding == .gzip
    guard storage.hasResponse, let metadata = storage.takeResponse().initial, !metadata.isEmpty else {
      connection.session.respond(handle, isGzip ? WireHeaders.gzipResponse : WireHeaders.response)
      return
    }
    var block = WireHeaders.responseBlock()
    if isGzip { block.append("grpc-encoding", "gzip") }
    metadata.append(to: &block)
    connection.session.respond(handle, block, endStream: false)
  }

  // MARK: The end

  /// Sends OK, unless the call ended otherwise before.
  private func finish() {
    guard !isOver else { return }
    if !responseStarted { startResponse() }
    if storage.hasResponse, let trailing = storage.takeResponse().trailing, !trailing.isEmpty {
      var block = HeaderBlock()
      block.append("grpc-status", "0")
      trailing.append(to: &block)
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
    var block = responseStarted ? HeaderBlock() : WireHeaders.responseBlock()
    WireHeaders.appendStatus(error, to: &block)
    storage.takeResponse().trailing?.append(to: &block)
    error.metadata.append(to: &block)
    if responseStarted {
      connection.session.finish(handle, trailers: block)
    } else {
      connection.session.respond(handle, block, endStream: true)
    }
    end(error.code)
    connection.scheduleFlush()
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

internal import MendHTTP2
internal import NIOCore
internal import Synchronization

/// Reading a call's requests.
extension ServerCall {
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

  func takeOnly(
    consumes: () -> Bool = { true }, _ body: (RawSpan) throws(RPCError) -> Void
  ) throws(RPCError) {
    var found = false
    var isCompressed = false
    var left = 0
    let limit = connection.server.limits.maxRequestBytes
    try connection.session.withReceived(handle) { bytes throws(RPCError) in
      state.requestBytes = bytes.byteCount
      left = bytes.byteCount
      switch try MessageFraming.scan(bytes, limit: limit, encoding: state.encoding, who: "the request") {
      case .incomplete:
        return 0
      case .payload(let range):
        found = true
        left = bytes.byteCount - range.upperBound
        if left == 0 { try body(bytes.extracting(range)) }
        return consumes() ? range.upperBound : 0
      case .gzip(let range):
        found = true
        isCompressed = true
        left = bytes.byteCount - range.upperBound
        return 0
      }
    }
    if found, left == 0 {
      guard isCompressed, case .done(let inflated) = state.inflation else { return }
      let payload = try inflated.result.get()
      try body(payload.span.bytes)
      if consumes() { dropInflated() }
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
    guard !state.isOver else { throw RPCError(.cancelled, "the call has ended") }
    let session = connection.session
    var message: M?
    var isCompressed = false
    let limit = connection.server.limits.maxRequestBytes
    try session.withReceived(handle) { bytes throws(RPCError) in
      switch try MessageFraming.scan(bytes, limit: limit, encoding: state.encoding, who: "a request message") {
      case .incomplete:
        return 0
      case .payload(let range):
        if state.encoding != .identity { storage.requestWasCompressed.store(false, ordering: .relaxed) }
        message = try Self.decode(M.self, bytes.extracting(range))
        state.requestBytes += range.upperBound
        return range.upperBound
      case .gzip:
        isCompressed = true
        return 0
      }
    }
    if isCompressed {
      guard inflate(), case .done(let inflated) = state.inflation else {
        state.readAll()
        return .wait
      }
      dropInflated()
      state.requestBytes += MessageFraming.prefixBytes + inflated.compressedBytes
      let payload = try inflated.result.get()
      message = try Self.decode(M.self, payload.span.bytes)
    }
    let unread = session.unreadCount(of: handle)
    if let message {
      session.giveCredit(handle, keeping: unread)
      connection.scheduleFlush()
      return .message(message)
    }
    if state.requestEnded {
      guard unread == 0 else {
        throw RPCError(.internal, "the request was cut short: its stream ended \(unread) bytes into a message")
      }
      return .end
    }
    // A message may be larger than the window: while somebody waits for it, its parts are credited as they come.
    try connection.checkRoom()
    session.giveCredit(handle, keeping: 0)
    connection.scheduleFlush()
    state.readAll()
    return .wait
  }

  /// Suspends until more of the request arrived or the call is over. Throws only when its own task is cancelled.
  func waitForRequest() async throws(RPCError) {
    try await loop.wait { [self] continuation in
      guard !state.canRead else { return continuation.resume() }
      reader?.resume()
      reader = continuation
      state.wasWaitedFor = true
    } wake: { [self] in
      wakeReader()
    }
  }

  func wakeReader() {
    guard let waiting = reader else { return }
    reader = nil
    waiting.resume()
  }
}

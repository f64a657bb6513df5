internal import MendHTTP2
internal import NIOCore
internal import Synchronization

/// What a call's handler reads.
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
    do throws(RPCError) {
      let limit = connection.server.limits.maxRequestBytes
      let plain = try Gzip.decompress(payload.span.bytes, limit: limit, who: who)
      if plain.count > Self.harmlessBytes, plain.count / Self.honestRatio > payload.count { isBomb() }
      return plain
    } catch {
      if error.code == .resourceExhausted { isBomb() }
      throw error
    }
  }

  /// A few kilobytes that are megabytes take their sender nothing and this loop ten milliseconds: who goes on sending
  /// them is ended as one that goes on breaking rules is.
  private func isBomb() { connection.session.countFaults(Self.faultsOfBomb) }

  private static var harmlessBytes: Int { 1 << 20 }
  /// Gzip reaches 1,032; messages of like records 20 or 30.
  private static var honestRatio: Int { 100 }
  private static var faultsOfBomb: Int { 10 }

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
    guard !connection.isOverBudget else { throw connection.overBudget }
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

  func wakeReader() {
    guard let waiting = reader else { return }
    reader = nil
    waiting.resume()
  }
}

internal import MendHTTP2
internal import NIOCore

/// How a connection's calls begin, go on and end.
extension ServerConnection {
  func call(_ handle: StreamHandle) -> ServerCall? {
    guard Int(handle.slot) < calls.value.count, let call = calls.value[Int(handle.slot)], call.handle == handle else {
      return nil
    }
    return call
  }

  private func obtain(_ handle: StreamHandle, _ now: NIODeadline) -> ServerCall {
    let slot = Int(handle.slot)
    while calls.value.count <= slot { calls.value.append(nil) }
    if calls.value[slot] != nil, isKnownUniquelyReferenced(&calls.value[slot]), let call = calls.value[slot] {
      call.reuse(handle, now: now)
      return call
    }
    let call = ServerCall(self, handle, now: now)
    calls.value[slot] = call
    return call
  }

  func opened(_ handle: StreamHandle, _ endStream: Bool, _ now: NIODeadline) {
    let call = obtain(handle, now)
    openCalls += 1
    passed(handle)
    let storage = call.storage
    session.exchangeHeaders(of: handle, with: &storage.request.value.metadata.block)
    let block = storage.request.value.metadata.block
    let head = RequestHead(block)
    guard head.isPost, head.isGRPC else {
      call.refusal = head.isPost ? .contentType : .method
      if endStream { call.refuse() }
      return
    }
    do throws(RPCError) {
      let route = try accept(call, storage, block, head, now)
      call.assign(route)
      if route.takesOneMessage {
        if endStream { arrived(call, true) }
      } else {
        call.requestEnded = endStream
        start(call)
      }
    } catch {
      call.finish(error)
    }
  }

  /// A call whose headers were too many to keep.
  func refused(_ handle: StreamHandle, _ bytes: Int, _ now: NIODeadline) {
    openCalls += 1
    obtain(handle, now).finish(
      RPCError(
        .resourceExhausted,
        "the call's headers have \(bytes) bytes (name, value and 32 for each); at most "
          + "\(server.limits.maxMetadataBytes) are taken"))
  }

  /// Everything that may refuse a call before its handler runs.
  private func accept(
    _ call: ServerCall, _ storage: CallStorage, _ block: HeaderBlock, _ head: RequestHead, _ now: NIODeadline
  ) throws(RPCError) -> Route {
    guard let route = server.routes.route(block.bytes, head.path) else {
      throw server.routes.unknown(block.text(head.path))
    }
    guard let encoding = head.encoding else {
      throw RPCError(
        .unimplemented,
        "grpc-encoding \(head.encodingName(block)) is not supported; \(MessageEncoding.accepted) are")
    }
    call.encoding = encoding
    call.acceptsGzip = head.acceptsGzip
    if let fault = head.fault(block) { throw fault }
    if let timeout = head.timeout {
      guard timeout > 0 else { throw RPCError(.deadlineExceeded, "the call's timeout is 0") }
      let deadline = now + .nanoseconds(timeout)
      call.deadline = deadline
      storage.request.value.deadline = .now + .nanoseconds(timeout)
      earliestDeadline = min(earliestDeadline ?? deadline, deadline)
    }
    guard workers.busyCount < server.limits.maxRunningCalls else {
      throw RPCError.exhausted(
        "running_calls",
        "\(server.limits.maxRunningCalls) calls of this connection are still running; wait for some to end")
    }
    guard session.outboundBytes <= server.limits.maxUnsentResponseBytes else {
      throw RPCError(
        .resourceExhausted,
        "\(session.outboundBytes) bytes of responses are unread on this connection; read them before calling again")
    }
    guard !isOverBudget else { throw overBudget }
    storage.request.value.facts = route
    if head.hasBinaryMetadata { storage.request.value.metadata = try Metadata(receiving: block) }
    if let authorize = server.authorize {
      storage.request.value.identity = try authorize(route.method, storage.request.value.metadata, peer)
    }
    return route
  }

  func arrived(_ call: ServerCall, _ endStream: Bool) {
    // The session drops what else comes of it.
    guard !call.isOver else { return }
    if endStream { call.requestEnded = true }
    if call.refusal != nil { return call.dropRequest() }
    guard let route = call.route, route.takesOneMessage else {
      guard session.unreadBytes <= server.limits.maxBufferedRequestBytes else { return call.abort(tooMuchUnread) }
      return call.requestArrived()
    }
    if endStream {
      start(call)
      return
    }
    // The handler needs the whole message: what is refused is refused early, the rest may come.
    do throws(RPCError) {
      let limit = server.limits.maxRequestBytes
      try session.withReceived(call.handle) { bytes throws(RPCError) in
        _ = try MessageFraming.scan(bytes, limit: limit, encoding: call.encoding, who: "the request")
        guard bytes.byteCount <= limit + MessageFraming.prefixBytes else {
          throw RPCError(.internal, "the request continues after its message; this method takes one")
        }
        return 0
      }
      guard session.unreadBytes <= server.limits.maxBufferedRequestBytes else { throw tooMuchUnread }
      guard !isOverBudget else { throw overBudget }
      session.giveCredit(call.handle, keeping: 0)
    } catch {
      call.abort(error)
    }
  }

  var tooMuchUnread: RPCError {
    .exhausted(
      "buffered_request_bytes",
      "\(session.unreadBytes) bytes of requests wait on this connection; send fewer large requests at once")
  }

  private func start(_ call: ServerCall) {
    guard !call.isStarted, let route = call.route else { return }
    // Who takes one message gets it whole; a stream's messages are decompressed as they are asked for.
    if call.encoding != .identity, route.takesOneMessage, !call.isInflated {
      // Complete requests wait for their turn as parts of requests wait for the rest.
      if session.unreadBytes > server.limits.maxBufferedRequestBytes { call.abort(tooMuchUnread) }
      return
    }
    switch route.handler {
    case .inline(let handler):
      guard call.runInline(handler) == .declined else { return }
      call.markStarted()
      workers.submit(call)
    case .task:
      call.markStarted()
      workers.submit(call)
    }
  }

  /// A call's message is decompressed, some time after it arrived.
  func inflated(_ call: ServerCall) {
    guard !isClosed else { return }
    if call.route?.takesOneMessage == true {
      start(call)
      workers.kick()
    } else {
      call.requestArrived()
    }
    scheduleFlush()
  }

  func closed(_ handle: StreamHandle, _ code: HTTP2ErrorCode) {
    let slot = Int(handle.slot)
    // A burst of calls is not kept for ever, nor is a long header list.
    var isKept = slot < Self.keptCalls
    if let call = call(handle) {
      call.streamClosed(
        RPCError(.cancelled, code == .cancel ? "the caller cancelled the call" : "the caller ended the stream: \(code)")
      )
      if call.storage.request.value.metadata.block.isLarger(than: server.limits.keptMetadataBytes) { isKept = false }
    }
    session.release(handle)
    if !isKept, slot < calls.value.count { calls.value[slot] = nil }
  }

  private static let keptCalls = 64

  /// Why this header list, which a handler has a part in, can't be sent; nil where it can.
  func fault(of block: HeaderBlock) -> RPCError? {
    let limit = min(session.peerMaxHeaderListBytes, HTTP2Session.maxSentListBytes)
    guard block.listBytes > limit else { return nil }
    return RPCError(
      .internal,
      "the response's metadata has \(block.listBytes) bytes (name, value and 32 for each); at most \(limit) are sent")
  }

  func callEnded(_ call: ServerCall) {
    openCalls -= 1
    answered()
  }

  /// Part of a response is on its way: the caller may ping for it (gRPC's clients do, to measure the connection).
  func answered() { timers.answered() }
}

internal import MendHTTP2
internal import NIOCore

/// A connection's calls: how they begin, receive their requests and end.
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
    if let request = head.nonGRPC { return carryOut(call.state.opened(as: request, endStream: endStream), call) }
    do throws(RPCError) {
      let route = try server.admit(head, block, load)
      storage.request.value.facts = route
      if head.hasBinaryMetadata { storage.request.value.metadata = try Metadata(receiving: block) }
      if let authorize = server.authorize {
        storage.request.value.identity = try authorize(route.method, storage.request.value.metadata, peer)
      }
      var deadline: NIODeadline?
      if let timeout = head.timeout {
        storage.request.value.deadline = .now + .nanoseconds(timeout)
        let due = now + .nanoseconds(timeout)
        earliestDeadline = min(earliestDeadline ?? due, due)
        deadline = due
      }
      let action = call.state.admitted(
        route, head.encoding ?? .identity, acceptsGzip: head.acceptsGzip, deadline: deadline, endStream: endStream)
      if server.isObserved { server.observer?.callStarted(route.method, ordinal: route.ordinal) }
      carryOut(action, call)
    } catch {
      call.finish(error)
    }
  }

  private var load: ConnectionLoad {
    let held = session.heldBytes
    return ConnectionLoad(
      runningCalls: workers.busyCount, unsentBytes: session.outboundBytes, heldBytes: held,
      isOverBudget: isOverBudget(held))
  }

  /// Answers a call whose headers were too many to keep.
  func refused(_ handle: StreamHandle, _ bytes: Int, _ now: NIODeadline) {
    openCalls += 1
    obtain(handle, now).finish(server.headersTooLarge(bytes))
  }

  func arrived(_ call: ServerCall, _ endStream: Bool) {
    carryOut(call.state.arrived(endStream: endStream), call)
  }

  private func carryOut(_ action: CallState.Action, _ call: ServerCall) {
    switch action {
    case .start: start(call)
    case .check: check(call)
    case .wake:
      guard session.unreadBytes <= server.limits.maxBufferedRequestBytes else { return call.abort(tooMuchUnread) }
      call.wakeReader()
    case .drop: call.dropRequest()
    case .refuse(let request):
      call.dropRequest()
      call.refuse(request)
    case .nothing: break
    }
  }

  /// The handler needs the whole message: one that cannot be taken is refused early, of any other the rest may come.
  private func check(_ call: ServerCall) {
    do throws(RPCError) {
      let limit = server.limits.maxRequestBytes
      try session.withReceived(call.handle) { bytes throws(RPCError) in
        _ = try MessageFraming.scan(bytes, limit: limit, encoding: call.state.encoding, who: "the request")
        guard bytes.byteCount <= limit + MessageFraming.prefixBytes else {
          throw RPCError(.internal, "the request continues after its message; this method takes one")
        }
        return 0
      }
      try checkRoom()
      session.giveCredit(call.handle, keeping: 0)
    } catch {
      call.abort(error)
    }
  }

  /// Throws where no more of a request may be kept.
  func checkRoom() throws(RPCError) {
    guard session.unreadBytes <= server.limits.maxBufferedRequestBytes else { throw tooMuchUnread }
    let held = session.heldBytes
    guard !isOverBudget(held) else { throw server.overBudget(held) }
  }

  private var tooMuchUnread: RPCError { server.tooMuchUnread(session.unreadBytes) }

  private func start(_ call: ServerCall) {
    guard let route = call.state.route else { return }
    // Who takes one message gets it whole; a stream's messages are decompressed as they are asked for.
    if call.state.encoding != .identity, route.takesOneMessage, !call.inflate() {
      // Complete requests wait for their turn as parts of requests wait for the rest.
      if session.unreadBytes > server.limits.maxBufferedRequestBytes { call.abort(tooMuchUnread) }
      return
    }
    call.state.started()
    if case .inline(let handler) = route.handler, call.runInline(handler) == .answered { return }
    workers.submit(call)
  }

  /// Continues a call whose message was decompressed.
  func inflated(_ call: ServerCall) {
    guard !isClosed else { return }
    switch call.state.inflated() {
    case .start:
      start(call)
      workers.kick()
    case .wake: call.wakeReader()
    case .nothing, .drop, .refuse, .check: break
    }
    scheduleFlush()
  }

  func closed(_ handle: StreamHandle, _ code: HTTP2ErrorCode) {
    let slot = Int(handle.slot)
    // The memory of a burst of calls or of a long header list is given back.
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

  /// Why a header list with a handler's metadata cannot be sent; nil if it can.
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

  /// Part of a response is sent. gRPC clients may then ping, to measure the connection.
  func answered() { timers.answered() }
}

internal import MendHTTP2
internal import NIOCore

/// Writing a call's responses.
extension ServerCall {
  /// Queues a message; false when the writer should wait.
  func write(_ message: some RPCMessage, compressed: Bool = true) throws(RPCError) -> Bool {
    if let failure { throw failure }
    guard !state.isOver else { throw RPCError(.cancelled, "the call has ended") }
    let session = connection.session
    if !state.isHeadSent { startResponse() }
    if let failure { throw failure }
    let pending = session.write(handle) { buffer in
      let before = buffer.count
      MessageFraming.append(to: &buffer, as: compressed ? responsePolicy : .none) { message.encodePayload(into: &$0) }
      state.responseBytes += buffer.count - before
    }
    connection.answered()
    connection.scheduleFlush()
    let limits = connection.server.limits
    let mayWrite = pending < limits.responseHighWaterBytes && session.outboundBytes < limits.maxBufferedResponseBytes
    if mayWrite, !connection.isOverBudget(session.heldBytes) { return true }
    session.notifyWhenDrained(handle, to: limits.responseHighWaterBytes / 2)
    return false
  }

  /// The one response of a call that has one.
  func writeOnly(_ message: some RPCMessage) throws(RPCError) {
    _ = try write(message)
  }

  func waitUntilDrained() async throws(RPCError) {
    try await loop.wait { [self] continuation in
      let low = connection.server.limits.responseHighWaterBytes / 2
      guard !state.isOver, connection.session.pendingCount(of: handle) > low else { return continuation.resume() }
      writers.append(continuation)
      state.wasWaitedFor = true
    } wake: { [self] in
      drained()
    }
  }

  func drained() {
    let waiting = writers
    guard !waiting.isEmpty else { return }
    writers = []
    for continuation in waiting { continuation.resume() }
  }

  /// How responses are compressed; fixed once the first is sent.
  var responsePolicy: CompressionPolicy {
    guard state.acceptsGzip else { return .none }
    if storage.hasResponse, let chosen = storage.takeResponse().compression { return chosen }
    return connection.server.compression
  }

  func startResponse() {
    state.headSent()
    let isGzip = responsePolicy.encoding == .gzip
    guard storage.hasResponse, let metadata = storage.takeResponse().initial, !metadata.isEmpty else {
      connection.session.respond(handle, isGzip ? WireHeaders.gzipResponse : WireHeaders.response)
      return
    }
    var block = WireHeaders.responseBlock()
    if isGzip { block.append("grpc-encoding", "gzip") }
    metadata.append(to: &block)
    if let fault = connection.fault(of: block) {
      connection.session.respond(handle, WireHeaders.response)
      return abort(fault)
    }
    connection.session.respond(handle, block, endStream: false)
  }
}

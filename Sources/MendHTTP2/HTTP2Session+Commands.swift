internal import CNghttp2

extension HTTP2Session {
  // MARK: Reading a stream

  /// Swaps a stream's header list with `block`, which should be empty: its memory is used for the next one.
  package func exchangeHeaders(of handle: StreamHandle, with block: inout HeaderBlock) {
    guard let stream = state.value.streams.held(handle) else { return }
    swap(&stream.value.headers, &block)
  }

  /// Swaps a stream's trailers with `block`, which should be empty.
  package func exchangeTrailers(of handle: StreamHandle, with block: inout HeaderBlock) {
    guard let stream = state.value.streams.held(handle) else { return }
    swap(&stream.value.trailers, &block)
  }

  /// Whether this stream was reset for a header list above ``HTTP2Limits/maxHeaderListBytes``.
  package func refusedHeaderList(of handle: StreamHandle) -> Bool {
    state.value.streams.held(handle)?.value.headerListTooLarge ?? false
  }

  /// The number of received bytes of this stream that are not taken yet.
  package func unreadCount(of handle: StreamHandle) -> Int {
    state.value.streams.held(handle)?.value.unread ?? 0
  }

  /// Passes the unread bytes to `body`, which returns how many of them it took. It must not call `receive`.
  package func withReceived<E: Error>(
    _ handle: StreamHandle, _ body: (RawSpan) throws(E) -> Int
  ) throws(E) {
    guard let stream = state.value.streams.held(handle) else { return }
    // Out of the stream while it is lent: what `body` does to the session cannot touch it.
    var received: [UInt8] = []
    swap(&received, &stream.value.received)
    let taken: Int
    do {
      taken = try unsafe body(received.span.bytes.extracting(stream.value.receivedStart..<received.count))
    } catch {
      swap(&received, &stream.value.received)
      throw error
    }
    guard stream.value.id == handle.id else { return }
    swap(&received, &stream.value.received)
    stream.value.receivedStart += taken
    state.value.unreadBytes -= taken
    if stream.value.receivedStart == stream.value.received.count {
      stream.value.received.recycle()
      stream.value.receivedStart = 0
    } else if stream.value.receivedStart > 32 * 1024, stream.value.receivedStart * 2 > stream.value.received.count {
      // A copy of its own size: a large message must not be paid for as long as its stream is open.
      stream.value.received = Array(stream.value.received[stream.value.receivedStart...])
      stream.value.receivedStart = 0
    }
  }

  /// Returns the stream's window for all received bytes but the last `kept`, so that the peer may send more.
  package func giveCredit(_ handle: StreamHandle, keeping kept: Int) {
    guard let stream = state.value.streams.held(handle), stream.value.uncredited > kept else { return }
    let credit = stream.value.uncredited - kept
    stream.value.uncredited = kept
    if !stream.value.remoteEnded, !stream.value.isClosed {
      unsafe nghttp2_session_consume_stream(session, handle.id, credit)
    }
  }

  /// Gives back the memory and the slot of a closed stream.
  package func release(_ handle: StreamHandle) {
    guard let stream = state.value.streams.held(handle), stream.value.isClosed else { return }
    state.value.outboundBytes -= stream.value.pending
    state.value.unreadBytes -= stream.value.unread
    state.value.headerBytes -= stream.value.headerBytes
    state.value.streams.release(stream)
  }

  // MARK: Writing a stream

  /// Opens a stream with a request (client). Bytes follow with ``write(_:_:)``, the end with ``finish(_:)``.
  package func request(_ headers: HeaderBlock, endStream: Bool) throws(HTTP2Error) -> StreamHandle {
    let next = unsafe nghttp2_session_get_next_stream_id(session)
    guard next < 1 << 31 - 1 else { throw HTTP2Error(.local, "stream ids are used up") }
    let stream = state.value.streams.insert(Int32(next))
    stream.value.outboundEnded = endStream
    stream.value.hasProvider = !endStream
    let id = unsafe headers.withNameValues { list, count in
      guard !endStream else { return unsafe nghttp2_submit_request(session, nil, list, count, nil, nil) }
      var provider = unsafe dataProvider(stream)
      return unsafe nghttp2_submit_request(session, nil, list, count, &provider, nil)
    }
    guard id == stream.value.id else {
      state.value.streams.remove(stream.value.id)
      state.value.streams.release(stream)
      throw Self.error(.local, Int(id))
    }
    stream.value.localEnded = endStream
    state.value.counters.streamsOpened += 1
    return stream.value.handle
  }

  /// Starts a response whose bytes follow with ``write(_:_:)`` and whose trailers with ``finish(_:trailers:)``.
  package func respond(_ handle: StreamHandle, _ headers: StaticHeaders) {
    guard let stream = state.value.streams.held(handle), !stream.value.isClosed, !stream.value.hasProvider else {
      return
    }
    stream.value.hasProvider = true
    var provider = unsafe dataProvider(stream)
    answer(stream, unsafe nghttp2_submit_response(session, handle.id, headers.fields, headers.count, &provider))
  }

  /// Starts a response with headers of this call. With `endStream` they are the whole response.
  package func respond(_ handle: StreamHandle, _ headers: HeaderBlock, endStream: Bool) {
    guard let stream = state.value.streams.held(handle), !stream.value.isClosed, !stream.value.hasProvider else {
      return
    }
    stream.value.hasProvider = true
    let result = unsafe headers.withNameValues { list, count in
      guard !endStream else { return unsafe nghttp2_submit_response(session, handle.id, list, count, nil) }
      var provider = unsafe dataProvider(stream)
      return unsafe nghttp2_submit_response(session, handle.id, list, count, &provider)
    }
    answer(stream, result)
    if endStream { endOurHalf(of: stream) }
  }

  /// Resets the stream of a response that the library refuses; its caller would wait for ever.
  private func answer(_ stream: Pinned<StreamState>, _ result: Int32) {
    if result != 0 { reset(stream.value.handle, .internalError) }
  }

  /// The largest header list that is sent, as RFC 9113 6.5.2 counts it; the library sends none above 64 KiB on the
  /// wire. A larger one's stream is reset with INTERNAL_ERROR.
  package static let maxSentListBytes = 60 * 1024

  /// Appends what `body` writes, and returns how many bytes wait on this stream.
  @discardableResult
  package func write(_ handle: StreamHandle, _ body: (inout [UInt8]) -> Void) -> Int {
    guard let stream = state.value.streams.held(handle), !stream.value.isClosed, !stream.value.outboundEnded else {
      return 0
    }
    let before = stream.value.outbound.count
    body(&stream.value.outbound)
    state.value.outboundBytes += stream.value.outbound.count - before
    resume(stream)
    return stream.value.pending
  }

  /// Ends our half after the bytes written so far: a request's end (client).
  package func finish(_ handle: StreamHandle) {
    finish(handle, with: .none)
  }

  /// Ends our half with trailers, after the bytes written so far.
  package func finish(_ handle: StreamHandle, trailers: StaticHeaders) {
    finish(handle, with: .fixed(trailers))
  }

  /// Ends our half with trailers, after the bytes written so far.
  package func finish(_ handle: StreamHandle, trailers: HeaderBlock) {
    finish(handle, with: .block(trailers))
  }

  private func finish(_ handle: StreamHandle, with trailers: StreamState.Trailers) {
    guard let stream = state.value.streams.held(handle), !stream.value.isClosed, !stream.value.outboundEnded else {
      return
    }
    stream.value.trailersOut = trailers
    endOurHalf(of: stream)
    resume(stream)
  }

  /// Nothing more is written on this stream. A server whose answer is complete reads nothing more of the request
  /// either: until the caller takes the answer, which may be never, it could send without end.
  private func endOurHalf(of stream: Pinned<StreamState>) {
    stream.value.outboundEnded = true
    if role == .server { stopReading(stream) }
  }

  /// Drops the unread bytes and all that still arrive; their window is not returned.
  private func stopReading(_ stream: Pinned<StreamState>) {
    if !stream.value.remoteEnded {
      stream.value.discards = true
      stream.value.uncredited = 0
    }
    let unread = stream.value.unread
    guard unread > 0 else { return }
    state.value.unreadBytes &-= unread
    stream.value.received.recycle()
    stream.value.receivedStart = 0
  }

  private func resume(_ stream: Pinned<StreamState>) {
    guard stream.value.deferred else { return }
    stream.value.deferred = false
    unsafe nghttp2_session_resume_data(session, stream.value.id)
  }

  /// The number of bytes that were written on this stream and are not sent yet.
  package func pendingCount(of handle: StreamHandle) -> Int {
    state.value.streams.held(handle)?.value.pending ?? 0
  }

  /// Asks for one ``HTTP2Event/drained(_:)`` once `mark` bytes or fewer wait on this stream.
  package func notifyWhenDrained(_ handle: StreamHandle, to mark: Int) {
    state.value.streams.held(handle)?.value.drainMark = mark
  }

  /// Ends a stream at once in both directions, and drops its unsent bytes.
  package func reset(_ handle: StreamHandle, _ code: HTTP2ErrorCode) {
    guard let stream = state.value.streams.held(handle), !stream.value.isClosed, !stream.value.resetByUs else { return }
    stream.value.discards = true
    stream.value.resetByUs = true
    stream.value.uncredited = 0
    if role == .server { stopReading(stream) }
    unsafe nghttp2_submit_rst_stream(session, flagNone, handle.id, code.rawValue)
  }

  private func dataProvider(_ stream: Pinned<StreamState>) -> nghttp2_data_provider {
    unsafe nghttp2_data_provider(source: nghttp2_data_source(fd: stream.value.slot), read_callback: readOutbound)
  }

  // MARK: The connection

  /// The number of streams that the peer allows at once.
  package var peerMaxConcurrentStreams: Int {
    Int(unsafe nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
  }

  /// The largest header list that the peer takes, as it announced it (RFC 9113 6.5.2); very large where it said
  /// nothing.
  package var peerMaxHeaderListBytes: Int {
    Int(unsafe nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE))
  }

  /// The additional debug data of the peer's last GOAWAY that had any (RFC 9113 6.8), cut to `maxGoAwayTextBytes`.
  package var goAwayText: [UInt8] { state.value.goAwayText }
  static let maxGoAwayTextBytes = 256

  /// The number of streams that are open in either direction.
  package var openStreamCount: Int { state.value.streams.count }

  /// Passes over the ids below this one (client): a connection that has carried that many calls already.
  package func skipStreams(to id: Int32) throws(HTTP2Error) {
    try check(unsafe nghttp2_session_set_next_stream_id(session, id))
  }

  package func ping(_ opaque: UInt64) {
    unsafe withUnsafeBytes(of: opaque) { bytes in
      unsafe _ = nghttp2_submit_ping(session, flagNone, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    }
  }

  /// Tells the peer to open no more streams, and accepts those that are on their way (RFC 9113 6.8). Send a ping, and
  /// when it is acknowledged call ``finishShutdown()``.
  package func beginShutdown() {
    guard role == .server else { return }
    unsafe nghttp2_submit_shutdown_notice(session)
  }

  /// Takes no new streams from now on; the session is finished when the open ones are.
  package func finishShutdown() {
    let last = unsafe nghttp2_session_get_last_proc_stream_id(session)
    unsafe nghttp2_submit_goaway(session, flagNone, last, HTTP2ErrorCode.noError.rawValue, nil, 0)
  }

  /// Ends the connection after a GOAWAY: nothing more is received, streams do not finish. `reason` is for people, and
  /// for gRPC's clients, which ping less after "too_many_pings".
  package func terminate(_ code: HTTP2ErrorCode, saying reason: StaticString = "") {
    guard !state.value.isTerminated else { return }
    state.value.isTerminated = true
    state.value.terminationReason = reason
    guard reason.utf8CodeUnitCount > 0 else {
      unsafe nghttp2_session_terminate_session(session, code.rawValue)
      return
    }
    // The library's own end can't carry a reason, and a second GOAWAY without would hide the first's.
    let last = unsafe nghttp2_session_get_last_proc_stream_id(session)
    let result = unsafe nghttp2_submit_goaway(
      session, flagNone, last, code.rawValue, reason.utf8Start, reason.utf8CodeUnitCount)
    if result != 0 { unsafe nghttp2_session_terminate_session(session, code.rawValue) }
  }
}

internal import CNghttp2

/// One side of one HTTP/2 connection (RFC 9113): bytes in → events out, commands in → bytes out.
///
/// No sockets, tasks or clock: `receive` parses bytes and appends events, commands queue frames, `send` returns the
/// bytes to write. A caller receives all that it has read, handles the events, and sends once.
///
/// A class, because the library keeps its address, and not Sendable, so that the compiler keeps it where it was made:
/// on its event loop's thread. Nothing of C is visible outside of this module.
@safe package final class HTTP2Session {
  package enum Role: Hashable, Sendable {
    case server, client
  }

  package let role: Role
  package let limits: HTTP2Limits
  let state: Pinned<SessionState>
  let memory: HTTP2Memory
  // Set in init and never changed; no variable, because every use of one would be checked for exclusive access.
  let session: OpaquePointer?
  /// Somebody else frees what there is to free.
  private var isGivenUp = false

  package var counters: HTTP2Counters { state.value.counters }
  /// The unsent bytes of all streams together.
  package var outboundBytes: Int { state.value.outboundBytes }
  /// The received bytes of all streams together that are not taken yet.
  package var unreadBytes: Int { state.value.unreadBytes }
  /// What the peer makes this session hold, up to some kilobytes: unsent and unread bytes, header lists of open
  /// streams, and an estimate for the streams themselves and for waiting frames that belong to no stream.
  package var heldBytes: Int {
    let frames = unsafe nghttp2_session_get_outbound_queue_size(session)
    return state.value.outboundBytes &+ state.value.unreadBytes &+ state.value.headerBytes
      &+ state.value.streams.count &* Self.streamBytes &+ frames &* Self.frameBytes
  }
  /// This stream's part of ``heldBytes``.
  package func heldBytes(of handle: StreamHandle) -> Int {
    guard let stream = state.value.streams.held(handle) else { return 0 }
    return Self.streamBytes &+ stream.value.headerBytes &+ stream.value.unread &+ stream.value.pending
  }
  /// A stream in the library and here, its call and the task that runs it: 6 KB were measured for a watch.
  package static let streamBytes = 4096
  /// An answer of one header list, as the library queues it: 450 were measured.
  private static let frameBytes = 512

  /// Queues the preface and the first SETTINGS. `memory` is shared by all sessions of one thread.
  package init(role: Role, limits: HTTP2Limits, memory: HTTP2Memory) throws(HTTP2Error) {
    self.role = role
    self.limits = limits
    self.memory = memory
    state = Pinned(SessionState(limits, role))

    var option: OpaquePointer?
    guard unsafe nghttp2_option_new(&option) == 0 else { throw HTTP2Error(.local, "out of memory") }
    defer { unsafe nghttp2_option_del(option) }
    unsafe nghttp2_option_set_no_auto_window_update(option, 1)
    // Blanks around a value are dropped, as gRPC lets a server do, not held against its sender.
    unsafe nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1)
    // What RFC 9113 asks of a request is asked by ``RequestRules``: the library takes no request without `:authority`
    // and none whose `:authority` is a socket's path.
    if role == .server { unsafe nghttp2_option_set_no_http_messaging(option, 1) }
    // The library's own limits are set out of the way: it counts CONTINUATION anew per read, its limit on resets reads
    // the system's clock, and that on acknowledgements is no setting of ours. ``FrameMeter`` counts, and
    // `maxOutboundFrames`.
    unsafe nghttp2_option_set_max_continuations(option, 1 << 40)
    unsafe nghttp2_option_set_max_outbound_ack(option, 1 << 40)
    unsafe nghttp2_option_set_stream_reset_rate_limit(option, 1 << 40, 1 << 30)

    let callbacks = unsafe SessionCallbacks.shared.pointer
    var session: OpaquePointer?
    let result =
      role == .server
      ? unsafe nghttp2_session_server_new3(&session, callbacks, nil, option, memory.functions)
      : unsafe nghttp2_session_client_new3(&session, callbacks, nil, option, memory.functions)
    unsafe self.session = session
    guard result == 0 else { throw Self.error(.local, Int(result)) }
    unsafe nghttp2_session_set_user_data(session, Unmanaged.passUnretained(self).toOpaque())
    try submitSettings()
  }

  deinit {
    if !isGivenUp { remains.free() }
  }

  /// The parts of a session that must be freed on its memory's thread.
  @safe package struct Remains: @unchecked Sendable {
    // Unchecked: it is carried from one thread to another, and used once.
    fileprivate let session: OpaquePointer?
    fileprivate let state: Pinned<SessionState>
    fileprivate let memory: HTTP2Memory

    /// To be called once, on the memory's thread.
    package func free() {
      if let session = unsafe session { unsafe nghttp2_session_del(session) }
      state.free()
    }
  }

  private var remains: Remains { unsafe Remains(session: session, state: state, memory: memory) }

  /// For an owner that goes on another thread than the session's: the session must not be used afterwards, and who
  /// calls this owes `Remains.free()` on the session's thread.
  package func giveUp() -> Remains {
    isGivenUp = true
    return remains
  }

  /// A server's limit on streams is in a second SETTINGS frame, which ``announceStreamLimit(_:_:)`` puts into the first
  /// on its way out: the library refuses a stream above a limit that is not acknowledged yet, and ends the connection
  /// above one that is (RFC 9113 5.1.2 leaves the choice).
  private func submitSettings() throws(HTTP2Error) {
    var settings = [
      nghttp2_settings_entry(
        settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: UInt32(limits.streamWindowBytes)),
      nghttp2_settings_entry(
        settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), value: UInt32(limits.maxHeaderListBytes)),
    ]
    if role == .client {
      settings.append(
        nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0))
    }
    var streams = nghttp2_settings_entry(
      settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue),
      value: role == .server ? UInt32(limits.maxConcurrentStreams) : 0)
    if role == .client { settings.insert(streams, at: 0) }
    try check(unsafe nghttp2_submit_settings(session, flagNone, &settings, settings.count))
    if role == .server { try check(unsafe nghttp2_submit_settings(session, flagNone, &streams, 1)) }
    try check(
      unsafe nghttp2_session_set_local_window_size(session, flagNone, 0, Int32(limits.connectionWindowBytes)))
  }

  // MARK: Bytes in

  /// Parses `bytes` and appends events.
  ///
  /// `now` is in nanoseconds on any monotonic clock; the limits on control frames are measured by it. Throws when the
  /// connection cannot go on: send what there is to send, then close. Not to be called by `send`'s body.
  package func receive(_ bytes: RawSpan, now: UInt64) throws(HTTP2Error) {
    state.value.counters.bytesReceived += bytes.byteCount
    guard !state.value.isTerminated else { return }
    state.value.meter.measure(bytes, &state.value.counters)
    checkFrames(now)
    guard !state.value.isTerminated else { return }
    let result = unsafe bytes.withUnsafeBytes { buffer in
      guard let start = buffer.baseAddress else { return 0 }
      return unsafe nghttp2_session_mem_recv(
        session, start.assumingMemoryBound(to: UInt8.self), buffer.count)
    }
    guard result >= 0 else {
      state.value.isTerminated = true
      throw Self.error(.peer, result)
    }
    checkFaults(now)
  }

  /// Checks the counts of frames before the library sees the frames.
  private func checkFrames(_ now: UInt64) {
    if state.value.meter.continuationsPeak > 0 { checkContinuations() }
    if state.value.counters.controlFramesReceived != state.value.controlFramesSeen { checkControlFrames(now) }
    if state.value.counters.resetsReceived != state.value.resetsSeen {
      let count = state.value.counters.resetsReceived - state.value.resetsSeen
      state.value.resetsSeen = state.value.counters.resetsReceived
      if !state.value.resets.take(count, now: now) { terminate(.enhanceYourCalm, saying: "too many resets") }
    }
    if state.value.counters.windowUpdatesReceived > limits.maxSpareWindowUpdates { checkWindowUpdates() }
  }

  private func checkControlFrames(_ now: UInt64) {
    let count = state.value.counters.controlFramesReceived - state.value.controlFramesSeen
    state.value.controlFramesSeen = state.value.counters.controlFramesReceived
    if !state.value.controlFrames.take(count, now: now) {
      terminate(.enhanceYourCalm, saying: "too many control frames")
    }
  }

  private func checkContinuations() {
    if state.value.meter.continuationsPeak > limits.maxContinuationFrames {
      terminate(.enhanceYourCalm, saying: "too many CONTINUATION frames")
    } else if state.value.meter.headerBytesPeak > limits.maxHeaderBlockBytes {
      terminate(.enhanceYourCalm, saying: "too many bytes of headers")
    }
    state.value.meter.forgetPeaks()
  }

  private func checkWindowUpdates() {
    let counters = state.value.counters
    let honest = limits.maxSpareWindowUpdates + 10 * counters.dataFramesSent + 2 * counters.streamsOpened
    if counters.windowUpdatesReceived > honest { terminate(.enhanceYourCalm, saying: "too many WINDOW_UPDATE frames") }
  }

  /// Checks the faults that the library found in the frames.
  private func checkFaults(_ now: UInt64) {
    // DATA that was nothing but padding.
    if state.value.counters.controlFramesReceived != state.value.controlFramesSeen { checkControlFrames(now) }
    if state.value.counters.faultsReceived != state.value.faultsSeen {
      let count = state.value.counters.faultsReceived - state.value.faultsSeen
      state.value.faultsSeen = state.value.counters.faultsReceived
      if !state.value.faults.take(count, now: now) { terminate(.enhanceYourCalm, saying: "too many broken frames") }
    }
    if state.value.counters.streamsRefused != state.value.refusalsSeen {
      let count = state.value.counters.streamsRefused - state.value.refusalsSeen
      state.value.refusalsSeen = state.value.counters.streamsRefused
      if !state.value.refusals.take(count, now: now) { terminate(.enhanceYourCalm, saying: "too many streams at once") }
    }
    if unsafe nghttp2_session_get_outbound_queue_size(session) > limits.maxOutboundFrames {
      terminate(.enhanceYourCalm, saying: "too many frames to answer")
    }
  }

  /// Counts contents of the peer's messages as broken frames. Too many of them terminate the connection:
  /// ``isTerminated`` is true then, and the output has a GOAWAY.
  package func countFaults(_ count: Int, now: UInt64) {
    state.value.counters.faultsReceived += count
    if !state.value.isTerminated { checkFaults(now) }
  }

  /// Whether the peer began a header list and has not ended it.
  package var isReceivingHeaders: Bool { state.value.meter.isInHeaders }

  /// Whether the session was ended for a fault of the peer, with a GOAWAY that the peer should be able to read.
  package var isTerminated: Bool { state.value.isTerminated }

  /// The reason in that GOAWAY; may be empty.
  package var terminationReason: String { "\(state.value.terminationReason)" }

  /// Swaps the events so far with `list`, which should be empty: its memory is used for the next ones.
  package func exchangeEvents(with list: inout [HTTP2Event]) {
    swap(&state.value.events, &list)
  }

  // MARK: Bytes out

  /// The free space that one frame needs: the library sends none above RFC 9113's initial SETTINGS_MAX_FRAME_SIZE.
  package static let frameRoom = 9 + 16 * 1024 + 256

  /// Appends the bytes to write to `output`, in order. Stops above `limit` bytes, or when less than ``frameRoom`` is
  /// left. Sending may add events.
  package func send(upTo limit: Int, into output: inout OutputRawSpan) throws(HTTP2Error) {
    try unsafe output.withUnsafeMutableBytes { room, count throws(HTTP2Error) in
      unsafe memory.beginSend(into: UnsafeMutableRawBufferPointer(rebasing: room[count...]))
      defer { memory.endSend() }
      try pump(upTo: min(limit, room.count - count - Self.frameRoom))
      count += memory.sentCount
    }
  }

  /// Calls `body` once with what is to be written, if there is anything. The span is valid only within `body`, which
  /// must not call the session.
  package func send(upTo limit: Int, _ body: (RawSpan) -> Void) throws(HTTP2Error) {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: limit + Self.frameRoom, alignment: 16)
    defer { unsafe room.deallocate() }
    unsafe memory.beginSend(into: room)
    try pump(upTo: limit)
    memory.endSend()
    guard memory.sentCount > 0 else { return }
    unsafe lend(UnsafeRawBufferPointer(rebasing: room[..<memory.sentCount]), to: body)
  }

  // Not inlined: the optimizer of Swift 6.3.1 crashes on a span that is made and lent in the middle of `send`.
  @unsafe @inline(never)
  private func lend(_ sent: UnsafeRawBufferPointer, to body: (RawSpan) -> Void) {
    body(unsafe sent.bytes)
  }

  private func pump(upTo limit: Int) throws(HTTP2Error) {
    giveConnectionCredit()
    state.value.sendLimit = limit
    while memory.sentCount < limit, !state.value.saidGoodbye {
      var frame: UnsafePointer<UInt8>?
      let count = unsafe nghttp2_session_mem_send(session, &frame)
      guard count >= 0 else { throw Self.error(.local, count) }
      if count > 0, let frame = unsafe frame {
        if unsafe !rewrite(frame, count) { unsafe memory.appendToSend(frame, count) }
      } else if state.value.endedEarly.isEmpty {
        break
      } else {
        resetStreamsEndedEarly()
      }
    }
    state.value.counters.bytesSent += memory.sentCount
    if memory.sentCount < limit { state.value.windowsWereRaised = false }
  }

  /// Without it a peer that never ends its requests would fill the connection with streams that are answered.
  private func resetStreamsEndedEarly() {
    for id in state.value.endedEarly {
      if let stream = state.value.streams.open(id), !stream.value.remoteEnded {
        stream.value.discards = true
        unsafe nghttp2_submit_rst_stream(session, flagNone, id, HTTP2ErrorCode.noError.rawValue)
      }
    }
    state.value.endedEarly.removeAll(keepingCapacity: true)
  }

  private func giveConnectionCredit() {
    guard state.value.connectionCredit > 0 else { return }
    unsafe nghttp2_session_consume_connection(session, state.value.connectionCredit)
    state.value.connectionCredit = 0
  }

  /// Whether nothing is left to read or to write, so that the connection is to be closed.
  package var isFinished: Bool {
    unsafe state.value.saidGoodbye
      || nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0
  }

  // MARK: Errors

  let flagNone = UInt8(NGHTTP2_FLAG_NONE.rawValue)

  func check(_ result: Int32) throws(HTTP2Error) {
    guard result >= 0 else { throw Self.error(.local, Int(result)) }
  }

  static func error(_ kind: HTTP2Error.Kind, _ code: Int) -> HTTP2Error {
    guard let text = unsafe nghttp2_strerror(Int32(code)) else { return HTTP2Error(kind, "error \(code)") }
    return unsafe HTTP2Error(kind, String(cString: text))
  }
}

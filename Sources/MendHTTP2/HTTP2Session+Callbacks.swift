internal import CNghttp2

/// The library's callbacks, which are the same for every session. Each only notes what happened: none of them may call
/// the library's receive or send, and the caller works through the events afterwards.
@safe struct SessionCallbacks: @unchecked Sendable {
  // Unchecked: written once, before anybody else sees it.
  let pointer: OpaquePointer?

  static let shared = SessionCallbacks()

  private init() {
    var callbacks: OpaquePointer?
    unsafe nghttp2_session_callbacks_new(&callbacks)
    unsafe nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { _, header, user in
      unsafe withSession(user) { unsafe $0.onBeginFrame(header!.pointee) }
    }
    unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
      unsafe withSession(user) { unsafe $0.onBeginHeaders(frame!) }
    }
    unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) {
      _, _, name, nameCount, value, valueCount, _, user in
      unsafe withSession(user) { unsafe $0.onHeader(name!, nameCount, value!, valueCount) }
    }
    unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, id, data, count, user in
      unsafe withSession(user) { unsafe $0.onData(id, UnsafeBufferPointer(start: data, count: count)) }
    }
    unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
      unsafe withSession(user) { unsafe $0.onFrame(frame!) }
    }
    unsafe nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, frame, code, user in
      unsafe withSession(user) { unsafe $0.onInvalidFrame(frame!.pointee.hd.stream_id, code) }
    }
    unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
      unsafe withSession(user) { unsafe $0.onFrameSent(frame!) }
    }
    unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, user in
      unsafe withSession(user) { unsafe $0.onFrameNotSent(frame!) }
    }
    unsafe nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, frame, header, count, source, user in
      unsafe withSession(user) { unsafe $0.onSendData(frame!, header!, count, slot: source!.pointee.fd) }
    }
    unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, user in
      unsafe withSession(user) { $0.onClose(id, HTTP2ErrorCode(rawValue: code)) }
    }
    unsafe pointer = callbacks
  }
}

@unsafe @inline(__always)
private func withSession(_ user: UnsafeMutableRawPointer?, _ body: (HTTP2Session) -> Int32) -> Int32 {
  unsafe Unmanaged<HTTP2Session>.fromOpaque(user!)._withUnsafeGuaranteedRef(body)
}

/// Tells the library, when a stream may send, how many bytes there are; nothing is copied.
let readOutbound: nghttp2_data_source_read_callback = { session, id, _, length, flags, source, user in
  unsafe Unmanaged<HTTP2Session>.fromOpaque(user!)._withUnsafeGuaranteedRef { this in
    let stream = unsafe this.state.value.streams.inSlot(source!.pointee.fd)
    let pending = stream.value.pending
    if pending == 0, !stream.value.outboundEnded {
      stream.value.deferred = true
      return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    let count = min(pending, length)
    var answer = NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    if count == pending, stream.value.outboundEnded {
      answer |= NGHTTP2_DATA_FLAG_EOF.rawValue
      switch stream.value.trailersOut {
      case .none:
        stream.value.localEnded = true
      case .fixed(let trailers):
        answer |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
        unsafe nghttp2_submit_trailer(session, id, trailers.fields, trailers.count)
      case .block(let trailers):
        answer |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
        unsafe trailers.withNameValues { list, count in
          unsafe _ = nghttp2_submit_trailer(session, id, list, count)
        }
      }
    }
    unsafe flags!.pointee |= answer
    return count
  }
}

private let headersType = UInt8(NGHTTP2_HEADERS.rawValue)
private let dataType = UInt8(NGHTTP2_DATA.rawValue)
private let endStreamFlag = UInt8(NGHTTP2_FLAG_END_STREAM.rawValue)
private let ackFlag = UInt8(NGHTTP2_FLAG_ACK.rawValue)

extension HTTP2Session {
  fileprivate func onBeginFrame(_ header: nghttp2_frame_hd) -> Int32 {
    switch header.type {
    case headersType, dataType:
      if role == .server, header.stream_id <= state.value.highestRemoteID { checkClosedStream(header) }
    case UInt8(NGHTTP2_RST_STREAM.rawValue):
      // Whatever the peer sends on this stream from now on, it sends after its own reset.
      if state.value.streams.open(header.stream_id) == nil, state.value.resetByUs.contains(header.stream_id) {
        state.value.resetByUs.remove(header.stream_id)
        state.value.endedByPeer.insert(header.stream_id)
      }
    case UInt8(NGHTTP2_PRIORITY.rawValue):
      if header.stream_id == 0 { terminate(.protocolError) }
    default:
      break
    }
    return 0
  }

  /// HEADERS or DATA on a stream that the peer opened earlier and that is not open any more (RFC 9113 5.1, 5.1.1). The
  /// library lets most of these pass; a late frame on a stream that we reset is no fault.
  private func checkClosedStream(_ header: nghttp2_frame_hd) {
    let id = header.stream_id
    guard id & 1 == 1, state.value.streams.open(id) == nil, !state.value.resetByUs.contains(id) else { return }
    if state.value.endedByPeer.contains(id) {
      terminate(.streamClosed)
    } else if header.type == headersType {
      terminate(.protocolError)
    }
  }

  fileprivate func onInvalidFrame(_ id: Int32, _ code: Int32) -> Int32 {
    guard code != NGHTTP2_ERR_REFUSED_STREAM.rawValue else {
      state.value.counters.streamsRefused += 1
      return 0
    }
    state.value.counters.faultsReceived += 1
    state.value.streams.open(id)?.value.isFaulty = true
    return 0
  }

  fileprivate func onBeginHeaders(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    state.value.headers.begin()
    state.value.rules.begin()
    state.value.headersTarget = nil
    guard unsafe frame.pointee.hd.type == headersType else { return 0 }
    let id = unsafe frame.pointee.hd.stream_id
    if unsafe role == .server && frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
      state.value.headersTarget = state.value.streams.insert(id)
      state.value.highestRemoteID = max(state.value.highestRemoteID, id)
      state.value.counters.streamsOpened += 1
    } else if let stream = state.value.streams.open(id) {
      state.value.headersTarget = stream
      // A client knows only from the fields whether these are trailers; see onFrame.
      stream.value.receivesTrailers = unsafe role == .server || frame.pointee.headers.cat != NGHTTP2_HCAT_RESPONSE
    }
    return 0
  }

  fileprivate func onData(_ id: Int32, _ bytes: UnsafeBufferPointer<UInt8>) -> Int32 {
    // What nobody reads holds up its own stream, whose window is given back as it is read, and no other.
    state.value.connectionCredit &+= bytes.count
    guard let stream = state.value.streams.open(id), !stream.value.discards else { return 0 }
    if stream.value.contentLeft >= 0 {
      stream.value.contentLeft -= bytes.count
      guard stream.value.contentLeft >= 0 else {
        breakOff(stream)
        return 0
      }
    }
    unsafe stream.value.received.append(contentsOf: bytes)
    state.value.unreadBytes &+= bytes.count
    stream.value.uncredited &+= bytes.count
    return 0
  }

  fileprivate func onFrame(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    let header = unsafe frame.pointee.hd
    switch header.type {
    case dataType:
      let ends = header.flags & endStreamFlag != 0
      // Nothing but padding; frames without even that are counted by the meter.
      if header.length > 0, unsafe header.length == frame.pointee.data.padlen, !ends {
        state.value.counters.controlFramesReceived += 1
      }
      guard let stream = state.value.streams.open(header.stream_id) else { break }
      if ends {
        stream.value.remoteEnded = true
        // Less than its content-length said.
        if stream.value.contentLeft > 0 { breakOff(stream) }
      }
      if !stream.value.discards, ends || header.length > 0 {
        state.value.events.append(.data(stream.value.handle, endStream: ends))
      }
    case headersType:
      guard let stream = state.value.headersTarget, stream.value.id == header.stream_id, !stream.value.isClosed else {
        break
      }
      onHeaderList(stream, endStream: header.flags & endStreamFlag != 0)
    case UInt8(NGHTTP2_RST_STREAM.rawValue):
      state.value.streams.open(header.stream_id)?.value.resetByPeer = true
    case UInt8(NGHTTP2_SETTINGS.rawValue):
      if header.flags & ackFlag == 0 { unsafe noteWindows(frame.pointee.settings) }
      state.value.events.append(header.flags & ackFlag == 0 ? .settings : .settingsAcknowledged)
    case UInt8(NGHTTP2_PING.rawValue):
      if header.flags & ackFlag == 0 {
        state.value.events.append(.pingReceived)
      } else {
        let opaque = unsafe withUnsafeBytes(of: frame.pointee.ping.opaque_data) {
          unsafe $0.loadUnaligned(as: UInt64.self)
        }
        state.value.events.append(.pingAcknowledged(opaque))
      }
    case UInt8(NGHTTP2_GOAWAY.rawValue):
      let goAway = unsafe frame.pointee.goaway
      // Who says why often sends another without a word in the same packet.
      if unsafe goAway.opaque_data_len > 0 {
        unsafe state.value.goAwayText = Array(
          UnsafeBufferPointer(start: goAway.opaque_data, count: min(goAway.opaque_data_len, Self.maxGoAwayTextBytes)))
      }
      unsafe state.value.events.append(
        .goAway(lastStreamID: goAway.last_stream_id, HTTP2ErrorCode(rawValue: goAway.error_code)))
    default:
      break
    }
    return 0
  }

  private func noteWindows(_ settings: nghttp2_settings) {
    let count = unsafe settings.niv
    for index in 0..<count {
      let entry = unsafe settings.iv[index]
      guard entry.settings_id == Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue) else { continue }
      if Int(entry.value) > state.value.peerInitialWindow { state.value.windowsWereRaised = true }
      state.value.peerInitialWindow = Int(entry.value)
    }
  }

  fileprivate func onFrameSent(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    let header = unsafe frame.pointee.hd
    switch header.type {
    case headersType, dataType:
      guard header.flags & endStreamFlag != 0, let stream = state.value.streams.open(header.stream_id) else { break }
      stream.value.localEnded = true
      if role == .server, !stream.value.remoteEnded { state.value.endedEarly.append(header.stream_id) }
    case UInt8(NGHTTP2_RST_STREAM.rawValue):
      state.value.counters.resetsSent += 1
      state.value.resetByUs.insert(header.stream_id)
      let stream = state.value.streams.open(header.stream_id)
      let code = unsafe HTTP2ErrorCode(rawValue: frame.pointee.rst_stream.error_code)
      guard let stream else { break }
      // A reset that nobody here asked for: the peer broke a rule on this stream.
      if !stream.value.resetByUs, !stream.value.isFaulty, code != .noError {
        state.value.counters.faultsReceived += 1
        // SETTINGS that make a window too large are the connection's error (RFC 9113 6.9.2); the library takes them for
        // the stream's. It says the same of DATA beyond our window, which may be either (6.9.1).
        if code == .flowControlError, state.value.windowsWereRaised { terminate(.flowControlError) }
      }
      stream.value.resetByUs = true
    case UInt8(NGHTTP2_GOAWAY.rawValue):
      // The library found the connection broken, and nothing that still arrives counts.
      guard unsafe frame.pointee.goaway.error_code != HTTP2ErrorCode.noError.rawValue else { break }
      state.value.isTerminated = true
      state.value.saidGoodbye = true
    default:
      break
    }
    return 0
  }

  /// A request that the library would not send, as after a GOAWAY: the peer never saw it. A response or trailers that
  /// it would not send, as they are too large: its caller waits for them.
  fileprivate func onFrameNotSent(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    let header = unsafe frame.pointee.hd
    if role == .client, header.type == headersType, unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
      return onClose(header.stream_id, .refusedStream)
    }
    if role == .server, header.type == headersType, let stream = state.value.streams.open(header.stream_id) {
      reset(stream.value.handle, .internalError)
    }
    return 0
  }

  fileprivate func onSendData(
    _ frame: UnsafePointer<nghttp2_frame>, _ header: UnsafePointer<UInt8>, _ count: Int, slot: Int32
  ) -> Int32 {
    // The library may send many frames in one go; it is told to stop as `send(upTo:_:)` would.
    guard memory.sentCount < state.value.sendLimit else { return Int32(NGHTTP2_ERR_WOULDBLOCK.rawValue) }
    let stream = state.value.streams.inSlot(slot)
    unsafe memory.appendToSend(header, 9)
    unsafe stream.value.outbound.withUnsafeBytes { bytes in
      guard count > 0, let start = bytes.baseAddress else { return }
      unsafe memory.appendToSend(start + stream.value.outboundStart, count)
    }
    stream.value.outboundStart &+= count
    state.value.outboundBytes &-= count
    state.value.counters.dataFramesSent &+= 1
    state.value.counters.dataBytesSent &+= count
    if stream.value.outboundStart == stream.value.outbound.count {
      stream.value.outbound.recycle()
      stream.value.outboundStart = 0
    } else if stream.value.outboundStart > 64 * 1024, stream.value.outboundStart * 2 > stream.value.outbound.count {
      // Not more often: each time copies all that is left.
      stream.value.outbound = Array(stream.value.outbound[stream.value.outboundStart...])
      stream.value.outboundStart = 0
    }
    if stream.value.pending <= stream.value.drainMark {
      stream.value.drainMark = -1
      state.value.events.append(.drained(stream.value.handle))
    }
    return 0
  }

  fileprivate func onClose(_ id: Int32, _ code: HTTP2ErrorCode) -> Int32 {
    guard let stream = state.value.streams.open(id) else { return 0 }
    state.value.streams.remove(id)
    stream.value.isClosed = true
    if stream.value.remoteEnded || stream.value.resetByPeer { state.value.endedByPeer.insert(id) }
    state.value.events.append(.closed(stream.value.handle, code))
    return 0
  }
}

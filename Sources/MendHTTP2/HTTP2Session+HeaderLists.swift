internal import CNghttp2

/// Turns header lists into requests, responses and trailers.
extension HTTP2Session {
  @unsafe
  func onHeader(
    _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int
  ) -> Int32 {
    // Before anything is looked at: a byte of the peer's may name a field of kilobytes.
    state.value.headers.count(nameCount, valueCount)
    if state.value.headers.listBytes > limits.maxHeaderListBytes, !mayBeTold {
      state.value.headersTarget?.value.headerListTooLarge = true
      return Int32(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
    }
    if role == .server, state.value.rules.isMalformed { return 0 }
    let (start, count) = unsafe Self.stripped(value, valueCount)
    if role == .server {
      let inTrailers = state.value.headersTarget?.value.receivesTrailers ?? false
      guard unsafe state.value.rules.take(name, nameCount, start, count, inTrailers: inTrailers) else { return 0 }
    }
    unsafe state.value.headers.add(name, nameCount, start, count)
    return 0
  }

  /// Reports a header list that is too large to be kept, so that its call can be answered with an error.
  private var mayBeTold: Bool {
    role == .server && state.value.headersTarget?.value.receivesTrailers == false
      && state.value.headers.listBytes <= 4 * limits.maxHeaderListBytes
  }

  /// A value without the blanks around it, which are not part of it (RFC 9110 5.5).
  @unsafe @inline(__always)
  private static func stripped(_ value: UnsafePointer<UInt8>, _ count: Int) -> (UnsafePointer<UInt8>, Int) {
    func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
    var start = unsafe value
    var count = count
    while count > 0, isBlank(unsafe start[count &- 1]) { count &-= 1 }
    while count > 0, isBlank(unsafe start[0]) {
      unsafe start += 1
      count &-= 1
    }
    return unsafe (start, count)
  }

  func onHeaderList(_ stream: Pinned<StreamState>, endStream: Bool) {
    if endStream { stream.value.remoteEnded = true }
    state.value.headersTarget = nil
    guard !stream.value.discards else { return }
    if role == .server, !accepts(stream, endStream: endStream) { return breakOff(stream) }
    guard state.value.headers.listBytes <= limits.maxHeaderListBytes else {
      state.value.events.append(
        .headersTooLarge(stream.value.handle, bytes: state.value.headers.listBytes, endStream: endStream))
      return
    }
    stream.value.headerBytes &+= state.value.headers.listBytes
    state.value.headerBytes &+= state.value.headers.listBytes
    if stream.value.receivesTrailers {
      stream.value.trailers.take(state.value.headers)
    } else {
      stream.value.headers.take(state.value.headers)
      if role == .server, state.value.rules.hasHost, !RequestRules.hostAgrees(stream.value.headers) {
        return breakOff(stream)
      }
    }
    guard role == .client else {
      state.value.events.append(
        stream.value.receivesTrailers
          ? .trailers(stream.value.handle) : .headers(stream.value.handle, endStream: endStream))
      return
    }
    let block = stream.value.receivesTrailers ? stream.value.trailers : stream.value.headers
    guard let status = block.first(":status") else {
      if stream.value.receivesTrailers { state.value.events.append(.trailers(stream.value.handle)) }
      return
    }
    // 1xx announces a response and is none.
    if block.bytes[status.value].first == UInt8(ascii: "1") {
      stream.value.headers.removeAll()
      stream.value.trailers.removeAll()
      return
    }
    if stream.value.receivesTrailers {
      swap(&stream.value.headers, &stream.value.trailers)
      stream.value.trailers.removeAll()
    }
    state.value.events.append(.headers(stream.value.handle, endStream: endStream))
  }

  /// Whether a request's header list or trailers follow the rules (server).
  private func accepts(_ stream: Pinned<StreamState>, endStream: Bool) -> Bool {
    if stream.value.receivesTrailers {
      return !state.value.rules.isMalformed && endStream && stream.value.contentLeft <= 0
    }
    stream.value.contentLeft = state.value.rules.contentLength
    return state.value.rules.isRequest && !(endStream && stream.value.contentLeft > 0)
  }

  /// The request on this stream is malformed (RFC 9113 8.1.1), and nobody is told of more of it. Its reset counts as a
  /// fault of the peer's when it is sent.
  func breakOff(_ stream: Pinned<StreamState>) {
    guard !stream.value.discards else { return }
    stream.value.discards = true
    stream.value.uncredited = 0
    unsafe nghttp2_submit_rst_stream(
      session, flagNone, stream.value.id, HTTP2ErrorCode.protocolError.rawValue)
  }
}

internal import CNghttp2

/// Frames that replace the library's own.
extension HTTP2Session {
  private static let frameHeadBytes = 9

  /// Whether a frame of the library was replaced by another.
  @unsafe
  func rewrite(_ frame: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    switch unsafe frame[3] {
    case UInt8(NGHTTP2_SETTINGS.rawValue): unsafe announceStreamLimit(frame, count)
    case UInt8(NGHTTP2_GOAWAY.rawValue): unsafe explainLongField(frame, count)
    default: false
    }
  }

  /// Makes one frame of a server's first two SETTINGS: so the peer acknowledges the first, and the limit in the second
  /// stays unacknowledged to the library.
  private func announceStreamLimit(_ frame: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    guard role == .server, state.value.settingsSent < 2 else { return false }
    state.value.settingsSent += 1
    guard state.value.settingsSent == 1 else { return true }
    let limit = UInt32(limits.maxConcurrentStreams)
    let setting: [UInt8] =
      [0, UInt8(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue)]
      + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: limit >> $0) }
    var bytes = unsafe [UInt8](UnsafeBufferPointer(start: frame, count: count))
    bytes[2] += UInt8(setting.count)
    bytes.insert(contentsOf: setting, at: Self.frameHeadBytes)
    unsafe bytes.withUnsafeBytes { unsafe memory.appendToSend($0.baseAddress!, $0.count) }
    return true
  }

  /// A name or a value above 64 KiB looks to the library like broken compression as soon as its length is read. Who
  /// sends one fills the frames before its end; in a shorter list the compression is broken.
  private func explainLongField(_ frame: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let isBrokenCompression = unsafe count >= 17 && frame[16] == UInt8(NGHTTP2_COMPRESSION_ERROR.rawValue)
    guard isBrokenCompression, state.value.meter.isInLongHeaders else { return false }
    let text = Array("too many bytes of headers".utf8)
    var goAway = unsafe [UInt8](UnsafeBufferPointer(start: frame, count: 17)) + text
    goAway[1] = 0
    goAway[2] = UInt8(8 + text.count)
    goAway[16] = UInt8(NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
    unsafe goAway.withUnsafeBytes { unsafe memory.appendToSend($0.baseAddress!, $0.count) }
    return true
  }
}

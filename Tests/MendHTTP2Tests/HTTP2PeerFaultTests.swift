import MendHTTP2
import Testing

/// A server against a peer that is written byte by byte.
@Suite struct HTTP2PeerFaultTests {
  @Test("Stream ids that run back end the connection with PROTOCOL_ERROR")
  func idsRunBack() throws {
    let peer = try WrittenPeer()
    try peer.send(WrittenPeer.headers(5))
    try peer.answerAll()
    try peer.send(WrittenPeer.headers(3))
    #expect(try peer.answer().goAway == UInt8(HTTP2ErrorCode.protocolError.rawValue))
    #expect(peer.session.isFinished)
  }

  @Test("HEADERS on a stream that the peer had ended end the connection with STREAM_CLOSED")
  func headersAfterEnd() throws {
    let peer = try WrittenPeer()
    try peer.send(WrittenPeer.headers(1))
    try peer.answerAll()
    try peer.send(WrittenPeer.headers(1))
    #expect(try peer.answer().goAway == UInt8(HTTP2ErrorCode.streamClosed.rawValue))
  }

  @Test("DATA that was under way when we reset its stream is no fault")
  func lateData() throws {
    let peer = try WrittenPeer()
    try peer.send(WrittenPeer.headers(1, end: false))
    var events: [HTTP2Event] = []
    peer.session.exchangeEvents(with: &events)
    for case .headers(let handle, _) in events { peer.session.reset(handle, .cancel) }
    _ = try peer.answer()
    try peer.send(WrittenPeer.frame(0, stream: 1, [1, 2, 3]))
    #expect(try peer.answer().goAway == nil)
    #expect(!peer.session.isFinished)
  }

  @Test("SETTINGS that make a window too large are the connection's fault, a WINDOW_UPDATE that does is its stream's")
  func windowTooLarge() throws {
    let largest: [UInt8] = [0, 4, 0x7f, 0xff, 0xff, 0xff]
    let flowControl = UInt8(HTTP2ErrorCode.flowControlError.rawValue)
    let peer = try WrittenPeer()
    try peer.send(WrittenPeer.headers(1, end: false) + WrittenPeer.frame(8, stream: 1, [0, 0, 0, 1]))
    try peer.send(WrittenPeer.frame(4, largest))
    #expect(try peer.answer().goAway == flowControl)
    #expect(peer.session.isTerminated)

    let other = try WrittenPeer()
    // A window as large as it may be is no fault, however it became so, and what follows is judged by itself.
    try other.send(WrittenPeer.headers(1, end: false) + WrittenPeer.frame(4, largest))
    #expect(try other.answer().goAway == nil)
    try other.send(WrittenPeer.frame(8, stream: 1, [0, 0, 0, 1]))
    let answer = try other.answer()
    #expect(answer.resets == [flowControl] && answer.goAway == nil)
    #expect(!other.session.isTerminated)
  }

  @Test("A valid request that arrives byte by byte is understood")
  func byteByByte() throws {
    let peer = try WrittenPeer()
    for byte in WrittenPeer.headers(1, end: false) + WrittenPeer.frame(0, flags: 1, stream: 1, [1, 2, 3]) {
      try peer.send([byte])
    }
    var events: [HTTP2Event] = []
    peer.session.exchangeEvents(with: &events)
    #expect(events.filter { $0 != .settings && $0 != .settingsAcknowledged }.count == 2)
  }

  @Test("A header list in several CONTINUATION frames is understood byte by byte")
  func continuations() throws {
    let peer = try WrittenPeer()
    let whole = Array(WrittenPeer.headers(1).dropFirst(9))
    var bytes = WrittenPeer.frame(1, flags: 1, stream: 1, [])
    for start in stride(from: 0, to: whole.count, by: 8) {
      let part = Array(whole[start..<min(start + 8, whole.count)])
      bytes += WrittenPeer.frame(9, flags: start + 8 >= whole.count ? 4 : 0, stream: 1, part)
    }
    for byte in bytes { try peer.send([byte]) }
    #expect(try peer.answer().goAway == nil)
    #expect(peer.session.counters.streamsOpened == 1)
  }

  @Test("A flood of pings is ended with ENHANCE_YOUR_CALM, and a slow trickle of them is not")
  func pingFlood() throws {
    var limits = HTTP2Limits()
    limits.controlFrames = RateLimit(burst: 100, perSecond: 10)
    var patient = try WrittenPeer(limits)
    for second in 0..<200 {
      patient.now = UInt64(second) * 1_000_000_000
      for _ in 0..<10 { try patient.send(WrittenPeer.frame(6, [0, 0, 0, 0, 0, 0, 0, 0])) }
      #expect(try patient.answer().goAway == nil)
    }
    let flood = try WrittenPeer(limits)
    for _ in 0..<200 { try flood.send(WrittenPeer.frame(6, [0, 0, 0, 0, 0, 0, 0, 0])) }
    #expect(try flood.answer().goAway == UInt8(HTTP2ErrorCode.enhanceYourCalm.rawValue))
  }

  @Test("Requests that are reset as fast as they are made end the connection")
  func rapidReset() throws {
    var limits = HTTP2Limits()
    limits.resetsReceived = RateLimit(burst: 50, perSecond: 10)
    let peer = try WrittenPeer(limits)
    var goAway: UInt8?
    for index in 0..<100 where goAway == nil {
      let id = UInt32(index * 2 + 1)
      try peer.send(WrittenPeer.headers(id, end: false) + WrittenPeer.frame(3, stream: id, [0, 0, 0, 8]))
      goAway = try peer.answer().goAway
    }
    #expect(goAway == UInt8(HTTP2ErrorCode.enhanceYourCalm.rawValue))
    #expect(peer.session.counters.resetsReceived == 51)
  }

  @Test("Streams that a peer makes us reset end the connection as well")
  func madeYouReset() throws {
    var limits = HTTP2Limits()
    limits.faultsReceived = RateLimit(burst: 20, perSecond: 1)
    let peer = try WrittenPeer(limits)
    var goAway: UInt8?
    for index in 0..<100 where goAway == nil {
      let id = UInt32(index * 2 + 1)
      // A window above 2^31-1 is an error of its stream (RFC 9113 6.9.1).
      try peer.send(WrittenPeer.headers(id, end: false) + WrittenPeer.frame(8, stream: id, [0x7f, 0xff, 0xff, 0xff]))
      goAway = try peer.answer().goAway
    }
    #expect(goAway == UInt8(HTTP2ErrorCode.enhanceYourCalm.rawValue))
  }

  @Test("What is no HTTP/2 is refused at once")
  func wrongPreface() throws {
    let session = try HTTP2Session(role: .server, limits: HTTP2Limits(), memory: HTTP2Memory())
    #expect(throws: HTTP2Error.self) {
      try session.receive(Array("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".utf8).span.bytes, now: 0)
    }
  }

  @Test("A token bucket fills at its rate and never above its burst")
  func bucket() {
    var bucket = TokenBucket(RateLimit(burst: 10, perSecond: 2))
    let taken = [
      bucket.take(10, now: 1_000), bucket.take(1, now: 1_000), bucket.take(1, now: 400_000_000),
      bucket.take(1, now: 1_000_000_000), bucket.take(10, now: 100_000_000_000), bucket.take(1, now: 100_000_000_000),
    ]
    #expect(taken == [true, false, false, true, true, false])
  }
}

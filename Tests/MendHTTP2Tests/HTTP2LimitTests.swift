@testable import MendHTTP2
import Testing

/// Each limit of ``HTTP2Limits`` against a peer that goes beyond it, and one that stays below.
@Suite struct HTTP2LimitTests {
  private let calm = UInt8(HTTP2ErrorCode.enhanceYourCalm.rawValue)

  /// HEADERS without END_HEADERS, and `count` CONTINUATION frames of `bytes` bytes each, of a field that has no end.
  private func endless(_ count: Int, of bytes: Int) -> [UInt8] {
    // A literal whose value has 60,000 bytes.
    let start: [UInt8] = [0x83, 0x86, 0x00, 0x01, 0x61, 0x7f, 0xe1, 0xd3, 0x03]
    var frames = WrittenPeer.frame(1, flags: 1, stream: 1, start)
    for _ in 0..<count { frames += WrittenPeer.frame(9, stream: 1, [UInt8](repeating: 0x61, count: bytes)) }
    return frames
  }

  @Test("maxContinuationFrames: empty CONTINUATION frames end the connection, however they are cut")
  func continuationFrames() throws {
    for cut in [1, 7, 100_000] {
      let peer = try WrittenPeer()
      let most = endless(64, of: 0)
      for start in stride(from: 0, to: most.count, by: cut) {
        try peer.send(Array(most[start..<min(start + cut, most.count)]))
      }
      #expect(try peer.answer().goAway == nil)
      try peer.send(WrittenPeer.frame(9, stream: 1))
      #expect(try peer.answer().goAway == calm)
      #expect(peer.session.isFinished)
    }
  }

  @Test("maxContinuationFrames: CONTINUATION frames of a list that is refused already are counted as well")
  func ignoredContinuationFrames() throws {
    var limits = HTTP2Limits()
    limits.maxHeaderListBytes = 100
    limits.maxContinuationFrames = 10
    let peer = try WrittenPeer(limits)
    let field: [UInt8] = [0x00, 0x01, 0x61, 0x64] + [UInt8](repeating: 0x61, count: 100)
    try peer.send(WrittenPeer.frame(1, flags: 1, stream: 1, [0x83, 0x86]))
    for _ in 0..<10 { try peer.send(WrittenPeer.frame(9, stream: 1, field)) }
    let answer = try peer.answer()
    #expect(answer.resets == [UInt8(HTTP2ErrorCode.internalError.rawValue)])
    #expect(answer.goAway == nil)
    try peer.send(WrittenPeer.frame(9, stream: 1, field))
    #expect(try peer.answer().goAway == calm)
  }

  @Test("maxHeaderBlockBytes: a header list without end is cut off by its bytes")
  func headerBlockBytes() throws {
    var limits = HTTP2Limits()
    limits.maxHeaderBlockBytes = 40_000
    let peer = try WrittenPeer(limits)
    try peer.send(endless(3, of: 13_000))
    #expect(try peer.answer().goAway == nil)
    try peer.send(WrittenPeer.frame(9, stream: 1, [UInt8](repeating: 0x61, count: 2000)))
    #expect(try peer.answer().goAway == calm)
  }

  @Test("maxHeaderListBytes: a list somewhat above it is told, and nothing of it is kept")
  func headerListTold() throws {
    var limits = HTTP2Limits()
    limits.maxHeaderListBytes = 300
    let pair = try SessionPair(server: limits)
    #expect(throws: HTTP2Error.self) { _ = try pair.request([("x", String(repeating: "a", count: 200))]) }
    let told = pair.serverEvents.compactMap { event -> (StreamHandle, Int)? in
      if case .headersTooLarge(let handle, let bytes, false) = event { return (handle, bytes) }
      return nil
    }
    let (handle, bytes) = try #require(told.first)
    // The four pseudo-headers of SessionPair and one more: names, values, and 32 bytes a field.
    #expect(bytes == 43 + 43 + 43 + 51 + 233)
    var block = HeaderBlock()
    pair.server.exchangeHeaders(of: handle, with: &block)
    #expect(block.isEmpty)
  }

  @Test("maxHeaderListBytes: one entry of the table named again and again resets its stream")
  func headerBomb() throws {
    let peer = try WrittenPeer()
    let value = [UInt8](repeating: 0x61, count: 4000)
    // x: aaa..., with incremental indexing; its length is 127 and 3873 more.
    let entry: [UInt8] = [0x40, 0x01, 0x78, 0x7f, 0xa1, 0x1e] + value
    try peer.send(
      WrittenPeer.frame(
        1, flags: 5, stream: 1, [0x83, 0x86, 0x84, 0x01, 1, 0x61] + entry + [UInt8](repeating: 0xbe, count: 10_000)))
    let answer = try peer.answer()
    #expect(answer.resets == [UInt8(HTTP2ErrorCode.internalError.rawValue)])
    #expect(answer.goAway == nil)
    for case .headers in peer.events() { Issue.record("a request of 40 MB was taken") }
    // The table is still the peer's: the next request may name the entry once.
    try peer.send(WrittenPeer.frame(1, flags: 5, stream: 3, [0x83, 0x86, 0x84, 0x01, 1, 0x61, 0xbe]))
    #expect(peer.events().contains { if case .headers = $0 { true } else { false } })
  }

  /// A request of one field that is named again and again, which follows one that put it into the table.
  private func naming(_ entry: [UInt8], _ count: Int, behind first: [UInt8] = []) throws -> WrittenPeer {
    let peer = try WrittenPeer()
    let request: [UInt8] = [0x83, 0x86, 0x84, 0x01, 1, 0x61]
    try peer.send(WrittenPeer.frame(1, flags: 5, stream: 1, request + entry))
    #expect(peer.events().contains { if case .headers = $0 { true } else { false } })
    let block = first + request + [UInt8](repeating: 0xbe, count: count)
    try peer.send(WrittenPeer.frame(1, flags: 5, stream: 3, block))
    return peer
  }

  @Test("maxHeaderListBytes: blanks around a value are its sender's bytes like any others")
  func headerBombOfBlanks() throws {
    // x: 3900 blanks; its length is 127 and 3773 more.
    let entry: [UInt8] = [0x40, 0x01, 0x78, 0x7f, 0xbd, 0x1d] + [UInt8](repeating: 0x20, count: 3900)
    let peer = try naming(entry, 1900)
    #expect(try peer.answer().resets == [UInt8(HTTP2ErrorCode.internalError.rawValue)])
    #expect(peer.session.counters.faultsReceived == 1)
    for case .headers in peer.events() { Issue.record("a request of 7 MB was taken") }
    let few = try naming(entry, 3)
    #expect(few.events().contains { if case .headers = $0 { true } else { false } })
  }

  @Test("maxHeaderListBytes: a list that broke a rule is counted on, and is no cheaper to send")
  func headerBombBehindAFault() throws {
    let entry: [UInt8] = [0x40, 0x01, 0x78, 0x7f, 0xa1, 0x1e] + [UInt8](repeating: 0x61, count: 4000)
    // :bad
    let peer = try naming(entry, 10_000, behind: [0x00, 0x04, 0x3a, 0x62, 0x61, 0x64, 0x01, 0x78])
    #expect(try peer.answer().resets == [UInt8(HTTP2ErrorCode.internalError.rawValue)])
    #expect(peer.session.counters.faultsReceived == 1)
  }

  @Test("A server keeps nothing of a request that it has answered, though nobody takes the answer")
  func requestAfterItsAnswer() throws {
    for isWhole in [false, true] {
      let peer = try WrittenPeer()
      // No window for the answer.
      try peer.send(WrittenPeer.frame(4, [0, 4, 0, 0, 0, 0]) + WrittenPeer.headers(1, end: false))
      let data = WrittenPeer.frame(0, stream: 1, [UInt8](repeating: 7, count: 16_000))
      try peer.send(data)
      #expect(peer.session.unreadBytes == 16_000)
      let handle = try #require(
        peer.events().compactMap { event -> StreamHandle? in
          if case .headers(let handle, _) = event { handle } else { nil }
        }.first)
      if isWhole {
        var block = HeaderBlock()
        block.append(":status", "200")
        block.append("grpc-status", "8")
        peer.session.respond(handle, block, endStream: true)
      } else {
        peer.session.respond(handle, SessionPair.okHeaders)
        peer.session.write(handle) { $0 += [1, 2, 3] }
        peer.session.finish(handle, trailers: SessionPair.okTrailers)
        _ = try peer.answer()
      }
      #expect(peer.session.unreadBytes == 0)
      let held = peer.session.heldBytes
      // As much as the stream's window has room for, whether the end of the answer was sent meanwhile or not.
      for number in 0..<15 {
        try peer.send(data)
        #expect(peer.session.unreadBytes == 0)
        #expect(peer.session.heldBytes == held)
        if !isWhole, number == 7 {
          // What is given back is the connection's: nothing of the stream's window.
          #expect(try !peer.answer().types.contains(8))
        }
      }
      #expect(!peer.events().contains { if case .data = $0 { true } else { false } })
      peer.session.giveCredit(handle, keeping: 0)
      #expect(try peer.answer().types.filter { $0 == 8 }.count == 0)
    }
  }

  @Test("What a large message took is given back, though its stream goes on")
  func largeMessage() {
    var buffer = [UInt8](repeating: 1, count: 4 << 20)
    buffer.recycle()
    #expect(buffer.capacity == 0)
    buffer = [UInt8](repeating: 1, count: 1000)
    buffer.recycle()
    #expect(buffer.isEmpty && buffer.capacity >= 1000)
  }

  @Test(
    "controlFrames: a flood of them is ended, one by one or in one piece",
    arguments: [
      ("PING", WrittenPeer.frame(6, [0, 0, 0, 0, 0, 0, 0, 0])), ("SETTINGS", WrittenPeer.frame(4)),
      ("PRIORITY", WrittenPeer.frame(2, stream: 9, [0, 0, 0, 0, 15])), ("unknown", WrittenPeer.frame(0xee, [1, 2, 3])),
      ("empty DATA", WrittenPeer.frame(0, stream: 1)),
      ("padding", WrittenPeer.frame(0, flags: 8, stream: 1, [3, 0, 0, 0])),
      ("GOAWAY", WrittenPeer.frame(7, [0, 0, 0, 0, 0, 0, 0, 0])),
    ])
  func controlFrames(_ flood: (name: String, frame: [UInt8])) throws {
    var limits = HTTP2Limits()
    limits.controlFrames = RateLimit(burst: 100, perSecond: 10)
    for pieces in [true, false] {
      let peer = try WrittenPeer(limits)
      try peer.send(WrittenPeer.headers(1, end: false))
      // The two of the handshake were counted.
      let most = 100 - 2
      if pieces {
        for _ in 0..<most { try peer.send(flood.frame) }
      } else {
        try peer.send((0..<most).flatMap { _ in flood.frame })
      }
      #expect(try peer.answer().goAway == nil)
      try peer.send(flood.frame)
      #expect(try peer.answer().goAway == calm)
      #expect(peer.session.isFinished)
    }
  }

  @Test("maxSpareWindowUpdates: windows that nobody needs end the connection")
  func windowUpdates() throws {
    var limits = HTTP2Limits()
    limits.maxSpareWindowUpdates = 50
    let peer = try WrittenPeer(limits)
    let update = WrittenPeer.frame(8, [0, 0, 0, 1])
    for _ in 0..<50 { try peer.send(update) }
    // A stream, and the DATA frames of its answer, are worth some more.
    try peer.send(WrittenPeer.headers(1))
    for case .headers(let handle, _) in peer.events() {
      peer.session.respond(handle, SessionPair.okHeaders)
      peer.session.write(handle) { $0 += [1, 2, 3] }
      #expect(try peer.answer().types == [1, 0])
    }
    for _ in 0..<12 { try peer.send(update) }
    #expect(try peer.answer().goAway == nil)
    try peer.send(update)
    #expect(try peer.answer().goAway == calm)
  }

  @Test("maxOutboundFrames: what waits for a peer that doesn't read is bounded")
  func outboundFrames() throws {
    var limits = HTTP2Limits()
    limits.maxOutboundFrames = 50
    let peer = try WrittenPeer(limits)
    for _ in 0..<50 { try peer.send(WrittenPeer.frame(6, [0, 0, 0, 0, 0, 0, 0, 0])) }
    #expect(!peer.session.isTerminated)
    try peer.send(WrittenPeer.frame(6, [0, 0, 0, 0, 0, 0, 0, 0]))
    #expect(peer.session.isTerminated)
    #expect(try peer.answer().goAway == calm)
  }

  @Test("faultsReceived: each stream that the peer breaks is one fault, and closes at once")
  func faults() throws {
    let peer = try WrittenPeer()
    for index in 0..<20 {
      let id = UInt32(index * 2 + 1)
      try peer.send(WrittenPeer.headers(id, end: false) + WrittenPeer.frame(8, stream: id, [0x7f, 0xff, 0xff, 0xff]))
      let answer = try peer.answer()
      #expect(answer.resets == [UInt8(HTTP2ErrorCode.flowControlError.rawValue)])
      let closed = peer.events().compactMap { event -> HTTP2ErrorCode? in
        if case .closed(_, let code) = event { return code }
        return nil
      }
      #expect(closed == [.flowControlError])
    }
    #expect(peer.session.counters.faultsReceived == 20)
  }

  @Test("maxConcurrentStreams: is announced, and streams above it are refused without an event")
  func concurrentStreams() throws {
    var limits = HTTP2Limits()
    limits.maxConcurrentStreams = 3
    let session = try HTTP2Session(role: .server, limits: limits, memory: HTTP2Memory())
    let settings = try SessionPair.sent(by: session)
    #expect(Array(settings.prefix(15).suffix(6)) == [0, 3, 0, 0, 0, 3])

    // Whether the peer can know of the limit or not.
    for knows in [false, true] {
      let peer = try WrittenPeer(limits, acknowledges: knows)
      for index in 0..<4 { try peer.send(WrittenPeer.headers(UInt32(index * 2 + 1), end: false)) }
      let answer = try peer.answer()
      #expect(answer.resets == [UInt8(HTTP2ErrorCode.refusedStream.rawValue)])
      #expect(answer.goAway == nil)
      #expect(peer.events().count { if case .headers = $0 { true } else { false } } == 3)
      #expect(peer.session.counters.streamsRefused == 1)
      #expect(peer.session.counters.faultsReceived == 0)
    }
  }

  @Test("A connection that was ended takes nothing more")
  func terminated() throws {
    let peer = try WrittenPeer()
    peer.session.terminate(.enhanceYourCalm, saying: "too_many_pings")
    try peer.send(WrittenPeer.headers(1))
    #expect(peer.events().allSatisfy { if case .headers = $0 { false } else { true } })
    let bytes = try SessionPair.sent(by: peer.session)
    #expect(String(decoding: bytes, as: UTF8.self).contains("too_many_pings"))
    #expect(peer.session.isFinished)
  }

  @Test("A header list that has begun and not ended can be seen from outside")
  func receivingHeaders() throws {
    let peer = try WrittenPeer()
    let whole = WrittenPeer.headers(1)
    for index in whole.indices {
      #expect(peer.session.isReceivingHeaders == (index >= 9))
      try peer.send([whole[index]])
    }
    #expect(!peer.session.isReceivingHeaders)
    try peer.send(WrittenPeer.frame(1, flags: 1, stream: 3, [0x83]))
    #expect(peer.session.isReceivingHeaders)
    try peer.send(WrittenPeer.frame(9, flags: 4, stream: 3, [0x86, 0x84]))
    #expect(!peer.session.isReceivingHeaders)
  }

  @Test("HEADERS after the peer's own reset are STREAM_CLOSED, though we had reset the stream as well")
  func headersAfterBothReset() throws {
    let peer = try WrittenPeer()
    try peer.send(WrittenPeer.headers(1, end: false))
    for case .headers(let handle, _) in peer.events() { peer.session.reset(handle, .cancel) }
    _ = try peer.answer()
    try peer.send(WrittenPeer.frame(3, stream: 1, [0, 0, 0, 8]))
    #expect(try peer.answer().goAway == nil)
    try peer.send(WrittenPeer.headers(1))
    #expect(try peer.answer().goAway == UInt8(HTTP2ErrorCode.streamClosed.rawValue))
  }
}

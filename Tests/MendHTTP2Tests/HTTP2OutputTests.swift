import Testing

@testable import MendHTTP2

/// What a session sends, and how much of its own and of others' time that takes.
@Suite struct HTTP2OutputTests {
  private let calm = UInt8(HTTP2ErrorCode.enhanceYourCalm.rawValue)

  /// Each time the rest is moved to the front costs what is moved: as often as once in 64 KiB it was the square of all.
  @Test("What is left to send of a long message is moved seldom")
  func longMessage() throws {
    var limits = HTTP2Limits()
    limits.streamWindowBytes = 64 << 20
    limits.connectionWindowBytes = 64 << 20
    let pair = try SessionPair(server: limits, client: limits)
    let call = try pair.request()
    let size = 16 << 20
    pair.server.respond(call.server, SessionPair.okHeaders)
    pair.server.write(call.server) { $0 += [UInt8](repeating: 7, count: size) }
    pair.server.finish(call.server, trailers: SessionPair.okTrailers)
    var moved = 0
    var start = 0
    while let stream = pair.server.state.value.streams.open(call.server.id) {
      var bytes: [UInt8] = []
      try pair.server.send(upTo: 32 * 1024) { span in bytes += span.withUnsafeBytes { Array($0) } }
      guard !bytes.isEmpty else { break }
      if stream.value.outboundStart < start { moved += stream.value.outbound.count }
      start = stream.value.outboundStart
      try pair.client.receive(bytes.span.bytes, now: 0)
    }
    #expect(pair.client.unreadCount(of: call.client) == size)
    #expect(moved <= size)
  }

  @Test("Calls that nobody reads hold up themselves and no other on their connection, either way")
  func unread() throws {
    let pair = try SessionPair()
    let window = pair.client.limits.streamWindowBytes
    // More than the connection's whole window.
    let many = pair.client.limits.connectionWindowBytes / window + 10
    var calls: [(client: StreamHandle, server: StreamHandle)] = []
    for _ in 0..<many {
      let call = try pair.request(body: [UInt8](repeating: 1, count: window), end: false)
      pair.server.respond(call.server, SessionPair.okHeaders)
      pair.server.write(call.server) { $0 += [UInt8](repeating: 2, count: window + 1000) }
      calls.append(call)
    }
    try pair.exchange()
    for call in calls {
      #expect(pair.server.unreadCount(of: call.server) == window)
      #expect(pair.client.unreadCount(of: call.client) == window)
    }
    let last = try pair.request(body: [1, 2, 3])
    #expect(pair.take(pair.server, last.server) == [1, 2, 3])
    pair.server.respond(last.server, SessionPair.okHeaders)
    pair.server.write(last.server) { $0 += [4, 5, 6] }
    pair.server.finish(last.server, trailers: SessionPair.okTrailers)
    try pair.exchange()
    #expect(pair.take(pair.client, last.client) == [4, 5, 6])
    // What is read goes on.
    _ = pair.take(pair.client, calls[0].client)
    try pair.exchange()
    #expect(pair.client.unreadCount(of: calls[0].client) == 1000)
  }

  @Test("A stream above the limit is refused, and the connection and its other streams live")
  func refusedStreams() throws {
    var limits = HTTP2Limits()
    limits.maxConcurrentStreams = 3
    limits.resetsReceived = RateLimit(burst: 10, perSecond: 1)
    let peer = try WrittenPeer(limits)
    for index in 0..<5 { try peer.send(WrittenPeer.headers(UInt32(1 + 2 * index))) }
    var answer = try peer.answer()
    #expect(answer.resets == [7, 7])
    #expect(answer.goAway == nil)
    // What follows on a refused stream is no fault.
    try peer.send(WrittenPeer.frame(0, flags: 1, stream: 9, [1]))
    #expect(try peer.answer().goAway == nil)
    #expect(peer.session.openStreamCount == 3)
    try peer.answerAll()
    try peer.send(WrittenPeer.headers(11))
    #expect(peer.events().contains { if case .headers = $0 { true } else { false } })
    // Not without end: they cost what calls cost.
    for index in 0..<20 { try peer.send(WrittenPeer.headers(UInt32(13 + 2 * index))) }
    answer = try peer.answer()
    #expect(answer.goAway == calm)
  }

  @Test("The limit on streams is in the first SETTINGS, which are one frame")
  func firstSettings() throws {
    let session = try HTTP2Session(role: .server, limits: HTTP2Limits(), memory: HTTP2Memory())
    let bytes = try SessionPair.sent(by: session)
    #expect(bytes[..<9] == [0, 0, 18, 4, 0, 0, 0, 0, 0])
    let identifiers = stride(from: 9, to: 27, by: 6).map { bytes[$0 + 1] }
    #expect(identifiers == [3, 4, 6])
    #expect(Array(bytes[9..<15]) == [0, 3, 0, 0, 0x03, 0xe8])
    // WINDOW_UPDATE of the connection is next.
    #expect(bytes[27 + 3] == 8)
    #expect(bytes.count == 27 + 13)
  }

  @Test(
    "A response or trailers that are too large to be sent reset their stream instead of leaving their caller waiting")
  func unsendable() throws {
    var large = HeaderBlock()
    large.append(":status", "200")
    for index in 0..<20 { large.append("x-\(index)", String(repeating: "ü", count: 4000)) }
    var trailers = HeaderBlock()
    for index in 0..<20 { trailers.append("x-\(index)", String(repeating: "ü", count: 4000)) }
    for part in ["response", "headers", "trailers"] {
      let pair = try SessionPair()
      let call = try pair.request()
      switch part {
      case "response": pair.server.respond(call.server, large, endStream: true)
      case "headers": pair.server.respond(call.server, large, endStream: false)
      default:
        pair.server.respond(call.server, SessionPair.okHeaders)
        pair.server.finish(call.server, trailers: trailers)
      }
      try pair.exchange()
      #expect(pair.clientEvents.last == .closed(call.client, .internalError), "\(part)")
    }
  }

  @Test("The GOAWAY that says why comes once, and is the last frame")
  func oneGoodbye() throws {
    let peer = try WrittenPeer()
    try peer.send(WrittenPeer.headers(1))
    for case .headers(let handle, _) in peer.events() {
      peer.session.respond(handle, SessionPair.okHeaders)
      peer.session.write(handle) { $0 += [1, 2, 3] }
    }
    peer.session.terminate(.enhanceYourCalm, saying: "too_many_pings")
    let bytes = try SessionPair.sent(by: peer.session)
    #expect(bytes.suffix(17 + 14).prefix(4) == [0, 0, 22, 7])
    #expect(bytes.suffix(14).elementsEqual("too_many_pings".utf8))
    #expect(peer.session.isFinished)
    #expect(try SessionPair.sent(by: peer.session) == [])
    #expect(peer.session.terminationReason == "too_many_pings")
  }

  @Test("Broken compression is called that, though the header list goes on")
  func brokenCompression() throws {
    let peer = try WrittenPeer()
    // Index 0, which no table has.
    try? peer.send(WrittenPeer.frame(1, flags: 1, stream: 1, [0x83, 0x80]))
    #expect(try peer.answer().goAway == UInt8(HTTP2ErrorCode.compressionError.rawValue))
  }

  @Test("A field longer than the library takes is called too long, not broken", arguments: [1000, 16_384, 100_000])
  func longField(_ cut: Int) throws {
    let peer = try WrittenPeer()
    // A value of 70,000 bytes.
    let block: [UInt8] =
      [0x83, 0x86, 0x00, 0x01, 0x61, 0x7f, 0xf1, 0xa1, 0x04] + [UInt8](repeating: 0x61, count: 70_000)
    var frames: [UInt8] = []
    for start in stride(from: 0, to: block.count, by: 16_384) {
      let part = Array(block[start..<min(start + 16_384, block.count)])
      frames += WrittenPeer.frame(
        start == 0 ? 1 : 9, flags: start + 16_384 < block.count ? 0 : 4, stream: 1, part)
    }
    var all: [UInt8] = []
    for start in stride(from: 0, to: frames.count, by: cut) {
      try? peer.send(Array(frames[start..<min(start + cut, frames.count)]))
      all += try SessionPair.sent(by: peer.session)
    }
    #expect(all.suffix(25).elementsEqual("too many bytes of headers".utf8))
    #expect(all.suffix(26).first == calm)
    #expect(peer.session.isFinished)
  }
}

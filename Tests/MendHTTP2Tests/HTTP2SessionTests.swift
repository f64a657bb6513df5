import MendHTTP2
import Testing

@Suite struct HTTP2SessionTests {
  @Test("A request arrives with its headers and body, and its response with trailers")
  func requestAndResponse() throws {
    let pair = try SessionPair()
    let call = try pair.request([("x-one", "1")], body: Array("hello".utf8))
    #expect(pair.serverEvents == [.headers(call.server, endStream: false), .data(call.server, endStream: true)])
    var headers = HeaderBlock()
    pair.server.exchangeHeaders(of: call.server, with: &headers)
    let names = headers.fields.map { headers.text($0.name) }
    #expect(names == [":method", ":scheme", ":path", ":authority", "x-one"])
    #expect(pair.take(pair.server, call.server) == Array("hello".utf8))

    pair.server.respond(call.server, SessionPair.okHeaders)
    pair.server.write(call.server) { $0 += [9, 8, 7] }
    pair.server.finish(call.server, trailers: SessionPair.okTrailers)
    try pair.exchange()
    #expect(
      pair.clientEvents == [
        .headers(call.client, endStream: false), .data(call.client, endStream: false), .trailers(call.client),
        .closed(call.client, .noError),
      ])
    #expect(pair.take(pair.client, call.client) == [9, 8, 7])
    var trailers = HeaderBlock()
    pair.client.exchangeTrailers(of: call.client, with: &trailers)
    let status = try #require(trailers.first("grpc-status"))
    #expect(trailers.text(status.value) == "0")
    #expect(pair.serverEvents.last == .closed(call.server, .noError))
  }

  @Test("A response of trailers only ends the stream with its headers")
  func trailersOnly() throws {
    let pair = try SessionPair()
    let call = try pair.request()
    var block = HeaderBlock()
    block.append(":status", "200")
    block.append("grpc-status", "5")
    pair.server.respond(call.server, block, endStream: true)
    try pair.exchange()
    #expect(pair.clientEvents.contains(.headers(call.client, endStream: true)))
    #expect(pair.clientEvents.last == .closed(call.client, .noError))
  }

  @Test("A response that ends before its request resets the rest of it without an error")
  func earlyEnd() throws {
    let pair = try SessionPair()
    for _ in 0..<1500 {
      let call = try pair.request(end: false)
      pair.server.respond(call.server, SessionPair.okHeaders)
      pair.server.finish(call.server, trailers: SessionPair.okTrailers)
      try pair.exchange()
      #expect(pair.clientEvents.last == .closed(call.client, .noError))
      pair.server.release(call.server)
      pair.client.release(call.client)
      pair.serverEvents = []
      pair.clientEvents = []
    }
    #expect(pair.server.openStreamCount == 0)
    #expect(pair.server.counters.faultsReceived == 0)
  }

  @Test("Bytes that nobody reads stop the writer at the stream's window, and credit lets it go on")
  func flowControl() throws {
    var limits = HTTP2Limits()
    limits.streamWindowBytes = 100_000
    let pair = try SessionPair(server: limits)
    let call = try pair.request(body: [UInt8](repeating: 7, count: 300_000), end: false)
    #expect(pair.server.unreadCount(of: call.server) == 100_000)
    #expect(pair.client.pendingCount(of: call.client) == 200_000)

    // Reading without giving credit changes nothing for the peer.
    pair.server.withReceived(call.server) { $0.byteCount }
    try pair.exchange()
    #expect(pair.client.pendingCount(of: call.client) == 200_000)
    pair.server.giveCredit(call.server, keeping: 0)
    try pair.exchange()
    #expect(pair.client.pendingCount(of: call.client) == 100_000)

    // Another stream is not held up by this one.
    let other = try pair.request(body: [UInt8](repeating: 1, count: 50_000))
    #expect(pair.server.unreadCount(of: other.server) == 50_000)
  }

  @Test("A writer is told when what it wrote fell to its mark")
  func drained() throws {
    let pair = try SessionPair()
    let call = try pair.request(body: [UInt8](repeating: 7, count: 400_000), end: false)
    pair.client.notifyWhenDrained(call.client, to: 1000)
    try pair.exchange()
    #expect(!pair.clientEvents.contains(.drained(call.client)))
    _ = pair.take(pair.server, call.server)
    try pair.exchange()
    #expect(pair.clientEvents.contains(.drained(call.client)))
    #expect(pair.client.outboundBytes == 0)
  }

  @Test("A header list far above the limit resets its stream and not the connection")
  func headerCap() throws {
    var limits = HTTP2Limits()
    limits.maxHeaderListBytes = 2000
    let pair = try SessionPair(server: limits)
    #expect(throws: HTTP2Error.self) {
      _ = try pair.request([("x-large", String(repeating: "a", count: 9000))])
    }
    #expect(
      pair.clientEvents.contains { event in
        if case .closed(_, let code) = event { return code != .noError }
        return false
      })
    _ = try pair.request()
  }

  @Test("A reset ends the stream on both sides with its code")
  func reset() throws {
    let pair = try SessionPair()
    let call = try pair.request(end: false)
    pair.client.reset(call.client, .cancel)
    try pair.exchange()
    #expect(pair.serverEvents.last == .closed(call.server, .cancel))
    #expect(pair.clientEvents.last == .closed(call.client, .cancel))
    // Commands on a stream that is gone do nothing.
    pair.server.respond(call.server, SessionPair.okHeaders)
    pair.server.release(call.server)
    let pending = pair.server.write(call.server) { $0 += [1] }
    #expect(pending == 0)
    try pair.exchange()
    #expect(pair.server.counters.resetsReceived == 1)
  }

  @Test("What was received and not read is given back to the connection when its stream is released")
  func releasedCredit() throws {
    var limits = HTTP2Limits()
    limits.streamWindowBytes = 60_000
    limits.connectionWindowBytes = 100_000
    let pair = try SessionPair(server: limits)
    for _ in 0..<20 {
      let call = try pair.request(body: [UInt8](repeating: 7, count: 50_000), end: false)
      #expect(pair.server.unreadCount(of: call.server) == 50_000)
      pair.client.reset(call.client, .cancel)
      try pair.exchange()
      pair.server.release(call.server)
      pair.client.release(call.client)
      try pair.exchange()
    }
    #expect(pair.server.unreadBytes == 0)
  }

  @Test("A client knows how many streams its server takes, and an ended one makes room")
  func concurrency() throws {
    var limits = HTTP2Limits()
    limits.maxConcurrentStreams = 2
    let pair = try SessionPair(server: limits)
    #expect(pair.client.peerMaxConcurrentStreams == 2)
    let first = try pair.request(end: false)
    _ = try pair.request(end: false)
    pair.client.reset(first.client, .cancel)
    try pair.exchange()
    _ = try pair.request(end: false)
  }

  @Test("A graceful shutdown finishes open streams, refuses new ones and then ends")
  func shutdown() throws {
    let pair = try SessionPair()
    let call = try pair.request()
    pair.server.beginShutdown()
    pair.server.ping(42)
    try pair.exchange()
    #expect(pair.serverEvents.contains(.pingAcknowledged(42)))
    #expect(pair.clientEvents.contains(.goAway(lastStreamID: Int32.max, .noError)))
    pair.server.finishShutdown()
    try pair.exchange()
    #expect(pair.clientEvents.contains(.goAway(lastStreamID: call.client.id, .noError)))
    #expect(throws: HTTP2Error.self) { _ = try pair.request() }
    #expect(pair.clientEvents.contains { if case .closed(_, .refusedStream) = $0 { true } else { false } })
    #expect(!pair.server.isFinished)
    pair.server.respond(call.server, SessionPair.okHeaders)
    pair.server.finish(call.server, trailers: SessionPair.okTrailers)
    try pair.exchange()
    #expect(pair.clientEvents.contains(.trailers(call.client)))
    #expect(pair.server.isFinished)
  }
}

import MendRPC
import Synchronization
import TestSupport
import Testing

/// A pool against servers that are broken, each in one way.
@Suite struct BadPeerTests {
  typealias Frame = HandMadePeer.Frame

  private func withPeer(
    _ change: (inout PoolConfiguration) -> Void = { _ in }, _ script: @escaping @Sendable (HandMadePeer.Line) -> Void,
    _ body: (ClientPool, HandMadePeer) async throws -> Void
  ) async throws {
    try await HandMadePeer.run(
      {
        $0.backoff.initial = .milliseconds(5)
        $0.backoff.maximum = .milliseconds(50)
        change(&$0)
      }, script, body)
  }

  @Test("A server that accepts and says nothing is given up in time, and its call is told so")
  func silent() async throws {
    try await withPeer({ $0.connection.connectTimeout = .milliseconds(50) }, { $0.waitForEnd() }) { pool, _ in
      let error = await echo(pool)
      #expect(error?.code == .unavailable)
      #expect(error?.isSafeToRetry == true)
      #expect(error?.message.contains("no answer after 0.05 seconds") == true)
    }
  }

  @Test("Cancelling the task, or the deadline, ends a call that waits for such a server at once")
  func silentCancelled() async throws {
    try await withPeer({ $0.connection.connectTimeout = .seconds(3600) }, { $0.waitForEnd() }) { pool, peer in
      let call = Task { await echo(pool) { $0.waitForReady = true } }
      #expect(await eventually { peer.connectionCount == 1 && pool.statistics.waitingCalls == 1 })
      #expect(await echo(pool) { $0.timeout = .milliseconds(20) }?.code == .deadlineExceeded)
      call.cancel()
      #expect(await call.value?.code == .cancelled)
      #expect(pool.statistics.waitingCalls == 0)
    }
  }

  @Test("A server that hangs up at once is given up after one attempt, and others are spread")
  func hangsUp() async throws {
    try await withPeer({ $0.backoff.initial = .seconds(3600) }, { _ in }) { pool, peer in
      for _ in 0..<3 {
        let error = await echo(pool)
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("it closed the connection before sending an HTTP/2 frame") == true)
      }
      #expect(peer.connectionCount == 1)
      #expect(pool.statistics.connectFailures == 1)
    }
  }

  @Test("A proxy that answers in HTTP/1 is named with what it said")
  func http1() async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      line.send("HTTP/1.1 502 Bad Gateway\r\nserver: proxy\r\n\r\n")
      line.waitForEnd()
    }
    try await withPeer({ $0.backoff.initial = .seconds(3600) }, script) { pool, peer in
      let error = await echo(pool)
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("it does not use HTTP/2; it answers HTTP/1.1 502 Bad Gateway") == true)
      #expect(peer.connectionCount == 1)
    }
  }

  @Test(
    "A server that says goodbye on every connection costs a bounded number of attempts, and is reached once it stops")
  func goodbyes() async throws {
    let isGood = Mutex(false)
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      guard isGood.withLock({ $0 }) else {
        line.goAway(last: 0, code: 0)
        return line.waitForEnd()
      }
      while let request = line.next(Frame.headers) { line.answer(request.stream, [9]) }
    }
    try await withPeer({ $0.maxTransparentRetries = 3 }, script) { pool, peer in
      for _ in 0..<5 {
        let error = await echo(pool)
        #expect(error?.code == .unavailable)
        #expect(error?.isSafeToRetry == true)
      }
      // An attempt and three more for each call at most.
      #expect(peer.connectionCount <= 20)
      #expect(pool.statistics.openCalls == 0)
      isGood.withLock { $0 = true }
      #expect(
        await echo(pool) { options in
          options.waitForReady = true
          options.timeout = .seconds(20)
        } == nil)
      #expect(await eventually { pool.statistics.connections == 1 })
    }
  }

  @Test("A name that has no address is named as that, and one that has is reached")
  func names() async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      while let request = line.next(Frame.headers) { line.answer(request.stream, [9]) }
    }
    try await withPeer({ _ in }, script) { _, peer in
      let pool = ClientPool(.tcp(host: "localhost", port: peer.port))
      #expect(await echo(pool) == nil)
      let nowhere = ClientPool(.tcp(host: "nowhere.invalid", port: peer.port))
      let error = await echo(nowhere)
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("the name nowhere.invalid cannot be resolved") == true)
    }
  }

  @Test("Calls above a GOAWAY's last stream are sent again on another connection; those below it end on the old one")
  func goAway() async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      guard line.number == 1 else {
        while let request = line.next(Frame.headers) { line.answer(request.stream, [2]) }
        return
      }
      guard let first = line.next(Frame.headers), let second = line.next(Frame.headers) else { return }
      line.goAway(last: first.stream, code: 0)
      line.answer(first.stream, [UInt8(second.stream - first.stream)])
      line.waitForEnd()
    }
    try await withPeer({ _ in }, script) { pool, peer in
      async let one: RawMessage = pool.unary(Methods.echo, RawMessage([1]), options: CallOptions())
      async let two: RawMessage = pool.unary(Methods.echo, RawMessage([1]), options: CallOptions())
      // The second call's answer comes from the second connection.
      let answers = try await [one.bytes, two.bytes]
      #expect(answers == [[2], [2]])
      #expect(peer.connectionCount == 2)
      #expect(pool.statistics.transparentRetries == 1)
    }
  }

  @Test("A refused stream is sent again once, also a streamed one")
  func refused() async throws {
    let seen = Mutex(0)
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      while let request = line.next(Frame.headers) {
        let count = seen.withLock { seen in
          seen += 1
          return seen
        }
        if count % 2 == 0 {
          line.answer(request.stream, [7])
        } else {
          line.send(type: Frame.reset, stream: request.stream, HandMadePeer.Line.word(7))
        }
      }
    }
    try await withPeer({ _ in }, script) { pool, _ in
      let answer: RawMessage = try await pool.unary(Methods.echo, RawMessage([1]), options: CallOptions())
      #expect(answer.bytes == [7])
      #expect(pool.statistics.transparentRetries == 1)
      let stream: ResponseStream<RawMessage> = try await pool.serverStreaming(
        Methods.count, RawMessage([1]), options: CallOptions())
      var answers: [[UInt8]] = []
      for try await answer in stream { answers.append(answer.bytes) }
      #expect(answers == [[7]])
    }
    try await withPeer({ $0.maxTransparentRetries = 0 }, script) { pool, _ in
      seen.withLock { $0 = 0 }
      let error = await echo(pool)
      #expect(error?.code == .unavailable)
      #expect(error?.isSafeToRetry == true)
      #expect(seen.withLock { $0 } == 1)
    }
  }

  @Test("A half-open connection is found out by a ping that nobody answers, and the next call has another")
  func halfOpen() async throws {
    let pinged = Mutex(0)
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      if line.number > 1 {
        while let request = line.next(Frame.headers) { line.answer(request.stream, [1]) }
      }
      // Alive for the system, dead for everybody else.
      while line.next(Frame.ping) != nil { pinged.withLock { $0 += 1 } }
    }
    try await withPeer(
      {
        $0.connection.keepaliveInterval = .milliseconds(30)
        $0.connection.keepaliveTimeout = .milliseconds(30)
      }, script
    ) { pool, _ in
      let error = await echo(pool)
      #expect(error?.code == .unavailable)
      #expect(error?.isSafeToRetry == false)
      #expect(error?.origin == .connection)
      #expect(error?.message.contains("it does not answer pings") == true)
      #expect(pinged.withLock { $0 } == 1)
      #expect(await echo(pool) { $0.waitForReady = true } == nil)
    }
  }

  @Test("A server that has too many pings gets half as many from then on")
  func tooManyPings() async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet(), let request = line.next(Frame.headers) else { return }
      line.answer(request.stream, [1])
      if line.number == 1, line.next(Frame.headers) != nil {
        line.goAway(last: request.stream, code: 11, "too_many_pings")
        return
      }
      line.waitForEnd()
    }
    try await withPeer({ $0.connection.keepaliveInterval = .seconds(300) }, script) { pool, _ in
      #expect(await echo(pool) == nil)
      #expect(await echo(pool) == nil)
      #expect(pool.statistics.keepaliveInterval == .seconds(600))
      #expect(pool.statistics.transparentRetries == 1)
    }
  }

  @Test("A server that resets a call, or hangs up amid it, fails it with what happened: it may have been carried out")
  func resets() async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet(), let request = line.next(Frame.headers) else { return }
      line.send(type: Frame.reset, stream: request.stream, HandMadePeer.Line.word(2))
      _ = line.next(Frame.headers)
    }
    try await withPeer({ _ in }, script) { pool, _ in
      let reset = await echo(pool)
      #expect(reset?.code == .internal)
      #expect(reset?.origin == .server)
      let lost = await echo(pool)
      #expect(lost?.code == .unavailable)
      #expect(lost?.origin == .connection)
      #expect(lost?.isSafeToRetry == false)
    }
  }

  @Test("What a server says about sending a call again is kept beside its status")
  func pushback() async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      for value in ["250", "-1", "soon"] {
        guard let request = line.next(Frame.headers) else { return }
        line.trailers(
          request.stream, [("grpc-status", "14"), ("grpc-retry-pushback-ms", value)], only: true)
      }
      line.waitForEnd()
    }
    try await withPeer({ _ in }, script) { pool, _ in
      #expect(await echo(pool)?.retryPushback == .after(.milliseconds(250)))
      #expect(await echo(pool)?.retryPushback == .never)
      #expect(await echo(pool)?.retryPushback == .never)
    }
  }

  @Test("Metadata above the limit fails its call with both figures, in either direction, and only that call")
  func metadata() async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet(), let request = line.next(Frame.headers) else { return }
      line.trailers(
        request.stream, (0..<20).map { ("name-\($0)", String(repeating: "x", count: 100)) } + [("grpc-status", "0")],
        only: true)
      while let request = line.next(Frame.headers) { line.answer(request.stream, [1]) }
    }
    try await withPeer({ $0.connection.limits.maxMetadataBytes = 1000 }, script) { pool, _ in
      let response = await echo(pool)
      #expect(response?.code == .resourceExhausted)
      #expect(response?.message == "the response's metadata has more than the 1000 bytes that are taken")
      let request = await echo(pool) { $0.metadata["large"] = String(repeating: "x", count: 1000) }
      #expect(request?.code == .resourceExhausted)
      #expect(request?.message.hasSuffix("at most 1000 are taken") == true)
      #expect(request?.isSafeToRetry == true)
      #expect(await echo(pool) == nil)
      #expect(pool.statistics.connectionsMade == 1)
    }
  }

  @Test("A request above the limit is not sent, and says both sizes")
  func requestBytes() async throws {
    try await withPeer({ $0.connection.limits.maxRequestBytes = 10 }, { $0.waitForEnd() }) { pool, peer in
      let error = await status { () async throws(RPCError) -> RawMessage in
        try await pool.unary(Methods.echo, RawMessage([UInt8](repeating: 0, count: 11)), options: CallOptions())
      }
      #expect(error?.code == .resourceExhausted)
      #expect(error?.message == "the request has 11 bytes; at most 10 are sent")
      #expect(peer.connectionCount == 0)
    }
  }

  @Test("Responses that are not read are bounded for all calls of a connection together")
  func bufferedBytes() async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet(), let request = line.next(Frame.headers) else { return }
      line.send(
        type: Frame.headers, flags: 4, stream: request.stream,
        [0x88, 0x0f, 0x10, 0x10] + Array("application/grpc".utf8))
      line.send(type: Frame.data, stream: request.stream, [0, 0, 1, 0, 0] + [UInt8](repeating: 0, count: 5000))
      while let request = line.next(Frame.headers) { line.answer(request.stream, [1]) }
    }
    try await withPeer({ $0.connection.limits.maxBufferedResponseBytes = 4000 }, script) { pool, _ in
      let error = await echo(pool)
      #expect(error?.code == .resourceExhausted)
      #expect(error?.message.contains("4000") == true)
      #expect(await echo(pool) == nil)
    }
  }
}

import Foundation
import MendHTTP2
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import MendRPC

/// What a client makes of servers that refuse calls, say goodbye, break rules or say nothing: how often it asks, and what
/// its caller is told.
@Suite struct RefusalTests {
  typealias Frame = HandMadePeer.Frame

  private func withPeer(
    _ change: (inout PoolConfiguration) -> Void = { _ in }, _ script: @escaping @Sendable (HandMadePeer.Line) -> Void,
    _ body: (ClientPool, HandMadePeer) async throws -> Void
  ) async throws {
    try await HandMadePeer.run(
      {
        $0.backoff.initial = .seconds(3600)
        change(&$0)
      }, script, body)
  }

  @Test("A stream that the server refuses is asked for once more, and in a caller's later attempt not even that")
  func refusedStreams() async throws {
    let requests = Mutex(0)
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      while let request = line.next(Frame.headers) {
        requests.withLock { $0 += 1 }
        line.send(type: Frame.reset, stream: request.stream, HandMadePeer.Line.word(7))
      }
    }
    try await withPeer({ _ in }, script) { pool, peer in
      let error = await echo(pool)
      #expect(error?.code == .unavailable)
      #expect(error?.isSafeToRetry == true)
      #expect(requests.withLock { $0 } == 2)
      #expect(await echo(pool) { $0.previousAttempts = 1 }?.code == .unavailable)
      #expect(requests.withLock { $0 } == 3)
      #expect(peer.connectionCount == 1)
    }
  }

  @Test(
    "A server that says goodbye to whoever comes is asked once, and then not before the backoff allows it",
    arguments: [(0, true), (0, false), (11, false)])
  func goodbyes(_ code: UInt32, _ atOnce: Bool) async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      if !atOnce, line.next(Frame.headers) == nil { return }
      line.goAway(last: 0, code: code)
      line.waitForEnd()
    }
    try await withPeer({ _ in }, script) { pool, peer in
      for _ in 0..<5 {
        let error = await echo(pool)
        #expect(error?.code == .unavailable)
        #expect(error?.isSafeToRetry == true)
        // The server was there, and said why.
        #expect(error?.origin == .server)
        #expect(error?.message.contains("takes no more calls") == true)
      }
      #expect(peer.connectionCount == 1)
      #expect(
        await echo(pool) { options in
          options.waitForReady = true
          options.timeout = .milliseconds(100)
        }?.code == .deadlineExceeded)
      #expect(peer.connectionCount == 1)
    }
  }

  @Test("A call that waits for a server outlasts any number of goodbyes")
  func patience() async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      guard line.number > 12 else {
        line.goAway(last: 0, code: 0)
        return line.waitForEnd()
      }
      while let request = line.next(Frame.headers) { line.answer(request.stream, [9]) }
    }
    let quick: (inout PoolConfiguration) -> Void = { configuration in
      configuration.backoff.initial = .milliseconds(1)
      configuration.backoff.maximum = .milliseconds(5)
    }
    try await withPeer(quick, script) { pool, peer in
      #expect(await echo(pool) { $0.waitForReady = true } == nil)
      #expect(peer.connectionCount == 13)
    }
  }

  @Test("A connection is replaced before its stream ids are used up, and no call notices")
  func lastStreams() async throws {
    // Eleven calls before the last of a connection begins.
    try await PoolTests.withPool(pool: { $0.connection.firstStreamID = Int32.max - 2020 }) { pool, _ in
      for _ in 0..<40 {
        let error = await echo(pool)
        #expect(error == nil)
      }
      #expect(pool.statistics.connectionsMade == 4)
      #expect(pool.statistics.transparentRetries == 0)
    }
  }

  @Test("A connection on which no stream can be opened is given up, and does not get the next call")
  func noStreams() async throws {
    let change: (inout PoolConfiguration) -> Void = { configuration in
      configuration.connection.firstStreamID = Int32.max
      configuration.backoff.initial = .milliseconds(1)
      configuration.maxTransparentRetries = 2
    }
    try await PoolTests.withPool(pool: change) { pool, _ in
      let error = await echo(pool)
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("stream ids are used up") == true)
      #expect(await eventually { pool.statistics.connections == 0 })
    }
  }

  @Test("A server that breaks HTTP/2's rules is named as that, with the rule", arguments: [UInt8(6), 4])
  func brokenRules(_ type: UInt8) async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet(), line.next(Frame.headers) != nil else { return }
      for _ in 0..<3000 { line.send(type: type, type == 6 ? [UInt8](repeating: 0, count: 8) : []) }
      line.waitForEnd()
    }
    try await withPeer({ _ in }, script) { pool, peer in
      let error = await echo(pool)
      #expect(error?.code == .internal)
      #expect(error?.isSafeToRetry == false)
      #expect(error?.message.contains("too many control frames") == true, "\(String(describing: error))")
      // Not "start one": it is there.
      let next = await echo(pool)
      #expect(next?.code == .unavailable)
      #expect(next?.origin == .server)
      #expect(peer.connectionCount == 1)
    }
  }

  @Test(
    "What is no status is UNKNOWN",
    arguments: [nil, "-5", "+5", "", "five", "5 ", "99999999999999999999", "0x5"])
  func noStatus(_ status: String?) async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      while let request = line.next(Frame.headers) {
        line.trailers(request.stream, status.map { [("grpc-status", $0)] } ?? [("a", "b")], only: true)
      }
    }
    try await withPeer({ _ in }, script) { pool, _ in
      let error = await echo(pool)
      // A blank is none of the value.
      #expect(error?.code == (status == "5 " ? .notFound : .unknown))
    }
  }

  @Test("Whole messages before one that is refused are handed out first", arguments: [true, false])
  func messagesBeforeFault(_ ends: Bool) async throws {
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet(), let request = line.next(Frame.headers) else { return }
      line.send(
        type: Frame.headers, flags: 4, stream: request.stream,
        [0x88, 0x0f, 0x10, 0x10] + Array("application/grpc".utf8))
      let large = [0] + HandMadePeer.Line.word(1000)
      line.send(
        type: Frame.data, stream: request.stream, [0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 1, 8] + large)
      if ends { line.trailers(request.stream, [("grpc-status", "0")]) }
      line.waitForEnd()
    }
    try await withPeer({ _ in }, script) { pool, _ in
      var options = CallOptions()
      options.maxResponseBytes = 10
      let stream: ResponseStream<RawMessage> = try await pool.serverStreaming(
        Methods.count, RawMessage([]), options: options)
      var seen: [RawMessage] = []
      let error = await status { () async throws(RPCError) in
        for try await message in stream { seen.append(message) }
      }
      #expect(seen == [RawMessage([7]), RawMessage([8])])
      #expect(error?.code == .resourceExhausted)
    }
  }

  @Test("A server that resets a call at its deadline made it no CANCELLED")
  func deadlineRace() async throws {
    let (asked, isBlocked) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet(), let request = line.next(Frame.headers) else { return }
      asked.signal()
      isBlocked.wait()
      line.send(type: Frame.reset, stream: request.stream, HandMadePeer.Line.word(8))
      line.waitForEnd()
    }
    let peer = try HandMadePeer(script)
    defer { peer.stop() }
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let pool = ClientPool(.tcp(host: "127.0.0.1", port: peer.port), on: group)
    let call = Task { await echo(pool) { $0.timeout = .milliseconds(200) } }
    // The loop is held until the deadline has passed, and finds the reset first.
    Thread.detachNewThread {
      asked.wait()
      group.next().execute {
        let end = NIODeadline.now() + .milliseconds(300)
        isBlocked.signal()
        while NIODeadline.now() < end {}
      }
    }
    #expect(await call.value?.code == .deadlineExceeded)
    await pool.close()
    try await group.shutdownGracefully()
  }

  @Test("A server that takes calls and says nothing loses them to another connection, and is asked whether it lives")
  func silence() async throws {
    let pings = Mutex(0)
    let script: @Sendable (HandMadePeer.Line) -> Void = { line in
      guard line.greet() else { return }
      guard line.number == 1 else {
        while let request = line.next(Frame.headers) { line.answer(request.stream, [9]) }
        return
      }
      guard let first = line.next(Frame.headers) else { return }
      line.answer(first.stream, [9])
      while line.next(Frame.ping) != nil { pings.withLock { $0 += 1 } }
    }
    try await withPeer({ $0.connection.keepaliveTimeout = .milliseconds(300) }, script) { pool, peer in
      #expect(await echo(pool) == nil)
      // What was on its way still when a call went out was heard; a later one hears nothing.
      var failures = 0
      while failures < 5, await echo(pool, { $0.timeout = .milliseconds(100) }) != nil { failures += 1 }
      #expect(failures > 0)
      #expect(await echo(pool) { $0.timeout = .seconds(10) } == nil)
      #expect(peer.connectionCount == 2)
      #expect(await eventually { pings.withLock { $0 } == 1 && pool.statistics.connections == 1 })
      #expect(await echo(pool) == nil)
      #expect(peer.connectionCount == 2)
    }
  }
}

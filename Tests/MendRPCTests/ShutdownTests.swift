import Foundation
import MendHTTP2
import MendRPC
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

/// How calls and connections end on the wire.
@Suite struct ShutdownTests {
  /// RFC 9113 6.8: the first GOAWAY names no stream, and what was under way when it was sent is still served.
  @Test("A shutdown says goodbye twice, a round trip apart, and serves what comes between")
  func twoGoodbyes() async throws {
    let witness = Witness()
    try await withCaller(makeRouter(witness)) { caller, server in
      let open = try caller.open("/test.Service/Wait", body: [0, 0, 0, 0, 0])
      #expect(await eventually { witness.waiting.withLock { $0 } == 1 })
      let shutdown = Task { await server.shutdown(gracePeriod: .seconds(60)) }
      // Read, but not understood yet: so its PING is not answered, and the session may still open streams.
      let unread = try caller.bytes(until: { $0.hasFrame(type: 7) })
      let late = try caller.open("/test.Service/Echo", body: [0, 0, 0, 0, 1, 42])
      try caller.understand(unread)
      var answers = try caller.answers(until: { _ in caller.goAways.count == 2 && caller.ended.contains(late) })
      #expect(caller.goAways == [Int32.max, late.id])
      #expect(answers[late]?.fields["grpc-status"] == "0")
      #expect(answers[late]?.body == [0, 0, 0, 0, 1, 42])
      witness.isReleased.withLock { $0 = true }
      answers = try caller.answers(until: { _ in caller.ended.contains(open) })
      #expect(answers[open]?.fields["grpc-status"] == "0")
      await shutdown.value
      #expect(try !caller.receive())
    }
  }

  @Test("A call that is still open at the end of the grace period is ended, and its handler with it")
  func graceIsOver() async throws {
    let witness = Witness()
    try await withServer(witness, over: .tls) { client, server in
      let task = Task {
        await status { () async throws(RPCError) -> RawMessage in
          try await client.unary(Methods.wait, RawMessage([1]), options: CallOptions())
        }
      }
      #expect(await eventually { witness.waiting.withLock { $0 } == 1 })
      await server.shutdown(gracePeriod: .milliseconds(50))
      #expect(witness.cancelled.withLock { $0 } == 1)
      #expect(server.connectionCount == 0)
      #expect(await task.value?.code == .unavailable)
      let late = await status { () async throws(RPCError) -> ClientConnection in
        try await ClientConnection.connect(to: client.address)
      }
      #expect(late?.code == .unavailable)
    }
  }

  /// The peer's TLS closing message is asked for and not waited for: five seconds by the library's default.
  @Test("A TLS peer that hangs doesn't hold a shutdown up")
  func hangingPeer() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    try await shutDownBesideHangingPeer(on: group)
    try await group.shutdownGracefully()
  }

  private func shutDownBesideHangingPeer(on group: MultiThreadedEventLoopGroup) async throws {
    let (certificate, key) = try TestCertificate.files.get()
    let files = ServerTLS(certificateChainFile: certificate, privateKeyFile: key)
    let configuration = ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: 0, tls: files)])
    let server = RPCServer(router: makeRouter(Witness()), configuration: configuration)
    let address = try #require(try await server.start().first?.serverAddress)
    var clientConfiguration = ClientConfiguration()
    clientConfiguration.tls = ClientTLS(trustRootsFile: certificate, serverName: "localhost")
    let client = try await ClientConnection.connect(to: address, configuration: clientConfiguration, on: group)
    let _: RawMessage = try await client.unary(Methods.echo, RawMessage([1]), options: CallOptions())
    // Its thread is held: it reads nothing more and answers nothing.
    let gate = DispatchSemaphore(value: 0)
    group.next().execute { gate.wait() }
    let start = ContinuousClock.now
    await server.shutdown(gracePeriod: .zero)
    let took = ContinuousClock.now - start
    gate.signal()
    #expect(took < .seconds(4))
    #expect(server.connectionCount == 0)
    await client.close()
  }

  /// Without it the caller's half would stay open, and count against the number of streams.
  @Test("A response that ends before its request resets the stream with NO_ERROR, as often as one likes")
  func earlyEnds() async throws {
    try await withCaller { caller, _ in
      for _ in 0..<1500 {
        let handle = try caller.open(
          "/test.Service/FirstOnly", body: [0, 0, 0, 0, 1, 42], endStream: false)
        let answers = try caller.answers(until: { _ in caller.ended.contains(handle) })
        #expect(answers[handle]?.fields["grpc-status"] == "0")
        #expect(answers[handle]?.code == .noError)
        guard answers[handle]?.code == .noError else { return }
      }
    }
  }

  @Test("A call that fails before its first message is answered by one header list that ends the stream")
  func trailersOnly() async throws {
    try await withCaller { caller, _ in
      for path in ["/test.Service/Fail", "/test.Service/Nope", "/other.Service/Nope"] {
        let handle = try caller.open(path, body: [0, 0, 0, 0, 0])
        let answers = try caller.answers(until: { _ in caller.ended.contains(handle) })
        #expect(answers[handle]?.isTrailersOnly == true)
        #expect(answers[handle]?.fields[":status"] == "200")
        #expect(answers[handle]?.fields["grpc-status"] != nil)
      }
      // One that has a message first is not.
      let handle = try caller.open("/test.Service/Echo", body: [0, 0, 0, 0, 0])
      let answers = try caller.answers(until: { _ in caller.ended.contains(handle) })
      #expect(answers[handle]?.isTrailersOnly == false)
    }
  }
}

extension [UInt8] {
  /// Whether these bytes, which begin with a frame, have a whole one of that type.
  fileprivate func hasFrame(type: UInt8) -> Bool {
    var index = 0
    while index + 9 <= count {
      let length = Int(self[index]) << 16 | Int(self[index + 1]) << 8 | Int(self[index + 2])
      if self[index + 3] == type { return index + 9 + length <= count }
      index += 9 + length
    }
    return false
  }
}

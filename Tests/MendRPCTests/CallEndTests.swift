import MendRPC
import Synchronization
import TestSupport
import Testing

@Suite struct CallEndTests {
  @Test("A deadline ends the call on both sides", arguments: Transport.allCases)
  func deadline(_ transport: Transport) async throws {
    let witness = Witness()
    try await withServer(witness, over: transport) { client, _ in
      var options = CallOptions()
      options.timeout = .milliseconds(100)
      let start = ContinuousClock.now
      let error = await status { () async throws(RPCError) -> RawMessage in
        try await client.unary(Methods.wait, RawMessage([1]), options: options)
      }
      #expect(error?.code == .deadlineExceeded)
      #expect(ContinuousClock.now - start < .seconds(5))
      #expect(await eventually { witness.cancelled.withLock { $0 } == 1 })
    }
  }

  @Test("Cancelling the caller's task cancels the handler's", arguments: Transport.allCases)
  func cancellation(_ transport: Transport) async throws {
    let witness = Witness()
    try await withServer(witness, over: transport) { client, _ in
      await witness.cancelledWait { () async throws(RPCError) -> RawMessage in
        try await client.unary(Methods.wait, RawMessage([1]), options: CallOptions())
      }
      // Its worker is not used again: the next handler is not cancelled.
      witness.isReleased.withLock { $0 = true }
      let _: RawMessage = try await client.unary(Methods.wait, RawMessage([1]), options: CallOptions())
    }
  }

  @Test("A response stream that is dropped ends the handler", arguments: Transport.allCases)
  func droppedStream(_ transport: Transport) async throws {
    let observer = CountingObserver()
    try await withServer(over: transport, server: { $0.observer = observer }) { client, _ in
      do {
        let stream: ResponseStream<RawMessage> = try await client.serverStreaming(
          Methods.count, RawMessage(Array("1000000000".utf8)), options: CallOptions())
        var iterator = stream.makeAsyncIterator()
        _ = try await iterator.next()
      }
      #expect(await eventually { observer.ended.withLock { $0[.cancelled] } == 1 })
    }
  }

  @Test("What the request's closure throws ends the call with it", arguments: Transport.allCases)
  func failingRequests(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      let error = await status { () async throws(RPCError) -> RawMessage in
        try await client.clientStreaming(Methods.sum, options: CallOptions()) {
          (writer: RequestWriter<RawMessage>) async throws(RPCError) in
          try await writer.write(RawMessage([1]))
          throw RPCError(.dataLoss, "the file ended")
        }
      }
      #expect(error == RPCError(.dataLoss, "the file ended"))
    }
  }

  @Test("A shutdown lets open calls end and refuses new ones", arguments: Transport.allCases)
  func drain(_ transport: Transport) async throws {
    let witness = Witness()
    try await withServer(witness, over: transport) { client, server in
      let task = Task {
        await status { () async throws(RPCError) -> RawMessage in
          try await client.unary(Methods.wait, RawMessage([1]), options: CallOptions())
        }
      }
      #expect(await eventually { witness.waiting.withLock { $0 } == 1 })
      let shutdown = Task { await server.shutdown(gracePeriod: .seconds(60)) }
      #expect(
        await eventually {
          if case .draining = client.phase { return true }
          return false
        })
      let refused = await status { () async throws(RPCError) -> RawMessage in
        try await client.unary(Methods.echo, RawMessage([1]), options: CallOptions())
      }
      #expect(refused?.code == .unavailable)
      #expect(refused?.isSafeToRetry == true)
      witness.isReleased.withLock { $0 = true }
      #expect(await task.value == nil)
      await shutdown.value
      #expect(server.connectionCount == 0)
      #expect(
        await eventually {
          if case .closed = client.phase { return true }
          return false
        })
    }
  }

  @Test("A lost connection fails its calls with UNAVAILABLE and says where", arguments: Transport.allCases)
  func connectionLoss(_ transport: Transport) async throws {
    let witness = Witness()
    try await withServer(witness, over: transport) { client, server in
      let task = Task {
        await status { () async throws(RPCError) -> RawMessage in
          try await client.unary(Methods.wait, RawMessage([1]), options: CallOptions())
        }
      }
      #expect(await eventually { witness.waiting.withLock { $0 } == 1 })
      await server.shutdown(gracePeriod: .zero)
      let error = try #require(await task.value)
      #expect(error.code == .unavailable)
      #expect(error.message.contains(client.address.description))
      #expect(witness.cancelled.withLock { $0 } == 1)
    }
  }

  @Test("Nobody at the other end is UNAVAILABLE and safe to retry")
  func nobody() async throws {
    let error = await status { () async throws(RPCError) -> ClientConnection in
      try await ClientConnection.connect(to: .unix(path: "/nonexistent/socket"))
    }
    #expect(error?.code == .unavailable)
    #expect(error?.isSafeToRetry == true)
    #expect(error?.message.contains("/nonexistent/socket") == true)
  }

  @Test("Authorization runs before the handler and names the caller", arguments: Transport.allCases)
  func authorization(_ transport: Transport) async throws {
    let observer = CountingObserver()
    try await withServer(
      over: transport,
      server: { configuration in
        configuration.observer = observer
        configuration.authorize = { (method, metadata, _) throws(RPCError) -> CallIdentity? in
          guard metadata["authorization"] == "Bearer good" else {
            throw RPCError(.unauthenticated, "no token")
          }
          return CallIdentity(subject: "ann", namespace: "research")
        }
      }
    ) { client, _ in
      let refused = await status { () async throws(RPCError) -> RawMessage in
        try await client.unary(Methods.echo, RawMessage([1]), options: CallOptions())
      }
      #expect(refused?.code == .unauthenticated)
      let seen = Mutex(Metadata())
      var options = CallOptions()
      options.metadata = ["authorization": "Bearer good"]
      options.onMetadata = { _, trailing in seen.withLock { $0 = trailing } }
      let _: RawMessage = try await client.unary(Methods.echo, RawMessage([1]), options: options)
      #expect(seen.withLock { $0["identity"] } == "ann@research")
      #expect(observer.ended.withLock { $0[.ok] } == 1)
      #expect(observer.rejected.withLock { $0[.unauthenticated] } == 1)
    }
  }
}

final class CountingObserver: ServerObserver {
  let ended = Mutex<[StatusCode: Int]>([:])
  let rejected = Mutex<[StatusCode: Int]>([:])

  func callFinished(
    _ method: MethodDescriptor, ordinal: Int, _ code: StatusCode, nanoseconds: Int64, requestBytes: Int,
    responseBytes: Int
  ) {
    ended.withLock { $0[code, default: 0] += 1 }
  }

  func callRejected(_ code: StatusCode) {
    rejected.withLock { $0[code, default: 0] += 1 }
  }
}

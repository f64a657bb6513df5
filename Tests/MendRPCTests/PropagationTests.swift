import MendRPC
import Synchronization
import TestSupport
import Testing

/// What a call hands on to the calls that its handler makes: its deadline and its end.
@Suite struct PropagationTests {
  /// A server whose handlers call the server behind it.
  private static func front(_ back: ClientConnection, _ seen: SeenCalls) -> Router {
    var router = Router()
    let forward: @Sendable (RawMessage, ServerContext, CallOptions) async throws(RPCError) -> RawMessage = {
      (request, context, options) async throws(RPCError) in
      seen.deadlines.withLock { $0.append(CallDeadline.current) }
      do throws(RPCError) {
        return try await back.unary(Methods.wait, request, options: options)
      } catch {
        seen.errors.withLock { $0.append(error.code) }
        throw error
      }
    }
    router.unary(Methods.wait) { (request: RawMessage, context) async throws(RPCError) -> RawMessage in
      try await forward(request, context, CallOptions())
    }
    router.unary(Methods.echo) { (request: RawMessage, context) async throws(RPCError) -> RawMessage in
      var options = CallOptions()
      options.timeout = .milliseconds(20)
      return try await forward(request, context, options)
    }
    router.unary(Methods.fail) { (request: RawMessage, _) async throws(RPCError) -> RawMessage in
      seen.deadlines.withLock { $0.append(CallDeadline.current) }
      return request
    }
    return router
  }

  private func withTwo(
    _ transport: Transport, _ body: (ClientConnection, Witness, SeenCalls) async throws -> Void
  ) async throws {
    let witness = Witness()
    let seen = SeenCalls()
    try await withServer(witness, over: transport) { back, _ in
      try await withServer(over: transport, router: Self.front(back, seen)) { client, _ in
        try await body(client, witness, seen)
      }
    }
  }

  @Test("A handler's own calls end at its caller's deadline", arguments: Transport.allCases)
  func deadline(_ transport: Transport) async throws {
    try await withTwo(transport) { client, witness, seen in
      var options = CallOptions()
      options.timeout = .milliseconds(200)
      let before = ContinuousClock.now
      let error = await status { () async throws(RPCError) -> RawMessage in
        try await client.unary(Methods.wait, RawMessage([1]), options: options)
      }
      #expect(error?.code == .deadlineExceeded)
      // The server behind was told, and gave up as well.
      #expect(await eventually { witness.cancelled.withLock { $0 } == 1 })
      let bound = try #require(seen.deadlines.withLock { $0.first } ?? nil)
      #expect(bound > before)
      #expect(bound <= ContinuousClock.now + .milliseconds(200))
      let behind = try #require(witness.deadlines.withLock { $0.first } ?? nil)
      #expect(behind > before)
      #expect(behind <= ContinuousClock.now + .milliseconds(200))
    }
  }

  @Test("A shorter timeout of the handler's own counts", arguments: Transport.allCases)
  func ownTimeout(_ transport: Transport) async throws {
    try await withTwo(transport) { client, witness, seen in
      var options = CallOptions()
      options.timeout = .seconds(600)
      let error = await status { () async throws(RPCError) -> RawMessage in
        try await client.unary(Methods.echo, RawMessage([1]), options: options)
      }
      #expect(error?.code == .deadlineExceeded)
      #expect(seen.errors.withLock { $0 } == [.deadlineExceeded])
      #expect(await eventually { witness.cancelled.withLock { $0 } == witness.waiting.withLock { $0 } })
    }
  }

  @Test("A caller that leaves ends the calls of the handler", arguments: Transport.allCases)
  func cancellation(_ transport: Transport) async throws {
    try await withTwo(transport) { client, witness, seen in
      await witness.cancelledWait { () async throws(RPCError) -> RawMessage in
        try await client.unary(Methods.wait, RawMessage([1]), options: CallOptions())
      }
      #expect(await eventually { seen.errors.withLock { $0 } == [.cancelled] })
    }
  }

  @Test(
    "A worker's next call has neither the deadline nor the cancellation of the one before",
    arguments: Transport.allCases)
  func nothingIsLeftBehind(_ transport: Transport) async throws {
    try await withTwo(transport) { client, _, seen in
      var options = CallOptions()
      for timeout in [Duration.seconds(500), nil, .seconds(1000), nil] {
        options.timeout = timeout
        let _: RawMessage = try await client.unary(Methods.fail, RawMessage([1]), options: options)
      }
      let deadlines = seen.deadlines.withLock { $0 }
      #expect(deadlines.map { $0 == nil } == [false, true, false, true])
      let first = try #require(deadlines[0])
      let third = try #require(deadlines[2])
      #expect(third > first + .seconds(400))
      // Nor does this task, which only made the calls.
      #expect(CallDeadline.current == nil)
    }
  }

  @Test("A call made past the deadline it inherits never leaves")
  func past() async throws {
    try await withServer { client, _ in
      let error = await CallDeadline.$current.withValue(.now - .seconds(1)) {
        await status { () async throws(RPCError) -> RawMessage in
          try await client.unary(Methods.echo, RawMessage([1]), options: CallOptions())
        }
      }
      #expect(error?.code == .deadlineExceeded)
      #expect(error?.message == "the call's deadline passed before it began")
    }
  }
}

private final class SeenCalls: Sendable {
  let deadlines = Mutex<[ContinuousClock.Instant?]>([])
  let errors = Mutex<[StatusCode]>([])
}

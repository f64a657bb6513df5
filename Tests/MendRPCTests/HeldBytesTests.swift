import MendHTTP2
import MendRPC
import Synchronization
import TestSupport
import Testing

/// How a test's calls were refused.
private final class Refusals: Sendable {
  let all = Mutex<[RPCError]>([])
}

/// What all connections of a server may hold together.
@Suite struct HeldBytesTests {
  private static let hold = Methods.method("Hold", .clientStreaming)

  private static func router(_ witness: Witness) -> Router {
    var router = makeRouter(witness)
    router.clientStreaming(hold) { (requests: RequestStream<RawMessage>, _) async throws(RPCError) -> RawMessage in
      // Reads nothing before it may.
      try await witness.waitUntilReleasedOrCancelled()
      var count = 0
      for try await request in requests { count += request.bytes.count }
      return RawMessage(Array(String(count).utf8))
    }
    return router
  }

  @Test("maxHeldBytes: who holds much is refused, others are served, and what was taken is forgotten")
  func refused() async throws {
    let witness = Witness()
    try await withServer(
      witness, over: .inProcess, router: Self.router(witness), server: { $0.limits.maxHeldBytes = 100_000 }
    ) { client, server in
      let other = try await server.connectInProcess()
      let held = Task {
        try await client.clientStreaming(Self.hold, options: CallOptions()) {
          (writer: RequestWriter<RawMessage>) async throws(RPCError) in
          for _ in 0..<3 { try await writer.write(RawMessage([UInt8](repeating: 1, count: 60_000))) }
        } as RawMessage
      }
      func echo(_ connection: ClientConnection) async -> RPCError? {
        await status { () async throws(RPCError) in
          _ = try await connection.unary(Methods.echo, RawMessage([1]), options: CallOptions()) as RawMessage
        }
      }
      var refusal: RPCError?
      let deadline = ContinuousClock.now + .seconds(10)
      while refusal == nil, ContinuousClock.now < deadline { refusal = await echo(client) }
      #expect(refusal?.code == .resourceExhausted)
      #expect(refusal?.message.hasPrefix("the server holds 100000 bytes of calls") == true)
      #expect(await echo(other) == nil)
      witness.isReleased.withLock { $0 = true }
      #expect(try await held.value.bytes == Array("180000".utf8))
      #expect(await echo(client) == nil)
      await other.close()
    }
  }

  @Test("maxHeldBytes: open calls and their metadata count as well, until they end")
  func openCalls() async throws {
    let witness = Witness()
    try await withServer(
      witness, over: .inProcess, server: { $0.limits.maxHeldBytes = 150_000 }
    ) { client, server in
      let other = try await server.connectInProcess()
      var options = CallOptions()
      options.metadata["long"] = String(repeating: "a", count: 10_000)
      let made = options
      func echo(_ connection: ClientConnection) async -> RPCError? {
        await status { () async throws(RPCError) in
          _ = try await connection.unary(Methods.echo, RawMessage([1]), options: CallOptions()) as RawMessage
        }
      }
      // Ten and four kilobytes for each: ten are nearly all that may be held.
      let refusals = Refusals()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 1...20 {
          group.addTask {
            let error = await status { () async throws(RPCError) in
              _ = try await client.unary(Methods.wait, RawMessage([1]), options: made) as RawMessage
            }
            if let error { refusals.all.withLock { $0.append(error) } }
          }
          // One after the other, so that they are refused in this order.
          let isSettled = await eventually {
            witness.waiting.withLock { $0 } + refusals.all.withLock { $0.count } == number
          }
          try #require(isSettled)
        }
        #expect((8...10).contains(witness.waiting.withLock { $0 }))
        #expect(await echo(other) == nil)
        witness.isReleased.withLock { $0 = true }
        try await group.waitForAll()
      }
      for error in refusals.all.withLock({ $0 }) {
        #expect(error.code == .resourceExhausted && error.message.hasPrefix("the server holds 150000 bytes of calls"))
      }
      #expect(await echo(client) == nil)
      await other.close()
    }
  }

  @Test("maxHeldBytes: of calls that one read brings, those are refused that are beyond it, and no others")
  func atOnce() async throws {
    let witness = Witness()
    var configuration = ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: 0)])
    configuration.limits.maxHeldBytes = 150_000
    let server = RPCServer(router: makeRouter(witness), configuration: configuration)
    guard case .inet(_, let port)? = try await server.start().first else { return }
    do {
      let caller = try BareCaller(port: port)
      // Four kilobytes and some for each of a hundred calls, in one packet: some thirty fit.
      try caller.openAtOnce("/test.Service/Wait", body: [0, 0, 0, 0, 1, 7], count: 100)
      let answers = try caller.answers { $0.count + witness.waiting.withLock { $0 } >= 100 }
      #expect((60...70).contains(answers.count))
      for answer in answers.values {
        #expect(answer.fields["grpc-status"] == "8")
        #expect(answer.fields["grpc-message"]?.hasPrefix("the server holds 150000 bytes of calls") == true)
      }
      // The first to come are those that run; one more may fit once the connection's SETTINGS are sent.
      let firstRefused = try #require(answers.keys.map(\.id).min())
      #expect(firstRefused >= Int32(2 * (99 - answers.count) + 1))
    } catch {
      await server.shutdown(gracePeriod: .zero)
      throw error
    }
    witness.isReleased.withLock { $0 = true }
    await server.shutdown(gracePeriod: .zero)
  }
}

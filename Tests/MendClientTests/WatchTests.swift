import MendAPI
import MendClient
import MendRPC
import Testing

@Suite("Watch")
struct WatchTests {
  @Test("A watch that breaks off goes on behind its last message, without gap or repeat, to the terminal one")
  func resumes() async throws {
    let asked = Seen<UInt64>()
    var router = Router()
    router.serverStreaming(Batches.Methods.watchProgress) {
      (request: WatchProgressRequest, writer: ResponseWriter<WatchProgressResponse>, _) throws(RPCError) in
      let call = asked.add(request.afterSequence)
      // Three messages a call, the first of them repeated; then the stream breaks, until the batch ends at 7.
      for sequence in max(1, request.afterSequence)...min(7, request.afterSequence + 3) {
        try await writer.write(Self.message(sequence))
      }
      if call < 3 { throw RPCError(.unavailable, "draining") }
    }
    let server = try await FakeServer(router)
    let client = MendClient.impatient(server.endpoint)
    var sequences: [UInt64] = []
    var terminals = 0
    for try await message in client.watch("b") {
      sequences.append(message.sequence)
      if message.terminal { terminals += 1 }
    }
    #expect(sequences == [1, 2, 3, 4, 5, 6, 7])
    #expect(terminals == 1)
    #expect(asked.all == [0, 3, 6])
    await client.close()
    await server.stop()
  }

  @Test("A watch survives its server: lost amid the stream, away for a while, and back at the same address")
  func restart() async throws {
    let asked = Seen<UInt64>()
    let sent = Seen<UInt64>()
    var router = Router()
    router.serverStreaming(Batches.Methods.watchProgress) {
      (request: WatchProgressRequest, writer: ResponseWriter<WatchProgressResponse>, _) async throws(RPCError) in
      let call = asked.add(request.afterSequence)
      for sequence in (request.afterSequence + 1)...min(7, request.afterSequence + 4) {
        try await writer.write(Self.message(sequence))
        sent.add(sequence)
      }
      // The first server says nothing more until it is killed.
      let deadline = ContinuousClock.now + .seconds(60)
      while call == 1, !Task.isCancelled, ContinuousClock.now < deadline { await Task.yield() }
    }
    let first = try await FakeServer(router)
    let port = first.port
    let client = MendClient.impatient(first.endpoint)
    let watch = Task {
      var sequences: [UInt64] = []
      for try await message in client.watch("b") { sequences.append(message.sequence) }
      return sequences
    }
    #expect(await eventually { sent.all.count == 4 })
    await first.stop()
    #expect(await eventually { client.statistics.connectFailures > 2 })
    let second = try await FakeServer(router, port: port)
    #expect(try await watch.value == [1, 2, 3, 4, 5, 6, 7])
    #expect(asked.all.count >= 2)
    await client.close()
    await second.stop()
  }

  @Test("Cancelling the task ends a watch that waits for its server")
  func cancelled() async throws {
    var router = Router()
    router.serverStreaming(Batches.Methods.watchProgress) {
      (_: WatchProgressRequest, writer: ResponseWriter<WatchProgressResponse>, _) async throws(RPCError) in
      try await writer.write(Self.message(1))
      let deadline = ContinuousClock.now + .seconds(60)
      while !Task.isCancelled, ContinuousClock.now < deadline { await Task.yield() }
    }
    let server = try await FakeServer(router)
    let client = MendClient.impatient(server.endpoint)
    let seen = Seen<UInt64>()
    let watch = Task {
      for try await message in client.watch("b") { seen.add(message.sequence) }
    }
    #expect(await eventually { seen.all == [1] })
    await server.stop()
    #expect(await eventually { client.statistics.connectFailures > 0 })
    watch.cancel()
    do {
      try await watch.value
      Issue.record("it ended well")
    } catch {
      #expect((error as? MendError)?.code == .cancelled)
    }
  }

  @Test("A stream that ends well without the terminal message is no end")
  func endsEarly() async throws {
    let asked = Seen<UInt64>()
    var router = Router()
    router.serverStreaming(Batches.Methods.watchProgress) {
      (request: WatchProgressRequest, writer: ResponseWriter<WatchProgressResponse>, _) throws(RPCError) in
      try await writer.write(Self.message(asked.add(request.afterSequence) == 1 ? 3 : 7))
    }
    let server = try await FakeServer(router)
    let client = MendClient.impatient(server.endpoint)
    var sequences: [UInt64] = []
    for try await message in client.watch("b") { sequences.append(message.sequence) }
    #expect(sequences == [3, 7])
    await client.close()
    await server.stop()
  }

  @Test("What the server refuses ends the watch with its words")
  func refused() async throws {
    var router = Router()
    router.serverStreaming(Batches.Methods.watchProgress) {
      (_: WatchProgressRequest, _: ResponseWriter<WatchProgressResponse>, _) throws(RPCError) in
      throw RPCError(.notFound, "batch \"b\" not found")
    }
    let server = try await FakeServer(router)
    let client = MendClient.impatient(server.endpoint)
    do throws(MendError) {
      for try await _ in client.watch("b") { Issue.record("there is no message") }
    } catch {
      #expect(error.code == .notFound)
    }
    await client.close()
    await server.stop()
  }

  private static func message(_ sequence: UInt64) -> WatchProgressResponse {
    var message = WatchProgressResponse()
    message.sequence = sequence
    message.terminal = sequence == 7
    return message
  }
}

import MendAPI
import MendClient
import MendRPC
import TestSupport
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

/// A watch against servers that say the wrong thing.
@Suite("Watch of an odd server")
struct OddWatchTests {
  private static func message(_ sequence: UInt64, previous: UInt64 = 0, terminal: Bool = false) -> WatchProgressResponse
  {
    var message = WatchProgressResponse()
    message.sequence = sequence
    message.previousSequence = previous
    message.terminal = terminal
    return message
  }

  private static func later(_ seconds: Int64) -> RPCError {
    var info = GoogleRetryInfo()
    info.retryDelay = GoogleDuration()
    info.retryDelay?.seconds = seconds
    var any = GoogleAny()
    any.typeURL = "type.googleapis.com/google.rpc.RetryInfo"
    info.encodePayload(into: &any.value)
    var status = GoogleStatus()
    status.details = [any]
    var details: [UInt8] = []
    status.encodePayload(into: &details)
    return RPCError(.unavailable, "later", details: details)
  }

  private func client(_ server: borrowing FakeServer, _ change: (inout MendClient.Limits) -> Void = { _ in })
    -> MendClient
  {
    var settings = MendClient.Settings()
    settings.limits.backoffMinimum = .milliseconds(1)
    settings.limits.backoffMaximum = .milliseconds(2)
    change(&settings.limits)
    return MendClient(server.endpoint, settings: settings)
  }

  @Test(
    "A server that asks to come back beyond the watch's patience is told of at once", arguments: [Int64.max, 600, 6])
  func muchLater(_ seconds: Int64) async throws {
    let calls = Seen<UInt64>()
    var router = Router()
    router.serverStreaming(Batches.Methods.watchProgress) {
      (request: WatchProgressRequest, writer: ResponseWriter<WatchProgressResponse>, _) async throws(RPCError) in
      calls.add(request.afterSequence)
      if request.batchID == "begun" { try await writer.write(Self.message(1)) }
      throw Self.later(seconds)
    }
    let server = try await FakeServer(router)
    // A watch that has begun has 300 s; one that has not, 5 s.
    for batch in ["new", "begun"] where batch == "new" || seconds > 300 {
      let client = client(server)
      var failure: MendError?
      do throws(MendError) { for try await _ in client.watch(batch) {} } catch { failure = error }
      #expect(failure?.code == .unavailable)
      #expect(failure?.message == "later")
      #expect(failure?.details.retryAfter == .seconds(min(seconds, 24 * 3600)))
      await client.close()
    }
    #expect(calls.all == (seconds > 300 ? [0, 0] : [0]))
    await server.stop()
  }

  @Test("A server that repeats itself and ends well gets no further than one that is gone")
  func repeats() async throws {
    let calls = Seen<UInt64>()
    var router = Router()
    router.serverStreaming(Batches.Methods.watchProgress) {
      (request: WatchProgressRequest, writer: ResponseWriter<WatchProgressResponse>, _) async throws(RPCError) in
      // Were it asked without end, it would end the watch well.
      try await writer.write(calls.add(0) > 5000 ? Self.message(9, terminal: true) : Self.message(3))
    }
    let server = try await FakeServer(router)
    let client = client(server) { $0.watchReconnectTime = .milliseconds(200) }
    var sequences: [UInt64] = []
    var failure: MendError?
    do throws(MendError) { for try await message in client.watch("b") { sequences.append(message.sequence) } } catch {
      failure = error
    }
    #expect(sequences == [3])
    #expect(failure?.message == "the watch ended before the batch did")
    await client.close()
    await server.stop()
  }

  @Test("What time alone has changed is handed on, with the sequence of before")
  func byTime() async throws {
    var router = Router()
    router.serverStreaming(Batches.Methods.watchProgress) {
      (_: WatchProgressRequest, writer: ResponseWriter<WatchProgressResponse>, _) async throws(RPCError) in
      for message in [Self.message(3), Self.message(3, previous: 3), Self.message(4, previous: 3, terminal: true)] {
        try await writer.write(message)
      }
    }
    let server = try await FakeServer(router)
    let client = client(server)
    var sequences: [UInt64] = []
    for try await message in client.watch("b") { sequences.append(message.sequence) }
    #expect(sequences == [3, 3, 4])
    await client.close()
    await server.stop()
  }
}

import MendRPC
import Synchronization
import TestSupport
import Testing

/// A pool against our own server, over loopback and Unix sockets.
@Suite struct PoolTests {
  static func withPool(
    _ witness: Witness = Witness(), listener: Listener = .tcp(host: "127.0.0.1", port: 0),
    server change: (inout ServerConfiguration) -> Void = { _ in },
    pool changePool: (inout PoolConfiguration) -> Void = { _ in },
    _ body: (ClientPool, RPCServer) async throws -> Void
  ) async throws {
    var configuration = ServerConfiguration(listeners: [listener])
    change(&configuration)
    let server = RPCServer(router: makeRouter(witness), configuration: configuration)
    let addresses = try await server.start()
    var poolConfiguration = PoolConfiguration()
    poolConfiguration.backoff.initial = .milliseconds(5)
    poolConfiguration.backoff.maximum = .milliseconds(50)
    changePool(&poolConfiguration)
    let pool = ClientPool(try #require(addresses.first?.serverAddress), configuration: poolConfiguration)
    do {
      try await body(pool, server)
    } catch {
      await server.shutdown(gracePeriod: .zero)
      throw error
    }
    await pool.close()
    await server.shutdown(gracePeriod: .zero)
  }

  private static func wait(_ pool: ClientPool, _ options: CallOptions = CallOptions()) async -> RPCError? {
    await status { () async throws(RPCError) -> RawMessage in
      try await pool.unary(Methods.wait, RawMessage([1]), options: options)
    }
  }

  private static func echo(_ pool: ClientPool, _ options: CallOptions = CallOptions()) async -> RPCError? {
    await status { () async throws(RPCError) -> RawMessage in
      try await pool.unary(Methods.echo, RawMessage([1, 2]), options: options)
    }
  }

  @Test("All four shapes go over a pool, over TCP and over a Unix socket")
  func shapes() async throws {
    let directory = try TemporaryDirectory()
    for listener in [Listener.tcp(host: "127.0.0.1", port: 0), .unix(path: directory.path + "/s")] {
      try await Self.withPool(listener: listener) { pool, _ in
        #expect(await Self.echo(pool) == nil)
        let stream: ResponseStream<RawMessage> = try await pool.serverStreaming(
          Methods.count, RawMessage(Array("1000".utf8)), options: CallOptions())
        var count = 0
        for try await _ in stream { count += 1 }
        #expect(count == 1000)
        let sum: RawMessage = try await pool.clientStreaming(Methods.sum, options: CallOptions()) {
          (writer: RequestWriter<RawMessage>) async throws(RPCError) in
          for _ in 0..<10 { try await writer.write(RawMessage([1, 2, 3])) }
        }
        #expect(sum == RawMessage(Array("30".utf8)))
        let answers = try await pool.bidirectional(Methods.chat, options: CallOptions()) {
          (writer: RequestWriter<RawMessage>) async throws(RPCError) in
          try await writer.write(RawMessage([9]))
        } responses: { (chat: ResponseStream<RawMessage>) async throws(RPCError) in
          var answers: [RawMessage] = []
          for try await answer in chat { answers.append(answer) }
          return answers
        }
        #expect(answers == [RawMessage([9])])
        #expect(pool.statistics.connectionsMade == 1)
        #expect(await eventually { pool.statistics.openCalls == 0 })
      }
    }
  }

  @Test("Calls above what the server allows on one connection take further ones, and then wait in a bounded queue")
  func growth() async throws {
    let witness = Witness()
    try await Self.withPool(
      witness, server: { $0.limits.maxConcurrentStreams = 2 },
      pool: {
        $0.maxConnections = 3
        $0.maxQueuedCalls = 4
      }
    ) { pool, _ in
      let ended = EndedCalls()
      await withTaskGroup(of: Void.self) { group in
        func add(_ count: Int) {
          for _ in 0..<count {
            group.addTask {
              let error = await Self.wait(pool)
              ended.codes.withLock { $0.append(error?.code ?? .ok) }
            }
          }
        }
        for connections in 1...3 {
          add(2)
          #expect(
            await eventually {
              let statistics = pool.statistics
              return statistics.connections == connections && statistics.openCalls == 2 * connections
            })
        }
        add(4)
        #expect(await eventually { pool.statistics.waitingCalls == 4 })
        add(2)
        #expect(await eventually { ended.codes.withLock { $0 } == [.resourceExhausted, .resourceExhausted] })
        witness.isReleased.withLock { $0 = true }
      }
      #expect(ended.codes.withLock { $0.filter { $0 == .ok }.count } == 10)
      #expect(pool.statistics.connectionsMade == 3)
      #expect(pool.statistics.callsRefused == 2)
    }
  }

  @Test("The client's own limit of calls on a connection holds where the server allows more")
  func ownLimit() async throws {
    let witness = Witness()
    try await Self.withPool(
      witness,
      pool: {
        $0.connection.limits.maxConcurrentCalls = 1
        $0.maxConnections = 2
      }
    ) { pool, _ in
      await withTaskGroup(of: RPCError?.self) { group in
        for _ in 0..<3 { group.addTask { await Self.wait(pool) } }
        #expect(await eventually { pool.statistics.openCalls == 2 && pool.statistics.waitingCalls == 1 })
        witness.isReleased.withLock { $0 = true }
        for await error in group { #expect(error == nil) }
      }
    }
  }

  @Test("An idle connection is closed, and the next call has another")
  func idle() async throws {
    try await Self.withPool(pool: { $0.idleTimeout = .milliseconds(20) }) { pool, server in
      for round in 1...3 {
        #expect(await Self.echo(pool) == nil)
        #expect(pool.statistics.connectionsMade == round)
        #expect(await eventually { pool.statistics.connections == 0 && server.connectionCount == 0 })
      }
    }
  }

  @Test("A reader that stands still holds its server back at the stream's window, and nobody else")
  func slowReader() async throws {
    let witness = Witness()
    try await Self.withPool(witness, pool: { $0.connection.limits.streamWindowBytes = 32 * 1024 }) { pool, _ in
      let stream: ResponseStream<RawMessage> = try await pool.serverStreaming(
        Methods.count, RawMessage(Array("5000".utf8)), options: CallOptions())
      var iterator = stream.makeAsyncIterator()
      _ = try await iterator.next()
      let written = try await witness.standstill { #expect(await Self.echo(pool) == nil) }
      // Messages of 1,005 bytes: a window taken, one under way, and the 64 KiB that the server holds for a call.
      #expect(written < 32 + 32 + 66 + 10)
      var count = 1
      while try await iterator.next() != nil { count += 1 }
      #expect(count == 5000)
    }
  }

  @Test("A server that has too many pings ends the connection and says so; the next is pinged half as often")
  func pings() async throws {
    try await Self.withPool(pool: { $0.connection.keepaliveInterval = .milliseconds(20) }) { pool, _ in
      let error = await Self.wait(pool)
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("ENHANCE_YOUR_CALM (too_many_pings)") == true)
      #expect(pool.statistics.keepaliveInterval == .milliseconds(40))
      #expect(await Self.echo(pool) == nil)
    }
  }

  @Test("A connection that the server closed for being idle is no loss")
  func serverIdle() async throws {
    try await Self.withPool(
      server: {
        $0.limits.idleTimeout = .milliseconds(20)
        // When a new connection is looked at first.
        $0.limits.handshakeTimeout = .milliseconds(500)
      }
    ) { pool, server in
      for _ in 1...2 {
        #expect(await Self.echo(pool) == nil)
        #expect(await eventually { server.connectionCount == 0 })
      }
    }
  }

  @Test("Without a server a call fails at once and says why; one that waits is answered when the server comes back")
  func restart() async throws {
    try await Self.withPool { pool, server in
      #expect(await Self.echo(pool) == nil)
      await server.shutdown(gracePeriod: .zero)
      let error = await Self.echo(pool)
      #expect(error?.code == .unavailable)
      #expect(error?.isSafeToRetry == true)
      #expect(error?.origin == .connection)
      #expect(error?.message.contains("Connection refused") == true)
      var patient = CallOptions()
      patient.waitForReady = true
      let waiting = Task { [patient] in await Self.echo(pool, patient) }
      #expect(await eventually { pool.statistics.connectFailures > 3 })
      let listener: Listener =
        switch pool.address {
        case .tcp(let host, let port): .tcp(host: host, port: port)
        case .unix(let path): .unix(path: path)
        }
      let second = RPCServer(router: makeRouter(Witness()), configuration: ServerConfiguration(listeners: [listener]))
      try await second.start()
      #expect(await waiting.value == nil)
      #expect(await Self.echo(pool) == nil)
      await second.shutdown(gracePeriod: .zero)
    }
  }

  @Test("A call that waits for a server waits to its deadline, and is told why in vain")
  func waitingDeadline() async throws {
    try await Self.withPool { pool, server in
      await server.shutdown(gracePeriod: .zero)
      var options = CallOptions()
      options.waitForReady = true
      options.timeout = .milliseconds(100)
      let error = await Self.echo(pool, options)
      #expect(error?.code == .deadlineExceeded)
      #expect(error?.message.contains("Connection refused") == true)
    }
  }

  @Test("While a server drains, open calls end and new ones go to the next server")
  func rollingRestart() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/s"
    let witness = Witness()
    try await Self.withPool(witness, listener: .unix(path: path)) { pool, server in
      let open = Task { await Self.wait(pool) }
      #expect(await eventually { witness.waiting.withLock { $0 } == 1 })
      let shutdown = Task { await server.shutdown(gracePeriod: .seconds(60)) }
      #expect(await eventually { pool.statistics.connections == 0 })
      let next = RPCServer(
        router: makeRouter(Witness()), configuration: ServerConfiguration(listeners: [.unix(path: path)]))
      try await next.start()
      #expect(await Self.echo(pool) == nil)
      witness.isReleased.withLock { $0 = true }
      #expect(await open.value == nil)
      await shutdown.value
      #expect(await Self.echo(pool) == nil)
      #expect(pool.statistics.connectionsMade == 2)
      await next.shutdown(gracePeriod: .zero)
    }
  }

  @Test("Closing lets open calls end and closes every connection; a later call opens one again")
  func close() async throws {
    let witness = Witness()
    try await Self.withPool(witness) { pool, server in
      let open = Task { await Self.wait(pool) }
      #expect(await eventually { witness.waiting.withLock { $0 } == 1 })
      let closing = Task { await pool.close() }
      #expect(await eventually { pool.statistics.connections == 0 })
      witness.isReleased.withLock { $0 = true }
      #expect(await open.value == nil)
      await closing.value
      #expect(await eventually { server.connectionCount == 0 })
      #expect(await Self.echo(pool) == nil)
    }
  }

  @Test("Dropping the last reference closes its connections")
  func dropped() async throws {
    try await Self.withPool { pool, server in
      do {
        let other = ClientPool(pool.address)
        #expect(await Self.echo(other) == nil)
        #expect(server.connectionCount == 1)
      }
      #expect(await eventually { server.connectionCount == 0 })
    }
  }

  @Test("A deadline ends a call that waits for room, and one whose handler runs, which sees it")
  func deadlines() async throws {
    let witness = Witness()
    try await Self.withPool(
      witness,
      pool: {
        $0.connection.limits.maxConcurrentCalls = 1
        $0.maxConnections = 1
      }
    ) { pool, _ in
      let first = Task { await Self.wait(pool) }
      #expect(await eventually { witness.waiting.withLock { $0 } == 1 })
      var options = CallOptions()
      options.timeout = .milliseconds(50)
      let error = await Self.echo(pool, options)
      #expect(error?.code == .deadlineExceeded)
      #expect(error?.isSafeToRetry == true)
      first.cancel()
      #expect(await first.value?.code == .cancelled)
      #expect(await Self.wait(pool, options)?.code == .deadlineExceeded)
      #expect(await eventually { witness.cancelled.withLock { $0 } == 2 })
    }
  }

  @Test(
    "Cancelling the task ends a call that is queued, one that is open and one amid its stream, and tells the server")
  func cancellation() async throws {
    let witness = Witness()
    let observer = CountingObserver()
    try await Self.withPool(
      witness, server: { $0.observer = observer },
      pool: {
        $0.connection.limits.maxConcurrentCalls = 1
        $0.maxConnections = 1
      }
    ) { pool, _ in
      let open = Task { await Self.wait(pool) }
      #expect(await eventually { witness.waiting.withLock { $0 } == 1 })
      let queued = Task { await Self.echo(pool) }
      #expect(await eventually { pool.statistics.waitingCalls == 1 })
      queued.cancel()
      #expect(await queued.value?.code == .cancelled)
      #expect(pool.statistics.waitingCalls == 0)
      open.cancel()
      #expect(await open.value?.code == .cancelled)
      #expect(await eventually { witness.cancelled.withLock { $0 } == 1 })
      let seen = Mutex(0)
      let streaming = Task {
        await status { () async throws(RPCError) in
          let stream: ResponseStream<RawMessage> = try await pool.serverStreaming(
            Methods.count, RawMessage(Array("1000000000".utf8)), options: CallOptions())
          for try await _ in stream { seen.withLock { $0 += 1 } }
        }
      }
      #expect(await eventually { seen.withLock { $0 } > 100 })
      streaming.cancel()
      #expect(await streaming.value?.code == .cancelled)
      #expect(await eventually { observer.ended.withLock { $0[.cancelled] } == 2 })
      // Its place is free again.
      #expect(await Self.echo(pool) == nil)
    }
  }
}

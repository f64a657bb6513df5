import MendAPI
import MendCore
import MendProtobuf
import MendRPC
import MendRuntime
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import MendServer

@Suite("The whole server, over sockets", .timeLimit(.minutes(1)))
struct MendServerTests {
  /// A server that serves, and what it takes to call it.
  private struct Served: Sendable {
    let server: MendServer
    let runtime: Runtime
    let executor: ScriptedExecutor
    let addresses: MendServer.Addresses
    let channel: ClientConnection
    var batches: BatchesClient { BatchesClient(channel) }
    var worker: WorkerClient { WorkerClient(channel) }
    var health: GRPCHealthClient { GRPCHealthClient(channel) }
  }

  private func serve(
    tokens: Tokens? = nil, drainDelay: Duration = .zero, _ body: @Sendable (Served) async throws -> Void
  ) async throws {
    let directory = try TemporaryDirectory()
    let executor = ScriptedExecutor()
    let runtime = try Harness.makeRuntime(in: directory.path, executor: executor)
    var configuration = MendServer.Configuration(
      listeners: [.tcp(host: "127.0.0.1", port: 0), .unix(path: directory.path + "/mend.sock")],
      admin: MendServer.AdminAddress(host: "127.0.0.1", port: 0))
    configuration.threadCount = 1
    configuration.drainTimeout = .seconds(5)
    configuration.drainDelay = drainDelay
    let server = MendServer(configuration: configuration, runtime: runtime, tokens: tokens, logger: Harness.quiet)
    let (ready, announce) = AsyncStream.makeStream(of: MendServer.Addresses.self)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        defer { announce.finish() }
        try await server.run { announce.yield($0) }
      }
      var addresses: MendServer.Addresses?
      for await announced in ready {
        addresses = announced
        break
      }
      do {
        let addresses = try #require(addresses)
        guard case .inet(_, let port) = addresses.calls.first else { throw NothingThrown() }
        let channel = try await ClientConnection.connect(to: .tcp(host: "127.0.0.1", port: port))
        try await body(
          Served(
            server: server, runtime: runtime, executor: executor, addresses: addresses, channel: channel))
        await channel.close()
      } catch {
        server.shutdown()
        throw error
      }
      server.shutdown()
      try await group.waitForAll()
    }
  }

  @Test("a batch's whole life through the wire")
  func wholeLife() async throws {
    try await serve { served in
      let created = try await served.batches.createBatch(Harness.creation("", documents: 3))
      var submission = SubmitBatchRequest()
      submission.batchID = created.batchID
      #expect(try await served.batches.submitBatch(submission).status == .running)
      var watch = WatchProgressRequest()
      watch.batchID = created.batchID
      let stream = try await served.batches.watchProgress(watch)
      let key = AttemptKey(
        batch: BatchKey(namespace: "default", batchID: created.batchID), job: JobID(tier: 0, index: 0), number: 1)
      let token = await served.executor.launched(key).token
      var start = StartAttemptRequest()
      start.attemptToken = token
      let assignment = try await served.worker.startAttempt(start)
      #expect(assignment.jobID == "t0-j0" && assignment.documentsLeft == 3)
      var claim = ClaimDocumentsRequest()
      claim.attemptToken = token
      claim.maxDocuments = 10
      let claimed = try await served.worker.claimDocuments(claim)
      var report = ReportRequest()
      report.attemptToken = token
      report.completed = claimed.documents.map(\.documentID)
      #expect(try await served.worker.report(report).accepted == 3)
      served.executor.exit(key, code: 0)
      var messages: [WatchProgressResponse] = []
      for try await message in stream { messages.append(message) }
      #expect(messages.last?.terminal == true && messages.last?.status == .completed)
      var request = DiagnoseRequest()
      request.batchID = created.batchID
      let first = try await served.batches.diagnose(request)
      #expect(first.status == .completed && first.overallProgress == 100)
      #expect(first.performanceSummary != nil)
      // A stale attempt is told so.
      let fenced = try await failure { try await served.worker.claimDocuments(claim) }
      #expect(fenced.code == .aborted)
    }
  }

  @Test("answers have a request id in their metadata, errors have details")
  func metadata() async throws {
    try await serve { served in
      _ = try await served.batches.createBatch(Harness.creation("b1", documents: 1))
      let seen = Mutex<Metadata>([:])
      var options = CallOptions()
      options.onMetadata = { initial, _ in seen.withLock { $0 = initial } }
      var request = GetBatchRequest()
      request.batchID = "b1"
      let response = try await served.batches.getBatch(request, options: options)
      #expect(seen.withLock { $0["mend-request-id"] } == response.metadata?.requestID)
      var unknown = DiagnoseRequest()
      unknown.batchID = "nobody"
      let facts = try await failure { try await served.batches.diagnose(unknown) }
      #expect(facts.code == .notFound)
      #expect(facts.resource?.resourceName == "nobody")
      #expect(facts.request?.requestID.isEmpty == false)
    }
  }

  @Test("tokens are asked for on every service but health")
  func tokens() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/tokens"
    let (secret, entry) = Tokens.create(namespace: "default", role: .viewer, at: 0)
    try Tokens.append(entry, to: path)
    try await serve(tokens: try Tokens(path: path, logger: Harness.quiet)) { served in
      var request = DiagnoseRequest()
      request.batchID = "b1"
      let nobody = try await failure { try await served.batches.diagnose(request) }
      #expect(nobody.code == .unauthenticated)
      var options = CallOptions()
      options.metadata = ["authorization": "Bearer \(secret)"]
      let viewer = try await failure { try await served.batches.diagnose(request, options: options) }
      #expect(viewer.code == .notFound)
      let change = try await failure {
        try await served.batches.createBatch(Harness.creation("b1", documents: 1), options: options)
      }
      #expect(change.code == .permissionDenied)
      #expect(try await served.health.check(GRPCHealthCheckRequest()).status == .serving)
    }
  }

  private func status(_ body: () async throws -> Void) async -> (any Error)? {
    do {
      try await body()
      return nil
    } catch {
      return error
    }
  }

  @Test("Whatever a caller sends as an id, its error is below 4 KiB and says what it should", arguments: [100, 20_000])
  func longIDs(_ length: Int) async throws {
    try await serve { served in
      _ = try await served.batches.createBatch(Harness.creation("b1", documents: 1))
      let long = String(repeating: "ü", count: length)
      var cancel = CancelJobRequest()
      (cancel.batchID, cancel.jobID) = ("b1", long)
      var retry = RetryRequest()
      (retry.batchID, retry.tier, retry.jobs) = ("b1", 0, [long])
      var logs = ReadLogsRequest()
      (logs.batchID, logs.jobID) = ("b1", long)
      var health = GRPCHealthCheckRequest()
      health.service = long
      let errors = [
        (
          await status { () async throws in _ = try await served.batches.cancelJob(cancel) }, StatusCode.invalidArgument
        ),
        (await status { () async throws in _ = try await served.batches.retry(retry) }, .invalidArgument),
        (
          await status { () async throws in for try await _ in try await served.batches.readLogs(logs) {} },
          .invalidArgument
        ),
        (await status { () async throws in _ = try await served.health.check(health) }, .notFound),
      ]
      for (error, code) in errors {
        let error = try #require(error as? RPCError)
        #expect(error.code == code)
        #expect(!error.details.isEmpty)
        #expect(error.message.utf8.count <= 1024)
        #expect(error.details.count <= 2000)
      }
    }
  }

  @Test("health knows the services, and tells watchers of the drain")
  func health() async throws {
    try await serve { served in
      var request = GRPCHealthCheckRequest()
      request.service = "mend.v1.Batches"
      #expect(try await served.health.check(request).status == .serving)
      request.service = "nobody.Knows"
      do {
        _ = try await served.health.check(request)
        Issue.record("an unknown service has a status")
      } catch let error as RPCError { #expect(error.code == .notFound) }
      let stream = try await served.health.watch(GRPCHealthCheckRequest())
      var iterator = stream.makeAsyncIterator()
      #expect(try await iterator.next()?.status == .serving)
      served.server.shutdown()
      #expect(try await iterator.next()?.status == .notServing)
    }
  }

  @Test("a shutdown ends watches with where to resume, and readiness says so")
  func drain() async throws {
    try await serve { served in
      _ = try await served.batches.createBatch(Harness.creation("b1", documents: 1))
      var watch = WatchProgressRequest()
      watch.batchID = "b1"
      let stream = try await served.batches.watchProgress(watch)
      var iterator = stream.makeAsyncIterator()
      let sequence = try #require(try await iterator.next()).sequence
      #expect(served.server.notReady == nil)
      served.server.shutdown()
      #expect(served.server.notReady == "draining")
      do {
        _ = try await iterator.next()
        Issue.record("a watch went on after the shutdown")
      } catch let error as RPCError {
        #expect(error.code == .unavailable)
        #expect(error.metadata["mend-resume-sequence"] == "\(sequence)")
      }
    }
  }

  @Test("a drain's delay is announced and served through, and a second shutdown cuts it short")
  func drainDelay() async throws {
    try await serve(drainDelay: .seconds(3600)) { served in
      let health = try await served.health.watch(GRPCHealthCheckRequest())
      var statuses = health.makeAsyncIterator()
      #expect(try await statuses.next()?.status == .serving)
      served.server.shutdown()
      #expect(try await statuses.next()?.status == .notServing)
      #expect(served.server.notReady == "draining")
      // Who is here, and who comes all the same, is served.
      _ = try await served.batches.createBatch(Harness.creation("b1", documents: 1))
      guard case .inet(_, let port) = served.addresses.calls.first else { throw NothingThrown() }
      let late = try await ClientConnection.connect(to: .tcp(host: "127.0.0.1", port: port))
      #expect(try await GRPCHealthClient(late).check(GRPCHealthCheckRequest()).status == .notServing)
      var watch = WatchProgressRequest()
      watch.batchID = "b1"
      let stream = try await BatchesClient(late).watchProgress(watch)
      var messages = stream.makeAsyncIterator()
      _ = try #require(try await messages.next())
      served.server.shutdown()
      do {
        _ = try await messages.next()
        Issue.record("a watch went on after the second shutdown")
      } catch let error as RPCError {
        #expect(error.code == .unavailable)
        #expect(error.metadata["mend-resume-sequence"] != nil)
      }
      do {
        #expect(try await statuses.next() == nil)
        Issue.record("health's watch ended well")
      } catch let error as RPCError { #expect(error.code == .unavailable) }
      await late.close()
    }
  }

  @Test("the admin port answers HTTP/1.1")
  func admin() async throws {
    try await serve { served in
      guard case .inet(_, let port)? = served.addresses.admin else { throw NothingThrown() }
      let text = try await get("/readyz", port: port)
      #expect(text.hasPrefix("HTTP/1.1 200"))
      var request = DiagnoseRequest()
      request.batchID = "b1"
      _ = try await failure { try await served.batches.diagnose(request) }
      let metrics = try await get("/metrics", port: port)
      #expect(metrics.contains("mend_rpc_calls_total{method=\"mend.v1.Batches/Diagnose\",code=\"NOT_FOUND\"} 1"))
    }
  }

  @Test("an address that is taken is an error that names it")
  func taken() async throws {
    try await serve { served in
      guard case .inet(_, let port) = served.addresses.calls.first else { throw NothingThrown() }
      let directory = try TemporaryDirectory()
      let runtime = try Harness.makeRuntime(in: directory.path, executor: ScriptedExecutor())
      let second = MendServer(
        configuration: MendServer.Configuration(listeners: [.tcp(host: "127.0.0.1", port: port)]), runtime: runtime,
        logger: Harness.quiet)
      do {
        try await second.run()
        Issue.record("two servers listen on one port")
      } catch let error as MendServerError {
        #expect(error.description.contains("127.0.0.1:\(port)"))
      }
    }
  }

  private func get(_ path: String, port: Int) async throws -> String {
    let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    return try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(ByteBuffer(string: "GET \(path) HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
      var text = ""
      for try await buffer in inbound { text += String(buffer: buffer) }
      return text
    }
  }
}

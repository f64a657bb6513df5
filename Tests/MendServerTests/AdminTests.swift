import MendAPI
import MendRPC
import MendRuntime
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOPosix
import Testing

@testable import MendServer

@Suite("The admin port")
struct AdminTests {
  private func pages(notReady: String? = nil) -> AdminPages {
    let calls = CallMetrics([Batches.Methods.diagnose, Batches.Methods.getBatch])
    calls.connectionOpened(.inProcess)
    for code in [StatusCode.ok, .ok, .notFound] {
      calls.callStarted(Batches.Methods.diagnose, ordinal: 0)
      calls.callFinished(
        Batches.Methods.diagnose, ordinal: 0, code, nanoseconds: 2_000_000, requestBytes: 9, responseBytes: 100)
    }
    calls.callRejected(.unimplemented)
    var statistics = RuntimeStatistics()
    statistics.commits = 7
    statistics.documentsCommitted = 11
    statistics.mailboxDepth = 3
    return AdminPages(version: "1.2.3", calls: calls, statistics: { [statistics] in statistics }) { notReady }
  }

  @Test("alive is not ready: recovering and draining say so")
  func readiness() {
    #expect(pages(notReady: "recovering").page("/healthz").status == 200)
    #expect(pages().page("/readyz").status == 200)
    let page = pages(notReady: "recovering").page("/readyz")
    #expect(page.status == 503 && page.body == "recovering\n")
    #expect(pages().page("/secrets").status == 404)
  }

  @Test("metrics are Prometheus text with every family declared once")
  func metrics() {
    let text = pages().page("/metrics").body
    for line in [
      "mend_rpc_calls_total{method=\"mend.v1.Batches/Diagnose\",code=\"OK\"} 2",
      "mend_rpc_calls_total{method=\"mend.v1.Batches/Diagnose\",code=\"NOT_FOUND\"} 1",
      "mend_rpc_call_seconds_bucket{method=\"mend.v1.Batches/Diagnose\",le=\"0.001\"} 0",
      "mend_rpc_call_seconds_bucket{method=\"mend.v1.Batches/Diagnose\",le=\"0.0025\"} 3",
      "mend_rpc_call_seconds_bucket{method=\"mend.v1.Batches/Diagnose\",le=\"+Inf\"} 3",
      "mend_rpc_call_seconds_count{method=\"mend.v1.Batches/Diagnose\"} 3",
      "mend_rpc_rejected_calls_total{code=\"UNIMPLEMENTED\"} 1",
      "mend_commits_total 7", "mend_documents_committed_total 11", "mend_mailbox_depth 3",
      "mend_build_info{version=\"1.2.3\"} 1", "mend_ready 1",
    ] {
      #expect(text.contains(line + "\n"), "\(line)")
    }
    let types = text.split(separator: "\n").filter { $0.hasPrefix("# TYPE") }
    #expect(Set(types).count == types.count)
    #expect(text.contains("process_resident_memory_bytes"))
  }

  @Test("a label's value is escaped")
  func escaping() {
    var text = PrometheusWriter()
    text.family("f", .gauge, "help")
    text.sample(["a": "x\"y\\z\n"], 1.5)
    #expect(text.text.hasSuffix("f{a=\"x\\\"y\\\\z\\n\"} 1.5\n"))
  }

  // MARK: - HTTP

  private func answer(_ requests: String, pages: AdminPages? = nil) throws -> String {
    let channel = EmbeddedChannel()
    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
    try channel.pipeline.syncOperations.addHandler(AdminHandler(pages ?? self.pages()))
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    try channel.writeInbound(ByteBuffer(string: requests))
    var text = ""
    while let buffer = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: buffer) }
    _ = try? channel.finish(acceptAlreadyClosed: true)
    return text
  }

  @Test("several requests on one connection are answered in order")
  func pipelined() throws {
    let text = try answer(
      "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /nothing?x=1 HTTP/1.1\r\nhost: x\r\n\r\n")
    #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(text.contains("HTTP/1.1 404 Not Found\r\n"))
  }

  @Test("HEAD has no body, other methods are refused")
  func methods() throws {
    let head = try answer("HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    #expect(head.contains("content-length: 3\r\n") && head.hasSuffix("\r\n\r\n"))
    #expect(try answer("POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").hasPrefix("HTTP/1.1 405"))
  }

  @Test("who reads nothing is answered no more: one answer is held, and the rest comes as it is read")
  func unread() throws {
    let channel = EmbeddedChannel()
    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
    var answers = 0
    try channel.pipeline.syncOperations.addHandler(AdminHandler(pages()) { answers += 1 })
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    channel.isWritable = false
    let requests = String(repeating: "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", count: 1000)
    try channel.writeInbound(ByteBuffer(string: requests))
    #expect(answers == 0)
    // As a socket does it: what was written is taken, and no more is taken then.
    for expected in 1...3 {
      channel.isWritable = true
      channel.pipeline.fireChannelWritabilityChanged()
      #expect(answers >= expected)
      channel.isWritable = false
    }
    channel.embeddedEventLoop.advanceTime(by: .seconds(61))
    #expect(!channel.isActive)
    _ = try? channel.finish(acceptAlreadyClosed: true)
  }

  @Test("who connects and asks nothing is gone after five seconds, who was answered after a minute")
  func silent() throws {
    func connect() throws -> EmbeddedChannel {
      let channel = EmbeddedChannel()
      try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
      try channel.pipeline.syncOperations.addHandler(AdminHandler(pages()))
      try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
      return channel
    }
    let silent = try connect()
    try silent.writeInbound(ByteBuffer(string: "GET /healthz HTTP/1.1\r\n"))
    silent.embeddedEventLoop.advanceTime(by: .seconds(6))
    #expect(!silent.isActive)
    let answered = try connect()
    try answered.writeInbound(ByteBuffer(string: "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"))
    answered.embeddedEventLoop.advanceTime(by: .seconds(59))
    #expect(answered.isActive)
    answered.embeddedEventLoop.advanceTime(by: .seconds(2))
    #expect(!answered.isActive)
    _ = try? silent.finish(acceptAlreadyClosed: true)
    _ = try? answered.finish(acceptAlreadyClosed: true)
  }

  @Test("a probe has a place, however many connections are silent")
  func crowded() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let server = AdminServer(pages())
    guard case .inet(_, let port) = try await server.start(host: "127.0.0.1", port: 0, on: group) else { return }
    var silent: [any Channel] = []
    for _ in 0..<AdminServer.maxConnections * 2 {
      silent.append(try await ClientBootstrap(group: group).connect(host: "127.0.0.1", port: port).get())
    }
    let (answers, answer) = AsyncStream.makeStream(of: String.self)
    let probe = try await ClientBootstrap(group: group)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Received { answer.yield($0) })
        }
      }
      .connect(host: "127.0.0.1", port: port).get()
    try await probe.writeAndFlush(ByteBuffer(string: "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"))
    var iterator = answers.makeAsyncIterator()
    #expect(await iterator.next()?.hasPrefix("HTTP/1.1 200") == true)
    for channel in silent + [probe] { try? await channel.close() }
    await server.stop()
    try await group.shutdownGracefully()
  }

  private final class Received: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let take: @Sendable (String) -> Void
    init(_ take: @escaping @Sendable (String) -> Void) { self.take = take }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { take(String(buffer: unwrapInboundIn(data))) }
  }

  @Test("large heads and bodies end the connection")
  func limits() throws {
    let big = try answer("GET /healthz HTTP/1.1\r\nx: \(String(repeating: "y", count: 20_000))\r\n\r\n")
    #expect(big.hasPrefix("HTTP/1.1 431"))
    let body = try answer(
      "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + String(repeating: "y", count: 100_000))
    #expect(body.hasPrefix("HTTP/1.1 413"))
    #expect(body.contains("connection: close"))
  }
}

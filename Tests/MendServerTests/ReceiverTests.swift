import MendCore
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import MendServer

/// What a receiver answers is looked at no further than its status.
@Suite("Receivers of notifications", .timeLimit(.minutes(1)))
struct ReceiverTests {
  private func outcome(of answer: String) async throws -> (Webhook.Outcome, Receiver) {
    let receiver = try await Receiver(answer)
    let settings = try WebhookSettings(
      url: "http://127.0.0.1:\(receiver.port)/hook", secret: Array("0123456789abcdef".utf8))
    let webhook = Webhook(settings)
    return (await webhook.send(Array("{}".utf8), eventID: "n.b.1", attempt: 1, at: 1), receiver)
  }

  @Test("an answer without end is cut at its head, and counts by its status", arguments: [200, 410, 500, 302])
  func endless(status: Int) async throws {
    let (outcome, receiver) = try await outcome(
      of: "HTTP/1.1 \(status) X\r\nlocation: /elsewhere\r\ntransfer-encoding: chunked\r\n\r\n")
    switch status {
    case 200: #expect(outcome == .delivered(status: 200))
    case 410: #expect(outcome == .gone)
    case 302: #expect(outcome == .failed("status 302: redirections are not followed"))
    default: #expect(outcome == .failed("status 500"))
    }
    // The connection is closed while the receiver still writes: far from what it has to say.
    let sent = await receiver.end()
    #expect(sent < 64 << 20)
    #expect(receiver.requests.count == 1)
    #expect(receiver.requests.first?.lowercased().contains("accept-encoding: identity") == true)
  }

  @Test("an answer with an end counts as well")
  func short() async throws {
    let (outcome, receiver) = try await outcome(of: "HTTP/1.1 204 Nothing\r\nconnection: close\r\n\r\n")
    #expect(outcome == .delivered(status: 204))
    _ = await receiver.end()
  }
}

/// Answers one request with a head, and then writes chunks as they are taken, until nobody takes them, or 256 MiB are out.
private final class Receiver: Sendable {
  let port: Int
  private let listener: any Channel
  private let seen = Seen()
  private let reports: AsyncStream<Void>

  /// What one connection was sent, and sent itself.
  final class Seen: Sendable {
    let requests = Mutex<[String]>([])
    let sent = Mutex(0)
  }

  var requests: [String] { seen.requests.withLock { $0 } }

  init(_ head: String) async throws {
    let (reports, report) = AsyncStream.makeStream(of: Void.self)
    self.reports = reports
    let seen = seen
    listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Writer(head, seen) { report.yield() })
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    port = listener.localAddress?.port ?? 0
  }

  /// How many bytes went out, once the connection is over.
  func end() async -> Int {
    for await _ in reports { break }
    try? await listener.close()
    return seen.sent.withLock { $0 }
  }

  private final class Writer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let head: String
    private let seen: Seen
    private let over: @Sendable () -> Void
    private let chunk = ByteBuffer(string: "10000\r\n" + String(repeating: "x", count: 65_536) + "\r\n")
    private var request = ""
    private var isWriting = false

    init(_ head: String, _ seen: Seen, over: @escaping @Sendable () -> Void) {
      self.head = head
      self.seen = seen
      self.over = over
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      request += String(buffer: unwrapInboundIn(data))
      guard !isWriting, request.contains("\r\n\r\n{}") else { return }
      seen.requests.withLock { $0.append(request) }
      context.writeAndFlush(NIOAny(ByteBuffer(string: head)), promise: nil)
      guard head.contains("chunked") else { return context.close(promise: nil) }
      isWriting = true
      write(context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) { write(context) }

    func channelInactive(context: ChannelHandlerContext) { over() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func write(_ context: ChannelHandlerContext) {
      while isWriting, context.channel.isWritable, context.channel.isActive {
        let sent = seen.sent.withLock { sent in
          sent += chunk.readableBytes
          return sent
        }
        context.writeAndFlush(NIOAny(chunk), promise: nil)
        guard sent < 256 << 20 else { return context.close(promise: nil) }
      }
    }
  }
}

import MendAPI
import NIOCore
import NIOEmbedded
import Synchronization

@testable import MendHTTP2
@testable import MendRPC

/// What a peer may send on a connection: to a whole server connection with handlers of every shape, and to a client's
/// session that waits for answers. In pieces of random sizes, on a loop that this program turns by hand.
///
/// Whatever arrives, all handlers have returned once the connection is closed, and nothing is counted as held.
final class FramesTarget {
  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  private static let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
  private let loop = EmbeddedEventLoop()
  private let clientMemory = HTTP2Memory()
  private let router = FramesTarget.makeRouter()

  func run(_ input: [UInt8]) {
    if input.starts(with: Self.preface) {
      serve(input, input)
    } else {
      serve(Self.preface + Self.settings + input, input)
      receive(input)
    }
  }

  // MARK: A server

  private static func makeRouter() -> Router {
    func method(_ name: String, _ shape: CallShape) -> MethodDescriptor {
      MethodDescriptor(service: "fuzz.Service", method: name, shape: shape)
    }
    var router = Router()
    router.inlineUnary(method("Inline", .unary)) { (payload, _, out) throws(RPCError) in
      out += payload.withUnsafeBytes { Array($0) }
    }
    router.unary(method("Unary", .unary)) { (request: RawMessage, context) async throws(RPCError) -> RawMessage in
      context.setInitialMetadata(["initial": "yes"])
      context.setTrailingMetadata(context.metadata)
      return request
    }
    router.serverStreaming(method("Server", .serverStreaming)) {
      (request: RawMessage, writer: ResponseWriter<RawMessage>, _) async throws(RPCError) in
      for _ in 0..<min(request.bytes.count, 200) { try await writer.write(RawMessage(request.bytes)) }
    }
    router.clientStreaming(method("Client", .clientStreaming)) {
      (requests: RequestStream<RawMessage>, _) async throws(RPCError) -> RawMessage in
      var sum = 0
      for try await request in requests { sum += request.bytes.count }
      return RawMessage(Array(String(sum).utf8))
    }
    router.bidirectional(method("Both", .bidirectional)) {
      (requests: RequestStream<RawMessage>, writer: ResponseWriter<RawMessage>, _) async throws(RPCError) in
      for try await request in requests { try await writer.write(request) }
    }
    // The path that gRPC's own corpus calls, and a real message.
    router.unary(MethodDescriptor(service: "foo", method: "bar", shape: .unary)) {
      (request: RawMessage, _) async throws(RPCError) -> RawMessage in request
    }
    router.unary(Batches.Methods.getBatch) {
      (request: GetBatchRequest, _) async throws(RPCError) -> GetBatchResponse in
      throw RPCError(.notFound, "no \(request.batchID)")
    }
    return router
  }

  private func serve(_ bytes: [UInt8], _ input: [UInt8]) {
    var configuration = ServerConfiguration()
    // Small, so that inputs of a few kilobytes reach the bounds.
    configuration.limits.maxRequestBytes = 4096
    configuration.limits.maxBufferedRequestBytes = 8192
    configuration.limits.responseHighWaterBytes = 2048
    configuration.limits.maxBufferedResponseBytes = 16 * 1024
    configuration.limits.maxConcurrentStreams = 32
    configuration.limits.maxRunningCalls = 40
    let shared = ServerShared(router, configuration)
    let channel = EmbeddedChannel(loop: loop)
    do {
      let connection = try ServerConnection(
        shared, channel, peer: .inet(host: "127.0.0.1", port: 1), isSecure: false)
      try channel.pipeline.syncOperations.addHandler(connection)
      channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    } catch {
      fatalError("no connection: \(error)")
    }
    for piece in pieces(of: bytes, input) where channel.isActive {
      // What a connection refuses, it says on the wire.
      _ = try? channel.writeInbound(ByteBuffer(bytes: piece))
      turn()
      drain(channel)
    }
    channel.close(promise: nil)
    turn()
    // Handlers that were cancelled get as many turns as they have steps.
    var turns = 0
    while shared.connectionCount > 0 {
      turns += 1
      precondition(turns < 10_000, "handlers of a closed connection do not return")
      turn()
    }
    drain(channel)
    let held = shared.heldBytes.load(ordering: .relaxed)
    precondition(held == 0, "a closed connection is counted with \(held) bytes")
  }

  /// Half an hour a turn at times would close connections; a millisecond lets tasks go on that yield.
  private func turn() { loop.advanceTime(by: .milliseconds(1)) }

  private func drain(_ channel: EmbeddedChannel) {
    while let read = try? channel.readOutbound(as: ByteBuffer.self) {
      precondition(read.readableBytes > 0, "an empty write")
    }
  }

  private func pieces(of bytes: [UInt8], _ input: [UInt8]) -> [ArraySlice<UInt8>] {
    var generator = InputGenerator(input)
    // All at once, or pieces of this size at most.
    let largest = [bytes.count, 1, 7, 64, 1024].randomElement(using: &generator) ?? bytes.count
    var rest = bytes[...]
    var pieces: [ArraySlice<UInt8>] = []
    while !rest.isEmpty {
      let size = largest == bytes.count ? largest : Int.random(in: 1...max(1, largest), using: &generator)
      pieces.append(rest.prefix(size))
      rest = rest.dropFirst(size)
    }
    return pieces
  }

  // MARK: A client's session

  private func receive(_ input: [UInt8]) {
    do throws(HTTP2Error) {
      let session = try HTTP2Session(role: .client, limits: HTTP2Limits(), memory: clientMemory)
      var block = HeaderBlock()
      for (name, value) in [
        (":method", "POST"), (":scheme", "http"), (":path", "/fuzz.Service/Unary"), (":authority", "x"),
        ("content-type", "application/grpc"), ("te", "trailers"),
      ] { block.append(name, value) }
      for _ in 0..<3 { _ = try session.request(block, endStream: false) }
      try session.send(upTo: 1 << 20) { _ in }
      for piece in pieces(of: input, input) {
        try session.receive(Array(piece).span.bytes, now: 0)
        work(session)
        try session.send(upTo: 1 << 20) { _ in }
        work(session)
        if session.isFinished { break }
      }
    } catch {
      precondition(error.kind == .peer, "the library refused a command: \(error)")
    }
  }

  private func work(_ session: HTTP2Session) {
    var events: [HTTP2Event] = []
    session.exchangeEvents(with: &events)
    for event in events {
      switch event {
      case .headers(let handle, _):
        var block = HeaderBlock()
        session.exchangeHeaders(of: handle, with: &block)
        read(block)
      case .trailers(let handle):
        var block = HeaderBlock()
        session.exchangeTrailers(of: handle, with: &block)
        read(block)
      case .data(let handle, _):
        take(handle, session)
      case .closed(let handle, _):
        take(handle, session)
        session.release(handle)
      case .headersTooLarge, .drained, .settings, .settingsAcknowledged, .goAway, .pingAcknowledged, .pingReceived:
        break
      }
    }
  }

  private func read(_ block: HeaderBlock) {
    for field in block.fields { _ = block.text(field.name) + block.text(field.value) }
    _ = try? Metadata(receiving: block)
  }

  private func take(_ handle: StreamHandle, _ session: HTTP2Session) {
    session.withReceived(handle) { bytes in bytes.byteCount }
    session.giveCredit(handle, keeping: 0)
  }
}

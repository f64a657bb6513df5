import Foundation
import MendHTTP2
import MendRPC
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

/// Whoever holds the last of a connection decides on which thread it ends; its session's memory is its loop's all the same.
/// A debug build traps where that is used on another thread.
@Suite struct LettingGoTests {
  /// Takes a value out of a box on a thread of its own, and ends it there.
  private final class Box<Value>: @unchecked Sendable {
    private var value: Value?

    init(_ value: Value) { self.value = value }

    func endElsewhere() async {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        Thread.detachNewThread {
          self.value = nil
          continuation.resume()
        }
      }
    }
  }

  @Test("A client's session whose last call is let go of on another thread is freed on its loop")
  func client() async throws {
    let peer = try HandMadePeer { line in
      guard line.greet() else { return }
      _ = line.next(HandMadePeer.Frame.headers)
    }
    defer { peer.stop() }
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    for _ in 0..<5 {
      let (stream, isClosed) = try await broken(peer.port, group)
      #expect(await eventually { isClosed.withLock { $0 } })
      // The channel's own hold ends a turn of its loop later.
      try await group.next().submit {}.get()
      try await group.next().submit {}.get()
      await stream.endElsewhere()
    }
    try await group.shutdownGracefully()
  }

  /// A stream of responses whose connection the server closes, and which is all that holds it then.
  private func broken(
    _ port: Int, _ group: MultiThreadedEventLoopGroup
  ) async throws -> (Box<ResponseStream<RawMessage>>, SharedFlag) {
    while true {
      let connection = try await ClientConnection.connect(to: .tcp(host: "127.0.0.1", port: port), on: group)
      let isClosed = SharedFlag()
      connection.onClose { _ in isClosed.withLock { $0 = true } }
      do throws(RPCError) {
        let stream: ResponseStream<RawMessage> = try await connection.serverStreaming(
          Methods.count, RawMessage([]), options: CallOptions())
        return (Box(stream), isClosed)
      } catch {
        // The server may have closed before there was a stream to hold; the suite's time limit bounds the tries.
        guard error.code == .unavailable else { throw error }
      }
    }
  }

  final class SharedFlag: Sendable {
    private let value = Mutex(false)
    func withLock<R: Sendable>(_ body: (inout sending Bool) -> sending R) -> R { value.withLock(body) }
  }

  @Test("A server's session whose handler's writer is let go of on another thread is freed on its loop")
  func server() async throws {
    let kept = Mutex<Box<ResponseWriter<RawMessage>>?>(nil)
    var router = Router()
    router.serverStreaming(Methods.count) {
      (_: RawMessage, writer: ResponseWriter<RawMessage>, _) async throws(RPCError) in
      kept.withLock { $0 = Box(writer) }
    }
    try await withServer(router: router) { client, server in
      let stream: ResponseStream<RawMessage> = try await client.serverStreaming(
        Methods.count, RawMessage([]), options: CallOptions())
      for try await _ in stream {}
      await client.close()
      #expect(await eventually { server.connectionCount == 0 })
      let box = kept.withLock { box in
        defer { box = nil }
        return box
      }
      await box?.endElsewhere()
    }
  }
}

import Foundation
import MendHTTP2
import Synchronization
import TestSupport
import Testing

@testable import MendRPC

/// What a server answers to callers that ask for too much or in an odd way: always something, and no more than they take.
@Suite struct ServerRuleTests {
  private final class Counter: Sendable {
    private let value = Mutex(0)
    var count: Int { value.withLock { $0 } }
    func add() { value.withLock { $0 += 1 } }
  }

  @Test(
    "Only messages of protobuf are taken",
    arguments: [
      ("application/grpc", true), ("application/grpc+proto", true), ("application/grpc;charset=utf-8", true),
      ("application/grpc+proto; v=1", true), ("application/grpc+json", false), ("application/grpc+", false),
      ("application/grpc+x", false), ("application/grpc+protobuf", false), ("application/grpcx", false),
      ("application/grpc-web", false), ("application/json", false),
    ])
  func contentTypes(_ example: (type: String, isTaken: Bool)) async throws {
    try await withCaller { caller, _ in
      let answer = try caller.call(
        "/test.Service/Echo", [("content-type", example.type)], body: [0, 0, 0, 0, 1, 42])
      #expect(answer.fields[":status"] == (example.isTaken ? "200" : "415"))
    }
  }

  @Test("Calls above the limit are refused, and the others go on")
  func tooManyCalls() async throws {
    let witness = Witness()
    try await withCaller(makeRouter(witness), { $0.limits.maxConcurrentStreams = 10 }) { caller, _ in
      // The caller's session obeys the limit once it knows it.
      try caller.openAtOnce("/test.Service/Wait", body: [0, 0, 0, 0, 0], count: 15)
      let refused = try caller.answers(until: { $0.values.count { $0.code == .refusedStream } == 5 })
      #expect(refused.values.count { $0.code == .refusedStream } == 5)
      #expect(await eventually { witness.waiting.withLock { $0 } == 10 })
      witness.isReleased.withLock { $0 = true }
      let answers = try caller.answers(until: { $0.values.count { $0.fields["grpc-status"] == "0" } == 10 })
      #expect(answers.values.count { $0.fields["grpc-status"] == "0" } == 10)
      #expect(caller.goAways == [])
    }
  }

  @Test(
    "An error that quotes what its caller sent is below 4 KiB, however it is written",
    arguments: [
      [("grpc-encoding", String(repeating: "ü", count: 4000))], [("grpc-timeout", String(repeating: "ü", count: 4000))],
      [("grpc-encoding", String(repeating: "x", count: 14_000))],
    ])
  func longEchoes(_ fields: [(String, String)]) async throws {
    try await withCaller { caller, _ in
      let answer = try caller.call(
        "/test.Service/Echo", [("content-type", "application/grpc")] + fields, body: [0, 0, 0, 0, 0])
      #expect(answer.fields["grpc-status"] != nil)
      #expect(answer.fields.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 32 } < 4096)
    }
  }

  @Test("Whatever a handler puts into its metadata or its error, its caller is answered")
  func largeMetadata() async throws {
    let large: Metadata = ["large": String(repeating: "x", count: 70_000)]
    var router = Router()
    for name in ["initial", "trailing", "error", "details", "message"] {
      router.unary(Methods.method(name, .unary)) {
        (request: RawMessage, context) async throws(RPCError) -> RawMessage in
        switch name {
        case "initial": context.setInitialMetadata(large)
        case "trailing": context.setTrailingMetadata(large)
        case "error": throw RPCError(.notFound, "no", metadata: large)
        case "details": throw RPCError(.notFound, "no", details: [UInt8](repeating: 7, count: 50_000))
        default: throw RPCError(.notFound, String(repeating: "é", count: 50_000))
        }
        return request
      }
    }
    try await withServer(router: router) { client, _ in
      for name in ["initial", "trailing", "error", "details", "message"] {
        var options = CallOptions()
        options.timeout = .seconds(10)
        let made = options
        let error = await status { () async throws(RPCError) -> RawMessage in
          try await client.unary(Methods.method(name, .unary), RawMessage([1]), options: made)
        }
        let expected: StatusCode = ["initial", "trailing"].contains(name) ? .internal : .notFound
        #expect(error?.code == expected, "\(name): \(String(describing: error))")
      }
    }
  }

  @Test("Whoever loads a long answer may ping as often as it gets some of it")
  func pingsForData() async throws {
    var router = Router()
    router.unary(Methods.echo) { (_: RawMessage, _) async throws(RPCError) -> RawMessage in
      RawMessage([UInt8](repeating: 7, count: 3 << 20))
    }
    try await withCaller(router) { caller, _ in
      let handle = try caller.open("/test.Service/Echo", body: [0, 0, 0, 0, 0])
      var received = 0
      // One at a time, as gRPC's clients do to measure their line.
      var pings = 0
      var isAnswered = true
      while received < 3 << 20 {
        try caller.flush()
        guard try caller.receive() else { break }
        caller.session.withReceived(handle) { bytes in
          if bytes.byteCount > 0, isAnswered {
            caller.session.ping(1)
            pings += 1
            isAnswered = false
          }
          received += bytes.byteCount
          return bytes.byteCount
        }
        caller.session.giveCredit(handle, keeping: 0)
        var events: [HTTP2Event] = []
        caller.session.exchangeEvents(with: &events)
        if events.contains(.pingAcknowledged(1)) { isAnswered = true }
      }
      #expect(received >= 3 << 20)
      #expect(pings > 5)
    }
  }

  @Test("A second shutdown waits for the first, and so does whoever waits for the end")
  func secondShutdown() async throws {
    let witness = Witness()
    try await withServer(witness) { client, server in
      let call = Task {
        await status { () async throws(RPCError) -> RawMessage in
          try await client.unary(Methods.wait, RawMessage([1]), options: CallOptions())
        }
      }
      #expect(await eventually { witness.waiting.withLock { $0 } == 1 })
      let ended = Counter()
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await server.shutdown(gracePeriod: .seconds(60)) }
        // Once the first has begun, no connection is to be had.
        while case .ready = client.phase { await Task.yield() }
        group.addTask {
          await server.shutdown(gracePeriod: .seconds(60))
          ended.add()
        }
        group.addTask {
          await server.waitUntilShutdown()
          ended.add()
        }
        for _ in 0..<1000 { await Task.yield() }
        #expect(ended.count == 0)
        witness.isReleased.withLock { $0 = true }
      }
      #expect(ended.count == 2)
      #expect(await call.value == nil)
    }
  }

  @Test("A handler that writes in a task that was cancelled before is not left waiting for a reader")
  func cancelledWriter() async throws {
    let ended = Counter()
    var router = Router()
    router.serverStreaming(Methods.count) {
      (_: RawMessage, writer: ResponseWriter<RawMessage>, _) async throws(RPCError) in
      await Task.detached {
        withUnsafeCurrentTask { unsafe $0?.cancel() }
        let message = RawMessage([UInt8](repeating: 7, count: 100_000))
        while (try? await writer.write(message)) != nil {}
        ended.add()
      }.value
    }
    try await withServer(router: router) { client, _ in
      let stream: ResponseStream<RawMessage> = try await client.serverStreaming(
        Methods.count, RawMessage([]), options: CallOptions())
      #expect(await eventually { ended.count == 1 })
      _ = stream
    }
  }

  @Test("So is a caller that writes, and a handler that reads")
  func cancelledOthers() async throws {
    let ended = Counter()
    var router = Router()
    router.clientStreaming(Methods.sum) {
      (requests: RequestStream<RawMessage>, _) async throws(RPCError) -> RawMessage in
      await Task.detached {
        withUnsafeCurrentTask { unsafe $0?.cancel() }
        var iterator = requests.makeAsyncIterator()
        _ = try? await iterator.next()
        ended.add()
      }.value
      while !Task.isCancelled { await Task.yield() }
      throw RPCError(.cancelled, "")
    }
    try await withServer(router: router) { client, _ in
      let error = await status { () async throws(RPCError) -> RawMessage in
        try await client.clientStreaming(Methods.sum, options: CallOptions()) {
          (writer: RequestWriter<RawMessage>) async throws(RPCError) in
          while ended.count == 0 { await Task.yield() }
          withUnsafeCurrentTask { unsafe $0?.cancel() }
          let message = RawMessage([UInt8](repeating: 7, count: 1_000_000))
          while true { try await writer.write(message) }
        }
      }
      #expect(error?.code == .cancelled)
      #expect(ended.count == 1)
    }
  }
}

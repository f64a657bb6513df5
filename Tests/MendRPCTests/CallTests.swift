import MendRPC
import Synchronization
import TestSupport
import Testing

@Suite struct CallTests {
  let options = CallOptions()

  @Test("A unary call returns what its handler returned, inline or as a task", arguments: Transport.allCases)
  func unary(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      for method in [Methods.echo, Methods.inlineEcho] {
        for size in [0, 1, 600, 100_000, 4 * 1024 * 1024] {
          let request = RawMessage([UInt8](repeating: 5, count: size))
          let response: RawMessage = try await client.unary(method, request, options: options)
          #expect(response == request)
        }
      }
    }
  }

  @Test("Metadata goes both ways, bytes included", arguments: Transport.allCases)
  func metadata(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      let seen = Mutex<(Metadata, Metadata)?>(nil)
      var options = CallOptions()
      options.metadata = ["token": "abc"]
      options.metadata.addBinary([0, 255, 128, 1], for: "trace-bin")
      options.metadata.addBinary([], for: "empty-bin")
      options.metadata.add("one", for: "Many")
      options.metadata.add("two", for: "many")
      options.onMetadata = { initial, trailing in seen.withLock { $0 = (initial, trailing) } }
      let _: RawMessage = try await client.unary(Methods.echo, RawMessage([]), options: options)
      let (initial, trailing) = try #require(seen.withLock { $0 })
      #expect(initial["initial"] == "yes")
      #expect(trailing["token"] == "abc")
      #expect(trailing.binary("trace-bin") == [0, 255, 128, 1])
      #expect(trailing.binary("empty-bin") == [])
      #expect(trailing.values("many") == ["one", "two"])
      #expect(trailing["grpc-status"] == nil)
    }
  }

  @Test("An error arrives with its message, details and metadata", arguments: Transport.allCases)
  func errors(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      let error = await status { () async throws(RPCError) -> RawMessage in
        try await client.unary(Methods.fail, RawMessage([1]), options: options)
      }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.message == "50 % grün\n")
      #expect(error?.details == [8, 9, 255])
      #expect(error?.metadata["why"] == "because")
      #expect(error?.isSafeToRetry == false)
    }
  }

  @Test("An unknown service and an unknown method are UNIMPLEMENTED, and say which", arguments: Transport.allCases)
  func unknown(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      let cases = [
        (
          MethodDescriptor(service: "test.Service", method: "Nope", shape: .unary),
          "service test.Service has no method Nope"
        ),
        (MethodDescriptor(service: "other.Service", method: "Echo", shape: .unary), "no service other.Service"),
      ]
      for (method, message) in cases {
        let error = await status { () async throws(RPCError) -> RawMessage in
          try await client.unary(method, RawMessage([1]), options: options)
        }
        #expect(error?.code == .unimplemented)
        #expect(error?.message == message)
      }
    }
  }

  @Test(
    "What an inline handler declines is answered by the one that may wait, and nothing of the first is sent",
    arguments: Transport.allCases)
  func declined(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      let short: RawMessage = try await client.unary(Methods.inlineOrNot, RawMessage([9]), options: options)
      #expect(short == RawMessage([1, 2, 3]))
      for size in [3, 600, 100_000] {
        let request = RawMessage((0..<size).map { UInt8(truncatingIfNeeded: $0) })
        let response: RawMessage = try await client.unary(Methods.inlineOrNot, request, options: options)
        #expect(response == RawMessage(Array(request.bytes.reversed())))
      }
    }
  }

  @Test("A message above the limit is refused with both sizes, on either side", arguments: Transport.allCases)
  func tooLarge(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      let large = RawMessage([UInt8](repeating: 1, count: 5 * 1024 * 1024))
      for method in [Methods.echo, Methods.inlineEcho] {
        let error = await status { () async throws(RPCError) -> RawMessage in
          try await client.unary(method, large, options: options)
        }
        #expect(error?.code == .resourceExhausted)
        #expect(error?.message == "the request has 5242880 bytes; at most 4194304 are taken")
      }
      var small = CallOptions()
      small.maxResponseBytes = 10
      let error = await status { () async throws(RPCError) -> RawMessage in
        try await client.unary(Methods.echo, RawMessage([UInt8](repeating: 1, count: 11)), options: small)
      }
      #expect(error?.code == .resourceExhausted)
      // The connection survives.
      let _: RawMessage = try await client.unary(Methods.echo, RawMessage([1]), options: options)
    }
  }

  @Test("A stream of ten thousand messages waits for its reader in bounded memory", arguments: Transport.allCases)
  func slowReader(_ transport: Transport) async throws {
    let witness = Witness()
    try await withServer(witness, over: transport) { client, _ in
      let stream: ResponseStream<RawMessage> = try await client.serverStreaming(
        Methods.count, RawMessage(Array("10000".utf8)), options: options)
      var iterator = stream.makeAsyncIterator()
      _ = try await iterator.next()
      let written = try await witness.standstill {
        let _: RawMessage = try await client.unary(Methods.echo, RawMessage([1]), options: options)
      }
      #expect(written < 2000)
      var count = 1
      while try await iterator.next() != nil { count += 1 }
      #expect(count == 10_000)
    }
  }

  @Test("Requests are streamed and counted, and may be answered before their end", arguments: Transport.allCases)
  func clientStreaming(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      let sum: RawMessage = try await client.clientStreaming(Methods.sum, options: options) {
        (writer: RequestWriter<RawMessage>) async throws(RPCError) in
        for _ in 0..<1000 { try await writer.write(RawMessage([UInt8](repeating: 1, count: 2000))) }
      }
      #expect(sum == RawMessage(Array("2000000".utf8)))
      let first: RawMessage = try await client.clientStreaming(Methods.firstOnly, options: options) {
        (writer: RequestWriter<RawMessage>) async throws(RPCError) in
        while true { try await writer.write(RawMessage([42])) }
      }
      #expect(first == RawMessage([42]))
    }
  }

  @Test("Requests and responses alternate in a bidirectional call", arguments: Transport.allCases)
  func bidirectional(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      let turn = Mutex(0)
      let count = try await client.bidirectional(Methods.chat, options: options) {
        (writer: RequestWriter<RawMessage>) async throws(RPCError) in
        let deadline = ContinuousClock.now + .seconds(60)
        for index in 0..<100 {
          while turn.withLock({ $0 }) < index {
            guard ContinuousClock.now < deadline else {
              throw RPCError(.deadlineExceeded, "message \(index - 1) was not answered within 60 s")
            }
            await Task.yield()
          }
          try await writer.write(RawMessage([UInt8(index)]))
        }
      } responses: { (stream: ResponseStream<RawMessage>) async throws(RPCError) in
        var count = 0
        for try await message in stream {
          #expect(message.bytes == [UInt8(count)])
          count += 1
          turn.withLock { $0 = count }
        }
        return count
      }
      #expect(count == 100)
    }
  }

  @Test(
    "Who writes requests is cancelled, and has returned, once nobody reads responses", arguments: Transport.allCases)
  func bidirectionalLeft(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      let returned = Mutex(false)
      let first = try await client.bidirectional(Methods.chat, options: options) {
        (writer: RequestWriter<RawMessage>) async throws(RPCError) in
        try await writer.write(RawMessage([5]))
        let deadline = ContinuousClock.now + .seconds(60)
        while !Task.isCancelled {
          guard ContinuousClock.now < deadline else { throw RPCError(.deadlineExceeded, "not cancelled within 60 s") }
          await Task.yield()
        }
        returned.withLock { $0 = true }
      } responses: { (stream: ResponseStream<RawMessage>) async throws(RPCError) -> RawMessage? in
        var iterator = stream.makeAsyncIterator()
        return try await iterator.next()
      }
      #expect(first == RawMessage([5]))
      #expect(returned.withLock { $0 })
    }
  }

  @Test("A thousand calls at once share one connection", arguments: Transport.allCases)
  func concurrent(_ transport: Transport) async throws {
    try await withServer(over: transport) { client, _ in
      let total = try await withThrowingTaskGroup(of: Int.self) { group in
        for index in 0..<1000 {
          group.addTask {
            let method = index % 2 == 0 ? Methods.echo : Methods.inlineEcho
            let response: RawMessage = try await client.unary(
              method, RawMessage([UInt8](repeating: 1, count: index)), options: CallOptions())
            return response.bytes.count
          }
        }
        return try await group.reduce(0, +)
      }
      #expect(total == 999 * 1000 / 2)
    }
  }

  @Test(
    "Calls above the server's number of streams wait for a free one, in a bounded queue", arguments: Transport.allCases)
  func queueing(_ transport: Transport) async throws {
    let witness = Witness()
    try await withServer(
      witness, over: transport, server: { $0.limits.maxConcurrentStreams = 2 }, client: { $0.limits.maxQueuedCalls = 3 }
    ) { client, _ in
      let ended = EndedCalls()
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<8 {
          group.addTask {
            let error = await status { () async throws(RPCError) -> RawMessage in
              try await client.unary(Methods.wait, RawMessage([1]), options: CallOptions())
            }
            if let error { #expect(error.isSafeToRetry) }
            ended.codes.withLock { $0.append(error?.code ?? .ok) }
          }
        }
        #expect(await eventually { ended.codes.withLock { $0.count } == 3 })
        witness.isReleased.withLock { $0 = true }
      }
      let codes = ended.codes.withLock { $0 }
      #expect(codes.filter { $0 == .ok }.count == 5)
      #expect(codes.filter { $0 == .resourceExhausted }.count == 3)
    }
  }
}

final class EndedCalls: Sendable {
  let codes = Mutex<[StatusCode]>([])
}

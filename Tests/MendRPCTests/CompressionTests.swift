import Foundation
import MendHTTP2
import MendRPC
import Synchronization
import TestSupport
import Testing

/// gzip on both sides; what other libraries make of it is Tests/Interop's part.
@Suite struct CompressionTests {
  static let grpc = [("content-type", "application/grpc"), ("grpc-encoding", "gzip")]

  private func withPort(
    _ change: (inout ServerConfiguration) -> Void = { _ in }, _ body: (Int) throws -> Void
  ) async throws {
    var configuration = ServerConfiguration(listeners: [.tcp(host: "127.0.0.1", port: 0)])
    change(&configuration)
    let server = RPCServer(router: makeRouter(Witness()), configuration: configuration)
    guard case .inet(_, let port)? = try await server.start().first else { return }
    do {
      try body(port)
    } catch {
      await server.shutdown(gracePeriod: .zero)
      throw error
    }
    await server.shutdown(gracePeriod: .zero)
  }

  private func frame(_ payload: [UInt8], flag: UInt8 = 1) -> [UInt8] {
    let length = UInt32(payload.count)
    return [flag] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) } + payload
  }

  @Test("A compressed request is read, by inline handlers, tasks and streams")
  func requests() async throws {
    let text = [UInt8](repeating: 65, count: 100_000)
    let gzip = try gzip(text)
    try await withPort { port in
      let caller = try BareCaller(port: port)
      for path in ["/test.Service/Echo", "/test.Service/InlineEcho", "/test.Service/Chat"] {
        let answer = try caller.call(path, Self.grpc, body: frame(gzip))
        #expect(answer.fields["grpc-status"] == "0")
        // The caller doesn't say that it takes gzip.
        #expect(answer.fields["grpc-encoding"] == nil)
        #expect(answer.body == frame(text, flag: 0))
      }
      // A call that is compressed may have messages that are not.
      let mixed = try caller.call("/test.Service/Sum", Self.grpc, body: frame(gzip) + frame([1, 2], flag: 0))
      #expect(mixed.body.dropFirst(5) == ArraySlice(Array("100002".utf8)))
      // RFC 1952 2.2: several members are one file.
      let members = try caller.call("/test.Service/Echo", Self.grpc, body: frame(gzip + gzip))
      #expect(members.body.count == 200_005)
    }
  }

  @Test("What is not gzip, has no end, or is too much when decompressed fails its call alone, and says why")
  func bombs() async throws {
    let bomb = try gzip([UInt8](repeating: 0, count: 4 * 1024 * 1024 + 1))
    let full = try gzip([UInt8](repeating: 0, count: 4 * 1024 * 1024))
    let small = try gzip(Array("some text".utf8))
    let tooMuch = "has more than 4194304 bytes when decompressed; at most 4194304 are taken"
    let cases: [(path: String, body: [UInt8], status: String, message: String)] = [
      ("Echo", frame(bomb), "8", "the request \(tooMuch)"),
      ("InlineEcho", frame(bomb), "8", "the request \(tooMuch)"),
      ("Chat", frame(bomb), "8", "a request message \(tooMuch)"),
      ("Echo", frame([1, 2, 3]), "13", "is not gzip, which its call names as grpc-encoding"),
      ("Echo", frame([]), "13", "is cut short"),
      ("Echo", frame(Array(small.dropLast(4))), "13", "is cut short"),
      ("Echo", frame(small + [0]), "13", "is cut short"),
      ("Echo", frame(small, flag: 2), "13", "begins with flag 2"),
      // Its response is short: this caller takes no more than a window.
      ("Sum", frame(full), "0", ""),
    ]
    try await withPort { port in
      let caller = try BareCaller(port: port)
      for (path, body, status, message) in cases {
        let answer = try caller.call("/test.Service/\(path)", Self.grpc, body: body)
        #expect(answer.fields["grpc-status"] == status)
        if !message.isEmpty { #expect(answer.fields["grpc-message"]?.contains(message) == true) }
      }
      #expect(try caller.call("/test.Service/Echo", body: frame([7], flag: 0)).fields["grpc-status"] == "0")
    }
  }

  @Test("maxBufferedRequestBytes: complete requests that wait to be decompressed are counted")
  func waiting() async throws {
    // Many turns; what comes behind it in the same packet waits.
    let large = try gzip([UInt8](repeating: 0, count: 4 * 1024 * 1024))
    var generator = SystemRandomNumberGenerator()
    let small = try gzip((0..<5000).map { _ in UInt8.random(in: 0...255, using: &generator) })
    try await withPort({ $0.limits.maxBufferedRequestBytes = 20_000 }) { port in
      let caller = try BareCaller(port: port)
      for body in [large] + Array(repeating: small, count: 10) {
        var block = HeaderBlock()
        for (name, value) in [
          (":method", "POST"), (":scheme", "http"), (":path", "/test.Service/Echo"), (":authority", "x"),
        ] + Self.grpc {
          block.append(name, value)
        }
        let handle = try caller.session.request(block, endStream: false)
        caller.session.write(handle) { $0 += frame(body) }
        caller.session.finish(handle)
      }
      try caller.flush()
      let answers = try caller.answers { $0.values.count { $0.fields["grpc-status"] == "8" } >= 6 }
      let told = answers.values.filter { $0.fields["grpc-status"] == "8" }
      #expect((6...8).contains(told.count))
      #expect(
        told.allSatisfy { $0.fields["grpc-message"]?.contains("bytes of requests wait on this connection") == true })
    }
  }

  @Test("Large compressed requests are read in turns with the others, whole, in order, and at their own call's cost")
  func turns() async throws {
    // Several megabytes each once decompressed, which is many turns; what is small comes behind them in the same packet.
    let large = try gzip((0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8) })
    let small = try gzip([1, 2, 3])
    try await withPort { port in
      let caller = try BareCaller(port: port)
      var sums: [StreamHandle: String] = [:]
      for number in 0..<6 {
        let body = number.isMultiple(of: 2) ? frame(large) + frame(small) + frame(large) : frame(small)
        let handle = try caller.open("/test.Service/Sum", fields: Self.grpc, body: body)
        sums[handle] = String(number.isMultiple(of: 2) ? 2 * (3 << 20) + 3 : 3)
      }
      let answers = try caller.answers { $0.values.filter { $0.code != nil }.count == 6 }
      for (handle, sum) in sums { #expect(answers[handle]?.body.dropFirst(5) == ArraySlice(Array(sum.utf8))) }
      // A caller that leaves in the middle takes nobody's turn with it.
      let gone = try BareCaller(port: port)
      for _ in 0..<4 { _ = try gone.open("/test.Service/InlineEcho", fields: Self.grpc, body: frame(large)) }
      gone.hangUp()
      let answer = try caller.call("/test.Service/Echo", Self.grpc, body: frame(small))
      #expect(answer.body == frame([1, 2, 3], flag: 0))
    }
  }

  @Test("Bombs that come in one packet end their connection before all of them have gone off")
  func manyBombs() async throws {
    let bomb = try gzip([UInt8](repeating: 0, count: 4 * 1024 * 1024))
    let counter = CallCounter()
    try await withPort({
      $0.observer = counter
      $0.limits.faultBurst = 40
    }) { port in
      let caller = try BareCaller(port: port)
      for _ in 0..<40 { _ = try caller.open("/test.Service/Sum", fields: Self.grpc, body: frame(bomb)) }
      _ = try caller.answers { _ in !caller.goAways.isEmpty }
      #expect(!caller.goAways.isEmpty)
      // Each counts for ten broken frames, of which forty are forgiven.
      #expect(counter.answered.withLock { $0 } <= 5)
    }
  }

  @Test("Responses are compressed only for a caller that takes gzip, and only above the least size")
  func responses() async throws {
    let text = [UInt8](repeating: 65, count: 100_000)
    try await withPort({ $0.compression = CompressionPolicy(.gzip, minBytes: 100) }) { port in
      let caller = try BareCaller(port: port)
      for path in ["/test.Service/Echo", "/test.Service/InlineEcho", "/test.Service/Chat"] {
        for (accept, isGzip) in [
          ("gzip", true), ("identity,deflate,gzip", true), ("identity, gzip", true), ("identity", false),
          ("gzipped", false), ("", false),
        ] {
          let fields = [("content-type", "application/grpc"), ("grpc-accept-encoding", accept)]
          let large = try caller.call(path, fields, body: frame(text, flag: 0))
          #expect(large.fields["grpc-encoding"] == (isGzip ? "gzip" : nil))
          #expect(large.body.first == (isGzip ? 1 : 0))
          if isGzip { #expect(try gunzip(Array(large.body.dropFirst(5))) == text) }
          let small = try caller.call(path, fields, body: frame([1, 2, 3], flag: 0))
          #expect(small.body == frame([1, 2, 3], flag: 0))
        }
      }
      // What gzip makes no smaller is sent as it is.
      var generator = SystemRandomNumberGenerator()
      let noise = (0..<1000).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let answer = try caller.call(
        "/test.Service/Echo", [("content-type", "application/grpc"), ("grpc-accept-encoding", "gzip")],
        body: frame(noise, flag: 0))
      #expect(answer.body == frame(noise, flag: 0))
    }
  }

  @Test("Mend's client compresses what it sends and reads what comes compressed, in every shape")
  func client() async throws {
    let text = RawMessage([UInt8](repeating: 65, count: 100_000))
    let observer = ByteObserver()
    try await withServer(
      server: {
        $0.compression = CompressionPolicy(.gzip)
        $0.observer = observer
      },
      client: {
        $0.compression = CompressionPolicy(.gzip)
        $0.acceptsGzip = true
      }
    ) { client, _ in
      let echoed: RawMessage = try await client.unary(Methods.echo, text, options: CallOptions())
      #expect(echoed == text)
      let sum: RawMessage = try await client.clientStreaming(Methods.sum, options: CallOptions()) {
        (writer: RequestWriter<RawMessage>) async throws(RPCError) in
        try await writer.write(text)
        try await writer.write(text, compressed: false)
      }
      #expect(sum == RawMessage(Array("200000".utf8)))
      let count = try await client.bidirectional(Methods.chat, options: CallOptions()) {
        (writer: RequestWriter<RawMessage>) async throws(RPCError) in
        for _ in 0..<3 { try await writer.write(text) }
      } responses: { (stream: ResponseStream<RawMessage>) async throws(RPCError) in
        var count = 0
        for try await message in stream {
          #expect(message == text)
          count += 1
        }
        return count
      }
      #expect(count == 3)
      // Echo and chat: four messages each way of some hundred bytes; sum: one plain message.
      #expect(await eventually { observer.calls.withLock { $0 } == 3 })
      #expect(observer.requestBytes.withLock { (100_000..<110_000).contains($0) })
      #expect(observer.responseBytes.withLock { $0 < 10_000 })

      var options = CallOptions()
      options.compression = CompressionPolicy.none
      let plain: RawMessage = try await client.unary(Methods.echo, text, options: options)
      #expect(plain == text)
      #expect(await eventually { observer.requestBytes.withLock { $0 } > 200_000 })
    }
  }

  @Test("The client refuses a response that is too much when decompressed")
  func clientLimit() async throws {
    let text = RawMessage([UInt8](repeating: 65, count: 100_000))
    try await withServer(server: { $0.compression = CompressionPolicy(.gzip) }, client: { $0.acceptsGzip = true }) {
      client, _ in
      var options = CallOptions()
      options.maxResponseBytes = 99_999
      let error = await status { () async throws(RPCError) -> RawMessage in
        try await client.unary(Methods.echo, text, options: options)
      }
      #expect(error?.code == .resourceExhausted)
      #expect(
        error?.message == "the response has more than 99999 bytes when decompressed; at most 99999 are taken")
      let streamed = await status { () async throws(RPCError) -> RawMessage? in
        try await client.bidirectional(Methods.chat, options: options) {
          (writer: RequestWriter<RawMessage>) async throws(RPCError) in
          try await writer.write(text)
        } responses: { (stream: ResponseStream<RawMessage>) async throws(RPCError) in
          var iterator = stream.makeAsyncIterator()
          return try await iterator.next()
        }
      }
      #expect(streamed?.code == .resourceExhausted)
    }
  }

  // MARK: Another implementation

  private func gzip(_ bytes: [UInt8]) throws -> [UInt8] { try pipe(bytes, through: ["gzip", "-c"]) }
  private func gunzip(_ bytes: [UInt8]) throws -> [UInt8] { try pipe(bytes, through: ["gzip", "-dc"]) }

  private func pipe(_ bytes: [UInt8], through command: [String]) throws -> [UInt8] {
    let directory = try TemporaryDirectory()
    let input = URL(fileURLWithPath: directory.path + "/in")
    try Data(bytes).write(to: input)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.standardInput = try FileHandle(forReadingFrom: input)
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let result = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return Array(result)
  }
}

private final class ByteObserver: ServerObserver {
  let calls = Mutex(0)
  let requestBytes = Mutex(0)
  let responseBytes = Mutex(0)

  func callFinished(
    _ method: MethodDescriptor, ordinal: Int, _ code: StatusCode, nanoseconds: Int64, requestBytes: Int,
    responseBytes: Int
  ) {
    calls.withLock { $0 += 1 }
    self.requestBytes.withLock { $0 += requestBytes }
    self.responseBytes.withLock { $0 += responseBytes }
  }
}

/// Counts the calls that ended well.
private final class CallCounter: ServerObserver {
  let answered = Mutex(0)

  func callFinished(
    _ method: MethodDescriptor, ordinal: Int, _ code: StatusCode, nanoseconds: Int64, requestBytes: Int,
    responseBytes: Int
  ) {
    if code == .ok { answered.withLock { $0 += 1 } }
  }
}

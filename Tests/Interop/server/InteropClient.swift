import MendProtobuf
import MendRPC
import Synchronization

/// gRPC's interop cases (https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md) as this library's
/// client runs them, against anybody's
/// server: what it expects is what that document says.
struct InteropClient {
  private let client: GRPCTestServiceClient

  /// What a case found wrong.
  struct Fault: Error {
    var text: String
  }

  init(_ channel: any RPCChannel) {
    client = GRPCTestServiceClient(channel)
  }

  static let cases: [(name: String, run: @Sendable (InteropClient) async throws -> Void)] = [
    ("empty_unary", { try await $0.emptyUnary() }), ("large_unary", { try await $0.largeUnary() }),
    ("client_streaming", { try await $0.clientStreaming() }), ("server_streaming", { try await $0.serverStreaming() }),
    ("ping_pong", { try await $0.pingPong() }), ("empty_stream", { try await $0.emptyStream() }),
    ("cancel_after_begin", { try await $0.cancelAfterBegin() }),
    ("cancel_after_first_response", { try await $0.cancelAfterFirstResponse() }),
    ("timeout_on_sleeping_server", { try await $0.timeoutOnSleepingServer() }),
    ("custom_metadata", { try await $0.customMetadata() }),
    ("status_code_and_message", { try await $0.statusCodeAndMessage() }),
    ("special_status_message", { try await $0.specialStatusMessage() }),
    ("unimplemented_method", { try await $0.unimplementedMethod() }),
    ("unimplemented_service", { try await $0.unimplementedService() }),
  ]

  private static let requestSizes = [27182, 8, 1828, 45904]
  private static let responseSizes = [31415, 9, 2653, 58979]

  private func expect(_ holds: Bool, _ text: @autoclosure () -> String) throws {
    guard holds else { throw Fault(text: text()) }
  }

  private func expect(_ code: StatusCode, _ call: () async throws(RPCError) -> Void) async throws -> RPCError {
    do throws(RPCError) {
      try await call()
    } catch {
      try expect(error.code == code, "\(code) was to come, not \(error)")
      return error
    }
    throw Fault(text: "\(code) was to come, not OK")
  }

  private static func payload(_ size: Int) -> GRPCPayload {
    GRPCPayload { $0.body = [UInt8](repeating: 0, count: size) }
  }

  private static func question(_ size: Int, _ answer: Int) -> GRPCStreamingOutputCallRequest {
    GRPCStreamingOutputCallRequest {
      $0.payload = payload(size)
      $0.responseParameters = [GRPCResponseParameters { $0.size = Int32(answer) }]
    }
  }

  // MARK: One message each way

  private func emptyUnary() async throws {
    try expect(try await client.emptyCall(GRPCEmpty()) == GRPCEmpty(), "the answer is not empty")
  }

  private func largeUnary() async throws {
    let request = GRPCSimpleRequest {
      $0.responseSize = 314_159
      $0.payload = Self.payload(271_828)
    }
    let body = try await client.unaryCall(request).payload?.body
    try expect(body == [UInt8](repeating: 0, count: 314_159), "\(body?.count ?? -1) bytes")
  }

  private func customMetadata() async throws {
    let seen = Mutex((initial: Metadata(), trailing: Metadata()))
    var options = CallOptions()
    options.metadata["x-grpc-test-echo-initial"] = "test_initial_metadata_value"
    options.metadata.addBinary([0xab, 0xab, 0xab], for: "x-grpc-test-echo-trailing-bin")
    options.onMetadata = { initial, trailing in seen.withLock { $0 = (initial, trailing) } }
    let check = {
      let (initial, trailing) = seen.withLock { $0 }
      try expect(initial["x-grpc-test-echo-initial"] == "test_initial_metadata_value", "initial: \(initial)")
      let echoed = trailing.contains {
        $0.name == "x-grpc-test-echo-trailing-bin" && $0.value == .binary([0xab, 0xab, 0xab])
      }
      try expect(echoed, "trailing: \(trailing)")
      seen.withLock { $0 = (Metadata(), Metadata()) }
    }
    let request = GRPCSimpleRequest {
      $0.responseSize = 1
      $0.payload = Self.payload(1)
    }
    _ = try await client.unaryCall(request, options: options)
    try check()
    try await client.fullDuplexCall(options: options) {
      (writer: RequestWriter<GRPCStreamingOutputCallRequest>) async throws(RPCError) in
      try await writer.write(Self.question(1, 1))
    } responses: { (stream: ResponseStream<GRPCStreamingOutputCallResponse>) async throws(RPCError) in
      for try await _ in stream {}
    }
    try check()
  }

  // MARK: Statuses

  private func statusCodeAndMessage() async throws {
    let status = GRPCEchoStatus {
      $0.code = 2
      $0.message = "test status message"
    }
    try await expectStatus(status)
    let error = try await expect(.unknown) { () async throws(RPCError) in
      try await client.fullDuplexCall {
        (writer: RequestWriter<GRPCStreamingOutputCallRequest>) async throws(RPCError) in
        try await writer.write(GRPCStreamingOutputCallRequest { $0.responseStatus = status })
      } responses: { (stream: ResponseStream<GRPCStreamingOutputCallResponse>) async throws(RPCError) in
        for try await _ in stream {}
      }
    }
    try expect(error.message == status.message, error.message)
  }

  private func specialStatusMessage() async throws {
    try await expectStatus(
      GRPCEchoStatus {
        $0.code = 2
        $0.message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
      })
  }

  private func expectStatus(_ status: GRPCEchoStatus) async throws {
    let error = try await expect(.unknown) { () async throws(RPCError) in
      _ = try await client.unaryCall(GRPCSimpleRequest { $0.responseStatus = status })
    }
    try expect(error.message == status.message, error.message)
  }

  private func unimplementedMethod() async throws {
    try await expectUnimplemented("grpc.testing.TestService")
  }

  private func unimplementedService() async throws {
    try await expectUnimplemented("grpc.testing.UnimplementedService")
  }

  private func expectUnimplemented(_ service: String) async throws {
    let method = MethodDescriptor(service: service, method: "UnimplementedCall", shape: .unary)
    _ = try await expect(.unimplemented) { () async throws(RPCError) in
      let _: GRPCEmpty = try await client.channel.unary(method, GRPCEmpty(), options: CallOptions())
    }
  }

  // MARK: Streams

  private func clientStreaming() async throws {
    let response = try await client.streamingInputCall {
      (writer: RequestWriter<GRPCStreamingInputCallRequest>) async throws(RPCError) in
      for size in Self.requestSizes {
        try await writer.write(GRPCStreamingInputCallRequest { $0.payload = Self.payload(size) })
      }
    }
    try expect(response.aggregatedPayloadSize == 74922, "\(response.aggregatedPayloadSize)")
  }

  private func serverStreaming() async throws {
    let request = GRPCStreamingOutputCallRequest {
      $0.responseParameters = Self.responseSizes.map { size in GRPCResponseParameters { $0.size = Int32(size) } }
    }
    var sizes: [Int] = []
    for try await response in try await client.streamingOutputCall(request) {
      sizes.append(response.payload?.body.count ?? -1)
    }
    try expect(sizes == Self.responseSizes, "\(sizes)")
  }

  /// Each request waits for the answer to the one before.
  private func pingPong() async throws {
    let (turns, turn) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    turn.yield()
    let sizes = try await client.fullDuplexCall {
      (writer: RequestWriter<GRPCStreamingOutputCallRequest>) async throws(RPCError) in
      var turns = turns.makeAsyncIterator()
      for (size, answer) in zip(Self.requestSizes, Self.responseSizes) {
        guard await turns.next() != nil else { return }
        try await writer.write(Self.question(size, answer))
      }
    } responses: { (stream: ResponseStream<GRPCStreamingOutputCallResponse>) async throws(RPCError) in
      var sizes: [Int] = []
      for try await response in stream {
        sizes.append(response.payload?.body.count ?? -1)
        turn.yield()
      }
      return sizes
    }
    try expect(sizes == Self.responseSizes, "\(sizes)")
  }

  private func emptyStream() async throws {
    let count = try await client.fullDuplexCall { (_: RequestWriter<GRPCStreamingOutputCallRequest>) in
    } responses: { (stream: ResponseStream<GRPCStreamingOutputCallResponse>) async throws(RPCError) in
      var count = 0
      for try await _ in stream { count += 1 }
      return count
    }
    try expect(count == 0, "\(count) answers to nothing")
  }

  // MARK: Early ends

  /// Returns after a minute as well, so that what should have been cancelled ends its case and not its run.
  private static func waitUntilCancelled() async {
    let deadline = ContinuousClock.now + .seconds(60)
    while !Task.isCancelled, ContinuousClock.now < deadline { await Task.yield() }
  }

  private func cancelAfterBegin() async throws {
    let begun = AsyncStream.makeStream(of: Void.self)
    let call = Task { () async -> RPCError? in
      do throws(RPCError) {
        _ = try await client.streamingInputCall { (_: RequestWriter<GRPCStreamingInputCallRequest>) in
          begun.continuation.yield()
          await Self.waitUntilCancelled()
        }
        return nil
      } catch {
        return error
      }
    }
    for await _ in begun.stream { break }
    call.cancel()
    let error = await call.value
    try expect(error?.code == .cancelled, "\(error.map(String.init(describing:)) ?? "OK")")
  }

  private func cancelAfterFirstResponse() async throws {
    let call = Task { () async -> RPCError? in
      do throws(RPCError) {
        try await client.fullDuplexCall {
          (writer: RequestWriter<GRPCStreamingOutputCallRequest>) async throws(RPCError) in
          try await writer.write(Self.question(27182, 31415))
          await Self.waitUntilCancelled()
        } responses: { (stream: ResponseStream<GRPCStreamingOutputCallResponse>) async throws(RPCError) in
          for try await _ in stream { withUnsafeCurrentTask { $0?.cancel() } }
        }
        return nil
      } catch {
        return error
      }
    }
    let error = await call.value
    try expect(error?.code == .cancelled, "\(error.map(String.init(describing:)) ?? "OK")")
  }

  private func timeoutOnSleepingServer() async throws {
    var options = CallOptions()
    options.timeout = .milliseconds(1)
    _ = try await expect(.deadlineExceeded) { () async throws(RPCError) in
      try await client.fullDuplexCall(options: options) {
        (writer: RequestWriter<GRPCStreamingOutputCallRequest>) async throws(RPCError) in
        try await writer.write(Self.question(27182, 31415))
        await Self.waitUntilCancelled()
      } responses: { (stream: ResponseStream<GRPCStreamingOutputCallResponse>) async throws(RPCError) in
        for try await _ in stream {}
      }
    }
  }
}

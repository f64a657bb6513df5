import MendProtobuf
import MendRPC

/// The server that gRPC's interop clients expect
/// (https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md).
struct InteropTestService: GRPCTestServiceService {
  private static let initialEcho = "x-grpc-test-echo-initial"
  private static let trailingEcho = "x-grpc-test-echo-trailing-bin"
  /// What one response may be asked to hold: more would only test the machine's memory.
  private static let largestBody = 64 << 20

  func emptyCall(_ request: GRPCEmpty, context: ServerContext) async throws(RPCError) -> GRPCEmpty {
    echoMetadata(context)
    return request
  }

  func unaryCall(_ request: GRPCSimpleRequest, context: ServerContext) async throws(RPCError) -> GRPCSimpleResponse {
    echoMetadata(context)
    try Self.check(request.expectCompressed, context)
    if request.responseCompressed?.value == true { context.setCompression(.init(.gzip, minBytes: 1)) }
    try Self.end(with: request.responseStatus)
    var response = GRPCSimpleResponse()
    response.payload = try Self.payload(request.responseSize)
    return response
  }

  func cacheableUnaryCall(
    _ request: GRPCSimpleRequest, context: ServerContext
  ) async throws(RPCError) -> GRPCSimpleResponse {
    try await unaryCall(request, context: context)
  }

  func streamingOutputCall(
    _ request: GRPCStreamingOutputCallRequest, writer: ResponseWriter<GRPCStreamingOutputCallResponse>,
    context: ServerContext
  ) async throws(RPCError) {
    echoMetadata(context)
    if request.responseParameters.contains(where: { $0.compressed?.value == true }) {
      context.setCompression(.init(.gzip, minBytes: 1))
    }
    try await answer(request, writer)
  }

  func streamingInputCall(
    _ requests: RequestStream<GRPCStreamingInputCallRequest>, context: ServerContext
  ) async throws(RPCError) -> GRPCStreamingInputCallResponse {
    echoMetadata(context)
    var response = GRPCStreamingInputCallResponse()
    for try await request in requests {
      try Self.check(request.expectCompressed, context)
      response.aggregatedPayloadSize += Int32(clamping: request.payload?.body.count ?? 0)
    }
    return response
  }

  func fullDuplexCall(
    _ requests: RequestStream<GRPCStreamingOutputCallRequest>,
    writer: ResponseWriter<GRPCStreamingOutputCallResponse>, context: ServerContext
  ) async throws(RPCError) {
    echoMetadata(context)
    for try await request in requests { try await answer(request, writer) }
  }

  func halfDuplexCall(
    _ requests: RequestStream<GRPCStreamingOutputCallRequest>,
    writer: ResponseWriter<GRPCStreamingOutputCallResponse>, context: ServerContext
  ) async throws(RPCError) {
    echoMetadata(context)
    var received: [GRPCStreamingOutputCallRequest] = []
    for try await request in requests { received.append(request) }
    for request in received { try await answer(request, writer) }
  }

  /// The responses that one request asks for, then the status that it asks for.
  private func answer(
    _ request: GRPCStreamingOutputCallRequest, _ writer: ResponseWriter<GRPCStreamingOutputCallResponse>
  ) async throws(RPCError) {
    for parameters in request.responseParameters {
      if parameters.intervalUs > 0 {
        do {
          try await Task.sleep(for: .microseconds(Int64(parameters.intervalUs)))
        } catch {
          throw RPCError(.cancelled, "the call was cancelled")
        }
      }
      var response = GRPCStreamingOutputCallResponse()
      response.payload = try Self.payload(parameters.size)
      try await writer.write(response, compressed: parameters.compressed?.value ?? true)
    }
    try Self.end(with: request.responseStatus)
  }

  private static func payload(_ size: Int32) throws(RPCError) -> GRPCPayload {
    guard (0...largestBody).contains(Int(size)) else {
      throw RPCError(.invalidArgument, "a response of \(size) bytes is asked for; 0 to \(largestBody) can be had")
    }
    var payload = GRPCPayload()
    payload.body = [UInt8](repeating: 0, count: Int(size))
    return payload
  }

  /// Whether a message was compressed as its sender says that it meant to.
  private static func check(_ expected: GRPCBoolValue?, _ context: ServerContext) throws(RPCError) {
    guard let expected, expected.value != context.requestWasCompressed else { return }
    throw RPCError(
      .invalidArgument, "the message was\(expected.value ? " not" : "") compressed on the wire, against its own word")
  }

  private static func end(with status: GRPCEchoStatus?) throws(RPCError) {
    guard let status, status.code != 0 else { return }
    throw RPCError(StatusCode(rawValue: Int(status.code)), status.message)
  }

  private func echoMetadata(_ context: ServerContext) {
    if let value = context.metadata[Self.initialEcho] {
      context.setInitialMetadata([Self.initialEcho: value])
    }
    if let value = context.metadata.binary(Self.trailingEcho) {
      var trailing = Metadata()
      trailing.addBinary(value, for: Self.trailingEcho)
      context.setTrailingMetadata(trailing)
    }
  }
}

internal import MendHTTP2
internal import MendProtobuf

/// Reads the protocol's own headers of a response, as gRPC's HTTP/2 document maps them.
enum ResponseHead {
  /// Returns the encoding of the response's messages. Throws if it is not a gRPC response.
  static func check(_ block: HeaderBlock) throws(RPCError) -> MessageEncoding {
    if let error = httpError(block) { throw error }
    guard let type = block.first("content-type"),
      block.hasPrefix(type.value, "application/grpc")
    else {
      throw RPCError(.unknown, "the server's answer is not gRPC: its content-type is \(text(block, "content-type"))")
    }
    guard let field = block.first("grpc-encoding") else { return .identity }
    guard let encoding = MessageEncoding(block, field) else {
      throw RPCError(
        .internal,
        "the server's answer is in grpc-encoding \(text(block, "grpc-encoding")); \(MessageEncoding.accepted) are known"
      )
    }
    return encoding
  }

  /// The error that an HTTP status other than 200 stands for.
  static func httpError(_ block: HeaderBlock) -> RPCError? {
    guard let field = block.first(":status") else { return RPCError(.internal, "the server's answer has no status") }
    guard !block.isValue(field, "200") else { return nil }
    let status = block.text(field.value)
    let code: StatusCode =
      switch status {
      case "400": .internal
      case "401": .unauthenticated
      case "403": .permissionDenied
      case "404": .unimplemented
      case "429", "502", "503", "504": .unavailable
      default: .unknown
      }
    return .byServer(code, "the server answered with HTTP status \(status)")
  }

  /// The status in trailers.
  static func status(_ block: HeaderBlock) -> Result<Void, RPCError> {
    guard let field = block.first("grpc-status") else {
      return .failure(RPCError(.unknown, "the server ended the call without a grpc-status"))
    }
    let digits = block.bytes[field.value]
    guard digits.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }),
      let value = Int(block.text(field.value)), value <= Int(Int32.max)
    else {
      return .failure(RPCError(.unknown, "grpc-status \(block.text(field.value)) is not a status"))
    }
    guard value != 0 else { return .success(()) }
    var error = RPCError(StatusCode(rawValue: value), "")
    if let message = block.first("grpc-message") {
      error.message = PercentEncoding.decode(block.bytes[message.value])
    }
    if let details = block.first("grpc-status-details-bin") {
      error.details = Base64.decode(block.bytes[details.value]) ?? []
    }
    if let metadata = try? Metadata(receiving: block) { error.metadata = metadata }
    error.origin = .server
    if let pushback = block.first("grpc-retry-pushback-ms") {
      // What can't be read, or is below 0, asks for no retry (gRPC's A6).
      let milliseconds = Int64(block.text(pushback.value)) ?? -1
      error.retryPushback =
        milliseconds < 0 ? .never : .after(.milliseconds(min(milliseconds, longestPushbackMilliseconds)))
    }
    return .failure(error)
  }

  /// The error that a reset stands for when no status came before it.
  static func error(_ code: HTTP2ErrorCode) -> RPCError {
    switch code {
    case .refusedStream:
      var error = RPCError(.unavailable, "the server refused the call before it began")
      error.isSafeToRetry = true
      error.isRefusedStream = true
      error.origin = .server
      return error
    case .cancel: return .byServer(.cancelled, "the server cancelled the call")
    case .enhanceYourCalm: return .byServer(.resourceExhausted, "the server asks for fewer calls (ENHANCE_YOUR_CALM)")
    case .inadequateSecurity: return .byServer(.permissionDenied, "the server requires stronger encryption")
    default: return .byServer(.internal, "the server ended the stream without a status: \(code)")
    }
  }

  private static let longestPushbackMilliseconds: Int64 = 24 * 3_600_000

  private static func text(_ block: HeaderBlock, _ name: StaticString) -> String {
    block.first(name).map { block.text($0.value) } ?? "missing"
  }
}

extension RPCError {
  /// An error that the server is the cause of.
  static func byServer(_ code: StatusCode, _ message: String) -> RPCError {
    var error = RPCError(code, message)
    error.origin = .server
    return error
  }

  /// An error of a call that the server has certainly not begun: there is no connection, or none that takes calls.
  static func notBegun(
    _ message: String, _ code: StatusCode = .unavailable, origin: Origin = .connection, fault: ConnectionFault? = nil
  ) -> RPCError {
    var error = RPCError(code, message)
    error.isSafeToRetry = true
    error.origin = origin
    error.connectionFault = fault
    return error
  }

  /// The connection was lost under an open call, which may have been carried out.
  static func lost(_ message: String, fault: ConnectionFault?) -> RPCError {
    var error = RPCError(.unavailable, message)
    error.origin = .connection
    error.connectionFault = fault
    return error
  }
}

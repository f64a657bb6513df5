internal import MendHTTP2

/// The header lists of gRPC's wire that are always the same.
enum WireHeaders {
  static let response = StaticHeaders([(":status", "200"), ("content-type", "application/grpc")])
  static let gzipResponse = StaticHeaders([
    (":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip"),
  ])
  static let okTrailers = StaticHeaders([("grpc-status", "0")])

  static func responseBlock() -> HeaderBlock {
    var block = HeaderBlock()
    block.append(":status", "200")
    block.append("content-type", "application/grpc")
    return block
  }

  static func appendStatus(_ error: RPCError, to block: inout HeaderBlock) {
    block.append("grpc-status", String(error.code.rawValue))
    if !error.message.isEmpty {
      block.append("grpc-message".utf8, PercentEncoding.encode(sendable(error.message.utf8)))
    }
    // Legal in every answer, and what a caller needs whose grpc-encoding was refused.
    if error.code == .unimplemented { block.append("grpc-accept-encoding", "\(MessageEncoding.accepted)") }
    if !error.details.isEmpty { block.append("grpc-status-details-bin".utf8, Base64.encode(error.details)) }
  }

  /// A message may quote what the caller sent. Three times this, as every byte may need escaping, is below what
  /// clients take of headers (commonly 8 KiB).
  private static let maxMessageBytes = 2048

  private static func sendable(_ message: String.UTF8View) -> Substring.UTF8View {
    guard var end = message.index(message.startIndex, offsetBy: maxMessageBytes, limitedBy: message.endIndex) else {
      return message[...]
    }
    // Not within a character.
    while end > message.startIndex, end < message.endIndex, message[end] & 0xc0 == 0x80 {
      end = message.index(before: end)
    }
    return message[..<end]
  }
}

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
    if !error.message.isEmpty { block.append("grpc-message".utf8, PercentEncoding.encode(error.message.utf8)) }
    // Legal in every answer, and what a caller needs whose grpc-encoding was refused.
    if error.code == .unimplemented { block.append("grpc-accept-encoding", "\(MessageEncoding.accepted)") }
    if !error.details.isEmpty { block.append("grpc-status-details-bin".utf8, Base64.encode(error.details)) }
  }
}

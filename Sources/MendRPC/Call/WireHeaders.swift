internal import MendHTTP2
internal import MendProtobuf

/// The header lists of gRPC that are always the same.
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

  /// Appends code, message and details. Their sizes are bounded: a client that accepts 8 KiB of headers, as is common,
  /// must get the status and not an error about its size.
  static func appendStatus(_ error: RPCError, to block: inout HeaderBlock) {
    block.append("grpc-status", String(error.code.rawValue))
    if !error.message.isEmpty {
      block.append("grpc-message".utf8, sendable(error.message))
    }
    // Allowed in every answer; needed by a caller whose grpc-encoding was refused.
    if error.code == .unimplemented { block.append("grpc-accept-encoding", "\(MessageEncoding.accepted)") }
    // Details are bounded where they are made; half of them would be useless.
    if !error.details.isEmpty, error.details.count <= maxDetailsBytes {
      block.append("grpc-status-details-bin".utf8, Base64.encode(error.details, as: .unpadded).utf8)
    }
  }

  /// The longest encoded `grpc-message`. With the details in base64 and a request id it stays below 4 KiB.
  static let maxMessageBytes = 1024
  static let maxDetailsBytes = 2000

  /// The percent-encoded message, cut to whole characters that fit.
  private static func sendable(_ message: String) -> [UInt8] {
    let all = PercentEncoding.encode(message.utf8.prefix(maxMessageBytes + 1))
    guard all.count > maxMessageBytes else { return all }
    var sent: [UInt8] = []
    for scalar in message.unicodeScalars {
      // A blank is escaped only at the beginning and the end.
      let isInnerBlank = scalar == " " && !sent.isEmpty
      let next = isInnerBlank ? [UInt8(ascii: " ")] : PercentEncoding.encode(Array(String(scalar).utf8))
      guard sent.count + next.count <= maxMessageBytes - 3 else { break }
      sent += next
    }
    return sent + Array("...".utf8)
  }
}

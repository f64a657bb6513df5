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

  /// Code, message and details, bounded whatever they quote: a client that takes 8 KiB of headers, as is common, must get
  /// the status and not a complaint about its size.
  static func appendStatus(_ error: RPCError, to block: inout HeaderBlock) {
    block.append("grpc-status", String(error.code.rawValue))
    if !error.message.isEmpty {
      block.append("grpc-message".utf8, sendable(error.message))
    }
    // Legal in every answer, and what a caller needs whose grpc-encoding was refused.
    if error.code == .unimplemented { block.append("grpc-accept-encoding", "\(MessageEncoding.accepted)") }
    // Who makes details bounds them; in part they are none.
    if !error.details.isEmpty, error.details.count <= maxDetailsBytes {
      block.append("grpc-status-details-bin".utf8, Base64.encode(error.details))
    }
  }

  /// Of a `grpc-message`, as it is sent. With the details, which are half as long again in base64, and a request id below
  /// 4 KiB.
  static let maxMessageBytes = 1024
  static let maxDetailsBytes = 2000

  /// The message, percent-encoded, or as much of it as may be sent: whole characters.
  private static func sendable(_ message: String) -> [UInt8] {
    let all = PercentEncoding.encode(message.utf8.prefix(maxMessageBytes + 1))
    guard all.count > maxMessageBytes else { return all }
    var sent: [UInt8] = []
    for scalar in message.unicodeScalars {
      // A blank is only escaped where it stands first or last.
      let isInnerBlank = scalar == " " && !sent.isEmpty
      let next = isInnerBlank ? [UInt8(ascii: " ")] : PercentEncoding.encode(Array(String(scalar).utf8))
      guard sent.count + next.count <= maxMessageBytes - 3 else { break }
      sent += next
    }
    return sent + Array("...".utf8)
  }
}

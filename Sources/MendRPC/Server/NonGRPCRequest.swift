internal import MendHTTP2
internal import NIOCore

/// A request that is not a gRPC call, and the HTTP answer to it.
enum NonGRPCRequest: Hashable {
  case method, contentType

  var answer: (headers: HeaderBlock, text: String) {
    var headers = HeaderBlock()
    let text: String
    switch self {
    case .method:
      headers.append(":status", "405")
      headers.append("allow", "POST")
      text = "This is a gRPC server: a call is a POST.\n"
    case .contentType:
      headers.append(":status", "415")
      headers.append("accept", "application/grpc")
      text = "This is a gRPC server: the content-type of a call is application/grpc.\n"
    }
    headers.append("content-type", "text/plain")
    return (headers, text)
  }

  /// Whether a connection begins with an HTTP/1 request (RFC 9112 3). The HTTP/2 preface looks like a request of
  /// another version on purpose (RFC 9113 3.4).
  static func isHTTP1(_ first: ByteBuffer) -> Bool {
    let bytes = first.readableBytesView.prefix(longestLine)
    guard let end = bytes.firstIndex(of: UInt8(ascii: "\r")) else { return false }
    let version = bytes[..<end].suffix(9)
    return version.count == 9 && version.dropLast().elementsEqual(" HTTP/1.".utf8)
  }

  private static var longestLine: Int { 8192 }

  static let answerInHTTP1: String = {
    let text = "This is a gRPC server: it accepts only HTTP/2, in clear text from the first byte on.\n"
    return
      "HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\ncontent-length: \(text.utf8.count)\r\n"
      + "connection: close\r\n\r\n\(text)"
  }()
}

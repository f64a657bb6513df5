internal import MendHTTP2

/// The protocol's own headers of a request, read without copying them.
struct RequestHead {
  private var isPost = false
  private var isGRPC = false
  private(set) var path = 0..<0
  /// Nanoseconds; nil if there is no timeout or a malformed one.
  private(set) var timeout: Int64?
  /// Nil for an unknown encoding.
  private(set) var encoding: MessageEncoding? = .identity
  private(set) var acceptsGzip = false
  private(set) var hasBinaryMetadata = false
  private var encodingField: HeaderBlock.Field?
  private var faultyTimeout: HeaderBlock.Field?

  init(_ block: HeaderBlock) {
    for index in 0..<block.count {
      let field = block[index]
      switch field.nameLength {
      case 5 where block.isName(field, ":path"):
        path = field.value
      case 7 where block.isName(field, ":method"):
        isPost = block.isValue(field, "POST")
      case 12 where block.isName(field, "content-type"):
        isGRPC = Self.isGRPC(block, field.value)
      case 12 where block.isName(field, "grpc-timeout"):
        timeout = TimeoutText.parse(block.bytes[field.value])
        if timeout == nil { faultyTimeout = field }
      case 13 where block.isName(field, "grpc-encoding"):
        encoding = MessageEncoding(block, field)
        encodingField = field
      case 20 where block.isName(field, "grpc-accept-encoding"):
        acceptsGzip = MessageEncoding.listHasGzip(block.bytes[field.value])
      default:
        // The last byte excludes nearly all other names.
        if block.lastOfName(field) == UInt8(ascii: "n"), block.isBinary(field) { hasBinaryMetadata = true }
      }
    }
  }

  /// Why the request is not a gRPC call; nil where it is one.
  var nonGRPC: NonGRPCRequest? { isPost ? isGRPC ? nil : .contentType : .method }

  /// Why the headers forbid the call; nil if they do not.
  func fault(_ block: HeaderBlock) -> RPCError? {
    faultyTimeout.map { RPCError(.internal, "grpc-timeout \(block.shortText($0.value)) is not a timeout") }
  }

  /// The encoding's name in the request.
  func encodingName(_ block: HeaderBlock) -> String {
    encodingField.map { block.shortText($0.value) } ?? "identity"
  }

  /// `application/grpc` or `application/grpc+proto`, alone or with parameters. Any other subtype is another encoding of
  /// messages.
  private static func isGRPC(_ block: HeaderBlock, _ value: Range<Int>) -> Bool {
    guard block.hasPrefix(value, "application/grpc") else { return false }
    guard value.count > 16 else { return true }
    var rest = value.dropFirst(16)
    if block.hasPrefix(rest, "+proto") { rest = rest.dropFirst(6) }
    guard let next = rest.first else { return true }
    return block.bytes[next] == UInt8(ascii: ";") || block.bytes[next] == UInt8(ascii: " ")
  }
}

extension HeaderBlock {
  /// The beginning of a caller's value, short enough to be quoted in an error.
  fileprivate func shortText(_ range: Range<Int>) -> String {
    let text = text(range)
    return text.count > 80 ? text.prefix(80) + "..." : text
  }
}

internal import MendHTTP2

/// What the protocol's own headers of a request say.
struct RequestHead {
  private(set) var isPost = false
  private(set) var isGRPC = false
  private(set) var path = 0..<0
  /// Nanoseconds.
  private(set) var timeout: Int64?
  private(set) var isIdentityEncoded = true
  private(set) var hasBinaryMetadata = false
  private(set) var fault: RPCError?
  private var encodingField: HeaderBlock.Field?

  init(_ block: HeaderBlock) {
    for field in block.fields {
      switch field.name.count {
      case 5 where block.isName(field, ":path"):
        path = field.value
      case 7 where block.isName(field, ":method"):
        isPost = block.isValue(field, "POST")
      case 12 where block.isName(field, "content-type"):
        isGRPC = Self.isGRPC(block, field.value)
      case 12 where block.isName(field, "grpc-timeout"):
        timeout = TimeoutText.parse(block.bytes[field.value])
        if timeout == nil {
          fault = RPCError(.internal, "grpc-timeout \(block.text(field.value)) is not a timeout")
        }
      case 13 where block.isName(field, "grpc-encoding"):
        isIdentityEncoded = block.isValue(field, "identity")
        encodingField = field
      default:
        // One byte tells nearly all names that are not.
        if field.name.count > 4, block.bytes[field.name.upperBound - 1] == UInt8(ascii: "n"), block.isBinary(field) {
          hasBinaryMetadata = true
        }
      }
    }
  }

  func encoding(_ block: HeaderBlock) -> String {
    encodingField.map { block.text($0.value) } ?? "identity"
  }

  /// `application/grpc`, alone or followed by a subtype (`+proto`) or a parameter.
  private static func isGRPC(_ block: HeaderBlock, _ value: Range<Int>) -> Bool {
    guard block.hasPrefix(value, "application/grpc") else { return false }
    guard value.count > 16 else { return true }
    let next = block.bytes[value.lowerBound + 16]
    return next == UInt8(ascii: "+") || next == UInt8(ascii: ";")
  }
}

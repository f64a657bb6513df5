internal import MendHTTP2

/// How a message is written on the wire: gRPC's `grpc-encoding`.
public enum MessageEncoding: Hashable, Sendable {
  case identity
  /// RFC 1952. Pays for text of some size over a slow network; costs both sides some milliseconds a megabyte.
  case gzip

  /// What `grpc-accept-encoding` says of this library.
  static let accepted = "identity,gzip"

  /// Nil for an encoding that is not known.
  init?(_ block: HeaderBlock, _ field: HeaderBlock.Field) {
    if block.isValue(field, "identity") {
      self = .identity
    } else if block.isValue(field, "gzip") {
      self = .gzip
    } else {
      return nil
    }
  }

  /// Whether a list as in `grpc-accept-encoding` has gzip.
  static func listHasGzip(_ list: ArraySlice<UInt8>) -> Bool {
    list.split(separator: UInt8(ascii: ",")).contains { entry in
      entry.drop { $0 == UInt8(ascii: " ") }.elementsEqual("gzip".utf8)
    }
  }
}

/// When messages are compressed.
public struct CompressionPolicy: Hashable, Sendable {
  /// Used towards a peer that says that it takes it; identity otherwise.
  public var encoding: MessageEncoding
  /// Smaller messages are sent as they are: a packet is not made cheaper by being shorter.
  public var minBytes: Int

  public static let none = CompressionPolicy(.identity)

  public init(_ encoding: MessageEncoding, minBytes: Int = 1024) {
    self.encoding = encoding
    self.minBytes = minBytes
  }
}

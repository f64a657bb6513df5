internal import MendHTTP2

/// How a message is written on the wire: gRPC's `grpc-encoding`.
public enum MessageEncoding: Hashable, Sendable {
  case identity
  /// RFC 1952. Worth its cost of some milliseconds a megabyte for large texts over a slow network.
  case gzip

  /// This library's value of `grpc-accept-encoding`.
  static let accepted = "identity,gzip"

  /// Nil for an unknown encoding.
  init?(_ block: HeaderBlock, _ field: HeaderBlock.Field) {
    if block.isValue(field, "identity") {
      self = .identity
    } else if block.isValue(field, "gzip") {
      self = .gzip
    } else {
      return nil
    }
  }

  /// Whether a list such as `grpc-accept-encoding` contains gzip.
  static func listHasGzip(_ list: ArraySlice<UInt8>) -> Bool {
    list.split(separator: UInt8(ascii: ",")).contains { entry in
      entry.drop { $0 == UInt8(ascii: " ") }.elementsEqual("gzip".utf8)
    }
  }
}

/// When messages are compressed.
public struct CompressionPolicy: Hashable, Sendable {
  /// The encoding for a peer that accepts it; for any other peer it is identity.
  public var encoding: MessageEncoding
  /// Smaller messages are not compressed: a shorter packet is not cheaper.
  public var minBytes: Int

  public static let none = CompressionPolicy(.identity)

  public init(_ encoding: MessageEncoding, minBytes: Int = 1024) {
    self.encoding = encoding
    self.minBytes = minBytes
  }
}

/// A message of a call, which can be written as bytes and read back.
public protocol RPCMessage: Sendable {
  /// Decodes one payload, without its five-byte prefix.
  static func decode(payload: RawSpan) throws(PayloadError) -> Self

  /// Appends the payload's bytes, without prefix.
  func encodePayload(into buffer: inout [UInt8])
}

/// The error for a payload that is not a message of its type. A server answers with INVALID_ARGUMENT, a client fails
/// its call with INTERNAL.
public struct PayloadError: Error, Hashable, Sendable {
  /// What was wrong, and where.
  public var message: String

  public init(_ message: String) {
    self.message = message
  }
}

/// A message as bytes, for proxies, tests, reflection and load generators.
public struct RawMessage: RPCMessage, Hashable {
  public var bytes: [UInt8]

  public init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  public static func decode(payload: RawSpan) -> RawMessage {
    RawMessage(Array(copying: payload))
  }

  public func encodePayload(into buffer: inout [UInt8]) {
    buffer.append(contentsOf: bytes)
  }
}

extension [UInt8] {
  init(copying span: RawSpan) {
    self = unsafe span.withUnsafeBytes { unsafe Array($0) }
  }
}

/// The error for bytes that are not a message: what is wrong, and where.
public struct DecodingError: Error, Sendable, Hashable {
  /// Everything that can be wrong; the peer's fault in each case.
  public enum Fault: Sendable, Hashable {
    /// The input ends within a value: bytes that it needs, bytes that are left.
    case truncated(needed: Int, left: Int)
    /// A varint with more than ten bytes or 64 bits; a tag or length with more than five bytes.
    case overlongVarint
    /// A tag with field number 0, a number above 2^29 - 1, or a wire type that doesn't exist.
    case invalidTag(UInt64)
    /// A length that runs past the end of the message it stands in, or past 2 GiB.
    case lengthPastEnd(length: UInt64, left: Int)
    /// Packed values whose length isn't a multiple of their width.
    case unevenPackedLength(length: Int, width: Int)
    /// A `string` field that isn't UTF-8.
    case invalidUTF8
    /// Messages or groups within each other, more than the limit.
    case tooDeep(limit: Int)
    /// An end-group tag without its start, or of another field than the start.
    case unmatchedEndGroup(field: UInt32)
    /// A group without its end.
    case unterminatedGroup(field: UInt32)
    /// More unknown fields than are kept for a peer of another version.
    case tooManyUnknownBytes(limit: Int)
    /// Elements that take far more memory than they took on the wire.
    case tooManyElements(limit: Int)
  }

  public var fault: Fault
  /// Bytes from the start of the whole input to the value that is at fault.
  public var offset: Int
  /// The innermost message that it was found in: `mend.v1.Tier`; empty when it isn't known.
  public var message: String

  public init(_ fault: Fault, offset: Int, message: String = "") {
    self.fault = fault
    self.offset = offset
    self.message = message
  }

  /// Names the message, unless an inner one was named already.
  @usableFromInline func inside(_ name: String) -> DecodingError {
    var error = self
    if error.message.isEmpty { error.message = name }
    return error
  }
}

extension DecodingError: CustomStringConvertible {
  public var description: String {
    "\(message.isEmpty ? "message" : message) is malformed at byte \(offset): \(fault)"
  }
}

extension DecodingError.Fault: CustomStringConvertible {
  public var description: String {
    switch self {
    case .truncated(let needed, let left): "it ends within a value that needs \(needed) bytes, \(left) are left"
    case .overlongVarint: "a varint is longer than its kind may be"
    case .invalidTag(let tag): "\(tag) is no tag (field number \(tag >> 3), wire type \(tag & 7))"
    case .lengthPastEnd(let length, let left): "a length says \(length) bytes, \(left) are left"
    case .unevenPackedLength(let length, let width): "\(length) packed bytes are no multiple of \(width)"
    case .invalidUTF8: "a string is not UTF-8"
    case .tooDeep(let limit): "messages are nested more than \(limit) deep"
    case .unmatchedEndGroup(let field): "group \(field) ends here, but did not start"
    case .unterminatedGroup(let field): "group \(field) starts here and does not end"
    case .tooManyUnknownBytes(let limit): "more than \(limit) bytes of unknown fields"
    case .tooManyElements(let limit): "its elements would take more than \(limit) bytes of memory"
    }
  }
}

/// How much a decoder does for a stranger.
public struct DecodingLimits: Sendable, Hashable {
  /// Messages, and unknown groups, within each other; 100, as every protobuf implementation has it.
  public var depth = 100
  /// Unknown fields kept for a whole message tree; 64 KiB is far more than a version difference needs.
  public var unknownBytes = 64 << 10
  /// Memory for the elements of repeated and map fields of a whole tree: an empty element is two bytes on the wire and
  /// hundreds in memory.
  public var elementBytes = 256 << 20

  public init() {}
}

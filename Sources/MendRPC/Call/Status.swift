/// How a call ended: gRPC's codes. Values that are not named here are kept as they came.
public struct StatusCode: Hashable, Sendable, CustomStringConvertible {
  public let rawValue: Int

  public init(rawValue: Int) {
    self.rawValue = rawValue
  }

  public static let ok = Self(rawValue: 0)
  public static let cancelled = Self(rawValue: 1)
  public static let unknown = Self(rawValue: 2)
  public static let invalidArgument = Self(rawValue: 3)
  public static let deadlineExceeded = Self(rawValue: 4)
  public static let notFound = Self(rawValue: 5)
  public static let alreadyExists = Self(rawValue: 6)
  public static let permissionDenied = Self(rawValue: 7)
  public static let resourceExhausted = Self(rawValue: 8)
  public static let failedPrecondition = Self(rawValue: 9)
  public static let aborted = Self(rawValue: 10)
  public static let outOfRange = Self(rawValue: 11)
  public static let unimplemented = Self(rawValue: 12)
  public static let `internal` = Self(rawValue: 13)
  public static let unavailable = Self(rawValue: 14)
  public static let dataLoss = Self(rawValue: 15)
  public static let unauthenticated = Self(rawValue: 16)

  private static let names = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
  ]

  /// The code's name as gRPC writes it, as in `INVALID_ARGUMENT`.
  public var description: String {
    Self.names.indices.contains(rawValue) ? Self.names[rawValue] : "CODE_\(rawValue)"
  }
}

/// A call that did not succeed: what a handler throws, and what a caller catches.
public struct RPCError: Error, Sendable, Hashable {
  public var code: StatusCode
  /// For people: what was wrong and, where there is one, what to do.
  public var message: String
  /// A serialized `google.rpc.Status` for `grpc-status-details-bin`; empty for none.
  public var details: [UInt8]
  /// Trailing metadata.
  public var metadata: Metadata
  /// The limit that a RESOURCE_EXHAUSTED of this library is about, as in `request_bytes`; for ``ServerConfiguration/explain``.
  /// Local, never on the wire.
  public var limit: String?
  /// True when the server certainly did not begin to work on the call, whatever the code says: it may be sent again.
  /// Local knowledge of a client, never on the wire.
  public var isSafeToRetry = false
  /// The server saw the call's stream and refused it: such a call is sent again once (gRPC's A6).
  var isRefusedStream = false
  /// Who ended the call. Local knowledge of a client, never on the wire.
  public var origin = Origin.local
  /// What the server said about sending the call again (`grpc-retry-pushback-ms`); nil where it said nothing.
  public var retryPushback: RetryPushback?

  /// Where an error comes from, as far as a client knows.
  public enum Origin: Hashable, Sendable {
    /// The server's own status.
    case server
    /// The connection could not be made, or was lost.
    case connection
    /// This side: a limit, a deadline, a cancellation, or an answer that breaks the protocol.
    case local
  }

  /// A server's word on retries (gRPC's A6).
  public enum RetryPushback: Hashable, Sendable {
    case after(Duration)
    case never
  }

  public init(_ code: StatusCode, _ message: String, details: [UInt8] = [], metadata: Metadata = Metadata()) {
    self.code = code
    self.message = message
    self.details = details
    self.metadata = metadata
  }
}

extension RPCError {
  /// RESOURCE_EXHAUSTED, naming the limit.
  static func exhausted(_ limit: String, _ message: String) -> RPCError {
    var error = RPCError(.resourceExhausted, message)
    error.limit = limit
    return error
  }
}

extension RPCError: CustomStringConvertible {
  public var description: String { "\(code): \(message)" }
}

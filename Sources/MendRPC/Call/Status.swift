/// How a call ended: gRPC's status codes. Unknown values are kept.
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
  /// What was wrong and, if possible, what to do; for people.
  public var message: String
  /// A serialized `google.rpc.Status` for `grpc-status-details-bin`; empty for none.
  public var details: [UInt8]
  /// Trailing metadata.
  public var metadata: Metadata
  /// The limit that a RESOURCE_EXHAUSTED of this library is about; for ``ServerConfiguration/explain``. Local, never on
  /// the wire.
  public var limit: LimitName?
  /// Whether the server certainly did not begin the call, whatever the code says, so that it may be sent again.
  /// Local knowledge of a client, never on the wire.
  public var isSafeToRetry = false
  /// Whether the server refused the call's stream; such a call is sent again once (gRPC's A6).
  var isRefusedStream = false
  /// Which side ended the call. Local knowledge of a client, never on the wire.
  public var origin = Origin.local
  /// Why there is no connection, where that is known. Local knowledge of a client, never on the wire.
  public internal(set) var connectionFault: ConnectionFault?
  /// The server's instruction on retries (`grpc-retry-pushback-ms`), if it sent one.
  public var retryPushback: RetryPushback?

  /// The origin of an error, as far as a client knows.
  public enum Origin: Hashable, Sendable {
    /// The server's own status.
    case server
    /// The connection could not be made, or was lost.
    case connection
    /// This side: a limit, a deadline, a cancellation, or an answer that breaks the protocol.
    case local
  }

  /// A server's instruction on retries (gRPC's A6).
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

/// A limit of this library that a server's error names.
public enum LimitName: String, Sendable, Hashable, CaseIterable {
  case messageBytes = "message_bytes"
  case runningCalls = "running_calls"
  case bufferedRequestBytes = "buffered_request_bytes"
  case heldBytes = "held_bytes"

  /// Whether the limit becomes free again, so that waiting helps. A message does not get smaller.
  public var isPassing: Bool { self != .messageBytes }
}

extension RPCError {
  /// RESOURCE_EXHAUSTED, naming the limit.
  static func exhausted(_ limit: LimitName, _ message: String) -> RPCError {
    var error = RPCError(.resourceExhausted, message)
    error.limit = limit
    return error
  }
}

extension RPCError: CustomStringConvertible {
  public var description: String { "\(code): \(message)" }
}

package import MendRPC

/// Why a call failed: whose fault it is, where, and whether a retry helps.
public struct MendError: Error, Sendable, Hashable, CustomStringConvertible {
  /// A gRPC status by name. A struct, so that later versions can add values.
  public struct Code: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    /// The name as gRPC spells it: `NOT_FOUND`.
    public var rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    init(_ code: StatusCode) { rawValue = code.description }
    public var description: String { rawValue }

    public static let cancelled = Code(StatusCode.cancelled)
    public static let unknown = Code(StatusCode.unknown)
    public static let invalidArgument = Code(StatusCode.invalidArgument)
    public static let deadlineExceeded = Code(StatusCode.deadlineExceeded)
    public static let notFound = Code(StatusCode.notFound)
    public static let alreadyExists = Code(StatusCode.alreadyExists)
    public static let permissionDenied = Code(StatusCode.permissionDenied)
    public static let resourceExhausted = Code(StatusCode.resourceExhausted)
    public static let failedPrecondition = Code(StatusCode.failedPrecondition)
    public static let aborted = Code(StatusCode.aborted)
    public static let outOfRange = Code(StatusCode.outOfRange)
    public static let unimplemented = Code(StatusCode.unimplemented)
    public static let `internal` = Code(StatusCode.internal)
    public static let unavailable = Code(StatusCode.unavailable)
    public static let dataLoss = Code(StatusCode.dataLoss)
    public static let unauthenticated = Code(StatusCode.unauthenticated)
  }

  /// Whose fault an error is. A struct, so that later versions can add values.
  public struct Fault: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public var rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    /// The request or its caller: the same call fails again.
    public static let caller = Fault(rawValue: "caller")
    /// The client's configuration, such as a TLS file.
    public static let settings = Fault(rawValue: "settings")
    /// A limit of the client.
    public static let limit = Fault(rawValue: "limit")
    /// The server cannot be reached, or the connection was lost.
    public static let connection = Fault(rawValue: "connection")
    /// The server, or its answer.
    public static let server = Fault(rawValue: "server")
    /// Nobody: the call's time is over.
    public static let time = Fault(rawValue: "time")
  }

  public var code: Code
  public var fault: Fault
  /// What was wrong, where, and what to do. The server's message, if it sent one.
  public var message: String
  public var details: ErrorDetails
  /// True if the server certainly did not begin the call.
  public var isCertainlyNotDone = false
  /// True if the same call may be made again without doing its work twice: it only reads, the caller gave an
  /// idempotency key, or the server certainly did not begin it. What the client itself may repeat, it has repeated.
  public var isRepeatSafe = false
  /// How many attempts were made.
  public var attempts = 1
  /// The idempotency key of a change: the caller's or the client's. With it the same change may be sent again.
  public var idempotencyKey: String?
  /// Why there is no connection, where that is known.
  package private(set) var connectionFault: ConnectionFault?
  /// The server's instruction on when to retry, if it sent one.
  var pushback: RPCError.RetryPushback?

  public init(_ code: Code, _ message: String, details: ErrorDetails = ErrorDetails()) {
    self.code = code
    fault = code.usualFault
    self.message = message
    self.details = details
  }

  /// Whether the same call may succeed later without any change.
  public var isRetryable: Bool {
    code == .unavailable || (code == .resourceExhausted && details.retryAfter != nil)
  }

  public var description: String { message.isEmpty ? code.rawValue : "\(code): \(message)" }

  init(_ error: RPCError) {
    self.init(Code(error.code), error.message, details: ErrorDetails(status: error.details))
    isCertainlyNotDone = error.isSafeToRetry
    connectionFault = error.connectionFault
    pushback = error.retryPushback
    switch (error.origin, error.code) {
    case (.connection, _): fault = .connection
    case (.local, .failedPrecondition): fault = .settings
    case (.local, .resourceExhausted): fault = .limit
    case (.local, .internal), (.local, .unknown): fault = .server
    default: break
    }
  }

  /// The same error after a wait for a connection that failed, too.
  func lasting(_ failure: MendError) -> MendError {
    var error = self
    error.message += "; since then: \(failure.message)"
    error.connectionFault = connectionFault ?? failure.connectionFault
    return error
  }
}

extension MendError.Code {
  /// Whose fault it is, if nothing else is known.
  fileprivate var usualFault: MendError.Fault {
    switch self {
    case .deadlineExceeded: .time
    case .unavailable, .internal, .unknown, .dataLoss, .unimplemented, .resourceExhausted: .server
    default: .caller
    }
  }
}

/// The google.rpc error details that Mend's server sends.
public struct ErrorDetails: Sendable, Hashable {
  /// A field that breaks a rule (google.rpc.BadRequest).
  public struct FieldViolation: Sendable, Hashable {
    /// The field's path in the schema: `batch.tiers[0].extractors[1].shards`.
    public var field: String
    public var rule: String
    public init(field: String, rule: String) {
      self.field = field
      self.rule = rule
    }
  }

  public var fieldViolations: [FieldViolation] = []
  /// What was not found, or exists already (google.rpc.ResourceInfo).
  public var resourceType: String?
  public var resourceID: String?
  /// When to retry (google.rpc.RetryInfo).
  public var retryAfter: Duration?
  /// The id to look up in the server's log (google.rpc.RequestInfo).
  public var requestID: String?
  /// The reason for programs, with its figures (google.rpc.ErrorInfo).
  public var reason: String?
  public var metadata: [String: String] = [:]

  public init() {}
}

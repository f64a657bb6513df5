internal import MendRPC

/// Why a call failed: whose fault, where, and whether trying again helps.
public struct MendError: Error, Sendable, Hashable, CustomStringConvertible {
  /// A gRPC status by name; a struct, so that a later version can add to it.
  public struct Code: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    /// As gRPC spells it: `NOT_FOUND`.
    public var rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    public static let cancelled = Code(rawValue: "CANCELLED")
    public static let unknown = Code(rawValue: "UNKNOWN")
    public static let invalidArgument = Code(rawValue: "INVALID_ARGUMENT")
    public static let deadlineExceeded = Code(rawValue: "DEADLINE_EXCEEDED")
    public static let notFound = Code(rawValue: "NOT_FOUND")
    public static let alreadyExists = Code(rawValue: "ALREADY_EXISTS")
    public static let permissionDenied = Code(rawValue: "PERMISSION_DENIED")
    public static let resourceExhausted = Code(rawValue: "RESOURCE_EXHAUSTED")
    public static let failedPrecondition = Code(rawValue: "FAILED_PRECONDITION")
    public static let aborted = Code(rawValue: "ABORTED")
    public static let outOfRange = Code(rawValue: "OUT_OF_RANGE")
    public static let unimplemented = Code(rawValue: "UNIMPLEMENTED")
    public static let `internal` = Code(rawValue: "INTERNAL")
    public static let unavailable = Code(rawValue: "UNAVAILABLE")
    public static let dataLoss = Code(rawValue: "DATA_LOSS")
    public static let unauthenticated = Code(rawValue: "UNAUTHENTICATED")
  }

  /// Whose fault it is. A struct, so that a later version can add to it.
  public struct Fault: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public var rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    /// The request, or who makes it: the same again fails again.
    public static let caller = Fault(rawValue: "caller")
    /// What the client was set up with, such as a TLS file.
    public static let settings = Fault(rawValue: "settings")
    /// A bound of the client's own.
    public static let limit = Fault(rawValue: "limit")
    /// The server can't be reached, or was lost.
    public static let connection = Fault(rawValue: "connection")
    /// The server, or its answer.
    public static let server = Fault(rawValue: "server")
    /// Nobody's: the time that the call was given is over.
    public static let time = Fault(rawValue: "time")
  }

  public var code: Code
  public var fault: Fault
  /// What was wrong, where, and what to do; the server's own words where it has said something.
  public var message: String
  public var details: ErrorDetails
  /// True when the server certainly did not begin to work on the call.
  public var isCertainlyNotDone = false
  /// True when making the same call again can't do its work twice: it only reads, it had an idempotency key of the
  /// caller's, or the server certainly did not begin to work on it. What the client itself may repeat it has repeated.
  public var isRepeatSafe = false
  /// How often the call was made.
  public var attempts = 1
  /// What a change was made under: the caller's, or one of the client's own. With it the same change may be sent again.
  public var idempotencyKey: String?
  /// What the server said about sending the call again.
  var pushback: RPCError.RetryPushback?

  public init(_ code: Code, _ message: String, details: ErrorDetails = ErrorDetails()) {
    self.code = code
    fault = code.usualFault
    self.message = message
    self.details = details
  }

  /// Whether the same call may succeed later without anything being changed.
  public var isRetryable: Bool {
    code == .unavailable || (code == .resourceExhausted && details.retryAfter != nil)
  }

  public var description: String { message.isEmpty ? code.rawValue : "\(code): \(message)" }

  init(_ error: RPCError) {
    self.init(Code(rawValue: error.code.description), error.message, details: ErrorDetails(status: error.details))
    isCertainlyNotDone = error.isSafeToRetry
    pushback = error.retryPushback
    switch (error.origin, error.code) {
    case (.connection, _): fault = .connection
    case (.local, .failedPrecondition): fault = .settings
    case (.local, .resourceExhausted): fault = .limit
    case (.local, .internal), (.local, .unknown): fault = .server
    default: break
    }
  }
}

extension MendError.Code {
  /// Whose fault it is where nothing else is known.
  fileprivate var usualFault: MendError.Fault {
    switch self {
    case .deadlineExceeded: .time
    case .unavailable, .internal, .unknown, .dataLoss, .unimplemented, .resourceExhausted: .server
    default: .caller
    }
  }
}

/// What google.rpc's error details say, as far as Mend's server sends them.
public struct ErrorDetails: Sendable, Hashable {
  /// A field that breaks a rule (google.rpc.BadRequest).
  public struct FieldViolation: Sendable, Hashable {
    /// As the schema writes it: `batch.tiers[0].extractors[1].shards`.
    public var field: String
    public var rule: String
    public init(field: String, rule: String) {
      self.field = field
      self.rule = rule
    }
  }

  public var fieldViolations: [FieldViolation] = []
  /// What was not found or stands there already (google.rpc.ResourceInfo).
  public var resourceType: String?
  public var resourceID: String?
  /// When to come back (google.rpc.RetryInfo).
  public var retryAfter: Duration?
  /// What to look up in the server's log (google.rpc.RequestInfo).
  public var requestID: String?
  /// A machine's reason and its figures (google.rpc.ErrorInfo).
  public var reason: String?
  public var metadata: [String: String] = [:]

  public init() {}
}

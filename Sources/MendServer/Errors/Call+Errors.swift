import MendCore
import MendRPC

// Every error on the wire is made here: its code, a sentence that says what was wrong, where, and what to do, and the
// same for programs as google.rpc details. All have the request id.

extension Call {
  /// A value of the request breaks a rule. `field` is its path in the schema.
  func invalid(_ field: String, _ rule: String, message: String? = nil) -> RPCError {
    error(
      .invalidArgument, "\(message ?? "Invalid \(field)"): \(rule)", reason: .validationError,
      [.badRequest(field: field, description: rule)])
  }

  /// The refusal of a batch id that is not valid.
  func invalidBatchID(_ text: String) -> RPCError {
    invalid("batch_id", Self.batchIDRule, message: "Invalid batch ID: \(text.quotedShort)")
  }

  static let batchIDRule = "Batch ID must be alphanumeric with hyphens only, 1 to 64 characters"

  func notFound(_ resourceType: String, _ resourceID: String, in batchID: String? = nil) -> RPCError {
    let message =
      switch resourceType {
      case "batch":
        "batch \(resourceID.quotedShort) not found in namespace \"\(namespace)\"; ListBatches lists them"
      default:
        "\(resourceType) \(resourceID.quotedShort) not found"
          + (batchID.map { " in batch \"\($0)\"; Diagnose shows its tiers and jobs" } ?? "")
      }
    return error(
      .notFound, message, reason: .notFound,
      [.resourceInfo(type: resourceType, name: resourceID.short, description: message)],
      values: ["resource_type": resourceType, "resource_id": resourceID.short])
  }

  /// A position after the end of a range: `todo` says where to continue.
  func outOfRange(_ field: String, _ message: String, todo: String) -> RPCError {
    error(
      .outOfRange, "\(field): \(message); \(todo)", reason: .outOfRange,
      [.badRequest(field: field, description: message)])
  }

  func unauthenticated(_ message: String) -> RPCError {
    error(.unauthenticated, message, reason: .unauthenticated, [])
  }

  func roleTooLow(_ role: Role, needed: Role) -> RPCError {
    error(
      .permissionDenied,
      "\(operation) requires the role \(needed.rawValue); this token has the role \(role.rawValue); "
        + "`mend token create --role \(needed.rawValue)` creates one that has it",
      reason: .roleTooLow, [], values: ["needed": needed.rawValue, "role": role.rawValue])
  }

  /// A method without an `AccessRule`.
  func closed(_ method: MethodDescriptor) -> RPCError {
    error(
      .permissionDenied, "\(method.path) is not allowed for any token", reason: .roleTooLow, [],
      values: ["needed": "none"])
  }

  func namespaceClosed(opens: String) -> RPCError {
    error(
      .permissionDenied,
      "This token opens the namespace \"\(opens)\", the call names \"\(namespace)\"; "
        + "set the metadata \(MetadataName.namespace), or use a token of that namespace",
      reason: .namespaceClosed, [], values: ["namespace": namespace])
  }

  /// An internal failure. The caller learns only where to look.
  func internalFault() -> RPCError {
    error(
      .internal, "Failed to \(operation): an internal error, logged under \(requestID); the call may be repeated",
      reason: .processingError, [], values: ["operation": operation])
  }

  /// The server is stopping.
  func unavailable(_ message: String, retryAfter: Duration) -> RPCError {
    error(.unavailable, message, reason: .shuttingDown, [.retryInfo(retryAfter)])
  }

  /// A refusal by the core.
  func refused(_ refusal: Refusal, batchID: String? = nil) -> RPCError {
    switch refusal {
    case .invalid(let field, let rule):
      return invalid(field, rule)
    case .notFound(let type, let id):
      return notFound(type, id, in: type == "batch" ? nil : batchID)
    case .alreadyExists(let type, let id):
      let message = "\(type) \(id.quotedShort) already exists; choose another id, or continue with the existing one"
      return error(
        .alreadyExists, message, reason: .alreadyExists,
        [.resourceInfo(type: type, name: id.short, description: message)],
        values: ["resource_type": type, "resource_id": id.short])
    case .precondition(let message, let advice, let reason):
      let todo = advice.text(batchID: batchID ?? "")
      return error(
        .failedPrecondition, Self.sentence(message, todo), reason: .preconditionFailed,
        [.preconditionFailure(type: reason?.rawValue ?? "state", subject: batchID ?? "", description: todo)])
    case .aborted(let message, let todo):
      return error(.aborted, Self.sentence(message, todo), reason: .aborted, [])
    case .exhausted(let limit, let message, let retryAfter):
      let details = retryAfter.map { [ErrorDetail.retryInfo($0)] } ?? []
      let when = retryAfter.map { "try again in \($0.inSeconds) s" } ?? "waiting does not help"
      return error(
        .resourceExhausted, Self.sentence(message, when), reason: .limitExceeded, details,
        values: ["limit": limit.rawValue])
    case .unavailable(let message):
      return unavailable(message, retryAfter: .seconds(1))
    case .unknownToken:
      return error(
        .unauthenticated,
        "Unknown attempt token; a worker that has one must end itself",
        reason: .unknownAttemptToken, [])
    case .setAside(let batchID, let why):
      let todo =
        "an administrator can examine it with mend doctor --data DIR, and bring it back or restore the journal from a backup"
      return error(
        .failedPrecondition,
        Self.sentence("batch \(batchID.quotedShort) is set aside and not processed: \(why)", todo),
        reason: .batchSetAside,
        [.preconditionFailure(type: "batch_set_aside", subject: batchID, description: todo)],
        values: ["batch_id": batchID])
    }
  }

  private static func sentence(_ message: String, _ todo: String) -> String {
    todo.isEmpty ? message : "\(message); \(todo)"
  }

  private func error(
    _ code: StatusCode, _ message: String, reason: ErrorReason, _ details: [ErrorDetail],
    values: [String: String] = [:]
  ) -> RPCError {
    RPCError(code, message).explained(reason, details, values: values, requestID)
  }
}

extension RPCError {
  /// The same error with google.rpc details and the request id.
  func explained(
    _ reason: ErrorReason, _ details: [ErrorDetail], values: [String: String], _ requestID: RequestID
  ) -> RPCError {
    // All of it may quote the caller, and a client cannot read a status that is too large.
    let all = [.errorInfo(reason: reason, values: values)] + details + [.requestInfo(requestID.description)]
    var error = self
    error.message = message.cut(toBytes: ErrorDetail.maxMessageBytes)
    error.details = ErrorDetail.status(code, error.message, all)
    error.metadata.add(requestID.description, for: MetadataName.requestID)
    return error
  }
}

/// The `reason` of ErrorInfo in the domain `mend`, which programs switch over. Released names never change.
enum ErrorReason: String, Sendable, CaseIterable {
  case validationError = "VALIDATION_ERROR"
  case notFound = "NOT_FOUND"
  case alreadyExists = "ALREADY_EXISTS"
  case preconditionFailed = "PRECONDITION_FAILED"
  case batchSetAside = "BATCH_SET_ASIDE"
  case aborted = "ABORTED"
  case limitExceeded = "LIMIT_EXCEEDED"
  case outOfRange = "OUT_OF_RANGE"
  case unauthenticated = "UNAUTHENTICATED"
  case unknownAttemptToken = "UNKNOWN_ATTEMPT_TOKEN"
  case roleTooLow = "ROLE_TOO_LOW"
  case namespaceClosed = "NAMESPACE_CLOSED"
  case processingError = "PROCESSING_ERROR"
  case shuttingDown = "SHUTTING_DOWN"
  case unimplemented = "UNIMPLEMENTED"
  case deadlineExceeded = "DEADLINE_EXCEEDED"
  case cancelled = "CANCELLED"
  case malformedCall = "MALFORMED_CALL"
}

extension String {
  /// The text cut to fit, with dots in place of the rest.
  func cut(toBytes limit: Int) -> String {
    guard utf8.count > limit else { return self }
    var kept = ""
    var count = 3
    for scalar in unicodeScalars {
      count += UTF8.width(scalar)
      guard count <= limit else { break }
      kept.unicodeScalars.append(scalar)
    }
    return kept + "..."
  }

  /// The text in quotation marks, for messages: at most 80 characters, without control characters.
  var quotedShort: String {
    let shown = unicodeScalars.prefix(80).map { TerminalText.isObeyed($0) ? "?" : String($0) }.joined()
    return "\"\(shown)\(unicodeScalars.count > 80 ? "..." : "")\""
  }

  /// An id as quoted in an error: a possible id is quoted whole, of any other text only the beginning.
  var short: String { utf8.count <= 256 ? self : String(String.UnicodeScalarView(unicodeScalars.prefix(64))) + "..." }
}

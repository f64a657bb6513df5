import MendCore
import MendRPC

/// Gives the errors of the call layer (an unknown method, a message over the limit, a deadline) what every error of a
/// handler has: a reason for programs, a request id, and the details that are known.
struct CallLayerErrors: Sendable {
  let requestIDs: RequestIDs

  private static let retryDelay: Duration = .seconds(1)

  func explain(_ error: RPCError, _ method: MethodDescriptor?) -> RPCError {
    var values: [String: String] = [:]
    var details: [ErrorDetail] = []
    switch error.code {
    case .invalidArgument:
      // Bytes that are not a message have no field to name; the description says where they are wrong.
      details = [.badRequest(field: "", description: error.message)]
    case .resourceExhausted:
      if let limit = error.limit {
        values["limit"] = limit.rawValue
        if limit.isPassing { details = [.retryInfo(Self.retryDelay)] }
      }
    case .unavailable:
      details = [.retryInfo(Self.retryDelay)]
    default: break
    }
    return error.explained(Self.reason(error.code), details, values: values, requestIDs.make())
  }

  private static func reason(_ code: StatusCode) -> ErrorReason {
    switch code {
    case .invalidArgument: .validationError
    case .resourceExhausted: .limitExceeded
    case .unavailable: .shuttingDown
    case .unimplemented: .unimplemented
    case .deadlineExceeded: .deadlineExceeded
    case .cancelled: .cancelled
    case .unauthenticated: .unauthenticated
    // The rest of the call layer's errors: malformed framing, base64 or gzip.
    default: .malformedCall
    }
  }
}

import MendAPI
import MendCore
import MendRPC

extension ErrorDetail {
  /// A serialized google.rpc.Status, the value of `grpc-status-details-bin`.
  static func status(_ code: StatusCode, _ message: String, _ details: [ErrorDetail]) -> [UInt8] {
    var status = GoogleStatus()
    status.code = Int32(clamping: code.rawValue)
    status.message = message
    status.details = details.map { detail in
      var any = GoogleAny()
      (any.typeURL, any.value) = detail.bounded.packed
      return any
    }
    return status.payload
  }

  private var packed: (typeURL: String, value: [UInt8]) {
    switch self {
    case .errorInfo(let reason, let values):
      var message = GoogleErrorInfo()
      message.reason = reason.rawValue
      message.domain = Self.domain
      message.metadata = values
      return Self.pack("ErrorInfo", message)
    case .badRequest(let field, let description):
      var violation = GoogleBadRequest.FieldViolation()
      violation.field = field
      violation.description = description
      var message = GoogleBadRequest()
      message.fieldViolations = [violation]
      return Self.pack("BadRequest", message)
    case .resourceInfo(let type, let name, let description):
      var message = GoogleResourceInfo()
      message.resourceType = type
      message.resourceName = name
      message.description = description
      return Self.pack("ResourceInfo", message)
    case .preconditionFailure(let type, let subject, let description):
      var violation = GooglePreconditionFailure.Violation()
      violation.type = type
      violation.subject = subject
      violation.description = description
      var message = GooglePreconditionFailure()
      message.violations = [violation]
      return Self.pack("PreconditionFailure", message)
    case .retryInfo(let delay):
      let (seconds, attoseconds) = delay.components
      var duration = GoogleDuration()
      duration.seconds = seconds
      duration.nanos = Int32(attoseconds / 1_000_000_000)
      var message = GoogleRetryInfo()
      message.retryDelay = duration
      return Self.pack("RetryInfo", message)
    case .requestInfo(let id):
      var message = GoogleRequestInfo()
      message.requestID = id
      return Self.pack("RequestInfo", message)
    }
  }

  private static func pack(_ name: String, _ message: some RPCMessage) -> (typeURL: String, value: [UInt8]) {
    ("type.googleapis.com/google.rpc.\(name)", message.payload)
  }
}

extension RPCMessage {
  /// The message's bytes, without a prefix.
  var payload: [UInt8] {
    var bytes: [UInt8] = []
    encodePayload(into: &bytes)
    return bytes
  }
}

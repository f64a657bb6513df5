import MendCore
import MendRPC

/// One detail of an error, as google/rpc/error_details.proto has it.
enum ErrorDetail: Hashable, Sendable {
  case errorInfo(reason: ErrorReason, values: [String: String])
  case badRequest(field: String, description: String)
  case resourceInfo(type: String, name: String, description: String)
  case preconditionFailure(type: String, subject: String, description: String)
  case retryInfo(Duration)
  case requestInfo(String)

  static let domain = "mend"
}

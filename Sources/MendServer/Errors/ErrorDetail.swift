import MendCore
import MendRPC

/// One detail of an error, as in google/rpc/error_details.proto.
enum ErrorDetail: Hashable, Sendable {
  case errorInfo(reason: ErrorReason, values: [String: String])
  case badRequest(field: String, description: String)
  case resourceInfo(type: String, name: String, description: String)
  case preconditionFailure(type: String, subject: String, description: String)
  case retryInfo(Duration)
  case requestInfo(String)

  static let domain = "mend"

  /// The most bytes of an error's texts, so that all of them, in base64 and with the message, are below 4 KiB. `values`
  /// has few figures.
  static let maxMessageBytes = 650
  static let maxDescriptionBytes = 300
  static let maxNameBytes = 200

  /// The same detail with its texts cut.
  var bounded: ErrorDetail {
    func name(_ text: String) -> String { text.cut(toBytes: Self.maxNameBytes) }
    func description(_ text: String) -> String { text.cut(toBytes: Self.maxDescriptionBytes) }
    switch self {
    case .errorInfo(let reason, let values): return .errorInfo(reason: reason, values: values.mapValues(name))
    case .badRequest(let field, let text): return .badRequest(field: name(field), description: description(text))
    case .resourceInfo(let type, let resource, let text):
      return .resourceInfo(type: name(type), name: name(resource), description: description(text))
    case .preconditionFailure(let type, let subject, let text):
      return .preconditionFailure(type: name(type), subject: name(subject), description: description(text))
    case .retryInfo, .requestInfo: return self
    }
  }
}

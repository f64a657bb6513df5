import MendCore
import MendRPC
import Synchronization

/// One admitted call: its method, its caller and its namespace.
struct Call: Sendable, Hashable {
  var requestID: RequestID
  var method: MethodDescriptor
  var namespace: String
  /// The caller's name in histories: the token's name, or "caller" without tokens.
  var actor: String

  /// The call's name in logs and answers.
  var operation: String { method.operation }

  func key(_ batchID: String) -> BatchKey { BatchKey(namespace: namespace, batchID: batchID) }
}

/// The names of a call's metadata.
enum MetadataName {
  static let authorization = "authorization"
  static let namespace: StaticString = "mend-namespace"
  static let requestID = "mend-request-id"
  /// On a watch that a shutdown ended: the sequence to resume after.
  static let resumeSequence = "mend-resume-sequence"

  static let defaultNamespace = "default"
}

/// The id of a call. Its text is made only when it is read: most calls are answered without it.
struct RequestID: Sendable, Hashable, CustomStringConvertible {
  /// `req-` and eight digits that differ with every start of the server.
  var prefix: String
  var number: UInt64
  var description: String { prefix + String(number, radix: 16) }
}

/// Numbers the calls.
final class RequestIDs: Sendable {
  private let prefix: String
  private let next = Atomic<UInt64>(1)

  init(seed: UInt32 = .random(in: .min ... .max)) {
    let digits = String(seed, radix: 16)
    prefix = "req-" + String(repeating: "0", count: 8 - digits.count) + digits + "-"
  }

  func make() -> RequestID {
    RequestID(prefix: prefix, number: next.wrappingAdd(1, ordering: .relaxed).oldValue)
  }
}

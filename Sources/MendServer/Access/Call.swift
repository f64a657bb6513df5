import MendCore
import MendRPC
import Synchronization

/// One call that was let in: who asks, in which namespace, and what it is called in logs and answers.
struct Call: Sendable, Hashable {
  var requestID: RequestID
  /// The method's name in snake case: `get_batch`.
  var operation: String
  var namespace: String
  /// For histories: a token's name, or "caller" where there are no tokens.
  var actor: String

  func key(_ batchID: String) -> BatchKey { BatchKey(namespace: namespace, batchID: batchID) }
}

/// What a call's metadata are called.
enum MetadataName {
  static let authorization = "authorization"
  static let namespace: StaticString = "mend-namespace"
  static let requestID = "mend-request-id"
  /// On a watch that a shutdown ends: what to resume after.
  static let resumeSequence = "mend-resume-sequence"

  static let defaultNamespace = "default"
}

/// What to look a call up by. Its text is made when somebody reads it: most calls are answered without.
struct RequestID: Sendable, Hashable, CustomStringConvertible {
  /// `req-` and eight digits that differ with every start of the server.
  var prefix: String
  var number: UInt64
  var description: String { prefix + String(number, radix: 16) }
}

/// Numbers calls.
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

/// What a caller can ask for. Ids have been checked for their form by the server; everything else is decided here.
public struct Command: Hashable, Sendable {
  public var namespace: String
  /// Empty: none given, the call is not deduplicated.
  public var idempotencyKey: String
  /// Of the request's bytes, to tell a repeated call from a key used twice.
  public var fingerprint: UInt64
  /// Who asked, for the history.
  public var actor: String
  public var operation: Operation

  public init(
    namespace: String, idempotencyKey: String = "", fingerprint: UInt64 = 0, actor: String = "caller",
    operation: Operation
  ) {
    self.namespace = namespace
    self.idempotencyKey = idempotencyKey
    self.fingerprint = fingerprint
    self.actor = actor
    self.operation = operation
  }

  /// The most characters of an idempotency key.
  package static let idempotencyKeyLimit = 128

  /// The rule that an idempotency key breaks; nil if it breaks none.
  package static func rule(brokenBy idempotencyKey: String) -> String? {
    let isShort = idempotencyKey.utf8.count <= idempotencyKeyLimit
    if isShort, idempotencyKey.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) { return nil }
    return "must have at most \(idempotencyKeyLimit) printable ASCII characters"
      + (isShort ? "" : ", has \(idempotencyKey.utf8.count) bytes")
  }

  public enum Operation: Hashable, Sendable {
    /// An empty id asks the core to pick one.
    case createBatch(batchID: String, BatchSpecification, documents: [Document])
    case addDocuments(batchID: String, [Document])
    case submitBatch(batchID: String)
    case pauseBatch(batchID: String)
    case resumeBatch(batchID: String)
    case retry(batchID: String, tier: Int, jobs: [JobID], Job.Overrides, RetryScope)
    /// `generation` 0 applies whatever the batch is at.
    case heal(batchID: String, tier: Int?, HealAction, dryRun: Bool, generation: UInt64)
    case cancel(batchID: String, CancelScope, grace: Duration)

    /// The batch that it is about; empty where the core is to pick an id.
    package var batchID: String {
      switch self {
      case .createBatch(let id, _, _), .addDocuments(let id, _), .submitBatch(let id), .pauseBatch(let id),
        .resumeBatch(let id), .retry(let id, _, _, _, _), .heal(let id, _, _, _, _), .cancel(let id, _, _):
        id
      }
    }
  }
}

public enum RetryScope: String, CaseIterable, SchemaEnum {
  case failed, all
}

public enum CancelScope: Hashable, Sendable {
  case batch
  case tier(Int)
  case job(JobID)
}

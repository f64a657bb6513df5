// What callers can ask for, and the answers.

/// What a caller can ask for. Ids have been checked for their form by the server; everything else is decided here.
package struct Command: Hashable, Sendable {
  package var namespace: String
  /// Empty: none given, the call is not deduplicated.
  package var idempotencyKey: String
  /// Of the request's bytes, to tell a repeated call from a key used twice.
  package var fingerprint: UInt64
  /// Who asked, for the history.
  package var actor: String
  package var operation: Operation

  package init(
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

  package enum Operation: Hashable, Sendable {
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

package enum RetryScope: String, Codable, CaseIterable, SchemaEnum {
  case failed, all
}

package enum CancelScope: Hashable, Codable, Sendable {
  case batch
  case tier(Int)
  case job(JobID)
}

/// An answer to a call. What the wire calls the same has the same fields.
///
/// An answer to a command describes its fields, since the journal keeps it for the command's idempotency key. Answers to
/// workers are not kept: the numbers 8 to 10 of a reply were theirs.
package enum Reply: Hashable, Sendable {
  case created(Created)
  case documentsAdded(Added)
  case submitted(Submitted)
  case status(Status)
  case retried(Retried)
  case healed(Healed)
  case cancelled(Cancelled)
  case workerStarted(WorkerAssignment)
  case claimed(Claimed)
  case reported(Reported)

  package struct Created: Hashable, Sendable, Described {
    package var batchID: String
    package var status: BatchStatus
    package var totalObjects: Int

    package static var blank: Self { Self(batchID: "", status: .created, totalObjects: 0) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.string(1, "batch_id", &batchID)
      try v.choice(2, "status", &status)
      try v.count(3, "total_objects", &totalObjects)
    }
  }

  /// Documents were added to a batch that is not submitted yet.
  package struct Added: Hashable, Sendable, Described {
    package var batchID: String
    package var added: Int
    package var totalObjects: Int

    package static var blank: Self { Self(batchID: "", added: 0, totalObjects: 0) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.string(1, "batch_id", &batchID)
      try v.count(2, "added", &added)
      try v.count(3, "total_objects", &totalObjects)
    }
  }

  package struct Submitted: Hashable, Sendable, Described {
    package var batchID: String
    package var status: BatchStatus
    /// 0 is next.
    package var queuePosition: Int

    package static var blank: Self { Self(batchID: "", status: .created, queuePosition: 0) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.string(1, "batch_id", &batchID)
      try v.choice(2, "status", &status)
      try v.count(3, "queue_position", &queuePosition)
    }
  }

  /// The status that a pause or a resume left the batch in.
  package struct Status: Hashable, Sendable, Described {
    package var batchID: String
    package var status: BatchStatus

    package static var blank: Self { Self(batchID: "", status: .created) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.string(1, "batch_id", &batchID)
      try v.choice(2, "status", &status)
    }
  }

  package struct Retried: Hashable, Sendable, Described {
    package var batchID: String
    package var tier: Int
    package var jobs: [JobID]
    /// How many documents are processed again.
    package var documents: Int
    package var status: BatchStatus
    package var generation: UInt64

    package static let schemaName = "JournalRetriedReply"
    package static var blank: Self {
      Self(batchID: "", tier: 0, jobs: [], documents: 0, status: .created, generation: 0)
    }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.string(1, "batch_id", &batchID)
      try v.small(2, "tier", &tier)
      try v.messages(3, "jobs", &jobs)
      try v.count(4, "documents", &documents)
      try v.choice(5, "status", &status)
      try v.sequence(6, "generation", &generation)
    }
  }

  package struct Healed: Hashable, Sendable, Described {
    package var batchID: String
    /// The generation that a plan holds for; after its steps, the one that they led to.
    package var generation: UInt64
    package var dryRun: Bool
    package var steps: [HealStep]

    package static var blank: Self { Self(batchID: "", generation: 0, dryRun: false, steps: []) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.string(1, "batch_id", &batchID)
      try v.sequence(2, "generation", &generation)
      try v.flag(3, "dry_run", &dryRun)
      try v.messages(4, "steps", &steps)
    }
  }

  package struct Cancelled: Hashable, Sendable, Described {
    package var batchID: String
    package var status: BatchStatus
    package var ended: [EndedAttempt]

    package static var blank: Self { Self(batchID: "", status: .created, ended: []) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.string(1, "batch_id", &batchID)
      try v.choice(2, "status", &status)
      try v.messages(3, "ended", &ended)
    }
  }

  /// An attempt that a cancel ended, and how.
  package struct EndedAttempt: Hashable, Sendable, Described {
    package var attempt: AttemptID
    package var receipt: EndReceipt

    package static var blank: Self { Self(attempt: .blank, receipt: .blank) }

    package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
      try v.field(1, "attempt", &attempt)
      try v.field(2, "receipt", &receipt)
    }
  }

  /// What a worker is told when it starts.
  package struct WorkerAssignment: Hashable, Sendable {
    package var attempt: AttemptKey
    package var parameters: SubmissionParameters
    package var collectionID: String
    package var heartbeat: Duration
    package var documentsLeft: Int
  }

  /// The documents that a worker is to process next.
  package struct Claimed: Hashable, Sendable {
    package var documents: [Document] = []
    /// None will ever come: the worker may exit.
    package var isFinished = false
    /// When to ask again, if there are none now.
    package var retryAfter: Duration?
  }

  /// What was counted of a report.
  package struct Reported: Hashable, Sendable {
    package var accepted: Int
    /// Results that were known already.
    package var repeated: Int
    /// The worker is to end: its attempt is being ended.
    package var stop: Bool
  }
}

extension Reply: Described {
  package static var blank: Reply { .status(.blank) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    var reply: Reply? = v.reads ? nil : self
    try v.member(1, "created", of: &reply, Reply.created) { if case .created(let value) = $0 { value } else { nil } }
    try v.member(2, "documents_added", of: &reply, Reply.documentsAdded) {
      if case .documentsAdded(let value) = $0 { value } else { nil }
    }
    try v.member(3, "submitted", of: &reply, Reply.submitted) {
      if case .submitted(let value) = $0 { value } else { nil }
    }
    try v.member(4, "status", of: &reply, Reply.status) { if case .status(let value) = $0 { value } else { nil } }
    try v.member(5, "retried", of: &reply, Reply.retried) { if case .retried(let value) = $0 { value } else { nil } }
    try v.member(6, "healed", of: &reply, Reply.healed) { if case .healed(let value) = $0 { value } else { nil } }
    try v.member(7, "cancelled", of: &reply, Reply.cancelled) {
      if case .cancelled(let value) = $0 { value } else { nil }
    }
    guard let reply else { throw FormatFault("an unknown reply") }
    if v.assigns { self = reply }
  }
}

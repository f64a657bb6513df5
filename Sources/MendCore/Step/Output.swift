/// What one step decided. The order is the contract: everything in `writes` is durable before anything in
/// `afterCommit` is acted on. A driver that cannot commit must drop `afterCommit` and stop.
package struct Output: Hashable, Sendable {
  package var writes: [Write]
  package var afterCommit: [Effect]
  /// Batches that the core let go of in this step, for what it decided could not be so: nothing of the step is written or
  /// done for them, and nothing more until they are restored.
  package var faults: [RecordFault]

  package init(writes: [Write] = [], afterCommit: [Effect] = [], faults: [RecordFault] = []) {
    self.writes = writes
    self.afterCommit = afterCommit
    self.faults = faults
  }
}

package enum Write: Hashable, Sendable {
  case record(Record)
  /// Remember the answer to an idempotency key until it expires.
  case idempotency(IdempotencyEntry)
  /// Keep what was learnt about start times, in place of the slot's earlier value.
  case start(StartHistory)
  /// Into the outbox, until a `notificationSettled` with its event id.
  case notification(Notification)
}

package struct IdempotencyEntry: Hashable, Sendable {
  package var namespace: String
  package var key: String
  package var fingerprint: UInt64
  package var batchID: String
  /// What to answer again. Cancels answer from the batch's state instead (`nil`).
  package var reply: Reply?
  package var expires: Instant

  package init(
    namespace: String, key: String, fingerprint: UInt64, batchID: String, reply: Reply?, expires: Instant
  ) {
    self.namespace = namespace
    self.key = key
    self.fingerprint = fingerprint
    self.batchID = batchID
    self.reply = reply
    self.expires = expires
  }
}

extension IdempotencyEntry: Described {
  package static let schemaName = "JournalAnswer"
  package static var blank: IdempotencyEntry {
    IdempotencyEntry(
      namespace: "", key: "", fingerprint: 0, batchID: "", reply: nil, expires: Instant(milliseconds: 0))
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "namespace", &namespace)
    try v.string(2, "key", &key)
    try v.hash(3, "fingerprint", &fingerprint)
    try v.string(4, "batch_id", &batchID)
    try v.instant(5, "expires_ms", &expires)
    try v.message(6, "reply", &reply)
  }
}

/// An action for the driver, once the writes are durable. It carries ids, never continuations.
package enum Effect: Hashable, Sendable {
  case reply(CallID, Reply)
  case refuse(CallID, Refusal)
  /// Start the attempt, unless the executor has it already under this key.
  case launch(AttemptKey, Launch)
  /// Check whether the attempt still runs, and watch it; answer with `taken` and `started`, or `ended`, or `lost`.
  case adopt(AttemptKey, ExecutorHandle?, Launch)
  /// End all processes of the attempt: SIGTERM, then SIGKILL after the grace; answer with `ended` or `lost` and a
  /// receipt. May be repeated.
  case end(AttemptKey, ExecutorHandle?, grace: Duration, on: ExecutorKind)
  /// End something that is not a current attempt.
  case endStray(AttemptKey, reference: String, on: ExecutorKind)
  /// Find out what the attempt's processes do; answer with `looked`, or not at all.
  case look(AttemptKey, on: ExecutorKind)
  /// The batch changed: its view is to be published and its watchers told.
  case changed(BatchKey)
  /// The batch is final and may leave memory; its journal stays.
  case retire(BatchKey)
  /// `tick` is due then, at the latest. The newest one holds.
  case wakeAt(Instant)
}

extension Effect {
  /// The executor that carries it out; nil if none does.
  package var executor: ExecutorKind? {
    switch self {
    case .launch(_, let launch), .adopt(_, _, let launch): launch.parameters.executor
    case .end(_, _, _, let executor), .endStray(_, _, let executor), .look(_, let executor): executor
    case .reply, .refuse, .changed, .retire, .wakeAt: nil
    }
  }
}

/// What an executor needs to start an attempt. The documents to do are read from the batch's view.
package struct Launch: Hashable, Sendable {
  package var token: String
  package var parameters: SubmissionParameters
  package var timers: Timers

  package init(token: String, parameters: SubmissionParameters, timers: Timers) {
    self.token = token
    self.parameters = parameters
    self.timers = timers
  }
}

/// Why a call is refused: whose fault, where, and what to do. Nothing was changed.
package enum Refusal: Error, Hashable, Sendable {
  /// A value breaks a rule: INVALID_ARGUMENT. `field` as the schema writes it, e.g. `tiers[0].extractors[1].shards`.
  case invalid(field: String, rule: String)
  /// NOT_FOUND. A foreign id answers exactly as an unknown one.
  case notFound(resourceType: String, resourceID: String)
  /// ALREADY_EXISTS.
  case alreadyExists(resourceType: String, resourceID: String)
  /// FAILED_PRECONDITION: the state does not allow it; `todo` says what to do first. `because` is what keeps a batch from
  /// ever running as the server is now; nil for every other state.
  case precondition(String, todo: Advice, because: HealthReason? = nil)
  /// ABORTED: the world moved on (a stale plan, a fenced attempt, a key used for another request).
  case aborted(String, todo: String)
  /// RESOURCE_EXHAUSTED: which limit, and when to try again; nil if waiting does not help.
  case exhausted(limit: Limit, String, retryAfter: Duration?)
  /// UNAVAILABLE: the server is going away. Whether it was carried out is unknown; the next server says so when asked
  /// again.
  case unavailable(String)
  /// UNAUTHENTICATED: the attempt token is of no attempt.
  case unknownToken
  /// FAILED_PRECONDITION: nothing can be done with the batch until an administrator has repaired it; why, in a sentence.
  case setAside(batchID: String, String)

  /// A limit, by the name that programs know it by.
  package enum Limit: String, Hashable, Sendable, CaseIterable {
    case liveBatches = "live_batches"
    case quotaBatches = "quota_batches"
    case documentsPerBatch = "documents_per_batch"
    case documentsTimesJobs = "documents_times_jobs"
    case documentTextPerBatch = "document_text_per_batch"
    case specificationBytes = "specification_bytes"
    case specificationBytesPerNamespace = "specification_bytes_per_namespace"
    case documentMemory = "document_memory"
    case documentMemoryPerNamespace = "document_memory_per_namespace"
    case callsPerCancel = "calls_per_cancel"
    case waitingCancels = "waiting_cancels"
    case endTimeout = "end_timeout"
    case mailbox, reads, disk
    case unansweredCalls = "unanswered_calls"
  }
}

/// What one step decided. The order is the contract: everything in `writes` is durable before anything in
/// `afterCommit` is acted on. A driver that cannot commit must drop `afterCommit` and stop.
public struct Output: Hashable, Sendable {
  public var writes: [Write]
  public var afterCommit: [Effect]
  /// Batches that the core let go of in this step, for what it decided could not be so: nothing of the step is written or
  /// done for them, and nothing more until they are restored.
  public var faults: [RecordFault]

  public init(writes: [Write] = [], afterCommit: [Effect] = [], faults: [RecordFault] = []) {
    self.writes = writes
    self.afterCommit = afterCommit
    self.faults = faults
  }
}

public enum Write: Hashable, Sendable {
  case record(Record)
  /// Remember what was answered to this key, until `expires`.
  case idempotency(IdempotencyEntry)
  /// Keep what was learnt of starts, in the place of what its slot had before.
  case start(StartHistory)
  /// Into the outbox, until a `notificationSettled` with its event id.
  case notification(Notification)
}

public struct IdempotencyEntry: Hashable, Sendable {
  public var namespace: String
  public var key: String
  public var fingerprint: UInt64
  public var batchID: String
  /// What to answer again. Cancels answer from the batch's state instead (`nil`).
  public var reply: Reply?
  public var expires: Instant

  public init(
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

/// What is to be done once the writes are durable. Carries ids, never continuations.
public enum Effect: Hashable, Sendable {
  case reply(CallID, Reply)
  case refuse(CallID, Refusal)
  /// Start it, unless the executor has it already under this key.
  case launch(AttemptKey, Launch)
  /// Look whether it still runs, and watch it; answer with `taken`+`started`, `ended` or `lost`.
  case adopt(AttemptKey, ExecutorHandle?, Launch)
  /// End all of it: SIGTERM, a grace, the whole tree killed; answer with `ended` or `lost` and a receipt. Repeatable.
  case end(AttemptKey, ExecutorHandle?, grace: Duration, on: ExecutorKind)
  /// End something that is not a current attempt.
  case endStray(AttemptKey, reference: String, on: ExecutorKind)
  /// Look at what its processes do; answer with `looked`, or not at all.
  case look(AttemptKey, on: ExecutorKind)
  /// The batch changed: its view is to be published and its watchers told.
  case changed(BatchKey)
  /// The batch is final and may leave memory; its journal stays.
  case retire(BatchKey)
  /// `tick` is due then, at the latest. The newest one holds.
  case wakeAt(Instant)
}

extension Effect {
  /// Who is to do it; nil where it is no executor's.
  public var executor: ExecutorKind? {
    switch self {
    case .launch(_, let launch), .adopt(_, _, let launch): launch.parameters.executor
    case .end(_, _, _, let executor), .endStray(_, _, let executor), .look(_, let executor): executor
    case .reply, .refuse, .changed, .retire, .wakeAt: nil
    }
  }
}

/// What an executor needs to start an attempt. The documents to do are read from the batch's view.
public struct Launch: Hashable, Sendable {
  public var token: String
  public var parameters: SubmissionParameters
  public var timers: Timers

  public init(token: String, parameters: SubmissionParameters, timers: Timers) {
    self.token = token
    self.parameters = parameters
    self.timers = timers
  }
}

/// An answer. What the wire calls the same carries the same fields.
public enum Reply: Hashable, Sendable {
  case created(batchID: String, BatchStatus, totalObjects: Int)
  case documentsAdded(batchID: String, added: Int, totalObjects: Int)
  case submitted(batchID: String, BatchStatus, queuePosition: Int)
  case status(batchID: String, BatchStatus)
  case retried(batchID: String, tier: Int, jobs: [JobID], documents: Int, BatchStatus, generation: UInt64)
  case healed(batchID: String, generation: UInt64, dryRun: Bool, [HealStep])
  case cancelled(batchID: String, BatchStatus, [Ended])
  case workerStarted(WorkerAssignment)
  case claimed([Document], finished: Bool, retryAfter: Duration?)
  case reported(accepted: Int, repeated: Int, stop: Bool)

  public struct Ended: Hashable, Sendable {
    public var job: JobID
    public var attempt: Int
    public var receipt: EndReceipt
    public init(job: JobID, attempt: Int, receipt: EndReceipt) {
      self.job = job
      self.attempt = attempt
      self.receipt = receipt
    }
  }

  public struct WorkerAssignment: Hashable, Sendable {
    public var attempt: AttemptKey
    public var parameters: SubmissionParameters
    public var collectionID: String
    public var heartbeat: Duration
    public var documentsLeft: Int
    public init(
      attempt: AttemptKey, parameters: SubmissionParameters, collectionID: String, heartbeat: Duration,
      documentsLeft: Int
    ) {
      self.attempt = attempt
      self.parameters = parameters
      self.collectionID = collectionID
      self.heartbeat = heartbeat
      self.documentsLeft = documentsLeft
    }
  }
}

/// Why a call is refused: whose fault, where, and what to do. Nothing was changed.
public enum Refusal: Error, Hashable, Sendable {
  /// A value breaks a rule: INVALID_ARGUMENT. `field` as the schema writes it, e.g. `tiers[0].extractors[1].shards`.
  case invalid(field: String, rule: String)
  /// NOT_FOUND. A foreign id answers exactly as an unknown one.
  case notFound(resourceType: String, resourceID: String)
  /// ALREADY_EXISTS.
  case alreadyExists(resourceType: String, resourceID: String)
  /// FAILED_PRECONDITION: the state does not allow it; `todo` says what to do first. `because` is what keeps a batch from
  /// ever running as the server is now; nil for every other state.
  case precondition(String, todo: String, because: HealthReason? = nil)
  /// ABORTED: the world moved on (a stale plan, a fenced attempt, a key used for another request).
  case aborted(String, todo: String)
  /// RESOURCE_EXHAUSTED: a limit, by its name, and when to come back (nil: not by waiting).
  case exhausted(limit: String, String, retryAfter: Duration?)
  /// UNAVAILABLE: the server is going away. Whether it was carried out is unknown; the next server says so when asked
  /// again.
  case unavailable(String)
  /// UNAUTHENTICATED: the attempt token is of no attempt.
  case unknownToken
  /// FAILED_PRECONDITION: nothing can be done with the batch until an administrator has mended it; why, in a sentence.
  case setAside(batchID: String, String)
}

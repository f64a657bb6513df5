package import MendCore

/// What keeps the journal. Every method blocks; the runtime calls `commit` from its writer's own thread only.
///
/// One conformance suite holds for every store (Tests/MendStoreTests).
package protocol Store: Sendable {
  /// Makes all writes durable in one transaction, in order, or none of them.
  ///
  /// Returning means: they survive a power cut. An error means: the writer must stop, for what is durable is unknown;
  /// unless it `isFull`, then nothing was written.
  func commit(_ writes: [Write]) throws(StoreError)

  /// What is needed to carry on: all batches that are not retired, and the keys still remembered. A batch whose journal
  /// can't be read is among those set aside, and stops nothing.
  func recover(at now: Instant) throws(StoreError) -> Recovery

  /// One batch as its whole journal makes it; nil for an unknown batch.
  func batch(_ key: BatchKey) throws(StoreError) -> Batch?

  /// The same for many batches, in the order of `keys`; the writer asks for all that a round needs.
  func batches(_ keys: [BatchKey]) throws(StoreError) -> [Batch?]

  /// Keeps what a batch's journal comes to, so that recovery need not fold all of it. A store may do nothing.
  ///
  /// Called from a thread of its own, beside commits. `documents` are the batch's, who has been submitted.
  func keepSnapshot(of key: BatchKey, documents: DocumentTable) throws(StoreError)

  /// One batch's journal in order, after `sequence`; empty for an unknown batch.
  func journal(of batch: BatchKey, after sequence: UInt64) throws(StoreError) -> [Record]

  /// The same, at most `limit` records.
  func journal(of batch: BatchKey, after sequence: UInt64, limit: Int) throws(StoreError) -> [Record]

  /// Notifications whose time has come, the oldest first, but those about `batches`.
  func notifications(
    dueAt now: Instant, limit: Int, except batches: Set<BatchKey>
  ) throws(StoreError) -> [PendingNotification]

  /// How many notifications wait, and when the next is due, but for those about `batches`.
  func outboxState(except batches: Set<BatchKey>) throws(StoreError) -> OutboxState

  /// Notes that a notification was sent in vain, so many times in all, and when it is due again.
  func putOff(_ eventID: String, attempts: Int, until: Instant) throws(StoreError)

  /// Forgets retired batches that were final before, at most `limit`, the oldest first: journal, listing and all. Gives
  /// who they were.
  func prune(finishedBefore: Instant, limit: Int) throws(StoreError) -> [BatchKey]

  /// Throws once nothing more can be made durable: a file of it was removed, or a write failed for good. Asked now and then
  /// where nothing is committed.
  func check() throws(StoreError)

  /// Bytes that wait in the store's log to be taken into its main file.
  var logBytes: Int64 { get }

  /// Looks for damage in a part of what no start reads, from a place on: 0 at first. Gives where the next part begins; nil
  /// at the end.
  func lookThrough(from place: Int64) throws(StoreError) -> Int64?

  /// What was found damaged since it was asked last, and is not served, each in a sentence.
  func takeLosses() -> [String]

  /// Throws as long as a commit of ordinary size would find no room.
  func probe() throws(StoreError)

  /// Says that a batch is final and needs no recovery; its journal stays readable. May be said again.
  ///
  /// A record committed later makes the batch live again: Retry works on what was retired.
  func retire(_ batch: BatchKey, entry: BatchListing) throws(StoreError)

  /// The same for many batches, in one transaction where the store can.
  func retire(_ entries: [BatchListing]) throws(StoreError)

  /// Retired batches of a namespace, newest first, strictly before `cursor`.
  func retired(
    namespace: String, status: BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
  ) throws(StoreError) -> [BatchListing]
}

/// Defaults. Those of the outbox, `prune`, `check` and `probe` are for stores of tests: a store without its own sends no
/// webhook, never forgets a finished batch, and notices neither a lost file nor a full disk.
extension Store {
  package func batch(_ key: BatchKey) throws(StoreError) -> Batch? {
    let records = try journal(of: key, after: 0)
    do throws(RecordFault) {
      return try Batch.folding(records)
    } catch {
      throw StoreError(operation: "journal", error)
    }
  }

  package func batches(_ keys: [BatchKey]) throws(StoreError) -> [Batch?] {
    var batches: [Batch?] = []
    for key in keys { batches.append(try batch(key)) }
    return batches
  }

  package func keepSnapshot(of key: BatchKey, documents: DocumentTable) throws(StoreError) {}

  package func journal(of batch: BatchKey, after sequence: UInt64, limit: Int) throws(StoreError) -> [Record] {
    Array(try journal(of: batch, after: sequence).prefix(limit))
  }

  package func notifications(
    dueAt now: Instant, limit: Int, except batches: Set<BatchKey>
  ) throws(StoreError) -> [PendingNotification] { [] }

  package func outboxState(except batches: Set<BatchKey>) throws(StoreError) -> OutboxState {
    OutboxState(count: 0, next: nil)
  }

  package func notifications(dueAt now: Instant, limit: Int) throws(StoreError) -> [PendingNotification] {
    try notifications(dueAt: now, limit: limit, except: [])
  }

  package func outboxState() throws(StoreError) -> OutboxState { try outboxState(except: []) }

  package func check() throws(StoreError) {}

  package var logBytes: Int64 { 0 }

  package func lookThrough(from place: Int64) throws(StoreError) -> Int64? { nil }

  package func takeLosses() -> [String] { [] }

  package func probe() throws(StoreError) {}

  package func putOff(_ eventID: String, attempts: Int, until: Instant) throws(StoreError) {}

  package func prune(finishedBefore: Instant, limit: Int) throws(StoreError) -> [BatchKey] { [] }

  package func retire(_ entries: [BatchListing]) throws(StoreError) {
    for entry in entries { try retire(entry.key, entry: entry) }
  }
}

/// A notification in the outbox, and how many times it was sent in vain.
package struct PendingNotification: Sendable, Hashable {
  package var notification: MendCore.Notification
  package var attempts: Int

  package init(notification: MendCore.Notification, attempts: Int) {
    self.notification = notification
    self.attempts = attempts
  }
}

package struct OutboxState: Sendable, Hashable {
  package var count: Int
  /// When the next one is due; nil when there is none.
  package var next: Instant?

  package init(count: Int, next: Instant?) {
    self.count = count
    self.next = next
  }
}

package struct StoreError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What was being done: "commit", "recover" ...
  package var operation: String
  package var message: String
  /// There was no room for what was to be written, and nothing of it was: what is durable is known, and it may be tried
  /// again once there is room.
  package var isFull: Bool
  /// The system's own words for it, without places of this machine; empty where there are none.
  package var words: String
  /// What is wrong is this batch's journal alone; everything else can be read.
  package var damaged: BatchKey?
  /// Of its first record that is damaged, where that is known.
  package var sequence: UInt64?

  package init(
    operation: String, message: String, isFull: Bool = false, words: String = "", damaged: BatchKey? = nil,
    sequence: UInt64? = nil
  ) {
    self.operation = operation
    self.message = message
    self.isFull = isFull
    self.words = words
    self.damaged = damaged
    self.sequence = sequence
  }

  package init(operation: String, _ fault: RecordFault) {
    self.init(
      operation: operation,
      message: "the journal of \(fault.batch.namespace)/\(fault.batch.batchID) is damaged: \(fault)",
      damaged: fault.batch, sequence: fault.sequence)
  }

  package var description: String { "\(operation): \(message)" }
}

package struct Recovery: Sendable {
  /// As their journals make them.
  package var batches: [Batch]
  package var idempotency: [IdempotencyEntry]
  /// What was learnt of starts, the latest of each slot.
  package var starts: [StartHistory]
  /// Batches whose journals can't be read, or that an administrator has set aside.
  package var setAside: [SetAside]
  /// What beside batches can't be read, each in a sentence.
  package var losses: [String]

  package init(
    batches: [Batch], idempotency: [IdempotencyEntry], starts: [StartHistory] = [], setAside: [SetAside] = [],
    losses: [String] = []
  ) {
    self.batches = batches
    self.idempotency = idempotency
    self.starts = starts
    self.setAside = setAside
    self.losses = losses
  }
}

/// A place in the newest-first order of a namespace's batches.
package struct ListCursor: Sendable, Hashable {
  package var createdAt: Instant
  package var batchID: String
  package init(createdAt: Instant, batchID: String) {
    self.createdAt = createdAt
    self.batchID = batchID
  }
}

/// What runs attempts. Every method returns at once; what became of it arrives as observations.
///
/// All of them may be called again for the same attempt: a launch that the executor has already is answered with
/// `taken`, an end of what is gone with `ended` or `lost`.
package protocol Executor: Sendable {
  var kind: ExecutorKind { get }

  /// Runs the executor until the task is cancelled; attempts outlive it. Observations go to `sink` from any thread.
  func run(sink: @escaping @Sendable (Observation) -> Void) async

  /// `documents` gives what is left to do for the manifest (called at most once, before the entrypoint starts).
  func launch(_ attempt: AttemptKey, _ launch: Launch, documents: @escaping @Sendable () -> [Document])
  func adopt(_ attempt: AttemptKey, _ handle: ExecutorHandle?, _ launch: Launch)
  func end(_ attempt: AttemptKey, _ handle: ExecutorHandle?, grace: Duration)
  func endStray(_ attempt: AttemptKey, reference: String)

  /// Says what the attempt's processes do, where it can see them.
  func look(at attempt: AttemptKey)

  /// The batch is forgotten: what its attempts left behind may go.
  func forget(_ batch: BatchKey)

  /// At most `limit` bytes of what the attempt wrote, from `offset` on; of ended attempts, too, while they are kept.
  ///
  /// Asked again, it goes on behind what it gave. Never blocks the caller's thread.
  func log(
    of attempt: AttemptKey, _ handle: ExecutorHandle?, _ stream: LogStream, from offset: Int64, limit: Int
  ) async -> Result<LogPiece, LogError>
}

extension Executor {
  package func forget(_ batch: BatchKey) {}
  package func look(at attempt: AttemptKey) {}
}

/// Where the time comes from.
package protocol Clock: Sendable {
  /// Never runs backwards within one process.
  func now() -> Instant
  /// Returns at `deadline` or when the task is cancelled.
  func sleep(until deadline: Instant) async
}

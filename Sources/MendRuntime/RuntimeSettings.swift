package import MendCore

/// Every bound of the runtime, by name, with its default and its reason.
package struct RuntimeSettings: Sendable, Hashable {
  /// Calls of callers that wait for the writer. At some 10 µs a step and 1 ms a commit this is well below a second of waiting;
  /// one more is refused with `exhausted(limit: .mailbox)`.
  package var mailboxLimit = 4096
  /// Workers' calls that wait for it, beside those: a worker that is kept from reporting is taken for stuck.
  package var workerMailboxLimit = 4096
  /// Calls that were taken and not answered yet, cancels that wait for processes to end above all; one more is refused
  /// with `exhausted(limit: .unansweredCalls)`.
  package var unansweredCallsLimit = 16_384
  /// Observations that wait for the writer, beyond the calls. They are never lost: past this, one that says the same again
  /// of the same attempt is not queued again.
  package var observationReserve = 65_536
  /// Events of one round, and so of one transaction; the rest waits for the next.
  package var eventsPerRound = 1024
  /// Readers that wait for a batch to change. One more is not refused; it looks once per `pollInterval` instead of
  /// being woken.
  package var watchersLimit = 10_000
  package var pollInterval: Duration = .seconds(1)
  /// Retired batches whose views are kept, the latest used ones, and the documents of all of them together.
  package var retiredViewsLimit = 256
  package var retiredDocumentsLimit = 4_000_000
  /// Threads that read the journal for callers, and reads that may wait for them; one more is refused with
  /// `exhausted`.
  package var readersLimit = 4
  package var readsLimit = 1024
  /// A batch's snapshot is made anew after so many facts, or a sixteenth of its documents where that is more: what
  /// recovery folds of one batch at most, some 20 ms a 10,000.
  package var factsPerSnapshot = 10_000
  /// Snapshots that wait to be made; one more is left out, and made after the batch's next fact.
  package var snapshotsLimit = 64
  /// Final batches that stay in memory (`Limits.retireAfter`), and the documents of all of them together; beyond either the
  /// oldest leaves before its time.
  package var finalBatchesLimit = 2000
  package var finalDocumentsLimit = 4_000_000
  /// Finished batches are forgotten after this, journals and attempts' files and all; nil keeps them for good.
  package var keepFinished: Duration?
  /// How often that is looked at, and how many are forgotten in one go.
  package var pruneInterval: Duration = .seconds(10)
  package var pruneLimit = 100
  /// A store's log of so many bytes is spoken of: it is some 4 MB, and up to 64 MB after a burst.
  package var logBytesTold: Int64 = 256 << 20
  /// How often a store without room is asked whether it has some.
  package var fullInterval: Duration = .seconds(1)
  /// While batches are live, a tick comes at least this often.
  package var tickInterval: Duration = .seconds(1)
  /// A tick that comes so much later than it was due: the machine was suspended, or the server stopped, and nobody is held to
  /// the time in between.
  package var suspensionThreshold: Duration = .seconds(5)

  /// Where it is set every change is refused with it, and nothing is decided, run or told to anybody: what was recovered
  /// can be looked at.
  package var refusal: Refusal?
  /// It is refused because the store is damaged, and not because its directory is a copy.
  package var isDamaged = false

  package init() {}
}

package import MendCore

// The outbox as a notifier has it: without what batches that are set aside have to say, which could not be noted as said.

extension Runtime {
  /// Notifications that are due, the oldest first. Reads the disk as `loadedView(of:)` does.
  package func notifications(limit: Int) async throws(ReadError) -> [PendingNotification] {
    let now = clock.now()
    let due = try await reader.read { [store, asides] () throws(StoreError) in
      try store.notifications(dueAt: now, limit: limit, except: asides.keys)
    }
    for loss in store.takeLosses() { tell(loss) }
    return due
  }

  /// All that wait, due or not, the next first.
  package func waitingNotifications(limit: Int) async throws(ReadError) -> [PendingNotification] {
    try await reader.read { [store, asides] () throws(StoreError) in
      try store.notifications(dueAt: .distantFuture, limit: limit, except: asides.keys)
    }
  }

  package func outboxState() async throws(ReadError) -> OutboxState {
    try await reader.read { [store, asides] () throws(StoreError) in try store.outboxState(except: asides.keys) }
  }

  /// Notes an attempt in vain, and when the notification is due again.
  package func putOff(_ eventID: String, attempts: Int, until: Instant) async throws(ReadError) {
    try await reader.read { [store] () throws(StoreError) in
      try store.putOff(eventID, attempts: attempts, until: until)
    }
  }

  /// Puts what became of a notification into its batch's history, and takes it out of the outbox, in one transaction
  /// that comes soon.
  package func settle(_ outcome: NotificationOutcome, of batch: BatchKey) async { mailbox.post(outcome, of: batch) }

  /// Returns when notifications were put into the outbox, at `deadline`, or at cancellation. For one notifier.
  package func newNotifications(until deadline: Instant) async { await outbox.wait(until: deadline, clock: clock) }
}

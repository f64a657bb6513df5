import Logging
import MendCore

/// What the writer does when the disk is full: it drops the round, refuses changes, and goes on once there is room.
extension Writer {
  /// What finds no room ends the round: the core is ahead of what is durable, so what it decided is dropped.
  mutating func whileThereIsRoom(
    _ body: (inout Writer) throws(StoreError) -> Void
  ) throws(StoreError) {
    do throws(StoreError) {
      try body(&self)
    } catch {
      guard error.isFull else { throw error }
      runtime.logger.error(
        "the store is full; changes are refused until there is space", metadata: ["error": "\(error)"])
      let since = runtime.clock.now()
      fullSince = since
      runtime.setStoreOutage(StoreOutage(since: since, message: error.words.isEmpty ? error.message : error.words))
      refuseAll()
    }
  }

  /// Without a step: calls are refused, and what executors say is asked for again later.
  mutating func wait(forRoomSince since: Instant) throws(StoreError) {
    do throws(StoreError) {
      try runtime.store.probe()
    } catch {
      guard error.isFull else { throw error }
      refuseAll()
      return
    }
    runtime.mailbox.refuseTaken(Self.noRoom)
    runtime.logger.notice(
      "the store has space again", metadata: ["after": "\(Figures.seconds(runtime.clock.now() - since))"])
    fullSince = nil
    runtime.setStoreOutage(nil)
    core = core.emptied()
    snapshots = SnapshotPlan(factsPerSnapshot: runtime.settings.factsPerSnapshot)
    wakeAt = .distantFuture
    dueAt = .distantFuture
    try whileThereIsRoom { writer throws(StoreError) in try writer.recover() }
  }

  private func refuseAll() {
    runtime.mailbox.refuseTaken(Self.noRoom)
    runtime.alarm.set(runtime.clock.now() + runtime.settings.fullInterval)
  }

  private static let noRoom = Refusal.exhausted(
    limit: .disk, "the server's disk is full; nothing was changed", retryAfter: .seconds(5))
}

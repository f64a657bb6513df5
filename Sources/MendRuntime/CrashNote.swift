package import MendCore

/// Notes which batch a thread works on, so that the next process finds it after a crash.
///
/// Called for each event, each diagnosis and each row of a journal that is read: it costs no more than a copy of the name.
package protocol CrashNote: Sendable {
  func begin(_ batch: BatchKey)
  func end()
}

extension CrashNote? {
  /// Runs work on a batch while the batch is noted, in place of one that was noted before.
  package func holding<Value, Failure>(
    _ batch: BatchKey, _ body: () throws(Failure) -> Value
  ) throws(Failure) -> Value {
    self?.begin(batch)
    defer { self?.end() }
    return try body()
  }
}

extension Event {
  /// The batch that the event is about; nil if it is about none.
  func batchInHand(_ core: borrowing Core) -> BatchKey? {
    switch self {
    case .command(_, let command):
      command.operation.batchID.isEmpty
        ? nil : BatchKey(namespace: command.namespace, batchID: command.operation.batchID)
    case .worker(_, let request): core.batch(ofToken: request.token)
    case .observation(let observation):
      switch observation {
      case .taken(let attempt, _), .delayed(let attempt, _), .started(let attempt), .launchFailed(let attempt, _, _),
        .ended(let attempt, _, _), .lost(let attempt, _), .hidden(let attempt, _), .looked(let attempt, _),
        .duplicate(let attempt, _):
        attempt.batch
      case .unreachable, .reachable, .capacity: nil
      }
    case .notified(let key, _): key
    case .tick, .recovered, .resumed: nil
    }
  }
}

/// What a token may do. `worker` is separate from the others: a worker need not be able to read batches.
package enum Role: String, Sendable, Hashable, CaseIterable {
  /// May read: GetBatch, ListBatches, Diagnose, WatchProgress, ListEvents, ReadLogs.
  case viewer
  /// May do what a viewer may, and make every call of the Batches service that changes something.
  case `operator`
  /// May use the Worker service.
  case worker
  case admin

  /// True if this role includes `needed`.
  package func allows(_ needed: Role) -> Bool {
    switch self {
    case .admin: true
    case .operator: needed == .operator || needed == .viewer
    case .viewer: needed == .viewer
    case .worker: needed == .worker
    }
  }
}

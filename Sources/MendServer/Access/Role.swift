/// What a token may do. Worker stands beside the others: who runs documents need not be able to read batches.
public enum Role: String, Sendable, Hashable, CaseIterable {
  /// Reads: GetBatch, ListBatches, Diagnose, WatchProgress, ReadLogs.
  case viewer
  /// Viewer's, and every call of the Batches service that changes something.
  case `operator`
  /// The Worker service.
  case worker
  case admin

  /// True when this role may do what `needed` is needed for.
  public func allows(_ needed: Role) -> Bool {
    switch self {
    case .admin: true
    case .operator: needed == .operator || needed == .viewer
    case .viewer: needed == .viewer
    case .worker: needed == .worker
    }
  }
}

import MendCore
import MendRuntime

/// What a data directory holds beside journals, as lines: which batches there are, and what is remembered and still to be
/// told. No sentence is in it, as in `DecisionDigest`.
struct DirectoryDigest {
  private(set) var lines: [String] = []

  init(of store: some Store, namespaces: [String], at now: Instant) throws {
    let recovery = try store.recover(at: now)
    for batch in recovery.batches.sorted(by: { $0.key < $1.key }) {
      lines.append("live \(Self.name(batch.key)) \(batch.status.rawValue) sequence \(batch.sequence)")
    }
    for entry in recovery.idempotency {
      lines.append(
        "answer \(entry.namespace) \(entry.key) \(entry.fingerprint) \(entry.batchID) until "
          + "\(entry.expires.milliseconds) \(entry.reply.map(Self.reply) ?? "none")")
    }
    for history in recovery.starts {
      lines.append("starts \(history.slot) \(history.shape) \(history.samples) \(history.cursor)")
    }
    for namespace in namespaces {
      for entry in try store.retired(namespace: namespace, status: nil, bucketID: nil, before: nil, limit: 1000) {
        lines.append(
          "retired \(Self.name(entry.key)) \(entry.batchName), bucket \(entry.bucketID), \(entry.status.rawValue) "
            + "\(entry.health.rawValue) \(entry.overallProgress) of \(entry.totalObjects) tier \(entry.currentTier) of "
            + "\(entry.totalTiers)\(entry.hasFailures ? " with failures" : "") priority \(entry.priority) created "
            + "\(entry.createdAt.milliseconds) completed \(entry.completedAt?.milliseconds ?? 0)")
      }
    }
    for pending in try store.notifications(dueAt: .distantFuture, limit: 1000) {
      let told = pending.notification
      lines.append(
        "to be told \(told.eventID) \(told.kind.rawValue) \(told.batchName) \(told.status.rawValue) "
          + "\(told.health.rawValue) \(told.reason.rawValue) \(told.progress.completed) \(told.progress.failed) "
          + "\(told.progress.total) at \(told.at.milliseconds)")
    }
  }

  private static func name(_ key: BatchKey) -> String { "\(key.namespace)/\(key.batchID)" }

  private static func reply(_ reply: Reply) -> String {
    switch reply {
    case .created(let reply): "created \(reply.batchID) \(reply.status.rawValue) \(reply.totalObjects)"
    case .documentsAdded(let reply): "added \(reply.batchID) \(reply.added) of \(reply.totalObjects)"
    case .submitted(let reply): "submitted \(reply.batchID) \(reply.status.rawValue) \(reply.queuePosition)"
    case .status(let reply): "status \(reply.batchID) \(reply.status.rawValue)"
    case .retried(let reply):
      "retried \(reply.batchID) \(reply.tier) \(reply.jobs.map(\.description)) \(reply.documents) "
        + "\(reply.status.rawValue) \(reply.generation)"
    case .healed(let reply): "healed \(reply.batchID) \(reply.generation) \(reply.dryRun) \(reply.steps.count)"
    case .cancelled(let reply): "cancelled \(reply.batchID) \(reply.status.rawValue) \(reply.ended.count)"
    case .workerStarted, .claimed, .reported: "a worker's"
    }
  }
}

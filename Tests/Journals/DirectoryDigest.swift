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
    case .created(let id, let status, let total): "created \(id) \(status.rawValue) \(total)"
    case .documentsAdded(let id, let added, let total): "added \(id) \(added) of \(total)"
    case .submitted(let id, let status, let position): "submitted \(id) \(status.rawValue) \(position)"
    case .status(let id, let status): "status \(id) \(status.rawValue)"
    case .retried(let id, let tier, let jobs, let documents, let status, let generation):
      "retried \(id) \(tier) \(jobs.map(\.description)) \(documents) \(status.rawValue) \(generation)"
    case .healed(let id, let generation, let dryRun, let steps): "healed \(id) \(generation) \(dryRun) \(steps.count)"
    case .cancelled(let id, let status, let ended): "cancelled \(id) \(status.rawValue) \(ended.count)"
    case .workerStarted, .claimed, .reported: "a worker's"
    }
  }
}

/// Scheduler and health core: one pure step. The same events at the same instants with the same generator give the same
/// writes and effects, always. No clock, no randomness of its own, no I/O.
public struct Core {
  public var limits: Limits
  /// What the executor can give; a job that needs more is never schedulable.
  public var capacity: Capacity
  /// Ids and tokens come from it: the system's in production, a seeded one in tests.
  var generator: any RandomNumberGenerator & Sendable

  /// Live batches, and final ones that were not retired yet.
  public internal(set) var batches: [BatchKey: Batch] = [:]

  public init(limits: Limits = Limits(), capacity: Capacity, generator: any RandomNumberGenerator & Sendable) {
    self.limits = limits
    self.capacity = capacity
    self.generator = generator
  }
}

/// What an executor has to give.
public struct Capacity: Hashable, Sendable {
  public var executor: ExecutorKind
  public var cpus: Double
  /// Bytes that attempts may be promised together.
  public var memoryBytes: Int64
  public var gpus: Int

  public init(executor: ExecutorKind, cpus: Double, memoryBytes: Int64, gpus: Int = 0) {
    self.executor = executor
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.gpus = gpus
  }
}

/// Every bound of the core, by name, with its default.
public struct Limits: Hashable, Sendable {
  /// Documents of one batch.
  public var documentsPerBatch = 2_000_000
  /// Tiers of one batch, extractors of one tier, shards of one extractor.
  public var tiersPerBatch = 64
  public var extractorsPerTier = 64
  public var shardsPerExtractor = 256
  /// Batches that are not final, over all namespaces.
  public var liveBatches = 20_000
  /// Attempts kept of one job; the oldest ended ones in the middle lose their detail beyond it.
  public var attemptsPerJob = 100
  /// One claim.
  public var documentsPerClaim = 10_000
  /// Idempotency keys that are remembered, and for how long.
  public var idempotencyKeys = 100_000
  public var idempotencyAge: Duration = .seconds(24 * 3600)
  /// How long the second look waits after the first before stuck is confirmed.
  public var stuckConfirmation: Duration = .seconds(2)
  /// How long an executor may be unreachable before its attempts are given up.
  public var unreachableGrace: Duration = .seconds(300)
  /// How long a cancel may take before it answers with what is still there.
  public var endTimeout: Duration = .seconds(60)

  public init() {}
}

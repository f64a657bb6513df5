/// Scheduler and health core: one pure step. The same events at the same instants with the same generator give the same
/// writes and effects, always. No clock, no randomness of its own, no I/O.
package struct Core {
  package var limits: Limits
  /// What each executor can give; a job that needs more is never schedulable.
  package internal(set) var capacities: Capacities
  /// The kinds of executors whose attempts are adopted, ended and launched.
  package var server = ServerIdentity.none
  /// The source of ids and tokens: the system's in production, a seeded one in tests.
  var generator: any RandomNumberGenerator & Sendable

  /// Live batches, and final ones that were not retired yet.
  package internal(set) var batches: [BatchKey: Batch] = [:]

  /// Indices that follow the batches, so that no step has to go through all of them.
  var index = CoreIndex()
  /// The answers that were given to idempotency keys.
  var answers = AnswerMemory()
  /// Cancels whose attempts are not all proven gone yet.
  var cancels: [PendingCancel] = []
  /// The state of the step that is being taken.
  var context = StepContext()
  /// Called with each batch before the core works on it, so that a driver can tell which batch was being worked on when
  /// the process died. It has no influence on any decision.
  package var onBatch: (@Sendable (BatchKey) -> Void)?

  package init(limits: Limits = Limits(), capacities: Capacities, generator: any RandomNumberGenerator & Sendable) {
    self.limits = limits
    self.capacities = capacities
    self.generator = generator
  }

  /// A core of one executor.
  package init(limits: Limits = Limits(), capacity: Capacity, generator: any RandomNumberGenerator & Sendable) {
    self.init(limits: limits, capacities: Capacities(capacity), generator: generator)
  }

  /// The capacity of the default executor, for batches that name none.
  package var capacity: Capacity { capacities.standard }

  /// A core without batches, with the same settings and generator. A driver whose store could not commit a round goes on
  /// with it, and recovers from the store.
  package func emptied() -> Core {
    var core = Core(limits: limits, capacities: capacities, generator: generator)
    core.server = server
    core.onBatch = onBatch
    return core
  }
}

/// How much an executor can run at once.
package struct Capacity: Hashable, Sendable {
  package var executor: ExecutorKind
  package var cpus: Double
  /// Bytes of memory for all attempts together.
  package var memoryBytes: Int64
  package var gpus: Int
  /// False until the executor has reported its capacity: until then nothing is started on it, and nothing is refused.
  package private(set) var isKnown = true
  /// Batches run on it that name no executor: `mend serve` sets what it has by --cpus and the like, what others have by
  /// --capacity.
  var isStandard = true
  package var traits = ExecutorTraits()

  package init(executor: ExecutorKind, cpus: Double, memoryBytes: Int64, gpus: Int = 0) {
    self.executor = executor
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.gpus = gpus
  }

  /// The capacity of an executor that has not reported it yet, or that the server lacks: as much as may be asked for.
  package static func unknown(
    _ executor: ExecutorKind, _ traits: ExecutorTraits = ExecutorTraits()
  ) -> Capacity {
    var capacity = Capacity(
      executor: executor, cpus: ValueLimit.cpus, memoryBytes: ValueLimit.memoryBytes, gpus: Int(Int32.max))
    capacity.isKnown = false
    capacity.traits = traits
    return capacity
  }
}

/// Every bound of the core, by name, with its default.
package struct Limits: Hashable, Sendable {
  /// The most documents of one batch.
  package var documentsPerBatch = 2_000_000
  /// The most bytes of ids, URIs and media types in one batch.
  package var documentTextPerBatch = 1 << 30
  /// The most tiers of one batch.
  package var tiersPerBatch = 64
  /// The most extractors of one tier.
  package var extractorsPerTier = 64
  /// The most shards of one extractor.
  package var shardsPerExtractor = 256
  /// The most jobs of one batch: the shards of all extractors of all tiers.
  package var jobsPerBatch = 16_384
  /// The largest product of a batch's documents and jobs.
  package var documentsTimesJobsPerBatch = 1_000_000_000
  /// Bytes of the commands and environments that the jobs of one batch are given, those of each job counted by itself.
  package var jobTextPerBatch = 64 << 20
  /// The most batches that are not final, in all namespaces.
  package var liveBatches = 100_000
  /// For the specifications and jobs of batches in memory.
  package var specificationMemory = MemoryLimit(512 << 20)
  /// For the documents of batches in memory.
  package var documentMemory = MemoryLimit(4 << 30)
  /// The most documents of one claim.
  package var documentsPerClaim = 10_000
  /// The most idempotency keys of one namespace that are remembered; beyond it the oldest is forgotten.
  package var idempotencyKeys = 100_000
  /// The most idempotency keys of all namespaces together; beyond it the namespace that has most loses its oldest.
  package var idempotencyKeysOfAll = 1_000_000
  /// How long an idempotency key is remembered.
  package var idempotencyAge: Duration = .seconds(24 * 3600)
  /// How long after a first check a second one confirms that an attempt is stuck.
  package var stuckConfirmation: Duration = .seconds(2)
  /// How long an executor may be unreachable before its attempts are given up.
  package var unreachableGrace: Duration = .seconds(300)
  /// How long a cancel may take, beyond its grace, before it answers with what is still there.
  package var endTimeout: Duration = .seconds(60)
  /// How long a final batch stays in memory.
  package var retireAfter: Duration = .seconds(600)
  /// The default time between SIGTERM and SIGKILL.
  package var defaultGrace: Duration = .seconds(10)
  /// How many batches the scheduler looks past in one pass where the jobs of a namespace need more different things than
  /// `FairQueue.demandsPerNamespace`; others are looked past by what they need, however many they are.
  package var schedulingLookahead = 1024
  /// How many looks one pass of the scheduler takes at an executor's queue; the next one, a moment later, goes on with the
  /// rest.
  package var schedulingLooks = 4096
  /// How long a job may wait for room before room is kept for it: from then on later ones start beside it only with what
  /// it does not need.
  package var overtakingWindow: Duration = .seconds(60)
  /// Waiting for this long counts as much as one point of priority. So a batch of priority 0 starts before those of
  /// priority 100 that are submitted 100 minutes after it, however many they are.
  package var agingStep: Duration = .seconds(60)
  /// What namespaces may have at once; `*` is for all that are not named.
  package var quotas: [String: Quota] = [:]
  /// After what time a worker that got no documents asks again: in a pause, and otherwise.
  package var claimRetryPaused: Duration = .seconds(1)
  package var claimRetryBusy: Duration = .milliseconds(200)
  /// How many late reports of one attempt are recorded. Further ones are refused as well, but not recorded.
  package var staleReportsPerAttempt = 1000
  /// How often a batch is diagnosed for its history, at most.
  package var reviewInterval: Duration = .seconds(1)
  /// Whether the server sends notifications; if not, nothing is put into the outbox.
  package var notifies = false
  /// The most cancels that wait for their attempts, and the most calls that wait for one cancel.
  package var waitingCancels = 1000
  package var callsPerCancel = 1000

  /// Attempts of one job that may be spent on finding out which documents kill it, beyond its rules' budgets.
  package var isolationAttempts = 32

  package init() {}
}

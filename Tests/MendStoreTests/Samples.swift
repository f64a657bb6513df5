@testable import MendCore
import MendRuntime

@testable import MendStore

/// One value for every case of what the journal holds. Each case names the one after it, so that a case without a
/// sample does not compile.
enum Samples {
  static let job = JobID(tier: 1, index: 7)
  static let at = Instant(milliseconds: 1_790_000_000_123)

  static var facts: [Fact] { chain(after) }
  /// Facts that one batch of `specification` can have one after the other.
  static var life: [Fact] {
    let job = JobID(tier: 0, index: 0)
    let all = DocumentSet(all: documents.count)
    return [
      .documentsAdded(documents), .batchStatusChanged(.init(.queued, reason: "submitted")),
      .batchStatusChanged(.init(.running, reason: "")), .tierStarted(.init(tier: 0, handed: all)),
      .attemptIntended(.init(job.attempt(1), token: "0123456789abcdef", parameters)),
      .jobStatusChanged(.init(job, .starting, failure: nil, reason: "")),
      .attemptTaken(.init(job.attempt(1), ExecutorHandle(node: "here", pid: 4711, reference: "4711:99:boot"))),
      .attemptStarted(job.attempt(1)), .documentsClaimed(.init(job.attempt(1), DocumentSet([0]), id: "w-1")),
      .documentsCommitted(.init(job.attempt(1), DocumentSet([0]))), .workRepeated(.init(job.attempt(1), count: 1)),
    ]
  }
  static var replies: [Reply] { chain(after) }

  private static func chain<Value>(_ next: (Value?) -> Value?) -> [Value] {
    var values: [Value] = []
    while let value = next(values.last) { values.append(value) }
    return values
  }

  private static func after(_ fact: Fact?) -> Fact? {
    guard let fact else { return .batchCreated(specification) }
    switch fact {
    case .batchCreated: return .documentsAdded(documents)
    case .documentsAdded: return .batchStatusChanged(.init(.paused, reason: "a caller asked"))
    case .batchStatusChanged: return .tierStarted(.init(tier: 2, handed: DocumentSet([0, 1, 2, 63, 64, 65, 130, 999])))
    case .tierStarted: return .tierStatusChanged(.init(tier: 2, .cancelled, reason: ""))
    case .tierStatusChanged: return .tierCancelRequested(.init(tier: 2))
    case .tierCancelRequested:
      return .jobStatusChanged(
        .init(
          job, .failed, failure: Job.Failure(cause: .oom, confidence: .medium, message: "too large"), reason: "it ended"
        ))
    case .jobStatusChanged: return .attemptIntended(.init(job.attempt(3), token: "0123456789abcdef", parameters))
    case .attemptIntended:
      return .attemptTaken(
        .init(job.attempt(3), ExecutorHandle(node: "here", pid: 4711, reference: "4711:99:boot", waitingFor: "a CPU")))
    case .attemptTaken: return .attemptStarted(job.attempt(3))
    case .attemptStarted: return .attemptEnding(.init(job.attempt(3), .healed(.progressTimeout), grace: .seconds(60)))
    case .attemptEnding: return .attemptEnded(.init(job.attempt(3), ends[0]))
    case .attemptEnded: return .attemptBeat(job.attempt(2))
    case .attemptBeat: return .staleReport(job.attempt(2))
    case .staleReport: return .nextAttemptScheduled(.init(job, at: at))
    case .nextAttemptScheduled: return .documentsClaimed(.init(job.attempt(3), DocumentSet(all: 100), id: "w-1"))
    case .documentsClaimed: return .documentsCommitted(.init(job.attempt(3), DocumentSet([5])))
    case .documentsCommitted:
      return .documentsFailed(
        .init(
          job.attempt(3),
          [
            Fact.FailedDocuments(
              position: 9,
              error: DocumentError(
                code: "exit_code", message: "no such page", details: ["exit_code": "3", "": ""], attempt: 3, at: at,
                causedByAttempt: true, quarantined: true, endedFromOutside: true)),
            Fact.FailedDocuments(
              DocumentSet([3, 4, 5, 70]), DocumentError(code: "oom", message: "out of memory", attempt: 3, at: at)),
          ]))
    case .documentsFailed: return .documentsReleased(.init(job.attempt(3), DocumentSet()))
    case .documentsReleased: return .workRepeated(.init(job.attempt(3), count: 12))
    case .workRepeated: return .stageEntered(.init(job.attempt(3), name: "embedding, ü"))
    case .stageEntered: return .stageSpent(.init(job.attempt(3), name: "parsing", .milliseconds(1_234)))
    case .stageSpent: return .collectionWritten(.init(job, collectionID: "pages", count: 1 << 40))
    case .collectionWritten:
      return .reportTaken(
        .init(
          job.attempt(3),
          TakenReport(
            id: "r-1", accepted: 5, repeated: 2, stageTimings: [Job.StageTotal(name: "ü", duration: .milliseconds(7))],
            written: 1 << 53, fingerprint: .max)))
    case .reportTaken: return .documentsLeftOut(.init(job, DocumentSet([1, 2, 9])))
    case .documentsLeftOut: return .retried(.init(tier: 1, jobs: retriedJobs, actor: "caller", by: .rules))
    case .retried:
      return .healed(
        HealRecord(action: .auto, generation: 12, steps: steps, at: at, actor: "auto_heal", by: .autoHeal))
    case .healed:
      return .verdictChanged(
        DiagnosisSummary(
          health: .stuck, reason: .noProgress, blockedReason: "it does not move",
          causes: [
            DiagnosisSummary.Cause(
              category: .timeout, cause: .failure(.progressTimeout), confidence: .high, job: job, attempt: 3,
              remedy: .heal(.detectStuck, tier: 1)),
            DiagnosisSummary.Cause(
              category: .infrastructure, cause: .failure(.oom), confidence: .high, job: job, attempt: 3,
              remedy: .retry(tier: 0, jobs: [job], Job.Overrides(memoryBytes: 1 << 30), .failed)),
            DiagnosisSummary.Cause(
              category: .orphaned, cause: .duplicate, confidence: .low, remedy: .cancel(.tier(0)),
              advised: "mend cancel b --tier 0"),
            DiagnosisSummary.Cause(category: nil, cause: .health(.quota), confidence: .low),
          ]))
    case .verdictChanged:
      return .notificationSettled(
        NotificationOutcome(eventID: "n.b.7", delivered: false, attempts: 9, detail: "503"))
    case .notificationSettled: return nil
    }
  }

  private static func after(_ reply: Reply?) -> Reply? {
    guard let reply else { return .created(.init(batchID: "b", status: .created, totalObjects: 3)) }
    switch reply {
    case .created: return .documentsAdded(.init(batchID: "b", added: 2, totalObjects: 5))
    case .documentsAdded: return .submitted(.init(batchID: "b", status: .queued, queuePosition: 4))
    case .submitted: return .status(.init(batchID: "b", status: .paused))
    case .status:
      return .retried(
        .init(
          batchID: "b", tier: 1, jobs: [job, JobID(tier: 1, index: 0)], documents: 7, status: .running, generation: 9))
    case .retried: return .healed(.init(batchID: "b", generation: 9, dryRun: true, steps: steps))
    case .healed:
      return .cancelled(
        .init(
          batchID: "b", status: .cancelled,
          ended: [.init(attempt: job.attempt(2), receipt: EndReceipt(processes: 3, how: "SIGTERM"))]))
    case .cancelled: return nil
    // Answers to workers are not kept.
    case .workerStarted, .claimed, .reported: return nil
    }
  }

  // MARK: - What they are made of

  static let documents = [
    Document(id: "a", uri: "file:///a", mediaType: "text/plain", size: 0),
    Document(id: "b", uri: "s3://bucket/ü", size: -1),
  ]

  static let specification = BatchSpecification(
    bucketID: "bucket", batchName: "name", priority: 77, maxConcurrent: 4, timeout: .seconds(90),
    notificationEnabled: true, executor: .ray,
    tiers: [
      TierSpecification(extractors: [
        ExtractorSpecification(
          name: "text", work: .documentCommand("wc \"$1\""), collectionID: "pages", shards: 3,
          resources: Resources(
            cpus: 0.5, memoryBytes: 1 << 31, requiresGPU: true,
            limits: AttemptLimits(cpuSeconds: 1.5, openFiles: 64, processes: 3, logBytes: 1 << 20)),
          environment: ["A": "1", "B": ""],
          timers: Timers(start: .seconds(1), heartbeat: .seconds(2), progress: .seconds(3), run: .seconds(4)),
          retryRules: [
            RetryRule(
              category: .infrastructure, cause: .oom, exitCodes: [137, -1], action: .retry, maxAttempts: 2,
              memoryFactor: 1.5, memoryCeilingBytes: 1 << 33, backoff: .milliseconds(250), backoffMaximum: .seconds(9)),
            RetryRule(action: .ignore),
          ])
      ]),
      TierSpecification(extractors: [ExtractorSpecification(name: "bare", work: .entrypoint("run"))]),
    ], autoHeal: AutoHeal(maxHeals: 7, memoryCeilingBytes: 1 << 34, maxRisk: .low))

  static let parameters = SubmissionParameters(
    extractorName: "text", work: .entrypoint("python run.py"), executor: .local,
    resources: Resources(cpus: 2, memoryBytes: 3, requiresGPU: false), priority: 50, environment: ["K": "V"],
    runTimeout: .seconds(60), startWindow: .seconds(90))

  static let endReasons: [EndReason] =
    [.cancelled, .runTimeout, .batchTimeout, .fenced, .paused] + FailureCause.allCases.map { .healed($0) }

  static let evidence = Evidence.Observer.allCases.map {
    Evidence("it was seen", by: $0, at: at, values: ["peak_memory_bytes": "1"])
  }

  static let ends: [AttemptEnd] = [
    AttemptEnd(
      verdict: .failed(.oom, .high), at: at,
      exit: ExitRecord(
        termination: .signalled(9), at: at, peakMemoryBytes: 5, memoryLimitBytes: 4, memoryLimitExceeded: true,
        lastStderrLine: "Killed", cpuSeconds: 1.25,
        finding: ExitRecord.Finding(cause: .nodeFailure, confidence: .medium, text: "the node is dead")),
      receipt: EndReceipt(processes: 0, how: "was not running"), evidence: evidence, isIsolating: true),
    AttemptEnd(verdict: .succeeded, at: at, exit: ExitRecord(termination: .exited(0), at: at)),
    AttemptEnd(verdict: .cancelled, at: at),
    AttemptEnd(verdict: .cancelled, at: at, endedFor: .paused),
    AttemptEnd(verdict: .cancelled, at: at, endedFor: .fenced),
    AttemptEnd(verdict: .cancelled, at: at, endedFor: .cancelled),
    AttemptEnd(verdict: .failed(.runTimeout, .high), at: at, endedFor: .runTimeout),
    AttemptEnd(verdict: .failed(.batchTimeout, .high), at: at, endedFor: .batchTimeout),
    AttemptEnd(verdict: .failed(.progressTimeout, .high), at: at, endedFor: .healed(.progressTimeout)),
    AttemptEnd(
      verdict: .failed(.entrypointNotFound, .low), at: at,
      exit: ExitRecord(termination: .notStarted("ENOENT"), at: at)),
    AttemptEnd(
      verdict: .failed(.orphaned, .medium), at: at, exit: ExitRecord(termination: .unknown("killed"), at: at)),
  ]

  static let retriedJobs = [
    Fact.RetriedJob(
      job: job,
      overrides: Job.Overrides(
        cpus: 1, memoryBytes: 2, requiresGPU: false, priority: 3, runTimeout: .seconds(4), environment: ["E": "F"]),
      reopened: DocumentSet([1, 3])),
    Fact.RetriedJob(job: job, overrides: Job.Overrides(runTimeout: .some(nil)), reopened: DocumentSet()),
    Fact.RetriedJob(job: job, overrides: Job.Overrides(), reopened: DocumentSet()),
    Fact.RetriedJob(job: job, overrides: Job.Overrides(memoryBytes: 9), reopened: DocumentSet([1, 3, 5, 6])),
  ]

  static let steps = [
    HealStep(
      operation: .restartAttempt(job, number: 2, .heartbeatTimeout), reason: "silent", evidence: evidence, risk: .high,
      outcome: "done"),
    HealStep(operation: .killDuplicate(job, reference: "n.b.t0-j0.1"), reason: "twice", evidence: [], risk: .low),
    HealStep(operation: .reclaimOrphan(job, number: 4), reason: "nobody's", evidence: [], risk: .medium),
    HealStep(
      operation: .retryTier(tier: 1, jobs: [job, JobID(tier: 1, index: 9)], memoryBytes: [job: 1 << 32]), reason: "oom",
      evidence: [], risk: .low, result: .refused, outcome: "refused"),
    HealStep(
      operation: .retryTier(tier: 1, jobs: [], memoryBytes: [:]), reason: "oom", evidence: [], risk: .low,
      result: .done),
  ]

  static func listing(
    _ id: String, namespace: String = "n", createdAt: Int64 = 1000, status: BatchStatus = .completed,
    bucketID: String = "bucket"
  ) -> BatchListing {
    BatchListing(
      key: BatchKey(namespace: namespace, batchID: id), batchName: "name", bucketID: bucketID, status: status,
      health: .degraded, overallProgress: 99.5, totalObjects: 3, failedDocuments: 2, currentTier: 1, totalTiers: 2,
      hasFailures: true,
      priority: 50, createdAt: Instant(milliseconds: createdAt), completedAt: Instant(milliseconds: createdAt + 5))
  }
}

extension Samples {
  /// What a batch of namespace n writes in that place of its journal: its creation, then a document each time.
  static func write(_ id: String, _ sequence: UInt64, at now: Instant = Instant(milliseconds: 5_000)) -> Write {
    let fact: Fact =
      sequence == 1
      ? .batchCreated(specification)
      : .documentsAdded([Document(id: "d\(sequence)", uri: "file:///d\(sequence)")])
    let key = BatchKey(namespace: "n", batchID: id)
    return .record(Record(batch: key, sequence: sequence, at: now, cause: .caller, fact: fact))
  }
}

extension SQLiteStore {
  /// Looks at all of what a start does not read.
  func lookThrough() throws {
    var place: Int64? = 0
    while let next = place { place = try lookThrough(from: next) }
  }
}

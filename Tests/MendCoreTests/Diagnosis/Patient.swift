import MendCore
import Testing

/// A batch that is told what happened to it, fact by fact, on a clock that only the test moves.
struct Patient {
  var batch: Batch
  var now: Instant
  private var sequence: UInt64 = 1
  var capacity = {
    var capacity = Capacity(executor: .local, cpus: 2, memoryBytes: 4 << 30)
    capacity.traits.measuredBy = .supervisor
    return capacity
  }()
  var limits = Limits()

  /// Epoch of every test: nothing depends on it.
  static let start = Instant(milliseconds: 1_000_000_000)

  init(documents: Int = 3, _ specification: BatchSpecification = Patient.specification()) {
    now = Self.start
    let key = BatchKey(namespace: "default", batchID: "b1")
    let record = Record(batch: key, sequence: 1, at: now, cause: .caller, fact: .batchCreated(specification))
    guard let batch = Batch.creating(record) else { preconditionFailure("the first record creates a batch") }
    self.batch = batch
    tell(.documentsAdded((0..<documents).map { Document(id: "d\($0)", uri: "file:///d\($0)") }))
  }

  /// A batch of one tier with so many jobs, each of which has run and met the same end.
  static func ended(jobs count: Int, by end: (inout Patient, JobID) -> Void) -> Patient {
    var patient = Patient(documents: count, specification(shards: count))
    patient.submit()
    for index in 0..<count {
      let job = JobID(tier: 0, index: index)
      patient.run(job)
      end(&patient, job)
    }
    return patient
  }

  /// One tier, one extractor named text, unless told otherwise.
  static func specification(
    tiers: Int = 1, extractors: [String] = ["text"], shards: Int = 1, work: ExtractorSpecification.Work? = nil,
    resources: Resources = Resources(cpus: 1, memoryBytes: 256 << 20), timers: Timers = Timers(),
    executor: ExecutorKind = .local
  ) -> BatchSpecification {
    let tier = TierSpecification(
      extractors: extractors.map {
        ExtractorSpecification(
          name: $0, work: work ?? .documentCommand("true"), shards: shards, resources: resources, timers: timers)
      })
    return BatchSpecification(executor: executor, tiers: Array(repeating: tier, count: tiers))
  }

  mutating func tell(_ facts: Fact..., by cause: Record.Cause = .executor) {
    for fact in facts {
      sequence += 1
      do {
        try batch.apply(Record(batch: batch.key, sequence: sequence, at: now, cause: cause, fact: fact))
      } catch {
        Issue.record(error)
      }
    }
  }

  mutating func wait(_ seconds: Int) { now = now + .seconds(seconds) }

  /// Submitted, running, the first tier started with every document.
  mutating func submit() {
    tell(.batchStatusChanged(.init(.queued, reason: "")), .batchStatusChanged(.init(.running, reason: "")))
    startTier(0)
  }

  mutating func startTier(_ tier: Int) {
    let handed = tier == 0 ? DocumentSet(all: batch.documents.count) : batch.tiers[tier - 1].done
    tell(.tierStarted(.init(tier: tier, handed: handed)))
  }

  /// A new attempt of the job is asked for; the executor has it.
  @discardableResult
  mutating func launch(_ job: JobID, memory: Int64? = nil) -> Int {
    let state = batch.tiers[job.tier].jobs[job.index]
    let extractor = batch.specification.tiers[job.tier].extractors[state.extractor]
    var resources = extractor.resources
    if let memory { resources.memoryBytes = memory }
    let number = state.attempts.count + 1
    let parameters = SubmissionParameters(
      extractorName: extractor.name, work: extractor.work, executor: batch.specification.executor,
      resources: resources, priority: 50, environment: [:], runTimeout: extractor.timers.run)
    tell(
      .jobStatusChanged(.init(job, .starting, failure: nil, reason: "")),
      .attemptIntended(.init(job.attempt(number), token: "secret", parameters)),
      .attemptTaken(.init(job.attempt(number), ExecutorHandle(node: "here", reference: "\(job).\(number)"))))
    return number
  }

  /// Launched, and its worker has called.
  @discardableResult
  mutating func run(_ job: JobID, memory: Int64? = nil) -> Int {
    let number = launch(job, memory: memory)
    tell(.attemptStarted(job.attempt(number)), by: .worker)
    tell(.jobStatusChanged(.init(job, .running, failure: nil, reason: "")))
    return number
  }

  mutating func claim(_ job: JobID, _ positions: Int...) {
    tell(.documentsClaimed(.init(job.attempt(number(job)), DocumentSet(positions))), by: .worker)
  }

  mutating func commit(_ job: JobID, _ positions: Int...) {
    tell(.documentsCommitted(.init(job.attempt(number(job)), DocumentSet(positions))), by: .worker)
  }

  mutating func fail(_ job: JobID, _ positions: Int..., code: DocumentCode, message: String = "", byDeath: Bool = false)
  {
    let failed = positions.map {
      Fact.FailedDocuments(
        position: $0,
        error: DocumentError(code: code, message: message, attempt: number(job), at: now, causedByAttempt: byDeath))
    }
    tell(.documentsFailed(.init(job.attempt(number(job)), failed)), by: .worker)
  }

  /// The attempt dies of `cause` with its documents, and the job with it unless `goesOn`.
  mutating func die(
    _ job: JobID, _ cause: FailureCause, confidence: Confidence = .high, exit: ExitRecord? = nil,
    receipt: EndReceipt? = EndReceipt(processes: 1, how: "SIGKILL"), goesOn: Bool = false
  ) {
    let number = number(job)
    for position in batch.tiers[job.tier].jobs[job.index].processing {
      fail(job, position, code: .failure(cause), byDeath: true)
    }
    tell(
      .attemptEnded(
        .init(
          job.attempt(number), AttemptEnd(verdict: .failed(cause, confidence), at: now, exit: exit, receipt: receipt))))
    if goesOn {
      tell(.jobStatusChanged(.init(job, .pending, failure: nil, reason: "")))
    } else {
      let failure = Job.Failure(cause: cause, confidence: confidence, message: cause.rawValue)
      tell(.jobStatusChanged(.init(job, .failed, failure: failure, reason: "")))
    }
  }

  mutating func succeed(_ job: JobID, exit: ExitRecord? = nil) {
    tell(
      .attemptEnded(.init(job.attempt(number(job)), AttemptEnd(verdict: .succeeded, at: now, exit: exit))),
      .jobStatusChanged(.init(job, .succeeded, failure: nil, reason: "")))
  }

  mutating func end(tier: Int = 0, _ status: TierStatus, _ batchStatus: BatchStatus) {
    tell(.tierStatusChanged(.init(tier: tier, status, reason: "")), .batchStatusChanged(.init(batchStatus, reason: "")))
  }

  mutating func beat(_ job: JobID) {
    batch.tiers[job.tier].jobs[job.index].attempts[number(job) - 1].lastHeartbeatAt = now
  }

  /// What a tick does with a first look.
  mutating func suspect(_ job: JobID) {
    batch.tiers[job.tier].jobs[job.index].attempts[number(job) - 1].suspectedSince = now
  }

  /// Both looks: what is suspicious now is marked, and the confirmation time passes; heartbeats go on if `beating`.
  mutating func lookTwice(beating job: JobID? = nil) {
    for (job, _, _) in batch.suspicions(at: now, limits: limits) { suspect(job) }
    now = now + limits.stuckConfirmation
    if let job { beat(job) }
  }

  func number(_ job: JobID) -> Int { batch.tiers[job.tier].jobs[job.index].attempts.count }

  var health: HealthReport { batch.health(at: now, capacity: capacity, limits: limits) }
  var diagnosis: Diagnosis { batch.diagnosis(at: now, capacity: capacity, limits: limits) }

  func plan(_ action: HealAction, tier: Int? = nil) -> [HealStep] {
    batch.healPlan(action, tier: tier, at: now, capacity: capacity, limits: limits)
  }
}

let first = JobID(tier: 0, index: 0)
let second = JobID(tier: 0, index: 1)
let later = JobID(tier: 1, index: 0)

extension Advice {
  /// Only the command that retries a tier.
  static func retry(_ tier: Int, _ jobs: [JobID] = [], memoryBytes: Int64? = nil, _ text: String = "") -> Advice {
    Advice(text, .call(.retry(tier: tier, jobs: jobs, Job.Overrides(memoryBytes: memoryBytes), .failed)))
  }

  var isCall: Bool { if case .call = command { true } else { false } }
}

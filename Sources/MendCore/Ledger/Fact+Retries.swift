// How retries stand in the journal: what was asked for all jobs once, beside the jobs.

extension Fact.Retried {
  /// Whether it stands in the journal as earlier versions wrote it.
  var replacesOverrides: Bool { jobs.contains(where: \.replacesOverrides) }
}

extension FieldVisitor {
  /// Earlier versions told it by the actor's name alone.
  func initiative(
    _ number: UInt32, _ name: String, _ value: inout Initiative, of actor: String
  ) throws(FormatFault) {
    var initiative: Initiative? = value
    try choice(number, name, &initiative)
    if reads { value = initiative ?? (actor == "auto_heal" ? .autoHeal : actor == "scheduler" ? .rules : .caller) }
  }
}

/// Jobs that run again, with the different changes that they were asked to take, each once.
struct SharedOverrides {
  /// Without the memory of each job.
  var overrides: [Job.Overrides] = []
  var jobs: [JobRetry] = []

  init() {}

  init(of retried: [Fact.RetriedJob]) {
    var places: [Job.Overrides: Int] = [:]
    var last: (asked: Job.Overrides, place: Int)?
    jobs.reserveCapacity(retried.count)
    for job in retried {
      var asked = job.overrides
      asked.memoryBytes = nil
      // The same for all of them, mostly: then nothing is hashed.
      if last?.asked != asked {
        let place = places[asked] ?? overrides.count
        if places.updateValue(place, forKey: asked) == nil { overrides.append(asked) }
        last = (asked, place)
      }
      jobs.append(
        JobRetry(
          job: job.job, place: last?.place ?? 0, memoryBytes: job.overrides.memoryBytes,
          reopened: DocumentSteps(documents: job.reopened)))
    }
  }

  func retried() throws(FormatFault) -> [Fact.RetriedJob] {
    var result: [Fact.RetriedJob] = []
    result.reserveCapacity(jobs.count)
    for job in jobs {
      guard overrides.indices.contains(job.place) else { throw FormatFault("a retried job without its overrides") }
      var own = overrides[job.place]
      if let memoryBytes = job.memoryBytes { own.memoryBytes = memoryBytes }
      result.append(Fact.RetriedJob(job: job.job, overrides: own, reopened: job.reopened.documents))
    }
    return result
  }
}

struct JobRetry: Described {
  var job: JobID
  /// Of its overrides.
  var place: Int
  /// What its next attempts may use, where it is its own figure.
  var memoryBytes: Int64?
  var reopened: DocumentSteps

  static var blank: Self { Self(job: .blank, place: 0, memoryBytes: nil, reopened: .blank) }

  mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.field(1, "job", &job)
    var place: Int64? = Int64(self.place)
    try v.number(2, "overrides", .uint32, &place, isOptional: false)
    if v.reads { self.place = Int(place ?? 0) }
    try v.memory(3, "memory_bytes", &memoryBytes)
    var reopened: DocumentSteps? = self.reopened
    try v.message(4, "reopened", &reopened)
    if v.reads { self.reopened = reopened ?? .blank }
  }
}

/// A retry as earlier versions wrote it: all that is laid over the specification, in each job.
struct ReplacingRetry: Described {
  private var fact: Fact.Retried

  init(_ fact: Fact.Retried) { self.fact = fact }

  var retried: Fact.Retried { fact }

  static let schemaName = "JournalRetried"
  static var blank: Self { Self(Fact.Retried(tier: 0, jobs: [], actor: "")) }

  mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.small(1, "tier", &fact.tier)
    try v.messages(2, "jobs", &fact.jobs)
    try v.string(3, "actor", &fact.actor)
    try v.initiative(45, "initiative", &fact.by, of: fact.actor)
  }
}

extension Fact.RetriedJob: Described {
  package static var blank: Self {
    Self(job: .blank, overrides: Job.Overrides(), replacesOverrides: true, reopened: DocumentSet())
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.field(1, "job", &job)
    var overrides: Job.Overrides? = self.overrides
    try v.message(2, "overrides", &overrides)
    if v.assigns { self.overrides = overrides ?? Job.Overrides() }
    try v.documents(3, "reopened", &reopened)
  }
}

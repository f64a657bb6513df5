// What an executor can give, and what attempts were promised of it.

extension Capacity {
  /// Why a job with these needs can never start here, however long it waits; nil when it can.
  ///
  /// Found at submit, before any waiting (<doc:Domain#Health>).
  package func whyNeverSchedulable(_ resources: Resources) -> String? {
    var why: [String] = []
    if resources.cpus > cpus + Self.tolerance {
      why.append(
        "needs \(Self.figure(resources.cpus)) CPUs, the \(executor.rawValue) executor has \(Self.figure(cpus))")
    }
    if resources.memoryBytes > memoryBytes {
      let (needed, held) = Figures.apart(resources.memoryBytes, memoryBytes)
      why.append("needs \(needed) of memory, the \(executor.rawValue) executor has \(held)")
    }
    if resources.requiresGPU && gpus == 0 {
      why.append("needs a GPU, the \(executor.rawValue) executor has none")
    }
    return why.isEmpty ? nil : why.joined(separator: "; ")
  }

  /// How the server gives it this much: only what is more than it has; nil if it has enough.
  func option(cpus: Double = 0, memoryBytes: Int64 = 0) -> ServerOption? {
    let needsCPUs = cpus > self.cpus
    let needsMemory = memoryBytes > self.memoryBytes
    guard needsCPUs || needsMemory else { return nil }
    return .capacity(
      executor, isStandard: isStandard, cpus: needsCPUs ? cpus.rounded(.up) : nil,
      memoryBytes: needsMemory ? memoryBytes : nil)
  }

  /// CPUs are fractions that are added and taken away again.
  static let tolerance = 1e-6

  private static func figure(_ cpus: Double) -> String {
    Int64(exactly: cpus).map { String($0) } ?? String(cpus)
  }
}

/// What live attempts hold of a capacity.
package struct ResourceUse: Hashable, Codable, Sendable {
  package private(set) var cpus = 0.0
  /// As much as can be said, where it is more.
  package var memoryBytes: Int64 { memorySum < 0 ? .max : memorySum }
  package private(set) var gpus = 0
  package private(set) var attempts = 0
  /// Goes over from the largest to the smallest value: so what was added can be taken away again, however much it was.
  private var memorySum: Int64 = 0

  package init() {}

  /// The largest of its shares of the capacity's CPUs, memory and GPUs.
  func dominantShare(of capacity: Capacity) -> Double {
    max(
      capacity.cpus > 0 ? cpus / capacity.cpus : 0,
      capacity.memoryBytes > 0 ? Double(memoryBytes) / Double(capacity.memoryBytes) : 0,
      capacity.gpus > 0 ? Double(gpus) / Double(capacity.gpus) : 0)
  }

  mutating func add(_ other: ResourceUse) {
    cpus += other.cpus
    memorySum &+= other.memorySum
    gpus += other.gpus
    attempts += other.attempts
  }

  package mutating func add(_ resources: Resources) {
    cpus += resources.cpus
    memorySum &+= resources.memoryBytes
    gpus += resources.requiresGPU ? 1 : 0
    attempts += 1
  }

  /// Takes one batch's part out of a sum and puts its new one in.
  mutating func replace(_ old: ResourceUse, by new: ResourceUse) {
    attempts += new.attempts - old.attempts
    cpus = attempts == 0 ? 0 : cpus + new.cpus - old.cpus
    memorySum = memorySum &+ new.memorySum &- old.memorySum
    gpus += new.gpus - old.gpus
  }

  /// No more than was added can be taken away, and who holds nothing holds no part of anything.
  var isSound: Bool { attempts > 0 || (attempts == 0 && cpus == 0 && memorySum == 0 && gpus == 0) }

  package mutating func remove(_ resources: Resources) {
    attempts -= 1
    // Fractions are not left over where nothing runs.
    cpus = attempts == 0 ? 0 : cpus - resources.cpus
    memorySum &-= resources.memoryBytes
    gpus -= resources.requiresGPU ? 1 : 0
  }
}

extension Resources {
  func changed(by overrides: Job.Overrides) -> Resources {
    Resources(
      cpus: overrides.cpus ?? cpus, memoryBytes: overrides.memoryBytes ?? memoryBytes,
      requiresGPU: overrides.requiresGPU ?? requiresGPU, limits: limits)
  }
}

extension Batch {
  func extractorSpecification(of job: JobID) -> ExtractorSpecification {
    specification.tiers[job.tier].extractors[tiers[job.tier].jobs[job.index].extractor]
  }

  /// The resources of the job's next attempt.
  func resources(ofJob job: Int, inTier tier: Int) -> Resources {
    specification.tiers[tier].extractors[tiers[tier].jobs[job].extractor].resources
      .changed(by: tiers[tier].jobs[job].overrides)
  }

  /// What the job's next attempt is given: the specification with the overrides laid over it.
  func submissionParameters(of job: JobID) -> SubmissionParameters {
    let extractor = extractorSpecification(of: job)
    let overrides = tiers[job.tier].jobs[job.index].overrides
    let runTimeout: Duration? = if let override = overrides.runTimeout { override } else { extractor.timers.run }
    return SubmissionParameters(
      extractorName: extractor.name, work: extractor.work, executor: specification.executor,
      resources: resources(ofJob: job.index, inTier: job.tier),
      priority: overrides.priority ?? specification.priority,
      environment: overrides.environment.isEmpty
        ? extractor.environment : extractor.environment.merging(overrides.environment) { _, new in new },
      runTimeout: runTimeout, startWindow: extractor.timers.start)
  }
}

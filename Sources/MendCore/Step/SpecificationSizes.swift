// What specifications take in memory: commands, environments and jobs are kept for as long as a batch is, and so is what
// retries change of a job's environment.

/// Bytes of the specifications of all batches in memory.
struct SpecificationSizes {
  private(set) var use = MemoryUse()
  /// The bytes that retries added to batches.
  private var retried: [BatchKey: Int] = [:]

  /// The bytes that retries added to the batch.
  func retried(_ batch: BatchKey) -> Int { retried[batch] ?? 0 }

  mutating func add(_ batch: Batch) {
    use.change(batch.key.namespace, by: batch.specification.memoryBytes)
    noteRetries(of: batch)
  }

  mutating func remove(_ batch: Batch) {
    use.change(batch.key.namespace, by: -batch.specification.memoryBytes - retried(batch.key))
    retried[batch.key] = nil
  }

  /// After a retry, for an environment may be larger now.
  mutating func noteRetries(of batch: Batch) {
    let bytes = batch.retriedEnvironmentBytes
    guard bytes != retried(batch.key) else { return }
    use.change(batch.key.namespace, by: bytes - retried(batch.key))
    retried[batch.key] = bytes > 0 ? bytes : nil
  }
}

extension BatchSpecification {
  /// The memory of a job without attempts.
  static let jobBytes = 512

  /// About what it takes in memory: its texts and jobs, and so much for each thing that has some.
  var memoryBytes: Int {
    var bytes = 512 + bucketID.utf8.count + batchName.utf8.count
    for tier in tiers {
      for extractor in tier.extractors {
        bytes += 512 + extractor.name.utf8.count + extractor.collectionID.utf8.count
        bytes += extractor.textBytes + Self.jobBytes * max(1, extractor.shards)
        for rule in extractor.retryRules { bytes += 128 + 4 * rule.exitCodes.count }
      }
    }
    return bytes
  }

  /// The number of jobs: the shards of all extractors of all tiers.
  var jobCount: Int {
    tiers.reduce(0) { sum, tier in tier.extractors.reduce(sum) { $0 + max(1, $1.shards) } }
  }

  /// What the jobs' attempts are given: the command and the environment of each.
  var jobTextBytes: Int {
    tiers.reduce(0) { sum, tier in tier.extractors.reduce(sum) { $0 + $1.textBytes * max(1, $1.shards) } }
  }
}

extension ExtractorSpecification {
  /// Of its command and its environment.
  fileprivate var textBytes: Int {
    switch work {
    case .documentCommand(let text), .entrypoint(let text): text.utf8.count + environment.memoryBytes
    }
  }
}

extension [String: String] {
  /// About what it takes in memory.
  fileprivate var memoryBytes: Int { reduce(0) { $0 + 64 + $1.key.utf8.count + $1.value.utf8.count } }
}

extension Batch {
  /// What retries made of the jobs' environments, each job's by itself.
  fileprivate var retriedEnvironmentBytes: Int {
    var bytes = 0
    for tier in tiers.indices {
      for job in tiers[tier].jobs.indices where !tiers[tier].jobs[job].overrides.environment.isEmpty {
        bytes += tiers[tier].jobs[job].overrides.environment.memoryBytes
      }
    }
    return bytes
  }
}

extension Core {
  /// Refuses an environment that is too large with what earlier retries set, or for so many jobs: each has its own.
  func requireRoom(for retry: RetryAsked, of jobs: [Job], in batch: Batch) throws(Refusal) {
    var growth = 0
    // Shards that were always retried together have the same.
    var last: (before: [String: String], bytes: Int)?
    for job in jobs {
      let before = job.overrides.environment
      if let last, last.before == before {
        growth += last.bytes
        continue
      }
      let laid = before.isEmpty ? retry.overrides.environment : job.overrides.laidUnder(retry.overrides).environment
      let bytes = laid.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 2 }
      if bytes > ValueLimit.environmentBytes {
        throw .invalid(
          field: "env",
          rule: "must be at most \(ValueLimit.environmentBytes) bytes together with what earlier retries set of job "
            + "\(job.id), and would be \(bytes): set fewer or shorter values, or put them into a file")
      }
      let change = laid.memoryBytes - before.memoryBytes
      last = (before, change)
      growth += change
    }
    let given = batch.specification.jobTextBytes + index.specifications.retried(batch.key) + growth
    if given > limits.jobTextPerBatch {
      throw .invalid(
        field: "env",
        rule: "must leave the commands and environments of all jobs at no more than "
          + "\(Figures.bytes(Int64(limits.jobTextPerBatch))) together, each job counted by itself, and for "
          + "\(Figures.count(jobs.count, "job")) they would be \(Figures.bytes(Int64(given))): put values into a file, or "
          + "retry fewer jobs")
    }
    if growth > 0 { try requireRoom(growth, in: batch.key.namespace) }
  }

  /// Refuses a specification for which there is no room.
  func requireRoom(for specification: BatchSpecification, in namespace: String) throws(Refusal) {
    try requireRoom(specification.memoryBytes, in: namespace)
  }

  private func requireRoom(_ bytes: Int, in namespace: String) throws(Refusal) {
    try index.specifications.use.requireRoom(
      for: bytes, of: namespace, in: limits.specificationMemory, (.specificationBytes, .specificationBytesPerNamespace),
      "the specifications and jobs", todo: "ask for fewer shards, or put long commands into files")
  }
}

// Every field of what a caller sends, with the rule that it breaks. Paths are the schema's; they are put together only
// for a rule that is broken.

/// Bounds of single values. A value beyond one is refused where it comes in, with the field's name and the bound.
package enum ValueLimit {
  /// What a double holds exactly, so that no reader of JSON rounds it. For counts, and for places in a log.
  package static let count = 1 << 53
  /// A century, in seconds: what a span of time is at most.
  package static let spanSeconds = 3.2e9
  static let span: Duration = .seconds(spanSeconds)
  /// Milliseconds of the years 1 to 9999: the times that can be written down.
  package static let milliseconds: ClosedRange<Int64> = -62_135_596_800_000...253_402_300_799_999
  static let exitCodes = 256
  /// The most that Linux has.
  static let processes = 1 << 22
  static let nameBytes = 256
  static let commandBytes = 64 * 1024
  static let environmentBytes = 64 * 1024
  static let uriBytes = 8 * 1024
  static let mediaTypeBytes = 255
  static let retryRules = 64
  package static let cpus = 1_000_000.0
  /// A thousandth, as everywhere where CPUs are shared out.
  package static let leastCPUs = 0.001
  package static let gpus = 1_000_000
  package static let memoryBytes: Int64 = 1 << 56
  package static let memoryFactor = 64.0
  static let retryAttempts = 1000
  static let exitCode: ClosedRange<Int32> = 1...255
  static let autoHeals = 100
  static let cpuSeconds = 1e9
  static let openFilesMinimum = 64
  static let openFiles = 1 << 20
  /// A log is kept in files of a quarter of its limit: with less, output is mostly work for the file system.
  static let logBytesMinimum: Int64 = 4096
  static let logBytes: Int64 = 1 << 40
}

extension BatchSpecification {
  func validate(limits: Limits, capacities: Capacities) throws(Refusal) {
    if !bucketID.isEmpty && !Identifier.isValid(bucketID) { throw .invalid(field: "bucket_id", rule: Identifier.rule) }
    if batchName.utf8.count > ValueLimit.nameBytes {
      throw .invalid(field: "batch_name", rule: "must be at most \(ValueLimit.nameBytes) bytes")
    }
    try Rule.priority(priority, "priority")
    if !(0...Int(Int32.max)).contains(maxConcurrent) {
      throw .invalid(field: "max_concurrent", rule: "must be 0 (no bound) to \(Int32.max), is \(maxConcurrent)")
    }
    if let autoHeal {
      if !(1...ValueLimit.autoHeals).contains(autoHeal.maxHeals) {
        throw .invalid(
          field: "auto_heal.max_heals",
          rule: "must be 0 (\(AutoHeal.defaultHeals)) to \(ValueLimit.autoHeals), is \(autoHeal.maxHeals)")
      }
      try Rule.memory(autoHeal.memoryCeilingBytes, "auto_heal.memory_ceiling_bytes")
    }
    if let timeout { try Rule.timer(timeout, "timeout_seconds") }
    if let why = capacities.whyMissing(executor) {
      let names = Figures.list(capacities.all.map(\.executor.rawValue), "or")
      throw .invalid(field: "deployment_mode", rule: "must be \(names), which this server runs, or unset: \(why)")
    }
    if tiers.count > limits.tiersPerBatch { throw limits.refusal(ofTiers: tiers.count) }
    for (number, tier) in tiers.enumerated() { try tier.validate({ "tiers[\(number)]" }, limits: limits) }
    if jobCount > limits.jobsPerBatch {
      throw .invalid(
        field: "tiers",
        rule: "must have at most \(limits.jobsPerBatch) jobs together, the shards of all their extractors, and have "
          + "\(jobCount): ask for fewer shards, or submit several batches")
    }
    if jobTextBytes > limits.jobTextPerBatch {
      throw .invalid(
        field: "tiers",
        rule:
          "must have at most \(Figures.bytes(Int64(limits.jobTextPerBatch))) of commands and environments, those of each "
          + "shard counted by itself, and have \(Figures.bytes(Int64(jobTextBytes))): put long ones into files, or ask for "
          + "fewer shards")
    }
    let traits = capacities.of(executor).traits
    for (number, tier) in tiers.enumerated() where !traits.enforcesAttemptLimits {
      // What is not enforced must not be promised.
      if let index = tier.extractors.firstIndex(where: { $0.resources.limits != AttemptLimits() }) {
        throw .invalid(
          field: "tiers[\(number)].extractors[\(index)].limits",
          rule: "must be unset: \(traits.title) does not enforce such limits")
      }
    }
  }
}

extension Limits {
  func refusal(ofTiers count: Int) -> Refusal {
    .invalid(field: "tiers", rule: "must be 1 to \(tiersPerBatch), are \(count)")
  }
}

extension TierSpecification {
  fileprivate func validate(_ path: () -> String, limits: Limits) throws(Refusal) {
    if extractors.isEmpty || extractors.count > limits.extractorsPerTier {
      throw .invalid(field: "\(path()).extractors", rule: "must be 1 to \(limits.extractorsPerTier)")
    }
    var names: Set<String> = []
    for (number, extractor) in extractors.enumerated() {
      func extractorPath() -> String { "\(path()).extractors[\(number)]" }
      try extractor.validate(extractorPath, limits: limits)
      if !names.insert(extractor.name).inserted {
        throw .invalid(
          field: "\(extractorPath()).extractor_name", rule: "is a duplicate of another in its tier: \(extractor.name)")
      }
    }
  }
}

extension ExtractorSpecification {
  fileprivate func validate(_ path: () -> String, limits: Limits) throws(Refusal) {
    try Rule.name(name, "\(path()).extractor_name")
    try Rule.name(collectionID, "\(path()).collection_id")
    let (command, field) =
      switch work {
      case .documentCommand(let command): (command, "document_command")
      case .entrypoint(let command): (command, "entrypoint")
      }
    if command.isEmpty || command.utf8.count > ValueLimit.commandBytes || command.utf8.contains(0) {
      throw .invalid(field: "\(path()).\(field)", rule: "must be 1 to \(ValueLimit.commandBytes) bytes without NUL")
    }
    if !(1...limits.shardsPerExtractor).contains(shards) {
      throw .invalid(
        field: "\(path()).shards", rule: "must be 0 (for 1) to \(limits.shardsPerExtractor), is \(shards)")
    }
    try Rule.cpus(resources.cpus, "\(path()).num_cpus")
    try Rule.memory(resources.memoryBytes, "\(path()).memory_bytes")
    try resources.limits.validate { "\(path()).limits" }
    try Rule.environment(environment, "\(path()).env")
    try Rule.timer(timers.start, "\(path()).timers.start_seconds")
    try Rule.timer(timers.heartbeat, "\(path()).timers.heartbeat_seconds")
    try Rule.timer(timers.progress, "\(path()).timers.progress_seconds")
    if let run = timers.run { try Rule.timer(run, "\(path()).timers.run_seconds") }
    if retryRules.count > ValueLimit.retryRules {
      throw .invalid(field: "\(path()).retry", rule: "must be at most \(ValueLimit.retryRules)")
    }
    for (number, rule) in retryRules.enumerated() {
      try rule.validate { "\(path()).retry[\(number)]" }
      if let earlier = retryRules[..<number].firstIndex(where: { $0.covers(rule) }) {
        throw .invalid(
          field: "\(path()).retry[\(number)]", rule: "never matches: retry[\(earlier)] comes first and takes all of it")
      }
    }
  }
}

extension AttemptLimits {
  fileprivate func validate(_ path: () -> String) throws(Refusal) {
    if !(0...ValueLimit.cpuSeconds).contains(cpuSeconds) {
      throw .invalid(
        field: "\(path()).cpu_seconds", rule: "must be 0 (no limit) to \(Int(ValueLimit.cpuSeconds)), is \(cpuSeconds)")
    }
    // A worker with fewer cannot reach its server.
    if openFiles != 0, !(ValueLimit.openFilesMinimum...ValueLimit.openFiles).contains(openFiles) {
      throw .invalid(
        field: "\(path()).open_files",
        rule: "must be 0 (no limit), or \(ValueLimit.openFilesMinimum) to \(ValueLimit.openFiles)")
    }
    if !(0...ValueLimit.processes).contains(processes) {
      throw .invalid(
        field: "\(path()).processes", rule: "must be 0 (no limit) to \(ValueLimit.processes), is \(processes)")
    }
    if logBytes != 0, !(ValueLimit.logBytesMinimum...ValueLimit.logBytes).contains(logBytes) {
      throw .invalid(
        field: "\(path()).log_bytes",
        rule: "must be 0 (the server's own limit), or \(ValueLimit.logBytesMinimum) to \(ValueLimit.logBytes)")
    }
  }
}

extension RetryRule {
  fileprivate func validate(_ path: () -> String) throws(Refusal) {
    if let category, let cause, cause.category != category {
      throw .invalid(
        field: "\(path()).cause",
        rule: "\(cause.rawValue) is of category \(cause.category.rawValue), not \(category.rawValue)"
      )
    }
    if exitCodes.count > ValueLimit.exitCodes {
      throw .invalid(
        field: "\(path()).exit_codes", rule: "must be at most \(ValueLimit.exitCodes), are \(exitCodes.count)")
    }
    if let cause, let why = cause.whyNoRuleDecides {
      throw .invalid(field: "\(path()).cause", rule: "must be a cause that rules decide: \(cause.rawValue) \(why)")
    }
    if !exitCodes.isEmpty, FailureCause.allCases.contains(where: { namesStall($0) }) {
      throw .invalid(
        field: "\(path()).exit_codes",
        rule:
          "must be unset: what is stuck has no exit code; for attempts that ended by themselves, or past their time, write "
          + "a rule without a cause, or with cause run_timeout")
    }
    for (number, code) in exitCodes.enumerated() where !ValueLimit.exitCode.contains(code) {
      throw .invalid(
        field: "\(path()).exit_codes[\(number)]",
        rule: "must be \(ValueLimit.exitCode.lowerBound) to \(ValueLimit.exitCode.upperBound): "
          + "no other exit code is a failure")
    }
    if memoryFactor > 1 || memoryCeilingBytes > 0, !mayMatch(.oom) {
      throw .invalid(
        field: "\(path()).\(memoryFactor > 1 ? "memory_factor" : "memory_ceiling_bytes")",
        rule: "must be unset: it is for oom alone, which this rule never matches")
    }
    if !(0...ValueLimit.retryAttempts).contains(maxAttempts) {
      throw .invalid(
        field: "\(path()).max_attempts", rule: "must be 0 to \(ValueLimit.retryAttempts), is \(maxAttempts)")
    }
    if !(1...ValueLimit.memoryFactor).contains(memoryFactor) {
      throw .invalid(
        field: "\(path()).memory_factor",
        rule: "must be 0 (for 1), or 1 to \(Int(ValueLimit.memoryFactor)), is \(memoryFactor)")
    }
    try Rule.memory(memoryCeilingBytes, "\(path()).memory_ceiling_bytes")
    if backoff < .zero { throw .invalid(field: "\(path()).backoff_seconds", rule: "must be 0 or more") }
    if backoff > backoffMaximum, backoffMaximum >= .zero {
      throw .invalid(
        field: "\(path()).backoff_seconds",
        rule: "must be at most backoff_max_seconds, which is \(Figures.number(backoffMaximum.inSeconds)), is "
          + Figures.number(backoff.inSeconds))
    }
    if backoffMaximum < .zero { throw .invalid(field: "\(path()).backoff_max_seconds", rule: "must be 0 or more") }
  }
}

extension Job.Overrides {
  /// Paths are RetryRequest's.
  func validate() throws(Refusal) {
    if let cpus { try Rule.cpus(cpus, "num_cpus") }
    if let memoryBytes { try Rule.memory(memoryBytes, "memory_bytes") }
    if let priority { try Rule.priority(priority, "priority") }
    if let runTimeout, let limit = runTimeout { try Rule.timer(limit, "run_timeout_seconds") }
    try Rule.environment(environment, "env")
  }
}

extension Core {
  /// All of a call's documents are added, or none.
  func validate(
    _ documents: [Document], adding table: DocumentTable, of specification: BatchSpecification
  ) throws(Refusal) {
    let count = table.count + documents.count
    if count > limits.documentsPerBatch {
      throw .exhausted(
        limit: .documentsPerBatch, "a batch has at most \(limits.documentsPerBatch) documents", retryAfter: nil)
    }
    // Each job keeps a few bits for each document of its batch, whichever shard has it.
    let jobs = specification.jobCount
    if count > limits.documentsTimesJobsPerBatch / max(1, jobs) {
      throw .exhausted(
        limit: .documentsTimesJobs,
        "documents times jobs of a batch must be at most \(limits.documentsTimesJobsPerBatch), and \(count) documents "
          + "times \(jobs) jobs are more: ask for fewer shards, or submit several batches", retryAfter: nil)
    }
    var ids: Set<String> = []
    ids.reserveCapacity(documents.count)
    var textBytes = table.textBytes
    for (number, document) in documents.enumerated() {
      if !Identifier.isValid(document.id) {
        throw .invalid(field: "documents[\(number)].document_id", rule: Identifier.rule)
      }
      if table.contains(document.id) {
        throw .invalid(
          field: "documents[\(number)].document_id", rule: "is a duplicate of one in the batch: \(document.id)")
      }
      if !ids.insert(document.id).inserted {
        throw .invalid(
          field: "documents[\(number)].document_id", rule: "is a duplicate of one in the same call: \(document.id)")
      }
      let uri = document.uri.utf8
      if uri.isEmpty || uri.count > ValueLimit.uriBytes || uri.contains(0) {
        throw .invalid(field: "documents[\(number)].uri", rule: "must be 1 to \(ValueLimit.uriBytes) bytes without NUL")
      }
      if document.mediaType.utf8.count > ValueLimit.mediaTypeBytes {
        throw .invalid(
          field: "documents[\(number)].media_type", rule: "must be at most \(ValueLimit.mediaTypeBytes) bytes")
      }
      if document.size != -1, !(0...ValueLimit.memoryBytes).contains(document.size) {
        throw .invalid(
          field: "documents[\(number)].size_bytes",
          rule: "must be 0 to \(ValueLimit.memoryBytes), or unset, is \(document.size)")
      }
      textBytes += document.id.utf8.count + uri.count + document.mediaType.utf8.count
    }
    if textBytes > limits.documentTextPerBatch {
      throw .exhausted(
        limit: .documentTextPerBatch,
        "ids, uris and media types of a batch take at most \(limits.documentTextPerBatch) bytes together",
        retryAfter: nil)
    }
  }
}

private enum Rule {
  static func priority(_ priority: Int, _ field: @autoclosure () -> String) throws(Refusal) {
    if !(0...100).contains(priority) { throw .invalid(field: field(), rule: "must be 0 to 100, is \(priority)") }
  }

  static func cpus(_ cpus: Double, _ field: @autoclosure () -> String) throws(Refusal) {
    // Less would be nothing in any quota.
    if cpus != 0, !(ValueLimit.leastCPUs...ValueLimit.cpus).contains(cpus) {
      throw .invalid(
        field: field(), rule: "must be 0, or \(ValueLimit.leastCPUs) to \(Int(ValueLimit.cpus)), is \(cpus)")
    }
  }

  static func memory(_ bytes: Int64, _ field: @autoclosure () -> String) throws(Refusal) {
    if !(0...ValueLimit.memoryBytes).contains(bytes) {
      throw .invalid(field: field(), rule: "must be 0 to \(ValueLimit.memoryBytes) bytes, is \(bytes)")
    }
  }

  static func timer(_ duration: Duration, _ field: @autoclosure () -> String) throws(Refusal) {
    // Times are kept in milliseconds.
    if duration < .milliseconds(1) || duration > ValueLimit.span {
      throw .invalid(
        field: field(),
        rule: "must be 0.001 to \(Int(ValueLimit.spanSeconds)) seconds, is \(duration / .seconds(1))")
    }
  }

  /// Names of extractors and collections: an id's characters, and `_` and `.`.
  static func name(_ name: String, _ field: @autoclosure () -> String) throws(Refusal) {
    if !Identifier.isName(name) {
      throw .invalid(field: field(), rule: "must be 1 to 64 letters, digits, hyphens, underscores or dots")
    }
  }

  static func environment(_ environment: [String: String], _ field: @autoclosure () -> String) throws(Refusal) {
    var bytes = 0
    for (name, value) in environment {
      if name.isEmpty || name.utf8.contains(0x3D) || name.utf8.contains(0) || value.utf8.contains(0) {
        throw .invalid(field: field(), rule: "must have names without `=`, and no NUL in names and values")
      }
      bytes += name.utf8.count + value.utf8.count + 2
    }
    if bytes > ValueLimit.environmentBytes {
      throw .invalid(field: field(), rule: "must be at most \(ValueLimit.environmentBytes) bytes together")
    }
  }
}

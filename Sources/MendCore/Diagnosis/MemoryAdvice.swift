/// How much memory the next attempt needs after one ran out of it.
enum MemoryAdvice: Hashable {
  /// Asks for this much.
  case retry(bytes: Int64)
  /// Asks for all that the executor has: more was wanted.
  case retryWithAll(bytes: Int64, wanted: Int64)
  /// The executor's whole memory was not enough.
  case doesNotFit(wanted: Int64)
  /// It held far less than its limit, so something else refused it memory. A higher limit does not help.
  case notTheLimit(peak: Int64, limit: Int64)
  /// Neither limit nor peak is known.
  case unknown

  static let step: Int64 = 64 << 20
  /// A peak below this percentage of the limit shows that the limit did not bound it.
  static let shareOfTheBound: Int64 = 80

  /// 1.5 times the measured peak, rounded up to 64 MiB.
  static func enough(forPeak peak: Int64) -> Int64 { (min(peak, .max / 4) * 3 / 2 + step - 1) / step * step }

  /// 1.5 times the measured peak rounded up to 64 MiB, at least twice the limit, at most what the executor has.
  init(peak: Int64, limit: Int64, capacity: Int64) {
    let fromPeak = Self.enough(forPeak: peak)
    let wanted = max(peak > 0 ? fromPeak : 0, limit > 0 ? min(limit, .max / 4) * 2 : 0)
    if wanted <= 0 {
      self = .unknown
    } else if wanted <= capacity {
      self = .retry(bytes: wanted)
    } else if capacity > limit, capacity > peak {
      self = .retryWithAll(bytes: capacity, wanted: wanted)
    } else {
      self = .doesNotFit(wanted: wanted)
    }
  }

  init(after end: AttemptEnd, of attempt: Attempt, capacity: Capacity) {
    let recorded = end.exit?.memoryLimitBytes ?? 0
    let limit = recorded > 0 ? recorded : attempt.parameters.resources.memoryBytes
    let peak = end.exit?.peakMemoryBytes ?? 0
    if end.exit?.memoryLimitExceeded != true, Self.isFarBelow(peak, limit) {
      self = .notTheLimit(peak: peak, limit: limit)
    } else if end.oomSignature != nil, limit <= 0 {
      // Mend set no limit, and a limit derived from the peak would be less than what the program was refused.
      self = .unknown
    } else {
      self.init(peak: peak, limit: limit, capacity: capacity.memoryBytes)
    }
  }

  /// Whether both are known and the peak is well below the limit.
  static func isFarBelow(_ peak: Int64, _ limit: Int64) -> Bool {
    peak > 0 && limit > 0 && peak / shareOfTheBound < limit / 100
  }

  /// The memory to ask for; nil if more does not help.
  var asked: Int64? {
    switch self {
    case .retry(let bytes), .retryWithAll(let bytes, _): bytes
    case .doesNotFit, .notTheLimit, .unknown: nil
    }
  }
}

extension DiagnosisContext {
  /// What to do about a job that ran out of memory.
  func memoryRemedy(attempt: Attempt?, job: Job) -> Remedy {
    let tier = job.id.tier
    let end = attempt?.end
    let advice =
      if let attempt, let end {
        MemoryAdvice(after: end, of: attempt, capacity: capacity)
      } else {
        MemoryAdvice(peak: 0, limit: job.resourcesAsked(in: batch).memoryBytes, capacity: capacity.memoryBytes)
      }
    let call = Remedy.Call.retry(
      tier: tier, jobs: retryJobs(job), Job.Overrides(memoryBytes: advice.asked), .failed)
    let executor = capacity.executor.rawValue
    let signature = end?.oomSignature
    switch advice {
    case .retry(let bytes):
      return Remedy("Retry tier \(tier) with \(Figures.bytes(bytes)) of memory\(memoryReason(end))", call)
    case .retryWithAll(let bytes, let wanted):
      return Remedy(
        "Retry tier \(tier) with \(Figures.bytes(bytes)) of memory, all that the \(executor) executor has; "
          + "\(Figures.bytes(wanted)) would be right and does not fit", call)
    case .doesNotFit(let wanted):
      return Remedy(
        "It needs about \(Figures.bytes(wanted)), which does not fit: the \(executor) executor has "
          + "\(Figures.bytes(capacity.memoryBytes)) in all. Split the documents, or serve with more",
        by: capacity.option(memoryBytes: wanted).map { .serve([$0]) })
    case .notTheLimit:
      let what = signature?.resolution ?? "Find out what ended it: the kernel's log on its machine tells"
      return Remedy(
        "\(what); \(otherBounds(end, signature?.isOwnLimit == true)). Then retry tier \(tier)", call)
    case .unknown where signature != nil:
      return Remedy(
        "\(signature?.resolution ?? ""): it had no limit of Mend's, so \(otherBounds(end, signature?.isOwnLimit == true)); then "
          + "retry tier \(tier)", call)
    case .unknown:
      return Remedy(
        "See what bounded its memory, for neither its limit nor its peak is known; then retry tier \(tier)", call)
    }
  }

  /// What to do about a document whose command ran out of memory; the figures are those of its whole attempt.
  func memoryRemedy(ofDocumentIn job: Job, attempt number: Int, _ signature: ErrorSignature?) -> Remedy {
    let tier = job.id.tier
    let attempt = job.attempts.indices.contains(number - 1) ? job.attempts[number - 1] : job.attempts.last
    let limit = attempt?.parameters.resources.memoryBytes ?? 0
    let peak = attempt?.end?.exit?.peakMemoryBytes ?? 0
    let what = signature?.resolution ?? "Split the file, or see that it needs less memory"
    if signature?.isOwnLimit != true, peak > 0, limit > 0, !MemoryAdvice.isFarBelow(peak, limit),
      let bytes = MemoryAdvice(peak: peak, limit: limit, capacity: capacity.memoryBytes).asked
    {
      return Remedy(
        "Retry tier \(tier) with \(Figures.bytes(bytes)) of memory: its attempt held \(Figures.bytes(peak)) of "
          + "\(Figures.bytes(limit)) at its peak",
        .retry(tier: tier, jobs: retryJobs(job), Job.Overrides(memoryBytes: bytes), .failed))
    }
    return Remedy(
      "\(what); \(otherBounds(attempt?.end, signature?.isOwnLimit == true)). Then retry (tier \(tier))",
      .retry(tier: tier, jobs: retryJobs(job), Job.Overrides(), .failed))
  }

  /// Why a higher limit does not help, and what else bounds the program's memory.
  private func otherBounds(_ end: AttemptEnd?, _ isOwnLimit: Bool) -> String {
    let exit = end?.exit
    var measured = "more memory of Mend's is no help"
    if let exit, exit.peakMemoryBytes > 0, exit.memoryLimitBytes > 0 {
      measured +=
        ", for it held \(Figures.bytes(exit.peakMemoryBytes)) of \(Figures.bytes(exit.memoryLimitBytes)) at its peak"
    }
    if isOwnLimit { return measured }
    if let asked = exit.flatMap({ Figures.largestSize(in: $0.lastStderrLine) }), asked > Double(capacity.memoryBytes) {
      return measured + ": it asked for more at once than the \(capacity.executor.rawValue) executor has, as a broken "
        + "document makes a program do"
    }
    return measured
      + ": look at a limit of its own (ulimit -v), at the machine's memory, and at the size that it asked for"
  }

  /// What the figure is derived from. If a process was ended at its limit, nobody knows how much it would have needed.
  private func memoryReason(_ end: AttemptEnd?) -> String {
    guard let exit = end?.exit else { return "" }
    let peak = Figures.bytes(exit.peakMemoryBytes)
    var reason = ""
    if exit.peakMemoryBytes > 0 {
      reason =
        exit.memoryLimitExceeded
        ? ": it needs at least the \(peak) that it held when it was ended"
        : ": its measured peak was \(peak)"
    }
    return reason + (end?.oomSignature?.isOwnLimit == true ? "; raise the heap limit of its runtime with it" : "")
  }
}

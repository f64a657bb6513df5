// Documents that the extractor itself refused: what its code, its words and the file's size say together.

extension DiagnosisContext {
  /// What is made of one code of one job.
  private struct Reading {
    var cause: FailureCause
    var confidence = Confidence.high
    /// The code whose resolution is right.
    var resolution: String
    /// For the end of the message.
    var note = ""
    var evidence: [Evidence] = []
  }

  func documentFinding(_ code: FailureTally.Code, job: Job) -> Finding {
    let example = code.first.positions.first.flatMap { position in
      job.errors[position].map { (documentID(position) ?? "document \(position)", $0) }
    }
    let reading = reading(of: code, example?.1, job: job)
    var message =
      "\(Figures.count(code.count, "document")) of \(job.assigned.count) failed in "
      + "\(job.title(in: batch)) with \(code.code)"
    if let example, !example.1.message.isEmpty { message += "; \(example.0): \(Figures.excerpt(example.1.message))" }
    var evidence = [
      Evidence(
        "\(Figures.count(code.count, "document")) failed with \(code.code), first "
          + names(code.first.positions),
        by: .ledger, at: code.at,
        values: ["code": code.code, "count": "\(code.count)", "documents_in_job": "\(job.assigned.count)"])
    ]
    if let example {
      var values = example.1.details
      values["code"] = example.1.code
      values["document_id"] = example.0
      let isOurs = reading.cause == .documentErrors && code.code == reading.cause.rawValue
      evidence.append(
        Evidence(
          example.1.message.isEmpty ? example.1.code : example.1.message, by: isOurs ? .scheduler : .worker,
          at: example.1.at, values: values))
    }
    evidence += reading.evidence + sizeEvidence(of: code.first.positions, in: job)
    return Finding(
      category: reading.cause.category, cause: reading.cause.rawValue, confidence: reading.confidence,
      message: sentence(message + reading.note), evidence: evidence,
      remedy: job.status.isFinal
        ? Remedy(
          "\(Self.resolution(for: reading.resolution)) (tier \(job.id.tier))",
          .retry(tier: job.id.tier, jobs: retryJobs(job), Job.Overrides(), .failed)) : nil,
      tier: job.id.tier, job: job.id, attempt: code.attempt, documents: code.first.positions)
  }

  /// The worker's own code stands, unless an exit code that says little comes with words, or a file, that say more.
  private func reading(of code: FailureTally.Code, _ example: DocumentError?, job: Job) -> Reading {
    var reading = Reading(cause: Self.cause(ofCode: code.code), resolution: code.code)
    guard let example else { return reading }
    if Self.saysKilled(example) {
      // Nobody saw who sent it; the kernel does when the machine has no memory left.
      reading.confidence = .medium
      reading.evidence.append(
        Evidence("SIGKILL from outside: perhaps the kernel, out of memory", by: .scheduler, at: example.at))
    }
    guard code.code == FailureCause.exitCode.rawValue else { return reading }
    if let crash = Self.crash(example) {
      reading.cause = .signal
      reading.confidence = .medium
      reading.resolution = FailureCause.signal.rawValue
      reading.evidence.append(
        Evidence("its exit code is a shell's word for \(crash)", by: .scheduler, at: example.at))
      return reading
    }
    if Self.says(example.message, Self.memoryWords) {
      reading.cause = .oom
      reading.confidence = .medium
      reading.resolution = FailureCause.oom.rawValue
      reading.evidence.append(
        Evidence("by its own words the command was refused memory", by: .scheduler, at: example.at))
    } else if Self.says(example.message, Self.diskWords) {
      reading.resolution = "disk_full"
      reading.evidence.append(
        Evidence("the disk that it wrote to was full (ENOSPC)", by: .scheduler, at: example.at))
    } else if areRefusedForEmptiness(code.first.positions, of: job) {
      reading.cause = .badInput
      reading.confidence = .medium
      reading.resolution = "empty_file"
      reading.note = "; all of them are empty files, and others went well"
    }
    return reading
  }

  /// What allocators and runtimes say, and the C library of ENOMEM.
  private static let memoryWords = [
    "Out of memory!", "Cannot allocate memory", "MemoryError", "java.lang.OutOfMemoryError", "std::bad_alloc",
    "JavaScript heap out of memory",
  ]
  /// The C library's words for ENOSPC and EDQUOT, which commands pass on.
  private static let diskWords = ["No space left on device", "Disk quota exceeded"]

  private static func says(_ message: String, _ words: [String]) -> Bool { words.contains { message.contains($0) } }

  /// 137 is a shell's word for it.
  private static func saysKilled(_ error: DocumentError) -> Bool {
    error.details["signal"] == "9" || error.details["exit_code"] == "137"
  }

  private static func crash(_ error: DocumentError) -> String? {
    error.details["exit_code"].flatMap { Int32($0) }.flatMap { Figures.crash(exitCode: $0) }
  }

  /// A document error's code as a cause: its own where it is one, bad_input for the usual words about files.
  static func cause(ofCode code: String) -> FailureCause {
    if let cause = FailureCause(rawValue: code) { return cause }
    return switch code {
    case "format_error", "unsupported_format", "corrupted_file", "not_found", "file_not_found", "permission_denied",
      "empty_file":
      .badInput
    default: .documentErrors
    }
  }
}

// Documents that the extractor itself refused: what the code, the message and the file's size say together.

/// How one code of one job is understood.
struct DocumentReading {
  var cause: FailureCause
  var confidence = Confidence.high
  /// The code whose resolution is right.
  var resolution: DocumentCode
  /// Advice from the message or the signal, if that says more than the code's resolution.
  var advice: String?
  /// An addition to the finding's message.
  var note = ""
  var evidence: [Evidence] = []
  /// The error that the message is known to mean.
  var signature: ErrorSignature?

  /// What to do: one sentence without a full stop.
  var whatToDo: String { advice ?? resolution.resolution }
}

extension DiagnosisContext {
  /// The cause behind one code: the code's own, or the one that the message names.
  func cause(of code: FailureTally.Code, job: Job) -> FailureCause {
    code.causedByAttempt ? code.code.cause : batch.reading(of: code, job: job).cause
  }

  func documentFinding(_ code: FailureTally.Code, job: Job) -> Finding {
    let example = code.first.positions.first.flatMap { position in
      job.errors[position].map { (documentID(position) ?? "document \(position)", $0) }
    }
    let reading = batch.reading(of: code, job: job)
    let name = code.code == FailureTally.others ? "other codes" : code.code.rawValue
    var message =
      "\(Figures.count(code.count, "document")) of \(job.assigned.count) failed in "
      + "\(job.title(in: batch)) with \(name)"
    if let example, !example.1.message.isEmpty { message += "; \(example.0): \(Figures.excerpt(example.1.message))" }
    var evidence = [
      Evidence(
        "\(Figures.count(code.count, "document")) failed with \(name), first "
          + names(code.first.positions),
        by: .ledger, at: code.at,
        values: ["code": code.code.rawValue, "count": "\(code.count)", "documents_in_job": "\(job.assigned.count)"])
    ]
    if let example {
      var values = example.1.details
      values["code"] = example.1.code.rawValue
      values["document_id"] = example.0
      let isOurs = code.code == .failure(.documentErrors)
      evidence.append(
        Evidence(
          example.1.message.isEmpty ? example.1.code.rawValue : example.1.message, by: isOurs ? .scheduler : .worker,
          at: example.1.at, values: values))
    }
    evidence += reading.evidence + batch.sizeEvidence(of: code.first.positions, in: job)
    return Finding(
      cause: .failure(reading.cause), confidence: reading.confidence,
      message: sentence(message + reading.note), evidence: evidence,
      remedy: job.status.isFinal ? remedy(for: reading, attempt: code.attempt, job: job) : nil,
      tier: job.id.tier, job: job.id, attempt: code.attempt, documents: code.first.positions)
  }

  private func remedy(for reading: DocumentReading, attempt: Int, job: Job) -> Remedy {
    if reading.cause == .oom { return memoryRemedy(ofDocumentIn: job, attempt: attempt, reading.signature) }
    return Remedy(
      "\(reading.whatToDo) (tier \(job.id.tier))",
      .retry(tier: job.id.tier, jobs: retryJobs(job), Job.Overrides(), .failed))
  }
}

extension Batch {
  /// The worker's own code stands, unless it is a bare exit code and the message or the file says more.
  func reading(of code: FailureTally.Code, job: Job) -> DocumentReading {
    var reading = DocumentReading(cause: code.code.cause, resolution: code.code)
    guard let position = code.first.positions.first, let example = job.errors[position] else { return reading }
    if Self.saysKilled(example) {
      // Nobody saw who sent the signal. The kernel does when the machine has no memory left.
      reading.confidence = .medium
      reading.evidence.append(
        Evidence("SIGKILL from outside: perhaps the kernel, out of memory", by: .scheduler, at: example.at))
    }
    guard [.exitCode, .signal, .entrypointNotFound].contains(reading.cause), code.code == .failure(reading.cause) else {
      return reading
    }
    let (signal, isShellsWord) = Self.signal(example)
    if let signal {
      reading.cause = signal.cause
      reading.resolution = .failure(.signal)
      reading.advice = signal.number == 9 ? nil : signal.resolution + ", and retry"
      if isShellsWord || signal.cause != .signal { reading.confidence = .medium }
      if isShellsWord {
        reading.evidence.append(
          Evidence("its exit code is a shell's word for \(signal.name)", by: .scheduler, at: example.at))
      }
      if signal.number != 9 { reading.evidence.append(signal.evidence(at: example.at)) }
    }
    let signature = ErrorSignature.matching(
      example.message, names: documents.count > position ? documents[position].names : [])
    if let signature, let cause = signature.cause, signal?.isOwn ?? (code.code != .failure(.signal)) {
      reading.cause = cause
      reading.confidence = signature.confidence
      reading.advice = signature.resolution
      reading.signature = signature
      reading.evidence.append(signature.evidence(example.message, at: example.at))
    } else if code.code == .failure(.exitCode), signal == nil,
      areRefusedForEmptiness(code.first.positions, of: job)
    {
      reading.cause = .badInput
      reading.confidence = .medium
      reading.resolution = .common(.emptyFile)
      reading.note = "; all of them are empty files, and others went well"
    } else if let signature, signature.cause == nil, code.code != .failure(.entrypointNotFound) {
      reading.advice = signature.resolution
      reading.evidence.append(signature.evidence(example.message, at: example.at))
    }
    return reading
  }

  /// A shell reports SIGKILL as exit code 137.
  private static func saysKilled(_ error: DocumentError) -> Bool {
    error.signal == 9 || error.exitCode == 137
  }

  /// The signal that ended the command, and whether only an exit code says so.
  private static func signal(_ error: DocumentError) -> (signal: SignalMeaning?, isShellsWord: Bool) {
    if let signal = error.signal { return (SignalMeaning.named(signal), false) }
    return (error.exitCode.flatMap { SignalMeaning.shellsWord($0) }, true)
  }

}

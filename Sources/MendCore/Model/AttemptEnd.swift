/// Why an attempt is being ended on purpose.
package enum EndReason: Hashable, Codable, Sendable {
  case cancelled
  case runTimeout
  case batchTimeout
  /// Heal ended the attempt, which was stuck for this cause.
  case healed(FailureCause)
  /// It was no longer its job's current attempt. Older journals have it; nothing is ended for it any more.
  case fenced
  /// The batch was paused while the attempt had nothing in process, so that its capacity is for others.
  case paused
}

/// How an attempt ended.
package struct AttemptEnd: Hashable, Codable, Sendable {
  package enum Verdict: Hashable, Codable, Sendable {
    /// Exit 0.
    case succeeded
    case cancelled
    case failed(FailureCause, Confidence)
  }

  package var verdict: Verdict
  package var at: Instant
  package var exit: ExitRecord?
  package var receipt: EndReceipt?
  package var evidence: [Evidence]
  /// The attempt had only suspects in process, and counts against no retry budget.
  package var isIsolating: Bool
  /// Why the attempt was ended on purpose; nil if it was not.
  package var endedFor: EndReason?

  package init(
    verdict: Verdict, at: Instant, exit: ExitRecord? = nil, receipt: EndReceipt? = nil, evidence: [Evidence] = [],
    isIsolating: Bool = false, endedFor: EndReason? = nil
  ) {
    self.verdict = verdict
    self.at = at
    self.exit = exit
    self.receipt = receipt
    self.evidence = evidence
    self.isIsolating = isIsolating
    self.endedFor = endedFor
  }

  package var cause: FailureCause? { if case .failed(let cause, _) = verdict { cause } else { nil } }
}

/// What a supervisor or an executor recorded about an attempt's end. The local executor's supervisors write durable
/// records, which rank as evidence of the kernel.
package struct ExitRecord: Hashable, Codable, Sendable {
  package enum Termination: Hashable, Codable, Sendable {
    case exited(Int32)
    case signalled(Int32)
    /// The entrypoint could not be started: errno's text.
    case notStarted(String)
    /// Unknown: the supervisor was killed, or the machine went down.
    case unknown(String)
  }

  package var termination: Termination
  package var at: Instant
  /// The peak of all the attempt's processes together, by sampling; 0 if it was not measured.
  package var peakMemoryBytes: Int64
  /// 0 for no limit.
  package var memoryLimitBytes: Int64
  /// The processes exceeded the memory limit and were ended for it.
  package var memoryLimitExceeded: Bool
  package var lastStderrLine: String
  package var cpuSeconds: Double
  /// The executor's own finding on the cause; nil if it knows no more than the termination.
  package var finding: Finding?

  /// A cause that comes from an executor's structured field or from a text of its own.
  package struct Finding: Hashable, Codable, Sendable {
    package var cause: FailureCause
    package var confidence: Confidence
    /// The field or the text that the cause was read from.
    package var text: String

    package init(cause: FailureCause, confidence: Confidence, text: String) {
      self.cause = cause
      self.confidence = confidence
      self.text = text
    }
  }

  package init(
    termination: Termination, at: Instant, peakMemoryBytes: Int64 = 0, memoryLimitBytes: Int64 = 0,
    memoryLimitExceeded: Bool = false, lastStderrLine: String = "", cpuSeconds: Double = 0, finding: Finding? = nil
  ) {
    self.termination = termination
    self.at = at
    self.peakMemoryBytes = peakMemoryBytes
    self.memoryLimitBytes = memoryLimitBytes
    self.memoryLimitExceeded = memoryLimitExceeded
    self.lastStderrLine = lastStderrLine
    self.cpuSeconds = cpuSeconds
    self.finding = finding
  }
}

extension ExitRecord: Described {
  package static var blank: ExitRecord { ExitRecord(termination: .unknown(""), at: Instant(milliseconds: 0)) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    var termination: Termination? = v.reads ? nil : self.termination
    try Termination.describe(&termination, v)
    try v.instant(5, "at_ms", &at)
    try v.memory(6, "peak_memory_bytes", &peakMemoryBytes)
    try v.memory(7, "memory_limit_bytes", &memoryLimitBytes)
    try v.flag(8, "memory_limit_exceeded", &memoryLimitExceeded)
    try v.quoted(9, "last_stderr_line", &lastStderrLine)
    try v.real(10, "cpu_seconds", &cpuSeconds, within: FieldBounds.seconds)
    try v.message(11, "finding", &finding)
    guard let termination else { throw FormatFault("no termination") }
    if v.assigns { self.termination = termination }
  }
}

extension ExitRecord.Termination {
  fileprivate static func describe(_ termination: inout Self?, _ v: FieldVisitor) throws(FormatFault) {
    try v.numberMember(1, "exited", of: &termination, Self.exited) {
      if case .exited(let code) = $0 { code } else { nil }
    }
    try v.numberMember(2, "signalled", of: &termination, Self.signalled) {
      if case .signalled(let signal) = $0 { signal } else { nil }
    }
    try v.textMember(3, "not_started", .quoted, of: &termination, Self.notStarted) {
      if case .notStarted(let why) = $0 { why } else { nil }
    }
    try v.textMember(4, "unknown", .quoted, of: &termination, Self.unknown) {
      if case .unknown(let why) = $0 { why } else { nil }
    }
  }
}

extension ExitRecord.Finding: Described {
  package static var blank: Self { Self(cause: .oom, confidence: .low, text: "") }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.choice(1, "cause", &cause)
    try v.choice(2, "confidence", &confidence)
    try v.quoted(3, "text", &text)
  }
}

/// The proof that an attempt is gone: how many processes were ended, and how.
package struct EndReceipt: Hashable, Codable, Sendable {
  package var processes: Int
  /// For people: "SIGTERM", "SIGKILL after 10 s", "was not running".
  package var how: String

  package init(processes: Int, how: String) {
    self.processes = processes
    self.how = how
  }
}

extension EndReceipt: Described {
  package static var blank: EndReceipt { EndReceipt(processes: 0, how: "") }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.count(1, "processes", &processes)
    try v.prose(2, "how", &how)
  }
}

extension AttemptEnd {
  /// Describes the end's fields, which follow the attempt in the fact.
  mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    var outcome: Verdict.Kind? = verdict.kind
    var (cause, confidence) = (self.cause ?? endedFor?.cause, verdict.confidence)
    try v.choice(2, "verdict", &outcome)
    try v.choice(3, "cause", &cause)
    try v.choice(4, "confidence", &confidence)
    try v.instant(5, "at_ms", &at)
    try v.message(6, "exit", &exit)
    try v.message(7, "receipt", &receipt)
    try v.messages(8, "evidence", &evidence)
    try v.flag(16, "isolating", &isIsolating)
    var ending = endedFor?.kind
    try v.choice(51, "ended_for", &ending)
    guard v.reads else { return }
    guard let outcome else { throw FormatFault("no verdict") }
    switch outcome {
    case .succeeded: verdict = .succeeded
    case .cancelled: verdict = .cancelled
    case .failed:
      guard let cause, let confidence else { throw FormatFault("a failure without its cause and confidence") }
      verdict = .failed(cause, confidence)
    }
    endedFor = nil
    if let ending { endedFor = try EndReason(ending, of: cause) }
  }
}

extension AttemptEnd.Verdict {
  fileprivate enum Kind: String, CaseIterable, SchemaEnum {
    case succeeded, cancelled, failed

    static let schemaName = "mend.v1.JournalVerdict"
  }

  fileprivate var kind: Kind {
    switch self {
    case .succeeded: .succeeded
    case .cancelled: .cancelled
    case .failed: .failed
    }
  }

  fileprivate var confidence: Confidence? { if case .failed(_, let confidence) = self { confidence } else { nil } }
}

extension EndReason {
  /// The kind of an end on purpose, without a heal's cause.
  enum Kind: String, CaseIterable, SchemaEnum {
    case cancelled
    case runTimeout = "run_timeout"
    case batchTimeout = "batch_timeout"
    case healed, fenced, paused

    static let schemaName = "mend.v1.JournalEndKind"

    var number: Int32 {
      switch self {
      case .cancelled: 1
      case .runTimeout: 2
      case .batchTimeout: 3
      case .healed: 4
      case .fenced: 5
      case .paused: 40
      }
    }

    init?(number: Int32) {
      guard let kind = Self.allCases.first(where: { $0.number == number }) else { return nil }
      self = kind
    }
  }

  var kind: Kind {
    switch self {
    case .cancelled: .cancelled
    case .runTimeout: .runTimeout
    case .batchTimeout: .batchTimeout
    case .healed: .healed
    case .fenced: .fenced
    case .paused: .paused
    }
  }

  /// The cause for which Heal ended the attempt; nil for other reasons.
  var cause: FailureCause? { if case .healed(let cause) = self { cause } else { nil } }

  init(_ kind: Kind, of cause: FailureCause?) throws(FormatFault) {
    switch kind {
    case .cancelled: self = .cancelled
    case .runTimeout: self = .runTimeout
    case .batchTimeout: self = .batchTimeout
    case .healed:
      guard let cause else { throw FormatFault("an end by a heal without its cause") }
      self = .healed(cause)
    case .fenced: self = .fenced
    case .paused: self = .paused
    }
  }
}

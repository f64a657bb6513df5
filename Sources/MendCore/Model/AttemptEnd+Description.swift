extension AttemptEnd {
  /// The fields of an attempt's end behind the attempt that it is of.
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
  /// An end on purpose without what it is for.
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

  /// Of what it was healed.
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

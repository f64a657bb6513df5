/// One line of a retry policy; the first whose filters all match decides.
package struct RetryRule: Hashable, Codable, Sendable {
  package enum Action: String, Hashable, Codable, Sendable, CaseIterable, SchemaEnum {
    case retry, fail, ignore

    package static var schemaName: String { "mend.v1.RetryAction" }
  }

  /// nil matches any.
  package var category: FailureCategory?
  package var cause: FailureCause?
  /// Empty matches any.
  package var exitCodes: [Int32]
  package var action: Action
  /// Attempts over the job's life that this rule may start, per cause.
  package var maxAttempts: Int
  /// The limit of the next attempt is the last one's (or the measured peak, if higher) times this.
  package var memoryFactor: Double
  /// Never more than this; 0 is the executor's whole memory.
  package var memoryCeilingBytes: Int64
  /// The first wait; it doubles with each attempt up to `backoffMaximum`.
  package var backoff: Duration
  package var backoffMaximum: Duration

  package init(
    category: FailureCategory? = nil, cause: FailureCause? = nil, exitCodes: [Int32] = [], action: Action,
    maxAttempts: Int = 3, memoryFactor: Double = 1, memoryCeilingBytes: Int64 = 0, backoff: Duration = .seconds(1),
    backoffMaximum: Duration = .seconds(60)
  ) {
    self.category = category
    self.cause = cause
    self.exitCodes = exitCodes
    self.action = action
    self.maxAttempts = maxAttempts
    self.memoryFactor = memoryFactor
    self.memoryCeilingBytes = memoryCeilingBytes
    self.backoff = backoff
    self.backoffMaximum = backoffMaximum
  }

  /// The rules of a job that has none of its own.
  package static let defaults = FailureCause.allCases.filter(\.isRetriedByDefault).map {
    RetryRule(cause: $0, action: .retry)
  }
}

extension RetryRule: Described {
  package static var blank: RetryRule { RetryRule(action: .fail) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.choice(1, "category", &category)
    try v.choice(2, "cause", &cause)
    try v.numbers(3, "exit_codes", &exitCodes)
    try v.choice(4, "action", &action)
    try v.small(5, "max_attempts", &maxAttempts)
    try v.real(6, "memory_factor", &memoryFactor, within: FieldBounds.factor)
    try v.memory(7, "memory_ceiling_bytes", &memoryCeilingBytes)
    try v.span(8, "backoff_ms", &backoff)
    try v.span(9, "backoff_maximum_ms", &backoffMaximum)
  }
}

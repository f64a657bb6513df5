/// Tells whether a line that no catalogue knows speaks of an error.
enum ErrorWords {
  enum Weight: Comparable {
    /// It speaks of none, or says that it is less than an error.
    case none
    /// It has words of failure.
    case spoken
    /// It is marked as an error: `error:`, `fatal:`, an exception.
    case marked
  }

  static func weight(of line: OutputLine) -> Weight {
    let text = line.text.lowercased()
    let beginning = text.prefix(120)
    if lesser.contains(where: beginning.contains) { return .none }
    if line.exception != nil || marks.contains(where: text.contains) { return .marked }
    return words.contains(where: text.contains) ? .spoken : .none
  }

  private static let lesser = [
    "warning", "[warn", "warn ", "warn:", "info:", "[info", "info ", "debug", "deprecat", "notice:", "note:", "hint:",
    "trace:",
  ]
  private static let marks = ["error", "fatal", "panic", "exception", "traceback", "critical", "abort", "assert"]
  private static let words = [
    "cannot", "can't", "can not", "could not", "couldn't", "unable to", "failed", "failure", "invalid", "denied",
    "not found", "no such", "refused", "unknown", "missing", "not a ", "corrupt", "damaged", "unexpected",
    "unsupported", "not supported", "unrecognized", "not recognized", "illegal", "exceeded", "too many", "too large",
    "too long", "timed out", "timeout", "expired", "not allowed", "not permitted", "killed", "terminated",
    "must be", "does not", "is not", "bad ", "malformed", "truncated",
  ]
}

import MendCore

/// What a run, or many, came by: facts, faults, and how often each invariant was looked at.
final class Coverage {
  var happened: [String: Int] = [:]
  var checks: [Invariant: Int] = [:]

  func add(_ other: Coverage) {
    happened.merge(other.happened) { $0 + $1 }
    checks.merge(other.checks) { $0 + $1 }
  }

  /// Lines of names and numbers.
  var account: String {
    func line(_ title: String, _ numbers: [(String, Int)]) -> String {
      "covered: \(title): " + numbers.sorted { $0.0 < $1.0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
    }
    let facts = happened.filter {
      $0.key.first?.isLowercase == true && !$0.key.contains(" ") && Self.facts.contains($0.key)
    }
    let rest = happened.filter { facts[$0.key] == nil }
    return [
      line("facts", facts.map { ($0.key, $0.value) }), line("faults and acts", rest.map { ($0.key, $0.value) }),
      line("looks", checks.map { ($0.key.rawValue, $0.value) }),
    ].joined(separator: "\n")
  }

  /// What thousands of seeds are to come by, and did not.
  var missing: [String] {
    let looks = Invariant.allCases.filter { checks[$0, default: 0] == 0 }.map { "looks at \($0.rawValue)" }
    return (Self.facts.union(Self.faults).filter { happened[$0] == nil } + looks).sorted()
  }

  static let faults: Set<String> = [
    "death", "death before a commit", "death after a commit", "reboot", "snapshot", "outage", "lie", "nodes lost",
    "nodes come", "killed with its node", "pause", "cancel", "retry", "retry at any time", "retry refused",
    "report said again", "report named and said again", "report late", "webhook refused", "webhook delivered",
  ]

  /// The first of a batch is not counted.
  static let facts: Set<String> = [
    "documents_added", "batch_status_changed", "tier_started", "tier_status_changed", "job_status_changed",
    "attempt_intended", "attempt_taken", "attempt_started", "attempt_ending", "attempt_ended", "stale_report",
    "next_attempt_scheduled", "documents_claimed", "documents_committed", "documents_failed", "documents_released",
    "tier_cancel_requested", "documents_left_out", "work_repeated", "stage_spent", "collection_written", "report_taken",
    "retried", "healed", "verdict_changed", "notification_settled",
  ]
}

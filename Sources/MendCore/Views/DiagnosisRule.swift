/// One line of the table that a diagnosis is made of: looks at a batch, and says what it found.
struct DiagnosisRule: Sendable {
  let name: String
  /// The sentence that it follows from, by document and section.
  let source: String
  let findings: @Sendable (DiagnosisContext) -> [Finding]

  /// In the order in which findings are shown: what failed, what is suspicious of it, what holds the batch up.
  static let all: [DiagnosisRule] = [
    DiagnosisRule(name: "store full", source: "domain.md, Truth: durable, then visible", findings: { $0.storeFull() }),
    DiagnosisRule(
      name: "failed attempts", source: "domain.md, Why an attempt failed", findings: { $0.failedAttempts() }),
    DiagnosisRule(
      name: "failed jobs", source: "domain.md, How states follow", findings: { $0.failedJobs() }),
    DiagnosisRule(
      name: "disputed ends", source: "domain.md, Truth 3: Unreachable is not failed", findings: { $0.disputedEnds() }),
    DiagnosisRule(
      name: "quarantined documents", source: "domain.md, Why an attempt failed: documents in flight",
      findings: { $0.quarantinedDocuments() }),
    DiagnosisRule(
      name: "suspect documents", source: "domain.md, Why an attempt failed: documents in flight",
      findings: { $0.suspectDocuments() }),
    DiagnosisRule(
      name: "failed documents", source: "get-batch-status, Error Summary", findings: { $0.failedDocuments() }),
    DiagnosisRule(
      name: "extractors left out", source: "domain.md, a job cancelled while others of its tier go on",
      findings: { $0.extractorsLeftOut() }),
    DiagnosisRule(
      name: "never schedulable", source: "domain.md, Health: found at submit, before any waiting",
      findings: { $0.neverSchedulable() }),
    DiagnosisRule(
      name: "stuck attempts", source: "troubleshooting guide, Stuck Job", findings: { $0.stuckAttempts() }),
    DiagnosisRule(
      name: "waiting past the window", source: "domain.md, Health: STUCK", findings: { $0.waitingTooLong() }),
    DiagnosisRule(
      name: "launches that wait", source: "domain.md, Health: SCALING, blocked_reason says for what",
      findings: { $0.delayedLaunches() + $0.hiddenAttempts() }),
    DiagnosisRule(
      name: "executor unreachable", source: "domain.md, Truth 3: Unreachable is not failed",
      findings: { $0.unreachableExecutor() }),
    DiagnosisRule(
      name: "duplicate launches", source: "troubleshooting guide, Duplicate Jobs",
      findings: { $0.duplicateLaunches() }),
    DiagnosisRule(
      name: "ends that do not come", source: "domain.md, Cancel: until every process is proven gone",
      findings: { $0.overdueEnds() }),
  ]

  /// A batch of thousands of jobs may fail in each; beyond this many findings only their number is told.
  static let findingsLimit = 200
}

/// One line of the table that a diagnosis is made of: looks at a batch, and says what it found.
struct DiagnosisRule: Sendable {
  let name: String
  /// The section of the article Domain that it follows from.
  let source: String
  let findings: @Sendable (DiagnosisContext) -> [Finding]

  /// In the order in which findings are shown: what failed, what is suspicious of it, what holds the batch up.
  static let all: [DiagnosisRule] = [
    DiagnosisRule(name: "store full", source: "<doc:Domain#Promises>", findings: { $0.storeFull() }),
    DiagnosisRule(
      name: "failed attempts", source: "<doc:Domain#Why-an-attempt-failed>", findings: { $0.failedAttempts() }),
    DiagnosisRule(
      name: "failed jobs", source: "<doc:Domain#How-states-follow>", findings: { $0.failedJobs() }),
    DiagnosisRule(
      name: "disputed ends", source: "<doc:Domain#Promises>", findings: { $0.disputedEnds() }),
    DiagnosisRule(
      name: "quarantined documents", source: "<doc:Domain#Documents-that-end-attempts>",
      findings: { $0.quarantinedDocuments() }),
    DiagnosisRule(
      name: "suspect documents", source: "<doc:Domain#Documents-that-end-attempts>",
      findings: { $0.suspectDocuments() }),
    DiagnosisRule(
      name: "failed documents", source: "<doc:Domain#How-states-follow>", findings: { $0.failedDocuments() }),
    DiagnosisRule(
      name: "extractors left out", source: "<doc:Domain#How-states-follow>",
      findings: { $0.extractorsLeftOut() }),
    DiagnosisRule(
      name: "never schedulable", source: "<doc:Domain#Calls>",
      findings: { $0.neverSchedulable() }),
    DiagnosisRule(
      name: "stuck attempts", source: "<doc:Domain#Timers>", findings: { $0.stuckAttempts() }),
    DiagnosisRule(
      name: "waiting past the window", source: "<doc:Domain#Health>", findings: { $0.waitingTooLong() }),
    DiagnosisRule(
      name: "launches that wait", source: "<doc:Domain#Health>",
      findings: { $0.delayedLaunches() + $0.hiddenAttempts() }),
    DiagnosisRule(
      name: "executor unreachable", source: "<doc:Domain#Promises>",
      findings: { $0.unreachableExecutor() }),
    DiagnosisRule(
      name: "duplicate launches", source: "<doc:Domain#Healing>",
      findings: { $0.duplicateLaunches() }),
    DiagnosisRule(
      name: "ends that do not come", source: "<doc:Domain#Calls>",
      findings: { $0.overdueEnds() }),
  ]

  /// A batch of thousands of jobs may fail in each; beyond this many findings only their number is told.
  static let findingsLimit = 200
}

/// One rule of the table that a diagnosis is made of: it looks at a batch and adds what it finds.
struct DiagnosisRule: Sendable {
  let name: String
  /// The section of the article Domain that it follows from.
  let source: String
  /// It is about the present, of which the server of a copy knows nothing.
  var isOfThePresent = false
  /// Adds what it found.
  let look: @Sendable (DiagnosisContext, inout FindingList) -> Void

  /// In the order in which findings are shown: what failed, what is suspicious of it, what holds the batch up.
  static let all: [DiagnosisRule] = [
    DiagnosisRule(name: "served copy", source: "<doc:Domain#Promises>", look: { $1.add(contentsOf: $0.servedCopy()) }),
    DiagnosisRule(name: "store full", source: "<doc:Domain#Promises>", look: { $1.add(contentsOf: $0.storeFull()) }),
    DiagnosisRule(
      name: "failed attempts", source: "<doc:Domain#Why-an-attempt-failed>", look: { $0.failedAttempts(&$1) }),
    DiagnosisRule(
      name: "failed jobs", source: "<doc:Domain#How-states-follow>", look: { $0.failedJobs(&$1) }),
    DiagnosisRule(
      name: "disputed ends", source: "<doc:Domain#Promises>", look: { $0.disputedEnds(&$1) }),
    DiagnosisRule(
      name: "quarantined documents", source: "<doc:Domain#Documents-that-end-attempts>",
      look: { $0.quarantinedDocuments(&$1) }),
    DiagnosisRule(
      name: "suspect documents", source: "<doc:Domain#Documents-that-end-attempts>",
      look: { $0.suspectDocuments(&$1) }),
    DiagnosisRule(
      name: "failed documents", source: "<doc:Domain#How-states-follow>", look: { $0.failedDocuments(&$1) }),
    DiagnosisRule(
      name: "extractors left out", source: "<doc:Domain#How-states-follow>",
      look: { $1.add(contentsOf: $0.extractorsLeftOut()) }),
    DiagnosisRule(
      name: "never schedulable", source: "<doc:Domain#Calls>", isOfThePresent: true,
      look: { $0.neverSchedulable(&$1) }),
    DiagnosisRule(
      name: "stuck attempts", source: "<doc:Domain#Timers>", isOfThePresent: true, look: { $0.stuckAttempts(&$1) }),
    DiagnosisRule(
      name: "waiting past the window", source: "<doc:Domain#Health>", isOfThePresent: true,
      look: { $1.add(contentsOf: $0.waitingTooLong()) }),
    DiagnosisRule(
      name: "launches that wait", source: "<doc:Domain#Health>", isOfThePresent: true,
      look: { $1.add(contentsOf: $0.delayedLaunches() + $0.hiddenAttempts()) }),
    DiagnosisRule(
      name: "executor unreachable", source: "<doc:Domain#Promises>", isOfThePresent: true,
      look: { $1.add(contentsOf: $0.unreachableExecutor()) }),
    DiagnosisRule(
      name: "duplicate launches", source: "<doc:Domain#Healing>", isOfThePresent: true,
      look: { $1.add(contentsOf: $0.duplicateLaunches()) }),
    DiagnosisRule(
      name: "ends that do not come", source: "<doc:Domain#Calls>", isOfThePresent: true,
      look: { $0.overdueEnds(&$1) }),
  ]

  /// The most findings of a diagnosis; of those beyond it, only the number is reported.
  static let findingsLimit = 200

  /// The first `limit` findings of all rules.
  static func findings(_ context: DiagnosisContext, limit: Int) -> FindingList {
    var list = FindingList(limit: limit)
    let isCopy = context.batchContext.server.copy != nil
    for rule in all where !(isCopy && rule.isOfThePresent) { rule.look(context, &list) }
    return list
  }
}

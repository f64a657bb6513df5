import MendCore

/// How much of each part a diagnosis shows. A diagnosis that exceeds a client's message limit is made again with less.
struct DiagnosisDetail: Hashable, Sendable {
  /// How many of a job's attempts are shown, the first and the latest.
  var attempts = 10
  /// How many jobs of all tiers are shown; in each tier, those that are not SUCCEEDED come first.
  var jobs = 2048
  /// Bytes of a command, for a tier, a job and an attempt; nil leaves out its parameters.
  var tierText = 16 << 10
  var jobText: Int? = 1 << 10
  var attemptText: Int? = 256
  var findings = Int.max
  var evidence = 16
  /// Bytes of an observation, and of each of its values.
  var evidenceText = 4 << 10

  static let all = DiagnosisDetail()

  /// The other levels, each much smaller than the one before; at the last one every diagnosis fits.
  static let less = [
    DiagnosisDetail(attempts: 2, jobs: 2048, tierText: 4 << 10, jobText: 256, attemptText: nil, evidenceText: 512),
    DiagnosisDetail(
      attempts: 1, jobs: 1024, tierText: 1 << 10, jobText: nil, attemptText: nil, findings: 100, evidence: 8,
      evidenceText: 256),
    DiagnosisDetail(
      attempts: 1, jobs: 512, tierText: 256, jobText: nil, attemptText: nil, findings: 50, evidence: 4,
      evidenceText: 128),
    DiagnosisDetail(
      attempts: 0, jobs: 256, tierText: 128, jobText: nil, attemptText: nil, findings: 20, evidence: 2, evidenceText: 64
    ),
  ]

  /// The most bytes of an answer: stock clients accept 4 MiB, and what surrounds the answer is small.
  static let limit = 7 << 19

  func shown(_ jobs: [Job], of batch: Batch) -> [Job] {
    // A tier may use what others leave, and each tier shows at least one.
    let others = batch.tiers.reduce(0) { $0 + $1.jobs.count } - jobs.count
    let room = max(self.jobs / max(1, batch.tiers.count), self.jobs - others, 1)
    if jobs.count <= room { return jobs }
    let open = jobs.filter { $0.status != .succeeded }
    let chosen = Set((open + jobs.filter { $0.status == .succeeded }).prefix(room).map(\.id))
    return jobs.filter { chosen.contains($0.id) }
  }

  func shown(_ attempts: [Attempt]) -> [Attempt] {
    if attempts.count <= self.attempts { return attempts }
    return self.attempts < 2
      ? Array(attempts.suffix(self.attempts)) : Array(attempts.prefix(1) + attempts.suffix(self.attempts - 1))
  }

  func cut(_ text: String) -> String { Self.cut(text, to: evidenceText) }

  func cut(_ values: [String: String]) -> [String: String] {
    values.contains { $0.value.utf8.count > evidenceText } ? values.mapValues { cut($0) } : values
  }

  /// The text cut to at most this many bytes of UTF-8, with an ellipsis in place of what is left out.
  static func cut(_ text: String, to bytes: Int) -> String {
    guard text.utf8.count > bytes else { return text }
    let kept = max(0, bytes - "…".utf8.count)
    var end = text.utf8.index(text.startIndex, offsetBy: kept)
    while end > text.startIndex, end.samePosition(in: text.unicodeScalars) == nil { end = text.utf8.index(before: end) }
    return String(text.unicodeScalars[..<end]) + "…"
  }
}

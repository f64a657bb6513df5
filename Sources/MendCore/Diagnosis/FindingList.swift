/// What the rules found, so many as are wanted: a finding beyond that is counted, and not made.
struct FindingList {
  let limit: Int
  private(set) var findings: [Finding] = []
  private(set) var leftOut = 0
  /// Tiers of jobs of which a finding was left out.
  private(set) var tiersLeftOut: Set<Int> = []

  init(limit: Int) { self.limit = limit }

  var isFull: Bool { findings.count >= limit }

  mutating func add(about job: JobID? = nil, _ finding: @autoclosure () -> Finding) {
    if isFull { leaveOut(job) } else { findings.append(finding()) }
  }

  mutating func add(contentsOf more: [Finding]) {
    for finding in more { add(about: finding.job, finding) }
  }

  /// Counts a finding without making it.
  mutating func leaveOut(_ job: JobID?) {
    leftOut += 1
    if let job { tiersLeftOut.insert(job.tier) }
  }
}

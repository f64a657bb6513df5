// Failed documents by what they failed of, and what failed jobs left undone: the `error_summary` of GetBatch.

extension Batch {
  /// By count, most first; each failed document is counted once, in the first job that failed it. A job that failed and
  /// failed no document itself is told with the documents that it left undone.
  func errorSummary(of tallies: [JobID: FailureTally]) -> [ErrorSummary] {
    var merged: [DocumentCode: Entry] = [:]
    for tier in tiers {
      for job in tier.jobs {
        if let tally = tallies[job.id] {
          for code in tally.codes where code.ownCount > 0 {
            merged[code.code, default: Entry()].add(code.ownCount, code.ownFirst) {
              code.causedByAttempt ? code.code.resolution : reading(of: code, job: job).whatToDo
            }
          }
        } else if job.status == .failed, let failure = job.failure {
          let left = job.assigned.subtracting(job.committed)
          if left.isEmpty { continue }
          var first = FirstTen()
          for position in left.prefix(FirstTen.limit) { first.insert(position) }
          let code = DocumentCode.failure(failure.cause)
          merged[code, default: Entry()].add(left.count, first) { code.resolution }
        }
      }
    }
    return merged.map { code, entry in
      ErrorSummary(
        errorType: code, count: entry.count, affected: entry.first.positions,
        // Where jobs say different things of one code, what is true of the code itself.
        resolution: entry.resolutions.count == 1 ? entry.resolutions.first ?? "" : code.resolution)
    }
    .sorted { ($1.count, $0.errorType.rawValue) < ($0.count, $1.errorType.rawValue) }.prefix(Self.errorTypesShown).map(
      \.self)
  }

  /// A worker may use as many codes as it likes.
  private static let errorTypesShown = 64

  private struct Entry {
    var count = 0
    var first = FirstTen()
    var resolutions: Set<String> = []

    mutating func add(_ more: Int, _ positions: FirstTen, resolution: () -> String) {
      count += more
      first.formUnion(positions)
      // Two are as good as many.
      if resolutions.count < 2 { resolutions.insert(resolution()) }
    }
  }
}

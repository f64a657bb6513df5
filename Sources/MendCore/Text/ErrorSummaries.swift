// Failed documents by what they failed of, and what failed jobs left undone: the `error_summary` of GetBatch.

extension Batch {
  /// By count, most first; each failed document is counted once, in the first job that failed it. A job that failed and
  /// failed no document itself is told with the documents that it left undone.
  func errorSummary(of tallies: [JobID: FailureTally]) -> [ErrorSummary] {
    var merged: [String: Entry] = [:]
    for tier in tiers {
      for job in tier.jobs {
        if let tally = tallies[job.id] {
          for code in tally.codes where code.ownCount > 0 {
            merged[code.code, default: Entry()].add(code.ownCount, code.ownFirst) {
              code.causedByAttempt
                ? DiagnosisContext.resolution(for: code.code) : reading(of: code, job: job).whatToDo
            }
          }
        } else if job.status == .failed, let failure = job.failure {
          let left = job.assigned.subtracting(job.committed)
          if left.isEmpty { continue }
          var first = FirstTen()
          for position in left.prefix(FirstTen.limit) { first.insert(position) }
          merged[failure.cause.rawValue, default: Entry()].add(left.count, first) {
            DiagnosisContext.resolution(for: failure.cause.rawValue)
          }
        }
      }
    }
    return merged.map { code, entry in
      ErrorSummary(
        errorType: code, count: entry.count, affected: entry.first.positions,
        // Where jobs say different things of one code, what is true of the code itself.
        resolution: entry.resolutions.count == 1
          ? entry.resolutions.first ?? "" : DiagnosisContext.resolution(for: code))
    }
    .sorted { ($1.count, $0.errorType) < ($0.count, $1.errorType) }.prefix(Self.errorTypesShown).map(\.self)
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

extension DiagnosisContext {
  /// One sentence of what to do about a document error code: the causes' own, and the words that workers use.
  static func resolution(for code: String) -> String {
    switch code {
    case "exit_code": "Read the message, the command's last line on stderr; correct the command or the file, and retry"
    case "signal":
      "The command was killed or crashed; see that it had memory enough, run it on the file by hand, correct it, and retry"
    case "oom": "Give its job more memory where its limit was the bound, or split the file"
    case "entrypoint_not_found": "Install the command where attempts run, or correct its name and PATH, and retry"
    case "bad_input": "Correct the file, and retry"
    case "format_error", "unsupported_format": "Ensure file is in a supported format"
    case "corrupted_file": "Verify file integrity and try uploading again"
    case "not_found", "file_not_found": "Check that the file is still where the document's uri says"
    case "empty_file": "Check that the file was written to its end, replace it, and retry"
    case "permission_denied": "Give the account that attempts run as the right to read the file"
    case "document_errors": "The job ended without saying what became of the file; let it report each one, and retry"
    case "start_timeout": "The job was not started in its window; see that the executor has room, and retry"
    case "heartbeat_timeout", "progress_timeout": "The job hung on the file; look at the file first, then retry"
    case "timeout", "run_timeout": "The time limit ended it; give it a longer one, or split the file, and retry"
    case "batch_timeout": "The batch's timeout ended it; retry what is left, or use a longer timeout"
    case "preemption", "node_failure", "engine_fault", "orphaned": "Not the file's fault: retry"
    case "resource_limit": "A limit on processor time, processes or open files ended it; correct it or raise the limit"
    case "environment_setup": "Correct the job's environment, and retry"
    default: "Read the message and the details, correct the cause, and retry"
    }
  }
}

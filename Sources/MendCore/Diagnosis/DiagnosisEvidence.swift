// Evidence: what was observed, by whom, when, with the figures by name.

extension DiagnosisContext {
  /// What is known of an attempt's end: what was noted then, its exit record, and what the ledger says.
  func evidence(of attempt: Attempt, job: Job, died: Int) -> [Evidence] {
    guard let end = attempt.end else { return [ledger(of: job, at: now)] }
    var evidence = end.evidence
    // What was noted at the end is not repeated.
    if let exit = end.exit.map({ self.evidence(of: $0, attempt: attempt) }),
      !evidence.contains(where: { noted in exit.values.keys.allSatisfy { noted.values[$0] != nil } })
    {
      evidence.append(exit)
    }
    if let receipt = end.receipt, !evidence.contains(where: { $0.values["processes"] != nil }) {
      evidence.append(
        Evidence(
          "\(Figures.count(receipt.processes, "process", "was", "were")) ended: \(receipt.how)",
          by: capacity.traits.measuredBy, at: end.at, values: ["processes": "\(receipt.processes)", "how": receipt.how])
      )
    }
    if attempt.staleReports > 0 {
      evidence.append(
        Evidence(
          "\(Figures.count(attempt.staleReports, "report")) came after its end; none was taken",
          by: .worker, at: now, values: ["stale_reports": "\(attempt.staleReports)"]))
    }
    // As the ledger is now, not at the end.
    evidence.append(ledger(of: job, at: batch.updatedAt, died: died))
    return evidence
  }

  private func evidence(of exit: ExitRecord, attempt: Attempt) -> Evidence {
    var values: [String: String] = [:]
    var observed: String
    switch exit.termination {
    case .exited(let code):
      observed = "exit code \(code)"
      values["exit_code"] = "\(code)"
    case .signalled(let number):
      observed = "ended by \(Figures.signal(number))"
      values["signal"] = "\(number)"
    case .notStarted(let why):
      observed = "not started: \(why)"
      values["error"] = why
    case .unknown(let why):
      observed = "its end was not seen: \(why)"
      values["error"] = why
    }
    if exit.peakMemoryBytes > 0 {
      observed += ", peak memory \(Figures.bytes(exit.peakMemoryBytes))"
      values["peak_memory_bytes"] = "\(exit.peakMemoryBytes)"
    }
    if exit.memoryLimitBytes > 0 {
      observed += ", limit \(Figures.bytes(exit.memoryLimitBytes))"
      values["memory_limit_bytes"] = "\(exit.memoryLimitBytes)"
      if exit.memoryLimitExceeded { values["memory_limit_exceeded"] = "true" }
    }
    if !exit.lastStderrLine.isEmpty {
      observed += "; last line of stderr: \(exit.lastStderrLine)"
      values["last_stderr_line"] = exit.lastStderrLine
    }
    return Evidence(observed, by: capacity.traits.measuredBy, at: exit.at, values: values)
  }

  /// How many of a job's documents are committed, failed and left.
  func ledger(of job: Job, at instant: Instant, died: Int = 0) -> Evidence {
    let left = job.pendingCount + job.processing.count
    var observed =
      "\(job.committed.count) of \(Figures.count(job.assigned.count, "document")) committed, "
      + "\(job.failed.count) failed, \(left) left"
    if died > 0 { observed += "; \(Figures.count(died, "document", "was", "were")) in process at the end" }
    return Evidence(
      observed, by: .ledger, at: instant,
      values: [
        "documents": "\(job.assigned.count)", "documents_committed": "\(job.committed.count)",
        "documents_failed": "\(job.failed.count)", "documents_left": "\(left)",
        "documents_in_process_at_end": "\(died)",
      ])
  }

  /// Silence and progress of a stuck attempt, both checks, and the documents that it holds.
  func evidence(ofStall stuck: StuckAttempt, _ attempt: Attempt, job: Job) -> [Evidence] {
    let timers = job.specified(in: batch)?.timers ?? Timers()
    var evidence: [Evidence] = []
    if stuck.cause == .startTimeout {
      evidence.append(
        Evidence(
          "handed to the executor \(Figures.seconds(now - attempt.intendedAt)) ago, not seen to run", by: .scheduler,
          at: attempt.intendedAt,
          values: [
            "waiting_seconds": Figures.number((now - attempt.intendedAt).inSeconds),
            "window_seconds": Figures.number(attempt.startWindow(timers).inSeconds),
          ]))
    } else {
      evidence.append(
        Evidence(
          "last document or stage \(Figures.seconds(now - stuck.since)) ago", by: .ledger, at: stuck.since,
          values: [
            "idle_seconds": Figures.number((now - stuck.since).inSeconds),
            "progress_seconds": Figures.number(timers.progress.inSeconds),
          ]))
      if batch.owesHeartbeats(attempt, timers) {
        evidence.append(
          Evidence(
            "last sign of life \(Figures.seconds(now - attempt.lastHeartbeatAt)) ago", by: .worker,
            at: attempt.lastHeartbeatAt,
            values: [
              "silence_seconds": Figures.number((now - attempt.lastHeartbeatAt).inSeconds),
              "heartbeat_seconds": Figures.number(timers.heartbeat.inSeconds),
            ]))
      }
    }
    if let activity = attempt.activity { evidence.append(activity.evidence) }
    if let suspected = attempt.suspectedSince {
      evidence.append(
        Evidence(
          "looked stuck \(Figures.seconds(now - suspected)) ago, and still does", by: .clock, at: suspected,
          values: ["suspected_seconds": Figures.number((now - suspected).inSeconds)]))
    }
    if !job.processing.isEmpty {
      evidence.append(
        Evidence(
          "\(Figures.count(job.processing.count, "document", "is", "are")) in process: "
            + names(job.processing.prefix(10)),
          by: .ledger, at: now, values: ["documents_in_process": "\(job.processing.count)"]))
    }
    return evidence
  }

  /// With a capital letter and a full stop; what begins with a code of ours keeps it as it is.
  func sentence(_ text: String) -> String {
    guard let first = text.first else { return text }
    let word = text.prefix { $0 != " " }
    let capital = word.contains("_") || word.last == ":" ? text : first.uppercased() + text.dropFirst()
    return capital.last.map { ".!?".contains($0) } ?? false ? capital : capital + "."
  }
}

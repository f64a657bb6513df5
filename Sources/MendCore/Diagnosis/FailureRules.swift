// Rules about failed attempts and jobs, and about attempts whose executor and ledger disagree.

extension DiagnosisContext {
  /// Per job and cause one finding, about the latest attempt that ended so, with how many did.
  ///
  /// An attempt that a later one made good, and that left no failed document, is history: it stays among the
  /// infrastructure events and is no finding.
  func failedAttempts(_ findings: inout FindingList) {
    forEachJob { _, job in
      var causes: [(cause: FailureCause, count: Int, latest: Attempt)] = []
      for attempt in job.attempts {
        guard let cause = attempt.end?.cause, cause != .documentErrors else { continue }
        if let index = causes.firstIndex(where: { $0.cause == cause }) {
          causes[index].count += 1
          causes[index].latest = attempt
        } else {
          causes.append((cause, 1, attempt))
        }
      }
      // The latest first: it explains the job's present state.
      for (cause, count, latest) in causes.sorted(by: { $0.latest.number > $1.latest.number }) {
        let died = tallies[job.id]?.count(diedOf: cause) ?? 0
        if job.status == .succeeded || job.status == .cancelled, died == 0 { continue }
        findings.add(about: job.id, finding(of: cause, count: count, latest: latest, died: died, job: job))
      }
    }
  }

  private func finding(of cause: FailureCause, count: Int, latest: Attempt, died: Int, job: Job) -> Finding {
    var message = "Attempt \(latest.number) of \(job.title(in: batch)) \(explanation(of: cause, latest, job))"
    if count > 1 { message += "; \(count) of its \(job.attempts.count) attempts ended so" }
    if !job.status.isFinal {
      if let next = job.current {
        message += "; attempt \(next.number) goes on"
      } else if let at = job.nextAttemptAt, at > now {
        message += "; the next attempt starts by itself in \(Figures.seconds(at - now))"
      }
    }
    // A later attempt went further and no failed document is left: nothing is to be done.
    let isPast = died == 0 && latest.number != job.attempts.last?.number
    if isPast, job.status.isFinal { message += "; a later attempt ended otherwise" }
    var confidence = Confidence.medium
    if case .failed(_, let sure)? = latest.end?.verdict { confidence = sure }
    let documents = tallies[job.id]?.codes.first { $0.causedByAttempt && $0.code == .failure(cause) }?.first.positions
    return Finding(
      cause: .failure(cause), confidence: confidence, message: message + ".",
      evidence: evidence(of: latest, job: job, died: died) + batch.sizeEvidence(of: documents ?? [], in: job),
      remedy: isPast ? nil : remedy(for: cause, attempt: latest, job: job),
      tier: job.id.tier, job: job.id, attempt: latest.number, documents: documents ?? [])
  }

  /// A job that failed for a reason that is no attempt's end: nothing was launched, or its documents failed it.
  func failedJobs(_ findings: inout FindingList) {
    forEachJob { _, job in
      guard job.status == .failed, let failure = job.failure else { return }
      let told =
        failure.cause == .documentErrors
        ? tallies[job.id] != nil || job.isDisputed : job.attempts.contains { $0.end?.cause == failure.cause }
      if told { return }
      if findings.isFull { return findings.leaveOut(job.id) }
      findings.add(
        about: job.id,
        Finding(
          cause: .failure(failure.cause), confidence: failure.confidence,
          message: sentence("\(job.title(in: batch)) failed: \(failure.message)"),
          evidence: [ledger(of: job, at: job.completedAt ?? now)],
          remedy: remedy(for: failure.cause, attempt: job.attempts.last, job: job), tier: job.id.tier, job: job.id,
          attempt: job.attempts.last?.number))
    }
  }

  /// Ends about which the executor and the ledger disagree; the finding shows both.
  func disputedEnds(_ findings: inout FindingList) {
    forEachJob { _, job in
      guard job.isDisputed, let attempt = job.attempts.last, let end = attempt.end, let exit = end.exit else { return }
      if findings.isFull { return findings.leaveOut(job.id) }
      let unreported = tallies[job.id]?.codes.first { $0.code == .failure(.documentErrors) }
      let unaccounted = (unreported?.count ?? 0) + job.pendingCount
      let message: String
      if exit.termination == .exited(0) {
        message =
          "\(job.title(in: batch)) ended with exit code 0 in attempt \(attempt.number), and the ledger has "
          + "\(Figures.count(unaccounted, "document")) that it neither committed nor failed"
      } else {
        message =
          "\(job.title(in: batch)) ended badly in attempt \(attempt.number), and the ledger has every one of its "
          + "\(Figures.count(job.committed.count, "document")) committed"
      }
      findings.add(
        about: job.id,
        Finding(
          category: .pipeline, cause: .health(.disputed), confidence: .high, message: sentence(message),
          evidence: evidence(of: attempt, job: job, died: 0),
          remedy: Remedy(
            "See that it reports every document that it claims, then retry tier \(job.id.tier): only what is not "
              + "committed is done again",
            .retry(tier: job.id.tier, jobs: retryJobs(job), Job.Overrides(), .failed)),
          tier: job.id.tier, job: job.id, attempt: attempt.number, documents: unreported?.first.positions ?? []))
    }
  }

  /// Documents that were in process at two failed ends or more.
  func suspectDocuments(_ findings: inout FindingList) {
    forEachJob { _, job in
      let unproven = job.suspects.subtracting(job.committed).subtracting(job.quarantined)
      guard !unproven.isEmpty else { return }
      if findings.isFull { return findings.leaveOut(job.id) }
      let (first, count) = (Array(unproven.prefix(10)), unproven.count)
      let cause = job.attempts.last { $0.end?.mayComeFromADocument == true }?.end?.cause ?? .documentErrors
      let evidence = first.map { position in
        Evidence(
          "\(documentID(position) ?? "document \(position)") was in process when "
            + "\(Figures.count(Int(job.deaths[position]), "attempt")) of \(job.id) died",
          by: .ledger, at: batch.updatedAt,
          values: ["document_id": documentID(position) ?? "", "attempts_ended": "\(job.deaths[position])"])
      }
      findings.add(
        about: job.id,
        Finding(
          cause: .failure(cause),
          // A single suspect is nearly proven; one of many is a hint.
          confidence: count == 1 ? .high : .medium,
          message: "\(names(first)) \(count == 1 ? "is" : "are") suspected of ending attempts of "
            + "\(job.title(in: batch)): in process at two deaths or more.",
          evidence: evidence,
          remedy: Remedy(
            "Run \(job.title(in: batch)) on \(names(first)) by hand, and leave it out of the next batch "
              + "if it cannot be mended"),
          tier: job.id.tier, job: job.id, documents: first))
    }
  }

  /// Documents that are proven to end attempts: an attempt failed with one of them alone in process.
  func quarantinedDocuments(_ findings: inout FindingList) {
    forEachJob { _, job in
      let held = job.quarantined.intersection(job.failed)
      guard !held.isEmpty else { return }
      if findings.isFull { return findings.leaveOut(job.id) }
      let first = Array(held.prefix(10))
      let cause = first.first.flatMap { job.errors[$0]?.code.namedCause } ?? .documentErrors
      let action = "Look at \(names(first)): correct or replace \(held.count == 1 ? "it" : "them")"
      findings.add(
        about: job.id,
        Finding(
          cause: .failure(cause), confidence: .high,
          message: "\(names(first)) \(held.count == 1 ? "ends its" : "end their") attempts of "
            + "\(job.title(in: batch)) (\(cause.rawValue)) and \(held.count == 1 ? "is" : "are") quarantined: left out, so "
            + "that the rest completes.",
          evidence: first.map { batch.quarantineEvidence(of: $0, job: job, at: job.errors[$0]?.at ?? batch.updatedAt) },
          remedy: job.status.isFinal
            ? Remedy(
              "\(action), then retry tier \(job.id.tier): what is quarantined runs again, one at a time",
              .retry(tier: job.id.tier, jobs: retryJobs(job), Job.Overrides(), .failed))
            : Remedy("\(action); a retry takes it in again once the tier has ended"),
          tier: job.id.tier, job: job.id, attempt: first.first.flatMap { job.errors[$0]?.attempt }, documents: first))
    }
  }

  /// Documents that the extractor itself refused, by code.
  func failedDocuments(_ findings: inout FindingList) {
    forEachJob { _, job in
      guard let tally = tallies[job.id] else { return }
      for code in tally.codes {
        // The finding about the attempt covers it.
        if code.causedByAttempt, job.attempts.contains(where: { $0.end?.cause == code.code.cause }) { continue }
        findings.add(about: job.id, documentFinding(code, job: job))
      }
    }
  }
}

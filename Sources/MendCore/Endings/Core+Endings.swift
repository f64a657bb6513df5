// The end of an attempt: what becomes of its documents, and of its job.

extension Core {
  /// An attempt is over and nothing of it runs. What comes twice or late changes nothing.
  mutating func end(_ attempt: AttemptKey, _ report: EndReport) {
    if !index.leftBehind.isEmpty, giveBack(attempt) { return }
    guard index.live.contains(attempt), let place = state(of: attempt) else { return }
    var report = report
    if case .ending(let reason, _) = place { report.ending = reason }
    report.isSupervised = capacities.of(executor(of: attempt.batch)).traits.isSupervised
    report.documentNames = namesInProcess(of: attempt)
    var end = report.end(at: context.now)
    let killer = isolate(attempt, &end)
    settleDocuments(of: attempt, end, killer: killer)
    if let killer, let batch = batches[attempt.batch], let job = batch.tiers[attempt.job] {
      end.evidence.append(batch.quarantineEvidence(of: killer, job: job, at: context.now))
    }
    addLedgerEvidence(of: attempt, to: &end)
    record(.attemptEnded(.init(attempt.id, end)), on: attempt.batch)
    decide(attempt, end, wasEndedFor: report.ending)
    advance(attempt.batch)
  }

  /// What the documents are called that it has in process, of the first few.
  private func namesInProcess(of attempt: AttemptKey) -> [String] {
    guard let batch = batches[attempt.batch], let job = batch.tiers[attempt.job] else { return [] }
    return job.processing.prefix(16).flatMap { batch.documents[$0].names }
  }

  func state(of attempt: AttemptKey) -> Attempt.State? {
    guard let index = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) else { return nil }
    return batches[attempt.batch]?.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[index].state
  }

  /// Notes whether the attempt had suspects in process only, and finds the one document that this end proves.
  private func isolate(_ attempt: AttemptKey, _ end: inout AttemptEnd) -> Int? {
    guard let cause = end.cause, let job = batches[attempt.batch]?.tiers[attempt.job] else { return nil }
    end.isIsolating = end.mayComeFromADocument && job.isIsolating(cause)
    return end.isIsolating && job.processing.count == 1 ? job.processing.next(from: 0) : nil
  }

  /// Documents in process go where the end sends them, before the end itself is recorded.
  private mutating func settleDocuments(of attempt: AttemptKey, _ end: AttemptEnd, killer: Int?) {
    guard let job = batches[attempt.batch]?.tiers[attempt.job] else { return }
    switch end.verdict {
    case .cancelled:
      if !job.processing.isEmpty {
        record(.documentsReleased(.init(attempt.id, job.processing)), on: attempt.batch)
      }
    case .failed(let cause, _):
      failDocuments(
        job.processing, of: attempt, code: .failure(cause), message: end.sentence, causedByAttempt: true,
        killer: killer,
        endedFromOutside: end.isFromOutside)
    case .succeeded:
      let left = job.assigned.subtracting(job.committed).subtracting(job.failed)
      if left.isEmpty { return }
      if job.attempts.last?.isOpaque == true {
        record(.documentsCommitted(.init(attempt.id, left)), on: attempt.batch)
      } else {
        failDocuments(
          left, of: attempt, code: .failure(.documentErrors),
          message: "the attempt exited 0 and had neither committed nor failed it", causedByAttempt: false)
      }
    }
  }

  private mutating func failDocuments(
    _ documents: DocumentSet, of attempt: AttemptKey, code: DocumentCode, message: String, causedByAttempt: Bool,
    killer: Int? = nil, endedFromOutside: Bool = false
  ) {
    if documents.isEmpty { return }
    let error = DocumentError(
      code: code, message: message, attempt: attempt.number, at: context.now, causedByAttempt: causedByAttempt,
      endedFromOutside: endedFromOutside)
    var failed = [Fact.FailedDocuments(documents, error)]
    if let killer, documents.contains(killer) {
      var quarantined = Fact.FailedDocuments(position: killer, error: error)
      quarantined.error.quarantined = true
      failed[0].documents.remove(killer)
      failed = failed[0].documents.isEmpty ? [quarantined] : [failed[0], quarantined]
    }
    record(.documentsFailed(.init(attempt.id, failed)), on: attempt.batch)
  }

  /// Where the executor says failed and the ledger says done, both stand beside each other.
  private func addLedgerEvidence(of attempt: AttemptKey, to end: inout AttemptEnd) {
    guard let job = batches[attempt.batch]?.tiers[attempt.job] else { return }
    let figures = [
      "committed": String(job.committed.count), "failed": String(job.failed.count),
      "assigned": String(job.assigned.count),
    ]
    if case .failed = end.verdict, !job.assigned.isEmpty, job.committed.count == job.assigned.count {
      end.evidence.append(
        Evidence("every document was committed before it ended", by: .ledger, at: context.now, values: figures))
    }
    if end.verdict == .succeeded, !job.failed.isEmpty {
      let unreported = job.errors.count {
        $0.attempt == attempt.number && $0.code == .failure(.documentErrors) && $0.at == context.now
      }
      if unreported > 0 {
        end.evidence.append(
          Evidence(
            "\(unreported) \(unreported == 1 ? "document was" : "documents were") neither committed nor failed when it exited 0",
            by: .ledger, at: context.now,
            values: figures))
      }
    }
  }

  /// What becomes of the job.
  private mutating func decide(_ attempt: AttemptKey, _ end: AttemptEnd, wasEndedFor reason: EndReason?) {
    let key = attempt.batch
    guard let job = batches[key]?.tiers[attempt.job], !job.status.isFinal else { return }
    if job.status == .cancelling {
      record(.jobStatusChanged(.init(job.id, .cancelled, failure: nil, reason: "cancelled by the caller")), on: key)
      return
    }
    switch end.verdict {
    case .succeeded:
      finishAfterSuccess(job, end, on: key)
    case .cancelled:
      // Fenced, or ended by a pause: the job goes on with what is pending.
      let how = reason == .paused ? "ended by the pause" : "fenced"
      goOn(job.id, on: key, reason: "attempt \(attempt.number) was \(how)")
    case .failed(let cause, let confidence):
      // What was ended for being stuck goes on without asking, unless the caller wrote a rule for it.
      if case .healed(let healed) = reason, healed != .nodeFailure,
        specifiedRule(for: job.id, of: key, cause, end.exit) == nil
      {
        goOn(job.id, on: key, reason: "attempt \(attempt.number) was ended for \(healed.rawValue)")
        return
      }
      switch decision(for: job, of: key, after: end, cause) {
      case .retry(let retry):
        self.retry(job, attempt.number, retry, on: key)
      case .ignore:
        ignore(job, attempt, end, on: key)
      case .fail(let why):
        let message = why.isEmpty ? end.sentence : "\(end.sentence) (\(why))"
        let failure = Job.Failure(cause: cause, confidence: confidence, message: message)
        record(.jobStatusChanged(.init(job.id, .failed, failure: failure, reason: cause.rawValue)), on: key)
      }
    }
  }

  /// Pending again without asking the rules; over where nothing is left.
  private mutating func goOn(_ job: JobID, on key: BatchKey, reason: String) {
    if failPastTimeout(job, on: key) { return }
    record(.jobStatusChanged(.init(job, .pending, failure: nil, reason: reason)), on: key)
    finishIfNothingLeft(job, of: key)
  }

  private mutating func finishAfterSuccess(_ job: Job, _ end: AttemptEnd, on key: BatchKey) {
    let unreported = end.evidence.last { $0.observer == .ledger }
    let allFailed = batches[key]?.documentsFailedByAllShards(of: job.id)
    guard let message = unreported?.observed ?? allFailed.map(Batch.allFailed) else {
      record(.jobStatusChanged(.init(job.id, .succeeded, failure: nil, reason: "exit 0")), on: key)
      return
    }
    let failure = Job.Failure(cause: .documentErrors, confidence: .high, message: message)
    record(.jobStatusChanged(.init(job.id, .failed, failure: failure, reason: failure.cause.rawValue)), on: key)
  }

  /// A rule says that this failure does not matter: as after exit 0. What was in process failed with the cause already;
  /// what is left never ran, and nothing of the attempt's end is held against it.
  private mutating func ignore(_ job: Job, _ attempt: AttemptKey, _ end: AttemptEnd, on key: BatchKey) {
    if failPastTimeout(job.id, on: key) { return }
    let left = job.assigned.subtracting(job.committed).subtracting(job.failed)
    if job.attempts.last?.isOpaque == true {
      if !left.isEmpty { record(.documentsCommitted(.init(job.id.attempt(attempt.number), left)), on: key) }
    } else {
      failDocuments(
        left, of: attempt, code: .failure(.documentErrors),
        message: "it was not processed: the attempt ended with \(end.cause?.rawValue ?? ""), which its rule ignores",
        causedByAttempt: false)
    }
    record(
      .jobStatusChanged(
        .init(job.id, .succeeded, failure: nil, reason: "\(end.cause?.rawValue ?? "") ignored by rule")),
      on: key)
  }

  /// The rules start a new attempt: what died with this one gets its second chance.
  private mutating func retry(_ job: Job, _ number: Int, _ retry: RetryDecision.Retry, on key: BatchKey) {
    if failPastTimeout(job.id, on: key) { return }
    let lost = job.errors.documents { $0.causedByAttempt && $0.attempt == number && !$0.quarantined }
    let overrides = Job.Overrides(memoryBytes: retry.memoryBytes)
    let reopened = Fact.RetriedJob(job: job.id, overrides: overrides, reopened: lost)
    record(.retried(.init(tier: job.id.tier, jobs: [reopened], actor: "scheduler", by: .rules)), on: key)
    record(.jobStatusChanged(.init(job.id, .pending, failure: nil, reason: retry.reason)), on: key)
    if finishIfNothingLeft(job.id, of: key) { return }
    record(.nextAttemptScheduled(.init(job.id, at: context.now + jittered(retry.backoff))), on: key)
  }

  /// Up to a quarter less, by the core's generator: jobs that failed together do not come back together. What was drawn
  /// is in the journal.
  private mutating func jittered(_ backoff: Duration) -> Duration {
    let spread = backoff.milliseconds / Self.backoffJitterDivisor
    guard spread > 0 else { return backoff }
    return backoff - .milliseconds(Int64(generator.next() % UInt64(spread + 1)))
  }

  static let backoffJitterDivisor: Int64 = 4
}

extension Attempt {
  /// An entrypoint that never reported: its exit code speaks for its documents.
  var isOpaque: Bool {
    if case .entrypoint = parameters.work { !hasReported } else { false }
  }
}

// What a running job says. Every call shows its attempt's token, and only the current attempt changes anything.

extension Core {
  mutating func take(_ request: WorkerRequest, from call: CallID) {
    guard let attempt = index.tokens[request.token] else {
      perform(.refuse(call, .unknownToken))
      return
    }
    context.worker = attempt
    guard index.live.contains(attempt) else {
      noteStaleReport(of: attempt)
      let refusal = Refusal.aborted(
        "attempt \(attempt.id) is over; what it says is not applied",
        todo: "end this process: the job is over, or another attempt has it")
      perform(.refuse(call, refusal))
      return
    }
    let owed = owed(by: attempt)
    do throws(Refusal) {
      let reply = try answer(request.operation, of: attempt)
      // From now on more is expected of it: its next check comes sooner.
      if self.owed(by: attempt) != owed { watch(attempt) }
      perform(.reply(call, reply))
    } catch {
      perform(.refuse(call, error))
    }
  }

  private mutating func answer(
    _ operation: WorkerRequest.Operation, of attempt: AttemptKey
  ) throws(Refusal) -> Reply {
    switch operation {
    case .start:
      noteLife(of: attempt)
      return try assignment(of: attempt)
    case .claim(let maximum, let id):
      if id.utf8.count > Attempt.claimIDLength {
        throw .invalid(field: "claim_id", rule: "must be at most \(Attempt.claimIDLength) bytes")
      }
      noteLife(of: attempt)
      return claimed(again: id, by: attempt) ?? claim(maximum, id: id, for: attempt)
    case .report(let report):
      if report.id.utf8.count > Attempt.claimIDLength {
        throw .invalid(field: "report_id", rule: "must be at most \(Attempt.claimIDLength) bytes")
      }
      if let answer = try answered(report, of: attempt) {
        noteLife(of: attempt)
        return answer
      }
      // Looked at as a whole first: a refused report changes nothing.
      let results = try sort(report, of: attempt)
      noteLife(of: attempt)
      if report.isBeat { noteBeat(of: attempt) }
      return apply(report, results, of: attempt)
    }
  }

  /// Late reports are refused. A bounded number of them is recorded as evidence.
  private mutating func noteStaleReport(of attempt: AttemptKey) {
    guard let place = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) else { return }
    let known =
      batches[attempt.batch]?.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[place].staleReports ?? 0
    guard known < limits.staleReportsPerAttempt else { return }
    record(.staleReport(attempt.id), on: attempt.batch)
  }

  /// Notes a sign of life, which is no progress. The first one also shows that the attempt runs and reports.
  private mutating func noteLife(of attempt: AttemptKey) {
    guard let place = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) else { return }
    let (tier, job) = (attempt.job.tier, attempt.job.index)
    if batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].hasReported == false {
      if case .intended = state(of: attempt) { noteStart(of: attempt) }
      if case .starting = state(of: attempt) { noteStart(of: attempt) }
      if batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].hasReported == false {
        record(.attemptStarted(attempt.id), on: attempt.batch)
      }
      index.doubtful.remove(attempt)
    }
    batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].lastHeartbeatAt = context.now
    touch(attempt.batch)
  }

  /// Notes what the attempt's worker is known to do.
  private func owed(by attempt: AttemptKey) -> Int {
    guard let place = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) else { return 0 }
    let (tier, job) = (attempt.job.tier, attempt.job.index)
    let hasBeaten = batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].hasBeaten == true
    let tellsDocuments = batches[attempt.batch]?.tiers[tier].jobs[job].attempts[place].tellsDocuments == true
    return (hasBeaten ? 1 : 0) + (tellsDocuments ? 2 : 0)
  }

  /// Records the first heartbeat of an entrypoint's own worker: from then on its silence is a sign of trouble.
  private mutating func noteBeat(of attempt: AttemptKey) {
    guard let current = batches[attempt.batch]?.tiers[attempt.job]?.current, current.number == attempt.number,
      !current.hasBeaten, case .entrypoint = current.parameters.work
    else { return }
    record(.attemptBeat(attempt.id), on: attempt.batch)
  }

  private func assignment(of attempt: AttemptKey) throws(Refusal) -> Reply {
    guard let batch = batches[attempt.batch], let job = batch.tiers[attempt.job], let current = job.current else {
      throw .unknownToken
    }
    let extractor = batch.extractorSpecification(of: attempt.job)
    return .workerStarted(
      .init(
        attempt: attempt, parameters: current.parameters, collectionID: extractor.collectionID,
        heartbeat: max(.milliseconds(100), extractor.timers.heartbeat / 3),
        documentsLeft: job.pendingCount + job.processing.count))
  }

  /// Answers a repeated claim with those of its documents that are still in process; nil for a new claim.
  private func claimed(again id: String, by attempt: AttemptKey) -> Reply? {
    guard !id.isEmpty, let batch = batches[attempt.batch], let job = batch.tiers[attempt.job],
      let place = batch.attemptIndex(attempt.job, attempt.number), !job.attempts[place].state.isEnding,
      let claim = job.attempts[place].claims.last(where: { $0.id == id })
    else { return nil }
    let documents = claim.documents.intersection(job.processing)
    return documents.isEmpty ? nil : .claimed(.init(documents: documents.map { batch.documents[$0] }))
  }

  /// Answers a repeated report as it was answered the first time; nil for a new one.
  private func answered(_ report: WorkerRequest.Report, of attempt: AttemptKey) throws(Refusal) -> Reply? {
    let id = report.id
    guard !id.isEmpty, let job = batches[attempt.batch]?.tiers[attempt.job], attempt.number <= job.attempts.count,
      let answer = job.attempts[attempt.number - 1].reports.last(where: { $0.id == id })
    else { return nil }
    // Either is 0 where it is not known: a server before this one did not keep it.
    guard answer.fingerprint == report.fingerprint || answer.fingerprint == 0 || report.fingerprint == 0 else {
      throw .aborted(
        "report_id \(id) was used for another report of this attempt; this one is not applied",
        todo: "give each report an id of its own")
    }
    return .reported(
      .init(
        accepted: answer.accepted, repeated: answer.repeated, stop: job.attempts[attempt.number - 1].state.isEnding))
  }

  /// Hands out pending documents in order: as many as are asked for, within max_concurrent.
  private mutating func claim(_ maximum: Int, id: String, for attempt: AttemptKey) -> Reply {
    guard state(of: attempt)?.isEnding == false else { return .claimed(.init(isFinished: true)) }
    let key = attempt.batch
    let claimable = claimable(attempt.job, of: key)
    if claimable.pending == 0 {
      // What this attempt has in process may still come back.
      let isFinished = claimable.inProcess == 0
      return .claimed(.init(isFinished: isFinished, retryAfter: isFinished ? nil : limits.claimRetryBusy))
    }
    if status(of: key) != .running {
      noteHeldBack(attempt, claimable.inProcess)
      // It is idle for as long as the pause lasts: others may have what it holds.
      if status(of: key) == .paused, claimable.inProcess == 0 {
        askToEnd(attempt, .paused, grace: limits.defaultGrace)
      }
      return .claimed(.init(retryAfter: limits.claimRetryPaused))
    }
    let wanted = min(max(1, maximum), limits.documentsPerClaim, claimable.pending, claimable.room)
    if wanted <= 0 {
      noteHeldBack(attempt, claimable.inProcess)
      return .claimed(.init(retryAfter: limits.claimRetryBusy))
    }
    guard case .documents(let positions)? = batches[key]?.tiers[attempt.job]?.nextClaim(wanted) else {
      return .claimed(.init(retryAfter: limits.claimRetryBusy))
    }
    record(.documentsClaimed(.init(attempt.id, DocumentSet(positions), id: id)), on: key)
    guard let table = batches[key]?.documents else { return .claimed(.init(isFinished: true)) }
    return .claimed(.init(documents: positions.map { table[$0] }))
  }

  /// Only where it has nothing in process: what it has is its own to move on.
  private mutating func noteHeldBack(_ attempt: AttemptKey, _ inProcess: Int) {
    guard inProcess == 0, let place = batches[attempt.batch]?.attemptIndex(attempt.job, attempt.number) else { return }
    batches[attempt.batch]?.tiers[attempt.job.tier].jobs[attempt.job.index].attempts[place].heldBackAt = context.now
  }

  private func claimable(_ job: JobID, of key: BatchKey) -> (pending: Int, inProcess: Int, room: Int) {
    guard let batch = batches[key], let state = batch.tiers[job] else { return (0, 0, 0) }
    let maximum = batch.specification.maxConcurrent
    if maximum == 0 { return (state.pendingCount, state.processing.count, .max) }
    let inProcess = batch.tiers[job.tier].jobs.reduce(0) { $0 + $1.processing.count }
    return (state.pendingCount, state.processing.count, maximum - inProcess)
  }

  /// A report, sorted into what is new and what was known.
  private struct Results {
    var completed: [Int] = []
    /// Documents that failed alike share an entry.
    var failed: [Fact.FailedDocuments] = []
    var released: [Int] = []
    var repeated = 0
    var accepted: Int { completed.count + failed.reduce(0) { $0 + $1.documents.count } + released.count }
  }

  private func sort(_ report: WorkerRequest.Report, of attempt: AttemptKey) throws(Refusal) -> Results {
    guard let batch = batches[attempt.batch], let job = batch.tiers[attempt.job] else { throw .unknownToken }
    let completed = try positions(report.completed, "completed", batch.documents, job)
    let failed = try positions(report.failed.map(\.documentID), "failed", batch.documents, job)
    let released = try positions(report.released, "released", batch.documents, job)
    let collectionID = batch.extractorSpecification(of: attempt.job).collectionID
    for (number, written) in report.written.enumerated() {
      if written.collectionID != collectionID {
        throw .invalid(field: "written[\(number)].collection_id", rule: "must be \(collectionID), the job's collection")
      }
      if !(0...ValueLimit.count).contains(written.count) {
        throw .invalid(
          field: "written[\(number)].document_count", rule: "must be 0 to \(ValueLimit.count), is \(written.count)")
      }
    }
    var results = Results()
    var seen = Set<Int>(minimumCapacity: completed.count + failed.count)
    for position in completed {
      if job.committed.contains(position) || job.failed.contains(position) || !seen.insert(position).inserted {
        results.repeated += 1
      } else {
        results.completed.append(position)
      }
    }
    var groups: [DocumentError: Int] = [:]
    for (position, failure) in zip(failed, report.failed) {
      if job.committed.contains(position) || job.failed.contains(position) || !seen.insert(position).inserted {
        results.repeated += 1
        continue
      }
      let error = failure.error(attempt: attempt.number, at: context.now)
      if let group = groups[error] {
        results.failed[group].documents.insert(position)
      } else {
        groups[error] = results.failed.count
        results.failed.append(Fact.FailedDocuments(position: position, error: error))
      }
    }
    // What is back already, or done, stays as it is.
    results.released = released.filter { job.processing.contains($0) && seen.insert($0).inserted }
    return results
  }

  private func positions(
    _ ids: [String], _ field: String, _ documents: DocumentTable, _ job: Job
  ) throws(Refusal) -> [Int] {
    var positions: [Int] = []
    positions.reserveCapacity(ids.count)
    var unknown: [String] = []
    var firstUnknown = 0
    for (number, id) in ids.enumerated() {
      if let position = documents.position(of: id), job.assigned.contains(position) {
        positions.append(position)
      } else {
        if unknown.isEmpty { firstUnknown = number }
        if unknown.count < 10 { unknown.append(id.cut(to: Identifier.maximumLength)) }
      }
    }
    if unknown.isEmpty { return positions }
    throw .invalid(
      field: "\(field)[\(firstUnknown)]",
      rule: "must be documents of job \(job.id), and these are not: \(unknown.joined(separator: ", "))")
  }

  private mutating func apply(_ report: WorkerRequest.Report, _ results: Results, of attempt: AttemptKey) -> Reply {
    let (key, job, number) = (attempt.batch, attempt.job, attempt.number)
    if !results.completed.isEmpty {
      record(.documentsCommitted(.init(job.attempt(number), DocumentSet(results.completed))), on: key)
    }
    if !results.failed.isEmpty { record(.documentsFailed(.init(job.attempt(number), results.failed)), on: key) }
    if !results.released.isEmpty {
      record(.documentsReleased(.init(job.attempt(number), DocumentSet(results.released))), on: key)
    }
    if !report.id.isEmpty {
      take(report, results, of: attempt)
    } else {
      if results.repeated > 0 { record(.workRepeated(.init(job.attempt(number), count: results.repeated)), on: key) }
      // A report of nothing but known results is an earlier one again: its times and counts are known, too.
      if results.accepted > 0 || results.repeated == 0 { count(report, of: attempt) }
    }
    let stage = report.stage.cut(to: ReportLimit.stageName)
    if !stage.isEmpty, batches[key]?.tiers[job]?.current?.stage?.name != stage {
      record(.stageEntered(.init(job.attempt(number), name: stage)), on: key)
    }
    return .reported(
      .init(accepted: results.accepted, repeated: results.repeated, stop: state(of: attempt)?.isEnding ?? true))
  }

  /// Records what a report with an id contains beside its results. A heartbeat alone is not recorded.
  private mutating func take(_ report: WorkerRequest.Report, _ results: Results, of attempt: AttemptKey) {
    var taken = TakenReport(
      id: report.id, accepted: results.accepted, repeated: results.repeated, fingerprint: report.fingerprint)
    // Where ids were forgotten, a report of nothing but known results is one of those again.
    if results.accepted > 0 || results.repeated == 0 || !hasForgottenReports(attempt) {
      taken.stageTimings = timings(of: report)
      taken.written = report.written.reduce(0) { min($0 + $1.count, ValueLimit.count) }
    }
    guard taken.accepted > 0 || taken.repeated > 0 || !taken.stageTimings.isEmpty || taken.written > 0 else { return }
    record(.reportTaken(.init(attempt.id, taken)), on: attempt.batch)
  }

  private func hasForgottenReports(_ attempt: AttemptKey) -> Bool {
    guard let job = batches[attempt.batch]?.tiers[attempt.job], attempt.number <= job.attempts.count else {
      return false
    }
    return job.attempts[attempt.number - 1].reports.count >= Attempt.reportsLimit
  }

  private mutating func count(_ report: WorkerRequest.Report, of attempt: AttemptKey) {
    for timing in timings(of: report) {
      record(.stageSpent(.init(attempt.id, name: timing.name, timing.duration)), on: attempt.batch)
    }
    for written in report.written where written.count > 0 {
      record(
        .collectionWritten(.init(attempt.job, collectionID: written.collectionID, count: written.count)),
        on: attempt.batch)
    }
  }

  private func timings(of report: WorkerRequest.Report) -> [Job.StageTotal] {
    report.stageTimings.prefix(ReportLimit.stages).compactMap { timing in
      guard timing.duration > .zero, !timing.name.isEmpty else { return nil }
      return Job.StageTotal(name: timing.name.cut(to: ReportLimit.stageName), duration: timing.duration)
    }
  }
}

/// The most bytes of UTF-8 that are kept of a report's texts. Longer texts are cut, not refused, because a result must
/// not be lost for its message.
enum ReportLimit {
  static let stages = 64
  static let stageName = 128
  static let code = 64
  static let message = 1024
  static let details = 16
}

extension WorkerRequest.Failure {
  fileprivate func error(attempt: Int, at now: Instant) -> DocumentError {
    var kept: [String: String] = [:]
    for (name, value) in details.sorted(by: { $0.key < $1.key }).prefix(ReportLimit.details) {
      kept[name.cut(to: ReportLimit.code)] = value.cut(to: ReportLimit.message)
    }
    return DocumentError(
      code: code.isEmpty ? "unknown" : DocumentCode(rawValue: code.cut(to: ReportLimit.code)),
      message: message.cut(to: ReportLimit.message),
      details: kept, attempt: attempt, at: now)
  }
}

extension String {
  /// The text's beginning, of at most so many bytes of UTF-8, with whole scalars.
  ///
  /// By bytes, for one character may have any number of combining marks.
  fileprivate func cut(to bytes: Int) -> String {
    guard utf8.count > bytes else { return self }
    var end = utf8.index(startIndex, offsetBy: bytes)
    while end > startIndex, end.samePosition(in: unicodeScalars) == nil { end = utf8.index(before: end) }
    return String(unicodeScalars[..<end])
  }
}

extension Job {
  /// The next pending documents, in order, from the cursor on.
  func nextPending(_ wanted: Int) -> [Int] {
    var found = assigned.positions(from: claimCursor, limit: wanted, excluding: committed, failed, processing)
    if found.count < wanted {
      // The cursor is an optimisation: what lies before it is looked at when nothing is left behind it.
      let before = assigned.positions(from: 0, limit: wanted - found.count, excluding: committed, failed, processing)
      found.append(contentsOf: before.filter { $0 < claimCursor })
    }
    return found
  }
}

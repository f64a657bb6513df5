// The ledger: what each extractor did with each document, and the sets over tiers and batch that follow from it.

/// Where one extractor's jobs are among its tier's: document i belongs to its shard i mod shards.
struct ExtractorLayout {
  var firstJob: Int
  var shards: Int

  func job(of position: Int) -> Int { firstJob + position % shards }
}

extension Batch {
  func extractorLayout(of tier: Int) -> [ExtractorLayout] {
    var first = 0
    return specification.tiers[tier].extractors.map { extractor in
      let layout = ExtractorLayout(firstJob: first, shards: max(1, extractor.shards))
      first += layout.shards
      return layout
    }
  }

  mutating func claim(_ positions: DocumentSet, by job: JobID, at now: Instant) {
    let offset = (now - createdAt).milliseconds
    for position in positions {
      guard tiers[job.tier].jobs[job.index].processing.insert(position) else { continue }
      processingCounts[position, default: 0] += 1
      documentTimes.claim(position, offset: offset)
      tiers[job.tier].jobs[job.index].claimCursor = max(tiers[job.tier].jobs[job.index].claimCursor, position + 1)
    }
    moveOn(job, at: now)
  }

  mutating func commit(_ positions: DocumentSet, by job: JobID, at now: Instant) {
    let offset = (now - createdAt).milliseconds
    let started = startOffset(of: job, at: now)
    let layout = extractorLayout(of: job.tier)
    for position in positions {
      leaveProcessing(position, of: job)
      guard tiers[job.tier].jobs[job.index].committed.insert(position) else { continue }
      // Of what was never claimed the attempt's own start is all that is known.
      documentTimes.claim(position, offset: started)
      documentTimes.settle(position, offset: offset)
      tiers[job.tier].jobs[job.index].suspects.remove(position)
      tiers[job.tier].jobs[job.index].quarantined.remove(position)
      settle(position, in: job.tier, layout)
    }
    noteProgress(of: job.tier, results: positions.count, at: now)
    moveOn(job, at: now)
  }

  mutating func fail(_ failed: [Fact.FailedDocuments], by job: JobID, at now: Instant) {
    let offset = (now - createdAt).milliseconds
    let started = startOffset(of: job, at: now)
    var moved = false
    for group in failed {
      for position in group.documents { leaveProcessing(position, of: job) }
      if group.error.causedByAttempt {
        countDeath(of: group.documents, group.error, job)
      } else {
        moved = true
      }
      tiers[job.tier].jobs[job.index].errors.set(group.error, for: group.documents)
      let new = group.documents.subtracting(tiers[job.tier].jobs[job.index].failed)
      for position in new {
        if group.error.isOfItsRun { documentTimes.claim(position, offset: started) }
        documentTimes.settle(position, offset: offset)
      }
      tiers[job.tier].jobs[job.index].failed.formUnion(new)
      tiers[job.tier].failed.formUnion(new)
      failedDocuments.formUnion(new)
    }
    noteProgress(of: job.tier, results: failed.reduce(0) { $0 + $1.documents.count }, at: now)
    // What an attempt's death did to its documents is no sign of life.
    if moved { moveOn(job, at: now) }
  }

  /// Only what may come of a document counts against it.
  private mutating func countDeath(of documents: DocumentSet, _ error: DocumentError, _ job: JobID) {
    if error.endedFromOutside { return }
    guard error.code.namedCause?.mayComeFromADocument == true else { return }
    for position in documents {
      let deaths = tiers[job.tier].jobs[job.index].deaths[position] + 1
      tiers[job.tier].jobs[job.index].deaths[position] = deaths
      if deaths >= Job.suspectDeaths { tiers[job.tier].jobs[job.index].suspects.insert(position) }
    }
    if error.quarantined { tiers[job.tier].jobs[job.index].quarantined.formUnion(documents) }
  }

  mutating func release(_ positions: DocumentSet, by job: JobID) {
    let layout = extractorLayout(of: job.tier)
    for position in positions {
      leaveProcessing(position, of: job)
      reopenFailed(position, of: job, layout)
    }
    lowerCursor(of: job, to: positions.next(from: 0))
  }

  /// Retry: failed, and where asked committed, documents are to do again; and what went on without the job.
  mutating func reopen(_ retried: Fact.RetriedJob, by initiative: Initiative) {
    let job = retried.job
    tiers[job.tier].jobs[job.index].overrides =
      retried.replacesOverrides
      ? retried.overrides : tiers[job.tier].jobs[job.index].overrides.laidUnder(retried.overrides)
    tiers[job.tier].jobs[job.index].nextAttemptAt = nil
    tiers[job.tier].jobs[job.index].runsWithoutDocuments = isContradicted(retried, by: initiative)
    let layout = extractorLayout(of: job.tier)
    for position in tiers[job.tier].jobs[job.index].leftOut { reopenDone(position, in: job.tier) }
    tiers[job.tier].jobs[job.index].leftOut = DocumentSet()
    let before = tiers[job.tier].jobs[job.index].committed.count
    for position in retried.reopened {
      reopenFailed(position, of: job, layout)
      if tiers[job.tier].jobs[job.index].committed.remove(position) { reopenDone(position, in: job.tier) }
    }
    forgetWritten(of: job, committedBefore: before)
    lowerCursor(of: job, to: 0)
  }

  /// What is done again is written again: of what was written, as much as is still committed stands.
  private mutating func forgetWritten(of job: JobID, committedBefore before: Int) {
    let left = tiers[job.tier].jobs[job.index].committed.count
    guard left < before, let written = tiers[job.tier].jobs[job.index].written else { return }
    tiers[job.tier].jobs[job.index].written =
      left == 0 ? nil : written / before * left + written % before * left / before
  }

  private mutating func reopenDone(_ position: Int, in tier: Int) {
    tiers[tier].done.remove(position)
    completedDocuments.remove(position)
  }

  /// Every document is committed, and its last attempt ended badly. To a rule the ledger's word is enough; who retries it
  /// wants to see it end well.
  private func isContradicted(_ retried: Fact.RetriedJob, by initiative: Initiative) -> Bool {
    let job = tiers[retried.job.tier].jobs[retried.job.index]
    return initiative != .rules && job.attempts.last?.end?.cause != nil && retried.reopened.isEmpty
      && !job.assigned.isEmpty && job.committed.count == job.assigned.count
  }

  /// A job was cancelled while others of its tier went on: these documents have what the others made of them.
  mutating func leaveOut(_ documents: DocumentSet, of job: JobID, at now: Instant) {
    tiers[job.tier].jobs[job.index].leftOut.formUnion(documents)
    let layout = extractorLayout(of: job.tier)
    for position in documents { settle(position, in: job.tier, layout) }
    noteProgress(of: job.tier, results: documents.count, at: now)
  }

  /// A tier starts over documents of which an earlier run may have done some: what its jobs' ledgers say holds.
  mutating func keepLedger(of tier: Int) {
    let old = tiers[tier].done.union(tiers[tier].failed)
    tiers[tier].done = DocumentSet()
    tiers[tier].failed = DocumentSet()
    for position in old {
      completedDocuments.remove(position)
      refreshFailed(position)
    }
    for index in tiers[tier].jobs.indices {
      let assigned = tiers[tier].jobs[index].assigned
      tiers[tier].jobs[index].committed.formIntersection(assigned)
      let dropped = tiers[tier].jobs[index].failed.subtracting(assigned)
      tiers[tier].jobs[index].errors.remove(dropped)
      tiers[tier].jobs[index].failed.formIntersection(assigned)
      tiers[tier].failed.formUnion(tiers[tier].jobs[index].failed)
    }
    failedDocuments.formUnion(tiers[tier].failed)
    guard tiers[tier].jobs.contains(where: { !$0.committed.isEmpty }) else { return }
    let layout = extractorLayout(of: tier)
    for position in tiers[tier].handed { settle(position, in: tier, layout) }
  }

  /// A document is done in a tier when every extractor has committed it, or was left out for it, and completed when every
  /// tier has done it.
  private mutating func settle(_ position: Int, in tier: Int, _ layout: [ExtractorLayout]) {
    for extractor in layout {
      let job = extractor.job(of: position)
      guard
        tiers[tier].jobs[job].committed.contains(position) || tiers[tier].jobs[job].leftOut.contains(position)
      else { return }
    }
    tiers[tier].done.insert(position)
    for other in tiers.indices where !tiers[other].done.contains(position) { return }
    completedDocuments.insert(position)
  }

  private mutating func reopenFailed(_ position: Int, of job: JobID, _ layout: [ExtractorLayout]) {
    guard tiers[job.tier].jobs[job.index].failed.remove(position) else { return }
    tiers[job.tier].jobs[job.index].errors.remove(position)
    for extractor in layout where tiers[job.tier].jobs[extractor.job(of: position)].failed.contains(position) { return }
    tiers[job.tier].failed.remove(position)
    refreshFailed(position)
  }

  private mutating func refreshFailed(_ position: Int) {
    for tier in tiers.indices where tiers[tier].failed.contains(position) { return }
    failedDocuments.remove(position)
  }

  private mutating func leaveProcessing(_ position: Int, of job: JobID) {
    guard tiers[job.tier].jobs[job.index].processing.remove(position) else { return }
    let left = processingCounts[position, default: 1] - 1
    processingCounts[position] = left > 0 ? left : nil
  }

  private mutating func lowerCursor(of job: JobID, to position: Int?) {
    guard let position else { return }
    tiers[job.tier].jobs[job.index].claimCursor = min(tiers[job.tier].jobs[job.index].claimCursor, position)
  }

  /// Real progress: a document or a stage moved on.
  mutating func moveOn(_ job: JobID, at now: Instant, withDocuments: Bool = true) {
    lastActivityAt = now
    tiers[job.tier].lastActivityAt = now
    let last = tiers[job.tier].jobs[job.index].attempts.count - 1
    guard last >= 0 else { return }
    tiers[job.tier].jobs[job.index].attempts[last].lastActivityAt = now
    if withDocuments { tiers[job.tier].jobs[job.index].attempts[last].tellsDocuments = true }
  }
}

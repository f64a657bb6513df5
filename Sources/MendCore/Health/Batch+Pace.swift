// How fast a tier goes: the fold of its progress, by its work clock.

extension Tier {
  /// How far the extractor is that has most left to do, of those that still work: a document is through when the last of
  /// them is done with it, though it counts as failed from the first that failed it.
  ///
  /// What a job left undone that is over is nobody's. Costs the tier's jobs.
  var slowest: (settled: Int, left: Int) {
    var slowest: (settled: Int, left: Int)?
    var first = jobs.startIndex
    while first < jobs.endIndex {
      let extractor = jobs[first].extractor
      var (settled, left, isOpen) = (0, 0, false)
      while first < jobs.endIndex, jobs[first].extractor == extractor {
        settled += jobs[first].committed.count + jobs[first].failed.count
        if !jobs[first].status.isFinal {
          isOpen = true
          left += jobs[first].pendingCount + jobs[first].processing.count
        }
        first += 1
      }
      if isOpen, left > slowest?.left ?? -1 { slowest = (settled, left) }
    }
    return slowest ?? (done.count + failed.count, 0)
  }
}

extension Batch {
  /// So many results came: of a document, by one extractor.
  mutating func noteProgress(of tier: Int, results: Int, at now: Instant) {
    guard tiers[tier].curve.isDue(after: results) else { return }
    tiers[tier].curve.note(tiers[tier].slowest.settled, at: tiers[tier].work.elapsed(at: now))
  }

  mutating func restartCurve(of tier: Int, at now: Instant) {
    tiers[tier].curve = ProgressCurve(
      startedAt: tiers[tier].work.elapsed(at: now), settled: tiers[tier].slowest.settled, of: tiers[tier].handed.count)
  }

  /// When the job's latest attempt was started, since the batch was created.
  func startOffset(of job: JobID, at now: Instant) -> Int64 {
    let attempt = tiers[job.tier].jobs[job.index].attempts.last
    return ((attempt?.startedAt ?? attempt?.intendedAt ?? now) - createdAt).milliseconds
  }
}

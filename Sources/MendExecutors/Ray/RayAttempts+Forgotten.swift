internal import MendCore

/// What is left at Ray of batches that are forgotten here. Ray itself keeps a job's record for good, and every list has
/// them all.
extension RayAttempts {
  struct Forgotten: Sendable {
    /// When each was forgotten.
    var batches: [BatchKey: Moment] = [:]
    /// Other batches than `takeForgotten` said last.
    var isChanged = false
    /// Ended jobs of theirs, as the last list has them.
    var toDelete: [String] = []
    var underWay: Set<String> = []
    /// How often Ray refused.
    var refusals: [String: Int] = [:]
  }

  enum Remark: Hashable, Sendable {
    /// Nobody knows what the cluster has.
    case capacityUnknown(RayError)
    /// The record is left where it is.
    case recordStays(id: String, RayError)
    /// More is forgotten than can be seen to: records of this batch stay, and of those that follow it.
    case forgottenInVain(BatchKey)
  }

  /// The batches whose records may still be there, where they have changed since the last time.
  mutating func takeForgotten() -> [BatchKey]? {
    guard forgotten.isChanged else { return nil }
    forgotten.isChanged = false
    return forgotten.batches.keys.sorted()
  }

  /// Records of its jobs are deleted as the next lists show them.
  mutating func forget(_ batch: BatchKey, at now: Moment) {
    guard forgotten.batches.count < settings.forgottenBatches else {
      let isSaid = remarks.contains { if case .forgottenInVain = $0 { true } else { false } }
      if !isSaid { remarks.append(.forgottenInVain(batch)) }
      return
    }
    forgotten.batches[batch] = now
    forgotten.isChanged = true
  }

  /// Somebody has to do with it, so it is another one of the same name.
  mutating func remember(_ batch: BatchKey) {
    guard forgotten.batches.removeValue(forKey: batch) != nil else { return }
    forgotten.toDelete = []
    forgotten.isChanged = true
  }

  mutating func takeRemarks() -> [Remark] {
    defer { remarks = [] }
    return remarks
  }

  mutating func nextDeletion() -> String? {
    guard forgotten.underWay.count < settings.deletionsAtOnce, let id = forgotten.toDelete.popLast() else { return nil }
    forgotten.underWay.insert(id)
    return id
  }

  /// What is to be deleted of all that a list has. Nothing is but what has ended and has this server's own mark.
  mutating func orderDeletions(_ jobs: [String: RayJob]) {
    guard !forgotten.batches.isEmpty else { return }
    forgotten.toDelete = []
    forgotten.refusals = forgotten.refusals.filter { jobs[$0.key] != nil }
    var left: Set<BatchKey> = []
    for (id, job) in jobs where job.type == "SUBMISSION" && job.metadata[RayMetadata.installation] == installation {
      guard let batch = (RaySubmissionID.attempt(id) ?? RayMetadata.attempt(job.metadata))?.batch,
        forgotten.batches[batch] != nil, forgotten.refusals[id] ?? 0 < settings.deletions
      else { continue }
      left.insert(batch)
      if job.status.isFinal, entries[id] == nil, !forgotten.underWay.contains(id) { forgotten.toDelete.append(id) }
    }
    // A list that was asked for before says nothing.
    let asked = lists.askedAt
    let count = forgotten.batches.count
    forgotten.batches = forgotten.batches.filter { left.contains($0.key) || $0.value >= asked }
    if forgotten.batches.count < count { forgotten.isChanged = true }
  }

  mutating func deleted(_ id: String, _ result: Result<Bool, RayError>, at now: Moment) -> [Observation] {
    forgotten.underWay.remove(id)
    switch result {
    case .success:
      return reached(at: now)
    case .failure(.refused(let status, let text)):
      let count = (forgotten.refusals[id] ?? 0) + 1
      forgotten.refusals[id] = count
      if count == settings.deletions {
        remarks.append(.recordStays(id: id, .refused(status: status, text)))
      }
      return []
    case .failure:
      // Nothing that hurries: the next list has them again.
      forgotten.toDelete = []
      return []
    }
  }
}

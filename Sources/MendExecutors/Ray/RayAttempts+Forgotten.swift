internal import MendCore

/// The records at Ray of batches that are forgotten here. Ray keeps them for ever, and every list has them all.
extension RayAttempts {
  struct Forgotten: Sendable {
    /// When each was forgotten.
    var batches: [BatchKey: Moment] = [:]
    /// They have changed since `takeForgotten` returned them.
    var isChanged = false
    /// Their ended jobs in the last list.
    var toDelete: [String] = []
    var underWay: Set<String> = []
    /// How often Ray refused to delete each record.
    var refusals: [String: Int] = [:]
  }

  enum Remark: Hashable, Sendable {
    /// The cluster's capacity is not known.
    case capacityUnknown(RayError)
    /// The record stays at Ray.
    case recordStays(id: String, RayError)
    /// Too many batches are forgotten at once: the records of this one and of later ones stay.
    case forgottenInVain(BatchKey)
  }

  /// Returns the batches whose records may still be there, if they have changed since the last call.
  mutating func takeForgotten() -> [BatchKey]? {
    guard forgotten.isChanged else { return nil }
    forgotten.isChanged = false
    return forgotten.batches.keys.sorted()
  }

  /// Deletes the records of a batch's jobs when the next lists have them.
  mutating func forget(_ batch: BatchKey, at now: Moment) {
    guard forgotten.batches.count < settings.forgottenBatches else {
      let isSaid = remarks.contains { if case .forgottenInVain = $0 { true } else { false } }
      if !isSaid { remarks.append(.forgottenInVain(batch)) }
      return
    }
    forgotten.batches[batch] = now
    forgotten.isChanged = true
  }

  /// Keeps the records of a batch that is in use: it is another one of the same name.
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

  /// Chooses the records of a list to delete: only of jobs that have ended and have this server's mark.
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

/// How far the work on one collection is.
package struct CollectionProgress: Hashable, Sendable {
  package enum Status: String, Sendable {
    case pending, running, completed, failed, cancelled
    /// Its tiers are over, and one of them wrote less than was expected of it.
    case incomplete
  }

  package var id: String
  package var written: Int
  package var expected: Int
  package var status: Status
}

extension Batch {
  /// One entry for each collection, in the order in which tiers and extractors first name it.
  ///
  /// Several extractors of one tier that write into a collection are added up. Several tiers write the same documents
  /// again, so the tier with the most counts, and the collection is complete when each of them is.
  package var collections: [CollectionProgress] {
    var order: [String] = []
    var found: [String: [CollectionTally]] = [:]
    for tier in tiers {
      let extractors =
        specification.tiers.indices.contains(tier.number) ? specification.tiers[tier.number].extractors : []
      for (index, extractor) in extractors.enumerated() {
        if found[extractor.collectionID] == nil { order.append(extractor.collectionID) }
        var tallies = found[extractor.collectionID] ?? []
        if tallies.last?.tier != tier.number { tallies.append(CollectionTally(tier: tier.number, status: tier.status)) }
        tallies[tallies.count - 1].add(tier.jobs.filter { $0.extractor == index }, of: tier, self)
        found[extractor.collectionID] = tallies
      }
    }
    return order.compactMap { id in found[id].map { CollectionProgress(id, $0) } }
  }
}

/// What one tier writes into a collection.
private struct CollectionTally {
  var tier: Int
  var status: TierStatus
  var written = 0
  var expected = 0

  mutating func add(_ jobs: [Job], of tier: Tier, _ batch: Batch) {
    written = written.addingSaturated(jobs.map { $0.written ?? $0.committed.count }.saturatedSum())
    let hasStarted = tier.startedAt != nil && tier.status != .pending
    // What did not fail before will be handed to this tier.
    expected +=
      hasStarted
      ? jobs.reduce(0) { $0 + $1.assigned.count } : max(0, batch.documents.count - batch.failedDocuments.count)
  }
}

extension CollectionProgress {
  fileprivate init(_ id: String, _ tallies: [CollectionTally]) {
    self.id = id
    written = tallies.map(\.written).max() ?? 0
    expected = tallies.map(\.expected).max() ?? 0
    func isAny(_ status: TierStatus) -> Bool { tallies.contains { $0.status == status } }
    status =
      if isAny(.running) {
        .running
      } else if isAny(.failed) {
        .failed
      } else if isAny(.cancelled) {
        .cancelled
      } else if tallies.allSatisfy({ $0.status == .completed }) {
        tallies.contains { $0.written < $0.expected } ? .incomplete : .completed
      } else {
        written > 0 ? .running : .pending
      }
  }
}

import MendCore

/// When which batch is due for a snapshot: after so many facts, or a share of its documents where that is more.
struct SnapshotPlan {
  private let factsPerSnapshot: Int
  /// Facts since the last snapshot; a fact counts more where it names many documents, for folding it costs more.
  private var facts: [BatchKey: Int] = [:]
  /// Over the threshold, as of the last look.
  private var pending: Set<BatchKey> = []

  init(factsPerSnapshot: Int) { self.factsPerSnapshot = factsPerSnapshot }

  /// How far its snapshot is behind is not known: a long journal gets a new one.
  mutating func recovered(_ batch: Batch) {
    facts[batch.key] = Int(clamping: batch.sequence) + batch.documents.count / Self.documentsPerFact
    pending.insert(batch.key)
  }

  /// Documents that cost about as much to fold as one fact.
  private static let documentsPerFact = 8

  /// Batches that are due after these writes. What was due and not ordered comes again with the next ones.
  mutating func due(after writes: [Write], _ batches: [BatchKey: Batch]) -> [BatchKey] {
    for case .record(let record) in writes {
      var weight = 1
      switch record.fact {
      case .documentsAdded(let documents): weight += documents.count / Self.documentsPerFact
      // The first of a large batch comes once it takes no more documents.
      case .batchStatusChanged: pending.insert(record.batch)
      default: break
      }
      if Self.add(weight, to: &facts[record.batch, default: 0]) >= factsPerSnapshot { pending.insert(record.batch) }
    }
    guard !pending.isEmpty else { return [] }
    let due = pending.filter { key in
      guard let batch = batches[key], batch.status != .created else { return false }
      return (facts[key] ?? 0) >= max(factsPerSnapshot, batch.documents.count / 16)
    }
    pending = due
    return due.sorted()
  }

  private static func add(_ weight: Int, to sum: inout Int) -> Int {
    sum += weight
    return sum
  }

  mutating func ordered(_ key: BatchKey) {
    facts[key] = 0
    pending.remove(key)
  }

  mutating func forget(_ key: BatchKey) {
    facts[key] = nil
    pending.remove(key)
  }
}

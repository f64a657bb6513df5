import MendCore

/// The final batches in memory, by the time of their end; bounded in number and in documents.
struct FinalBatches {
  private let batchesLimit: Int
  private let documentsLimit: Int
  private var entries: [(key: BatchKey, documents: Int)] = []
  private var documents = 0

  init(_ settings: RuntimeSettings) {
    batchesLimit = settings.finalBatchesLimit
    documentsLimit = settings.finalDocumentsLimit
  }

  mutating func add(_ key: BatchKey, documents count: Int) {
    entries.append((key: key, documents: count))
    documents += count
  }

  /// Removes and returns the batches that have to leave memory for the bounds to hold, the oldest first.
  ///
  /// - Parameter isThere: whether a batch is in memory and final still: one that left by itself, or lives again, is none of
  ///   them.
  mutating func surplus(isThere: (BatchKey) -> Bool) -> [BatchKey] {
    var surplus: [BatchKey] = []
    var place = 0
    while place < entries.count {
      let (key, count) = entries[place]
      if isThere(key) {
        guard entries.count - place > batchesLimit || documents > documentsLimit else { break }
        surplus.append(key)
      }
      documents -= count
      place += 1
    }
    if place > 0 { entries.removeFirst(place) }
    return surplus
  }
}

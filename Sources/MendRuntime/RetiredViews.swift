import MendCore

/// Views of retired batches, the latest used ones: bounded by their number and by their documents.
struct RetiredViews {
  private struct Entry {
    var box: PublishedViews.Box
    var lastUse: UInt64
  }

  private let viewsLimit: Int
  private let documentsLimit: Int
  private var entries: [BatchKey: Entry] = [:]
  private var documents = 0
  private var uses: UInt64 = 0

  init(viewsLimit: Int, documentsLimit: Int) {
    self.viewsLimit = viewsLimit
    self.documentsLimit = documentsLimit
  }

  mutating func use(_ key: BatchKey) -> PublishedViews.Box? {
    guard entries[key] != nil else { return nil }
    uses += 1
    entries[key]?.lastUse = uses
    return entries[key]?.box
  }

  /// Returns what had to go. A view that is older than the one that is there changes nothing, and one that is larger
  /// than the limit is not kept.
  mutating func insert(_ box: PublishedViews.Box) -> [PublishedViews.Box] {
    let batch = box.view.batch
    if let present = entries[batch.key], present.box.view.batch.sequence > batch.sequence { return [box] }
    var gone: [PublishedViews.Box] = []
    if let old = remove(batch.key) { gone.append(old) }
    guard viewsLimit > 0, batch.documents.count <= documentsLimit else { return gone + [box] }
    while entries.count >= viewsLimit || documents + batch.documents.count > documentsLimit {
      guard let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse }), let old = remove(oldest.key) else {
        break
      }
      gone.append(old)
    }
    uses += 1
    entries[batch.key] = Entry(box: box, lastUse: uses)
    documents += batch.documents.count
    return gone
  }

  mutating func remove(_ key: BatchKey) -> PublishedViews.Box? {
    guard let entry = entries.removeValue(forKey: key) else { return nil }
    documents -= entry.box.view.batch.documents.count
    return entry.box
  }
}

import Logging
import MendCore
import TestSupport
import Testing

@testable import MendRuntime

@Suite("Snapshots, and looks for damage between them")
struct SnapshotterTests {
  /// Tells what it is asked to do. Its first look fails, and the third is the last.
  private final class ToldStore: Store {
    let told = Seen<String>()

    func keepSnapshot(of key: BatchKey, documents: DocumentTable) throws(StoreError) {
      told.add("snapshot \(key.batchID)")
    }

    func lookThrough(from place: Int64) throws(StoreError) -> Int64? {
      let isFirst = told.all.isEmpty
      told.add("look \(place)")
      if isFirst { throw StoreError(operation: "look", message: "the disk is busy") }
      return place < 2 ? place + 1 : nil
    }

    func commit(_ writes: [Write]) throws(StoreError) {}
    func recover(at now: Instant) throws(StoreError) -> Recovery { Recovery(batches: [], idempotency: []) }
    func journal(of batch: BatchKey, after sequence: UInt64) throws(StoreError) -> [Record] { [] }
    func retire(_ batch: BatchKey, entry: BatchListing) throws(StoreError) {}
    func retired(
      namespace: String, status: BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
    ) throws(StoreError) -> [BatchListing] { [] }
  }

  @Test("snapshots that always wait hold no look up, and a look that failed is made again")
  func turns() async throws {
    let store = ToldStore()
    let snapshotter = Snapshotter(limit: 8, store: store, logger: Logger(label: "test"))
    let specification = BatchSpecification(
      tiers: [
        TierSpecification(extractors: [ExtractorSpecification(name: "text", work: .entrypoint("run"), shards: 1)])
      ])
    for id in ["a", "b", "c", "d", "e"] {
      let created = Record(
        batch: BatchKey(namespace: "n", batchID: id), sequence: 1, at: Instant(milliseconds: 0), cause: .caller,
        fact: .batchCreated(specification))
      let batch = try #require(try Batch.folding([created]))
      #expect(snapshotter.order(batch))
    }
    snapshotter.lookForDamage()
    let task = Task { await snapshotter.run { _ in } }
    await store.told.wait(for: 9)
    task.cancel()
    await task.value
    #expect(
      store.told.all == [
        "look 0", "snapshot a", "look 0", "snapshot b", "look 1", "snapshot c", "look 2", "snapshot d", "snapshot e",
      ])
  }
}

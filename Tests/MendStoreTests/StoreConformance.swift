import MendCore
import MendRuntime
import Testing

/// What every store promises. A store passes when each of these does, on a store of its own; `reopen` closes the one
/// and opens what it left behind.
struct StoreConformance {
  var open: () throws -> any Store
  var reopen: (any Store) throws -> any Store

  private let now = Instant(milliseconds: 5_000)

  private func key(_ id: String) -> BatchKey { BatchKey(namespace: "n", batchID: id) }

  private func created(_ id: String) -> Write {
    .record(Record(batch: key(id), sequence: 1, at: now, cause: .caller, fact: .batchCreated(Samples.specification)))
  }

  private func record(_ id: String, _ sequence: UInt64, _ fact: Fact = .batchStatusChanged(.init(.queued, reason: "")))
    -> Write
  {
    .record(Record(batch: key(id), sequence: sequence, at: now, cause: .worker, fact: fact))
  }

  private func records(_ writes: [Write], of id: String) -> [Record] {
    writes.compactMap { if case .record(let record) = $0, record.batch == key(id) { record } else { nil } }
  }

  func keepsEverythingOverReopening() throws {
    var store = try open()
    var writes = [created("b")]
    for (index, fact) in Samples.facts.dropFirst().enumerated() { writes.append(record("b", UInt64(index) + 2, fact)) }
    for write in writes { try store.commit([write]) }
    var life = [created("c")]
    for (index, fact) in Samples.life.enumerated() { life.append(record("c", UInt64(index) + 2, fact)) }
    try store.commit(life)
    store = try reopen(store)
    #expect(try store.journal(of: key("b"), after: 0) == records(writes, of: "b"))
    let batch = try #require(try Batch.folding(records(life, of: "c")))
    let recovery = try store.recover(at: now)
    #expect(recovery.batches == [batch])
    // One fact of each kind is no batch's life.
    #expect(recovery.setAside.map(\.batch) == [key("b")])
    #expect(try store.batch(key("c")) == batch)
    #expect(try store.batches([key("x"), key("c")]) == [nil, batch])
    let error = #expect(throws: StoreError.self) { try store.batches([key("c"), key("b")]) }
    #expect(error?.damaged == key("b"))
    // And goes on where it was.
    try store.commit([record("c", UInt64(life.count) + 1)])
    #expect(try store.journal(of: key("c"), after: 0).count == life.count + 1)
  }

  func keepsTheOrderOfInterleavedBatches() throws {
    var store = try open()
    var all: [Write] = []
    for round in 0..<5 {
      var writes: [Write] = []
      for id in ["a", "b", "c"] {
        let first = UInt64(round) * 2 + 1
        writes.append(round == 0 ? created(id) : record(id, first))
        writes.append(record(id, first + 1))
      }
      writes.swapAt(1, 2)
      try store.commit(writes)
      all += writes
    }
    store = try reopen(store)
    for id in ["a", "b", "c"] { #expect(try store.journal(of: key(id), after: 0) == records(all, of: id)) }
    let recovered = try store.recover(at: now).batches
    #expect(try Set(recovered) == Set(["a", "b", "c"].compactMap { try Batch.folding(records(all, of: $0)) }))
  }

  func givesAJournalAfterASequence() throws {
    let store = try open()
    try store.commit([created("b"), record("b", 2), record("b", 3)])
    try store.commit([record("b", 4)])
    try store.commit([record("b", 5), record("b", 6)])
    for after in 0...6 {
      #expect(try store.journal(of: key("b"), after: UInt64(after)).map(\.sequence) == Array(UInt64(after + 1)..<7))
    }
    #expect(try store.journal(of: key("b"), after: 1000).isEmpty)
    #expect(try store.journal(of: key("b"), after: .max).isEmpty)
    #expect(try store.journal(of: key("unknown"), after: 0).isEmpty)
    #expect(try store.journal(of: BatchKey(namespace: "other", batchID: "b"), after: 0).isEmpty)
  }

  func writesAllOrNothing() throws {
    var store = try open()
    try store.commit([created("a")])
    // The last one leaves a gap.
    let entry = IdempotencyEntry(
      namespace: "n", key: "k", fingerprint: 1, batchID: "b", reply: nil, expires: now + .seconds(60))
    #expect(throws: StoreError.self) {
      try store.commit([created("b"), .idempotency(entry), record("a", 2), record("a", 4)])
    }
    // A repeat is as wrong as a gap.
    #expect(throws: StoreError.self) { try store.commit([record("a", 1)]) }
    #expect(try store.journal(of: key("a"), after: 0).count == 1)
    #expect(try store.journal(of: key("b"), after: 0).isEmpty)
    try store.commit([record("a", 2), created("b")])
    store = try reopen(store)
    let recovery = try store.recover(at: now)
    #expect(recovery.batches.map(\.sequence).sorted() == [1, 2])
    #expect(recovery.idempotency.isEmpty)
  }

  func remembersKeysUntilTheyExpire() throws {
    var store = try open()
    let entries = Samples.replies.enumerated().map { index, reply in
      IdempotencyEntry(
        namespace: "n", key: "k\(index)", fingerprint: .max - UInt64(index), batchID: "b", reply: reply,
        expires: Instant(milliseconds: 10_000 + Int64(index) * 1000))
    }
    let bare = IdempotencyEntry(
      namespace: "m", key: "k0", fingerprint: 0, batchID: "", reply: nil, expires: Instant(milliseconds: 90_000))
    try store.commit(entries.map { .idempotency($0) } + [.idempotency(bare)])
    store = try reopen(store)
    #expect(try store.recover(at: Instant(milliseconds: 9_999)).idempotency == entries + [bare])
    #expect(try store.recover(at: Instant(milliseconds: 11_000)).idempotency == entries.dropFirst(2) + [bare])
    #expect(try store.recover(at: Instant(milliseconds: 90_000)).idempotency.isEmpty)
  }

  func retiresWithoutForgetting() throws {
    var store = try open()
    try store.commit([created("a"), created("b"), record("b", 2)])
    try store.retire(key("b"), entry: Samples.listing("b"))
    store = try reopen(store)
    #expect(try store.recover(at: now).batches.map(\.key) == [key("a")])
    #expect(try store.journal(of: key("b"), after: 0).count == 2)
    // May be said again.
    try store.retire([Samples.listing("b", status: .failed), Samples.listing("a")])
    #expect(try store.recover(at: now).batches.isEmpty)
    let listed = try store.retired(namespace: "n", status: nil, bucketID: nil, before: nil, limit: 10)
    #expect(listed == [Samples.listing("b", status: .failed), Samples.listing("a")])
    #expect(throws: StoreError.self) { try store.retire(key("unknown"), entry: Samples.listing("unknown")) }
  }

  func bringsARetiredBatchBackToLife() throws {
    var store = try open()
    try store.commit([created("b"), record("b", 2)])
    try store.retire(key("b"), entry: Samples.listing("b"))
    store = try reopen(store)
    #expect(throws: StoreError.self) { try store.commit([created("b")]) }
    try store.commit([record("b", 3)])
    #expect(try store.retired(namespace: "n", status: nil, bucketID: nil, before: nil, limit: 10).isEmpty)
    store = try reopen(store)
    #expect(try store.recover(at: now).batches.map(\.sequence) == [3])
    try store.retire(key("b"), entry: Samples.listing("b", status: .cancelled))
    let listed = try store.retired(namespace: "n", status: nil, bucketID: nil, before: nil, limit: 10)
    #expect(listed.map(\.status) == [.cancelled])
  }

  func listsRetiredBatchesInPages() throws {
    let store = try open()
    var expected: [BatchListing] = []
    for index in 0..<25 {
      // Pairs share a time: the id decides.
      let listing = Samples.listing(
        "b\(10 + index)", createdAt: 1000 + Int64(index / 2), status: index % 3 == 0 ? .failed : .completed,
        bucketID: index % 5 == 0 ? "five" : "other")
      try store.commit([created(listing.key.batchID)])
      expected.insert(listing, at: 0)
    }
    try store.retire(expected)
    let foreign = BatchKey(namespace: "m", batchID: "b10")
    try store.commit([
      .record(Record(batch: foreign, sequence: 1, at: now, cause: .caller, fact: .batchCreated(Samples.specification)))
    ])
    try store.retire(foreign, entry: Samples.listing("b10", namespace: "m"))

    func pages(_ status: BatchStatus?, _ bucketID: String?, limit: Int) throws -> [BatchListing] {
      var all: [BatchListing] = []
      var cursor: ListCursor?
      while true {
        let page = try store.retired(namespace: "n", status: status, bucketID: bucketID, before: cursor, limit: limit)
        #expect(page.count <= limit)
        all += page
        guard let last = page.last else { return all }
        cursor = ListCursor(createdAt: last.createdAt, batchID: last.key.batchID)
      }
    }
    for limit in [1, 4, 25, 100] { #expect(try pages(nil, nil, limit: limit) == expected) }
    #expect(try pages(.failed, nil, limit: 2) == expected.filter { $0.status == .failed })
    #expect(try pages(nil, "five", limit: 2) == expected.filter { $0.bucketID == "five" })
    #expect(
      try pages(.failed, "five", limit: 1) == expected.filter { $0.status == .failed && $0.bucketID == "five" })
    #expect(try pages(.cancelled, nil, limit: 3).isEmpty)
  }

  func keepsTheLatestStartsOfEachSlot() throws {
    var store = try open()
    let first = StartHistory(slot: 3, shape: .max, samples: [1, 2_000_000], cursor: 1)
    let other = StartHistory(slot: 0, shape: 7, samples: [5])
    let taken = StartHistory(slot: 3, shape: 8, samples: [9, 10], cursor: 0)
    try store.commit([created("b"), .start(first)])
    try store.commit([.start(other), .start(first)])
    try store.commit([.start(taken)])
    store = try reopen(store)
    #expect(try store.recover(at: now).starts == [other, taken])
  }

  func takesLargeBatches() throws {
    var store = try open()
    let documents = (0..<50_000).map { Document(id: "d\($0)", uri: "file:///data/\($0).pdf", size: Int64($0)) }
    try store.commit([
      created("b"), record("b", 2, .documentsAdded(documents)), record("b", 3),
      record("b", 4, .documentsAdded(documents)), record("b", 5),
    ])
    store = try reopen(store)
    let journal = try store.journal(of: key("b"), after: 1)
    #expect(journal.map(\.sequence) == [2, 3, 4, 5])
    #expect(journal.first?.fact == .documentsAdded(documents))
  }
}

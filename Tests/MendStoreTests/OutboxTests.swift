import Foundation
import GRDB
import MendCore
import MendJournal
import MendRuntime
import TestSupport
import Testing

@testable import MendStore

/// The outbox, retention, and histories in pages.
@Suite struct OutboxTests {
  let directory: TemporaryDirectory
  let key = BatchKey(namespace: "n", batchID: "b")
  let now = Instant(milliseconds: 1000)

  init() throws { directory = try TemporaryDirectory() }

  func open() throws -> SQLiteStore { try SQLiteStore(directory: directory.path) }

  func created(_ id: String) -> Write {
    .record(
      Record(
        batch: BatchKey(namespace: "n", batchID: id), sequence: 1, at: now, cause: .caller, actor: "ann",
        fact: .batchCreated(Samples.specification)))
  }

  func notification(_ sequence: UInt64, at: Int64) -> MendCore.Notification {
    MendCore.Notification(
      batch: key, sequence: sequence, kind: .stuck, at: Instant(milliseconds: at), batchName: "x", status: .running,
      health: .stuck, reason: .noProgress, message: "it does not move",
      progress: ProgressCounts(completed: 1, failed: 2, pending: 3, processing: 4, total: 10))
  }

  @Test("a notification stays in the outbox until the fact that it was settled, over a restart too")
  func outbox() throws {
    var store = try open()
    let (first, second) = (notification(1, at: 1000), notification(2, at: 2000))
    try store.commit([created("b"), .notification(second), .notification(first)])
    try store.close()
    store = try open()
    #expect(try store.outboxState() == OutboxState(count: 2, next: first.at))
    #expect(try store.notifications(dueAt: Instant(milliseconds: 1500), limit: 9).map(\.notification) == [first])
    #expect(try store.notifications(dueAt: .distantFuture, limit: 9).map(\.notification) == [first, second])
    #expect(try store.notifications(dueAt: .distantFuture, limit: 1).count == 1)
    try store.putOff(first.eventID, attempts: 3, until: Instant(milliseconds: 5000))
    let waiting = try store.notifications(dueAt: .distantFuture, limit: 9)
    #expect(waiting.map(\.notification) == [second, first] && waiting.map(\.attempts) == [0, 3])
    let outcome = NotificationOutcome(eventID: second.eventID, delivered: true, attempts: 1, detail: "status 200")
    try store.commit([
      .record(Record(batch: key, sequence: 2, at: now, cause: .notifier, fact: .notificationSettled(outcome)))
    ])
    #expect(try store.notifications(dueAt: .distantFuture, limit: 9).map(\.notification) == [first])
    #expect(try store.journal(of: key, after: 0).first?.actor == "ann")
    try store.close()
  }

  @Test("what batches that are left out have to say takes no place from others', and nobody waits for it")
  func leftOut() throws {
    let store = try open()
    var other = notification(1, at: 500)
    other.batch.batchID = "c"
    let others = (1...9).map { notification(UInt64($0), at: Int64($0)) }
    try store.commit([created("b"), created("c"), .notification(other)] + others.map { .notification($0) })
    #expect(try store.notifications(dueAt: now, limit: 2, except: [key]).map(\.notification) == [other])
    #expect(try store.outboxState(except: [key]) == OutboxState(count: 1, next: other.at))
    #expect(try store.outboxState(except: [key, other.batch]) == OutboxState(count: 0, next: nil))
    #expect(try store.outboxState() == OutboxState(count: 10, next: Instant(milliseconds: 1)))
    try store.close()
  }

  @Test("a batch that is forgotten leaves no crash behind, its number is not used again; one that is set aside is kept")
  func nothingLeftBehind() throws {
    var store = try open()
    let old = BatchKey(namespace: "n", batchID: "old")
    let new = BatchKey(namespace: "n", batchID: "new")
    try store.commit([created("b"), created("old")])
    try store.retire([Samples.listing("b"), Samples.listing("old")])
    #expect(try store.noteCrash(of: old, signal: 11, at: now) == 1)
    try store.close()
    #expect(try JournalDoctor(directory: directory.path, version: "1").setAside(key, at: now, reason: "an order"))
    store = try open()
    #expect(try store.prune(finishedBefore: .distantFuture, limit: 9) == [old])
    #expect(try store.prune(finishedBefore: .distantFuture, limit: 9).isEmpty)
    try store.close()
    store = try open()
    try store.commit([created("new")])
    #expect(try store.noteCrash(of: new, signal: 11, at: now) == 1)
    try store.close()
    store = try open()
    let recovery = try store.recover(at: now)
    #expect(recovery.batches.map(\.key) == [new] && recovery.setAside.map(\.batch) == [key])
    #expect(recovery.losses.isEmpty, "\(recovery.losses)")
    try store.close()
  }

  @Test("a notification that this version cannot read waits for one that can, is said, and takes no place from others")
  func ofALaterVersion() throws {
    var store = try open()
    let others = (1...3).map { notification(UInt64($0), at: Int64($0)) }
    try store.commit([created("b")] + others.map { .notification($0) })
    try store.pool.write { database in
      let row = try #require(
        try Row.fetchOne(database, sql: "SELECT id, event_id, payload FROM outbox ORDER BY next_at"))
      var payload = row.bytes(2)
      let place = try #require(payload.indices.first { payload[$0...].starts(with: "stuck".utf8) })
      payload.replaceSubrange(place..<place + 5, with: "moved".utf8)
      let sum = RowSum.notification(payload, of: key, eventID: row.text(1), attempts: 0, nextAt: 1)
      try database.execute(
        sql: "UPDATE outbox SET payload = ?, checksum = ? WHERE id = ?",
        arguments: [Data(payload), sum, row.integer(0)])
    }
    for isFirstLook in [true, false] {
      let found = try store.notifications(dueAt: .distantFuture, limit: isFirstLook ? 9 : 2)
      #expect(found.map(\.notification) == Array(others.dropFirst()))
      #expect(try store.outboxState() == OutboxState(count: 2, next: others[1].at))
    }
    #expect(store.takeLosses().count { $0.contains("cannot read") } == 1)
    try store.close()
    store = try open()
    #expect(try store.recover(at: now).losses.contains { $0.contains("cannot read") })
    #expect(try store.outboxState().count == 2)
    #expect(try store.pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM outbox") } == 3)
    try store.close()
  }

  @Test("a commit that fails leaves nothing in the outbox")
  func atomic() throws {
    let store = try open()
    let gap = Write.record(Record(batch: key, sequence: 9, at: now, cause: .clock, fact: Samples.facts[2]))
    #expect(throws: StoreError.self) { try store.commit([.notification(notification(1, at: 1)), gap]) }
    #expect(try store.outboxState() == OutboxState(count: 0, next: nil))
    try store.close()
  }

  @Test("finished batches are forgotten when their time is over, the oldest first, and nothing else is")
  func retention() throws {
    var store = try open()
    let ids = ["a", "b", "c", "d"]
    try store.commit(ids.map { created($0) } + [.notification(notification(1, at: 1))])
    for (index, id) in ids.dropLast().enumerated() {
      var listing = Samples.listing(id)
      listing.completedAt = Instant(milliseconds: Int64(index + 1) * 1000)
      try store.retire([listing])
    }
    #expect(try store.prune(finishedBefore: Instant(milliseconds: 1000), limit: 9).isEmpty)
    #expect(try store.prune(finishedBefore: Instant(milliseconds: 3000), limit: 1).map(\.batchID) == ["a"])
    #expect(try store.prune(finishedBefore: Instant(milliseconds: 3000), limit: 9).map(\.batchID) == ["b"])
    #expect(try store.outboxState().count == 0)
    #expect(try store.journal(of: key, after: 0).isEmpty)
    #expect(try store.batch(key) == nil)
    try store.close()
    store = try open()
    #expect(try store.recover(at: now).batches.map(\.key.batchID) == ["d"])
    #expect(
      try store.retired(namespace: "n", status: nil, bucketID: nil, before: nil, limit: 9).map(\.key.batchID) == ["c"])
    // The name is free again.
    try store.commit([created("b")])
    #expect(try store.journal(of: key, after: 0).count == 1)
    try store.close()
  }

  @Test("a batch that somebody is still tried to be told of is not forgotten, however short its time is")
  func retentionOfWhatWaits() throws {
    let store = try open()
    var other = notification(1, at: 1)
    other.batch.batchID = "bb"
    try store.commit([created("b"), created("bb"), .notification(notification(1, at: 1)), .notification(other)])
    for id in ["b", "bb"] {
      var listing = Samples.listing(id)
      listing.completedAt = Instant(milliseconds: 1000)
      try store.retire([listing])
    }
    // It failed, and is tried again later than what is forgotten now.
    try store.putOff(notification(1, at: 1).eventID, attempts: 1, until: Instant(milliseconds: 9000))
    #expect(try store.prune(finishedBefore: Instant(milliseconds: 3000), limit: 9).map(\.batchID) == ["bb"])
    #expect(try store.outboxState().count == 1)
    // Nobody tries any more.
    #expect(try store.prune(finishedBefore: Instant(milliseconds: 9001), limit: 9).map(\.batchID) == ["b"])
    #expect(try store.outboxState().count == 0)
    try store.close()
  }

  @Test("a journal is read in pages from anywhere")
  func pages() throws {
    let store = try open()
    try store.commit([created("b")])
    for start in stride(from: UInt64(2), to: 50, by: 4) {
      try store.commit(
        (start..<start + 4).map {
          .record(
            Record(
              batch: key, sequence: $0, at: now, cause: .clock,
              fact: .batchStatusChanged(.init(.paused, reason: "\($0)"))))
        })
    }
    let all = try store.journal(of: key, after: 0)
    #expect(all.count == 49)
    for after in [0, 1, 2, 7, 47, 48, 49] {
      for limit in [1, 3, 100] {
        let page = try store.journal(of: key, after: UInt64(after), limit: limit)
        #expect(page == Array(all.dropFirst(after).prefix(limit)))
      }
    }
    #expect(try store.journal(of: BatchKey(namespace: "m", batchID: "b"), after: 0, limit: 5).isEmpty)
    #expect(try Record(journalBytes: all[3].journalBytes, of: key) == all[3])
    #expect(throws: FormatFault.self) { try Record(journalBytes: [255, 1], of: key) }
    try store.close()
  }
}

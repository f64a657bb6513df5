import Foundation
import GRDB
@testable import MendCore
import MendRuntime
import TestSupport
import Testing

@testable import MendStore

@Suite("Rows beside batches' records, and rows that are lost: found, told, and served by nobody")
struct DamagedRowsTests {
  private let directory: TemporaryDirectory
  private let now = Instant(milliseconds: 5_000)

  init() throws { directory = try TemporaryDirectory() }

  private var file: String { directory.path + "/journal.sqlite" }

  private func open() throws -> SQLiteStore { try SQLiteStore(directory: directory.path) }

  private func key(_ id: String) -> BatchKey { BatchKey(namespace: "n", batchID: id) }

  /// Three batches of four records, a commit each; `b` is finished.
  private func fill() throws {
    let store = try open()
    for sequence in 1...4 { for id in ["a", "b", "c"] { try store.commit([Samples.write(id, UInt64(sequence))]) } }
    try store.retire(key("b"), entry: Samples.listing("b"))
    try store.close()
  }

  private func change(_ sql: String) throws {
    let queue = try DatabaseQueue(path: file)
    try queue.write { try $0.execute(sql: sql) }
    try queue.close()
  }

  private func recovered() throws -> (Recovery, SQLiteStore) {
    let store = try open()
    return (try store.recover(at: now), store)
  }

  /// A start does not read finished batches: a look at them finds the damage, says it once, and the next start mends it.
  private func recoveredAfterALook(_ what: String) throws -> (Recovery, SQLiteStore) {
    let (recovery, store) = try recovered()
    #expect(recovery.losses.isEmpty)
    try store.lookThrough()
    #expect(store.takeLosses().contains { $0.contains(what) })
    try store.close()
    return try recovered()
  }

  @Test(
    "a listing with a flipped bit, wherever it is, is made anew from its batch's journal, and said",
    arguments: [
      "listing = x'0801' || substr(listing, 3)", "created_at = created_at + 1024", "status = 3", "bucket_id = 'other'",
      "completed_at = completed_at - 4", "last = last + 8", "retired = 3",
    ])
  func listing(_ damage: String) throws {
    try fill()
    try change("UPDATE batches SET \(damage) WHERE batch_id = 'b'")
    let report = try JournalDoctor(directory: directory.path, version: "1").examine()
    #expect(report.faults.contains { $0.contains("n/b") } || damage.hasPrefix("retired"), "\(report)")
    let (recovery, store) = try recoveredAfterALook("n/b")
    let isLong = damage.hasPrefix("last")
    #expect(recovery.losses.contains { $0.contains("n/b") })
    #expect(Set(recovery.batches.map(\.key.batchID)) == (isLong ? ["a", "c"] : ["a", "b", "c"]))
    #expect(recovery.setAside.map(\.batch.batchID) == (isLong ? ["b"] : []))
    #expect(try store.retired(namespace: "n", status: nil, bucketID: nil, before: nil, limit: 9).isEmpty)
    guard !isLong else { return }
    try store.retire([Samples.listing("b")])
    #expect(
      try store.retired(namespace: "n", status: nil, bucketID: nil, before: nil, limit: 9) == [Samples.listing("b")])
    try store.close()
    let (later, again) = try recovered()
    try again.lookThrough()
    #expect(later.losses.isEmpty && again.takeLosses().isEmpty)
  }

  @Test("the newest batches that a page had are missed, and no later one takes a number of theirs")
  func lostBatches() throws {
    try fill()
    try change("DELETE FROM batches WHERE batch_id IN ('b', 'c')")
    let report = try JournalDoctor(directory: directory.path, version: "1").examine()
    #expect(report.faults.contains { $0.hasPrefix("2 batches are missing") }, "\(report.faults)")
    for _ in 0..<2 {
      let (recovery, store) = try recovered()
      try store.lookThrough()
      let told = recovery.losses + store.takeLosses()
      #expect(told.contains { $0.hasPrefix("2 batches are missing") }, "\(told)")
      try store.close()
    }
    let store = try open()
    try store.commit([Samples.write("d", 1)])
    #expect(try store.batch(key("d"))?.sequence == 1)
    try store.close()
    _ = try JournalDoctor(directory: directory.path, version: "1").rebuild(at: now)
    let (recovery, again) = try recovered()
    #expect(recovery.losses.isEmpty, "\(recovery.losses)")
    // Rows of the lost ones stood behind `a`'s last, and whose they were is not known.
    #expect(recovery.batches.map(\.key.batchID) == ["d"] && recovery.setAside.map(\.batch.batchID) == ["a"])
    try again.close()
  }

  @Test("a live batch that a flipped bit calls finished is live")
  func calledFinished() throws {
    try fill()
    try change("UPDATE batches SET retired = 1 WHERE batch_id = 'a'")
    let (recovery, store) = try recovered()
    #expect(recovery.batches.map(\.key.batchID) == ["a", "c"] && !recovery.losses.isEmpty)
    try store.commit([Samples.write("a", 5)])
    #expect(try store.journal(of: key("a"), after: 0).count == 5)
  }

  @Test("a damaged notification is sent to nobody, is said, and stops no other")
  func notification() throws {
    try fill()
    var store = try open()
    let notifications = (1...3).map { number in
      MendCore.Notification(
        batch: key("a"), sequence: UInt64(number), kind: .stuck, at: now, batchName: "x", status: .running,
        health: .stuck, reason: .noProgress, message: "it does not move",
        progress: ProgressCounts(completed: 1, failed: 2, pending: 3, processing: 4, total: 10))
    }
    for damage in [
      "payload = substr(payload, 1, 8) || x'00' || substr(payload, 10)", "next_at = 0", "attempts = 64",
      "batch_id = 'c'",
    ] {
      try store.commit(notifications.map { .notification($0) })
      try store.close()
      try change("UPDATE outbox SET \(damage) WHERE event_id = '\(notifications[1].eventID)'")
      let (recovery, again) = try recovered()
      store = again
      #expect(recovery.losses.count == 1, "\(recovery.losses)")
      #expect(
        try store.notifications(dueAt: .distantFuture, limit: 9).map(\.notification) == [
          notifications[0], notifications[2],
        ])
      #expect(try store.outboxState().count == 2)
      try store.putOff(notifications[0].eventID, attempts: 2, until: now)
      #expect(try store.notifications(dueAt: .distantFuture, limit: 9).map(\.attempts) == [2, 0])
    }
    // Found while it serves.
    try store.pool.write { try $0.execute(sql: "UPDATE outbox SET attempts = 7 WHERE event_id LIKE '%.1'") }
    #expect(try store.notifications(dueAt: .distantFuture, limit: 9).count == 1)
    #expect(store.takeLosses().count == 1 && store.takeLosses().isEmpty)
    #expect(try store.outboxState().count == 1)
  }

  @Test("an answer with a flipped bit is given to nobody, and said")
  func answer() throws {
    try fill()
    let store = try open()
    for name in ["k1", "k2"] {
      try store.commit([
        .idempotency(
          IdempotencyEntry(
            namespace: "n", key: name, fingerprint: 7, batchID: "a",
            reply: .status(.init(batchID: "a", status: .paused)),
            expires: now + .seconds(60)))
      ])
    }
    try store.close()
    try change("UPDATE idempotency SET payload = substr(payload, 1, 12) || x'21' || substr(payload, 14) WHERE id = 1")
    let (recovery, _) = try recovered()
    #expect(recovery.idempotency.map(\.key) == ["k2"])
    #expect(recovery.losses.count == 1)
  }

  // MARK: - Lost rows

  @Test("a batch whose newest row was lost is set aside, not served as it was before; the others are")
  func lostEnd() throws {
    try fill()
    // As a page does that the disk has an older state of.
    try change("DELETE FROM journal WHERE id = 12")
    let mark = file + "-mark"
    try FileManager.default.removeItem(atPath: mark)
    try change("INSERT INTO journal SELECT 13, batch, 5, count, payload, NULL FROM journal WHERE id = 10")
    let (recovery, store) = try recovered()
    #expect(recovery.setAside.map(\.batch.batchID) == ["c"], "\(recovery.setAside)")
    #expect(recovery.batches.map(\.key.batchID) == ["a"])
    try store.close()
    let report = try JournalDoctor(directory: directory.path, version: "1").examine()
    #expect(Set(report.damaged.map(\.batch.batchID)).isSuperset(of: ["c"]))
  }

  @Test("a finished batch whose newest records were lost is not served as it was before")
  func lostEndOfFinished() throws {
    try fill()
    try change("DELETE FROM journal WHERE id = 11")
    let (recovery, store) = try recovered()
    #expect(recovery.batches.count + recovery.setAside.count == 2)
    for read in [
      { _ = try store.batch(key("b")) }, { _ = try store.journal(of: key("b"), after: 0) },
      { _ = try store.journal(of: key("b"), after: 1, limit: 9) },
    ] {
      let error = #expect(throws: StoreError.self) { try read() }
      #expect(error?.damaged == key("b"))
    }
  }

  @Test("a row whose batch number is damaged is its own batch's all the same")
  func misplacedRow() throws {
    try fill()
    try change("UPDATE journal SET batch = 2 WHERE id = 12")
    let (recovery, _) = try recovered()
    #expect(recovery.batches.map(\.sequence) == [4, 4] && recovery.setAside.isEmpty)
  }

  @Test("batches that are missing are told, with how many")
  func missingBatches() throws {
    try fill()
    try change("DELETE FROM batches WHERE batch_id = 'a'")
    let (recovery, _) = try recovered()
    #expect(recovery.losses.contains { $0.contains("1 batches are missing") })
  }

  @Test("a forgotten batch that an older page has again is removed, and not listed")
  func forgottenAndBack() throws {
    try fill()
    try change("CREATE TABLE older AS SELECT * FROM batches WHERE batch_id = 'b'")
    let store = try open()
    #expect(try store.prune(finishedBefore: .distantFuture, limit: 9) == [key("b")])
    try store.close()
    try change("INSERT INTO batches SELECT * FROM older; DROP TABLE older")
    let (recovery, again) = try recoveredAfterALook("1 batches are there that were forgotten")
    #expect(recovery.losses.contains { $0.hasPrefix("n/b was forgotten") }, "\(recovery.losses)")
    #expect(try again.retired(namespace: "n", status: nil, bucketID: nil, before: nil, limit: 9).isEmpty)
    #expect(try again.batch(key("b")) == nil && recovery.batches.map(\.key.batchID) == ["a", "c"])
    try again.lookThrough()
    #expect(again.takeLosses().isEmpty)
    try again.close()
    #expect(try JournalDoctor(directory: directory.path, version: "1").examine().isWell)
  }

  @Test("what was forgotten is not missed, over restarts, and numbers are given out once")
  func forgotten() throws {
    try fill()
    var store = try open()
    try store.retire([Samples.listing("c")])
    #expect(try store.prune(finishedBefore: .distantFuture, limit: 9).count == 2)
    try store.close()
    for round in 1...2 {
      let (recovery, again) = try recovered()
      store = again
      #expect(recovery.batches.map(\.key.batchID) == ["a"] && recovery.losses.isEmpty && recovery.setAside.isEmpty)
      try store.commit([Samples.write("a", UInt64(4 + round))])
      try store.close()
    }
    let queue = try DatabaseQueue(path: file)
    #expect(
      try queue.read { try Int64.fetchAll($0, sql: "SELECT id FROM journal ORDER BY id DESC LIMIT 2") } == [14, 13])
    try queue.close()
    #expect(try JournalDoctor(directory: directory.path, version: "1").examine().isWell)
  }

  @Test("a power cut after batches were forgotten, the newest rows among them, leaves a journal that starts")
  func markAheadOfWhatIsLeft() throws {
    try fill()
    let store = try open()
    try store.retire([Samples.listing("c")])
    let mark = try Data(contentsOf: URL(fileURLWithPath: file + "-mark"))
    _ = try store.prune(finishedBefore: .distantFuture, limit: 9)
    try store.close()
    // It is not synced: the one before may come back.
    try mark.write(to: URL(fileURLWithPath: file + "-mark"))
    #expect(try recovered().0.batches.count == 1)
  }

  @Test("an index that lost an entry is made anew, and hides nothing")
  func index() throws {
    try fill()
    try change(
      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = sql || ' AND id < 0' WHERE name = 'retired_batches'")
    try change("REINDEX retired_batches")
    try change(
      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, ' AND id < 0', '') WHERE name = 'retired_batches'"
    )
    let (recovery, store) = try recoveredAfterALook("index")
    #expect(recovery.losses.contains { $0.contains("index") })
    #expect(try store.batch(key("b"))?.sequence == 4)
  }

  @Test("a snapshot that stands for another row or batch is as none")
  func snapshot() throws {
    try fill()
    let store = try open()
    let batch = try #require(try store.batch(key("b")))
    try store.keepSnapshot(of: key("b"), documents: batch.documents)
    for damage in ["row = row + 1", "sequence = sequence + 1", "batch = 1"] {
      try store.pool.write { try $0.execute(sql: "UPDATE snapshots SET \(damage)") }
      #expect(try store.batch(key("b"))?.sequence == 4)
      #expect(try store.batch(key("a"))?.key == key("a"))
    }
  }
}

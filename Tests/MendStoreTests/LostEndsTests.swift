import Foundation
import GRDB
import MendCore
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendStore

@Suite("Where a journal ends, and what was forgotten: neither is taken for the other")
struct LostEndsTests {
  private let directory: TemporaryDirectory
  private let now = Instant(milliseconds: 5_000)

  init() throws { directory = try TemporaryDirectory() }

  private var file: String { directory.path + "/journal.sqlite" }

  private func open() throws -> SQLiteStore { try SQLiteStore(directory: directory.path) }

  private func key(_ id: String) -> BatchKey { BatchKey(namespace: "n", batchID: id) }

  private func doctor() throws -> JournalDoctor { try JournalDoctor(directory: directory.path, version: "1") }

  /// Three batches of four records, a commit each; `b` is finished.
  private func fill() throws -> SQLiteStore {
    let store = try open()
    for sequence in 1...4 { for id in ["a", "b", "c"] { try store.commit([Samples.write(id, UInt64(sequence))]) } }
    try store.retire(key("b"), entry: Samples.listing("b"))
    return store
  }

  private func change(_ sql: String) throws {
    let queue = try DatabaseQueue(path: file)
    try queue.write { try $0.execute(sql: sql) }
    try queue.close()
  }

  // MARK: - Retried batches

  @Test(
    "a batch that was retried and lost its newest rows is found, set aside, and never run from where it was finished")
  func retried() throws {
    let store = try fill()
    for id in ["b", "a"] { try store.commit([Samples.write(id, 5)]) }
    try store.close()
    try change("DELETE FROM journal WHERE id = 13")
    #expect(try doctor().examine().damaged.map(\.batch).contains(key("b")))
    #expect(try doctor().rebuild(at: now).setAside.map(\.batch).contains(key("b")))
    let again = try open()
    let recovery = try again.recover(at: now)
    #expect(recovery.setAside.map(\.batch).contains(key("b")) && recovery.batches.map(\.key) == [key("a")])
    try again.close()
  }

  @Test("a batch that was retried is not read without rows that are on a page that cannot be read")
  func retriedOnALostPage() throws {
    var store = try fill()
    // Each has a page of its own.
    for (id, sequence, letter) in [("a", 5, "x"), ("b", 5, "y"), ("a", 6, "z")] {
      let document = Document(id: "d\(sequence)", uri: "file:///" + String(repeating: letter, count: 3000))
      try store.commit([
        .record(
          Record(
            batch: key(id), sequence: UInt64(sequence), at: now, cause: .caller, fact: .documentsAdded([document])))
      ])
    }
    try store.close()
    var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
    let place = try #require(bytes.firstRange(of: Data(String(repeating: "y", count: 100).utf8)))
    let page = place.lowerBound / 4096 * 4096
    bytes.replaceSubrange(page..<page + 4096, with: Data(count: 4096))
    try bytes.write(to: URL(fileURLWithPath: file))
    #expect(try doctor().examine().damaged.map(\.batch).contains(key("b")))
    store = try open()
    for read in [{ _ = try store.batch(key("b")) }, { _ = try store.journal(of: key("b"), after: 0) }] {
      let error = #expect(throws: StoreError.self) { try read() }
      #expect(error?.damaged == key("b"))
    }
    try store.close()
  }

  // MARK: - Forgetting

  @Test("what is forgotten after a count was damaged is counted anew: no healthy batch misses it later")
  func damagedCount() throws {
    for damage in [
      "forgotten SET rows = 9", "counts SET value = 9 WHERE name = 'pruned_batches'",
      "counts SET value = 9 WHERE name = 'last_row'",
    ] {
      let store = try fill()
      #expect(try store.prune(finishedBefore: .distantFuture, limit: 9) == [key("b")])
      try store.close()
      try change("UPDATE \(damage)")
      let again = try open()
      try again.retire(key("c"), entry: Samples.listing("c"))
      #expect(try again.prune(finishedBefore: .distantFuture, limit: 9) == [key("c")])
      try again.close()
      let last = try open()
      let recovery = try last.recover(at: now)
      #expect(recovery.batches.map(\.key) == [key("a")] && recovery.setAside.isEmpty, "\(damage): \(recovery.setAside)")
      #expect(recovery.losses.isEmpty, "\(damage): \(recovery.losses)")
      try last.close()
      #expect(try doctor().examine().isWell, "\(damage)")
      for part in ["", "-mark", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: file + part) }
      try? FileManager.default.removeItem(atPath: directory.path + "/lock")
    }
  }

  @Test("a batch whose reading the disk fails, which ends the transaction, does not keep others from being forgotten")
  func failedRead() throws {
    let store = try fill()
    for (time, id) in ["a", "c"].enumerated() {
      try store.retire(key(id), entry: Samples.listing(id, createdAt: Int64(time)))
    }
    try store.pool.writeWithoutTransaction { database in
      database.add(
        function: DatabaseFunction("fail", argumentCount: 0) { _ in
          throw DatabaseError(resultCode: .SQLITE_IOERR_READ, message: "disk I/O error")
        })
      try database.execute(
        sql: "CREATE TEMP TRIGGER failing BEFORE DELETE ON main.journal WHEN old.batch = 1 BEGIN SELECT fail(); END")
    }
    #expect(throws: StoreError.self) { try store.prune(finishedBefore: .distantFuture, limit: 9) }
    #expect(try store.batch(key("c"))?.sequence == 4)
    #expect(try Set(store.prune(finishedBefore: .distantFuture, limit: 9)) == [key("b"), key("c")])
    #expect(try store.batch(key("a"))?.sequence == 4)
    try store.close()
  }

  /// Runs something as a batch's first row is read.
  private final class Hook: CrashNote {
    private let begun = Atomic(0)
    private let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    func begin(_ batch: BatchKey) {
      // The first is its snapshot.
      if begun.add(1, ordering: .relaxed).newValue == 2 { body() }
    }

    func end() {}
  }

  @Test("a batch that is forgotten while it is read is not there, rather than there with its first rows alone")
  func forgottenMeanwhile() throws {
    let store = try open()
    try store.commit([Samples.write("b", 1)])
    try store.commit((0..<Schema.rowsPerSegment).map { Samples.write("x\($0)", 1) })
    try store.commit([Samples.write("b", 2)])
    try store.retire(key("b"), entry: Samples.listing("b"))
    let (store2, done) = (store, DispatchSemaphore(value: 0))
    store.crashNote = Hook {
      Thread.detachNewThread {
        _ = try? store2.prune(finishedBefore: .distantFuture, limit: 9)
        done.signal()
      }
      done.wait()
    }
    #expect(try store.batch(key("b")) == nil)
    store.crashNote = nil
    #expect(try store.prune(finishedBefore: .distantFuture, limit: 9).isEmpty)
    try store.close()
  }

  @Test("a batch that goes on and is finished while it is read is read as far as it was, and is not said to be damaged")
  func finishedMeanwhile() throws {
    let store = try fill()
    let (store2, done) = (store, DispatchSemaphore(value: 0))
    store.crashNote = Hook {
      Thread.detachNewThread {
        _ = try? store2.commit((5...9).map { Samples.write("a", $0) })
        _ = try? store2.retire([Samples.listing("a")])
        done.signal()
      }
      done.wait()
    }
    #expect(try store.batch(key("a"))?.sequence == 4)
    store.crashNote = nil
    #expect(try store.batch(key("a"))?.sequence == 9)
    try store.close()
  }
}

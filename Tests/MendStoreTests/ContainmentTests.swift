import Foundation
import GRDB
import MendCore
import MendRuntime
import Synchronization
import TestSupport
import Testing

@testable import MendStore

@Suite("What is damaged costs its batch, is said, and stops nothing else")
struct ContainmentTests {
  private let directory: TemporaryDirectory
  private let now = Instant(milliseconds: 5_000)

  init() throws { directory = try TemporaryDirectory() }

  private var file: String { directory.path + "/journal.sqlite" }

  private func key(_ id: String) -> BatchKey { BatchKey(namespace: "n", batchID: id) }

  /// Three batches of four records, a commit each.
  private func fill(_ store: SQLiteStore) throws {
    for sequence in 1...4 { for id in ["a", "b", "c"] { try store.commit([Samples.write(id, UInt64(sequence))]) } }
  }

  private func database(_ body: (Database) throws -> Void) throws {
    let queue = try DatabaseQueue(path: file)
    try queue.write(body)
    try queue.close()
  }

  /// What is noted as in hand, and what was.
  private final class Notes: CrashNote {
    private let state = Mutex((held: BatchKey?.none, all: Set<BatchKey>()))
    var held: BatchKey? { state.withLock { $0.held } }

    func begin(_ batch: BatchKey) {
      state.withLock { state in
        state.held = batch
        state.all.insert(batch)
      }
    }

    func end() { state.withLock { $0.held = nil } }

    /// Those that were noted since it was asked last.
    func noted() -> Set<BatchKey> {
      state.withLock { state in
        defer { state.all = [] }
        return state.all
      }
    }
  }

  @Test("whose journal is being read is noted for a crash, and nobody's afterwards")
  func noted() throws {
    let notes = Notes()
    do {
      let store = try SQLiteStore(directory: directory.path)
      try fill(store)
      store.crashNote = notes
      #expect(try store.recover(at: now).batches.count == 3)
      #expect(notes.noted() == [key("a"), key("b"), key("c")])
      #expect(try store.batch(key("b")) != nil)
      #expect(notes.noted() == [key("b")])
      #expect(try store.journal(of: key("c"), after: 0).count == 4)
      #expect(notes.noted() == [key("c")])
      try store.close()
    }
    let doctor = try JournalDoctor(directory: directory.path, version: "1", note: notes)
    #expect(try doctor.examine().isWell)
    #expect(notes.noted() == [key("a"), key("b"), key("c")])
    #expect(notes.held == nil)
  }

  @Test("a batch that an examination crashed over is told, and the next one does not read it")
  func crashedOver() throws {
    let store = try SQLiteStore(directory: directory.path)
    try fill(store)
    try store.close()
    let notes = Notes()
    let doctor = try JournalDoctor(
      directory: directory.path, version: "1", note: notes, crashedOver: [key("b"): 4])
    let report = try doctor.examine()
    #expect(report.damaged.map(\.batch) == [key("b")])
    #expect(report.damaged.first?.reason.contains("by signal 4") == true)
    #expect(report.batches == 3)
    #expect(notes.noted() == [key("a"), key("c")])
  }

  @Test("one flipped bit of a record, wherever it is, sets its batch aside, and the others are served")
  func flippedBit() throws {
    let store = try SQLiteStore(directory: directory.path)
    try fill(store)
    let (id, payload): (Int64, Data) = try store.pool.read { database in
      let row = try #require(
        try Row.fetchOne(
          database,
          sql: """
            SELECT journal.id, payload FROM journal JOIN batches ON batches.id = batch WHERE batch_id = 'b' AND first = 3
            """))
      return (row[0], row[1])
    }
    for place in payload.indices {
      var changed = payload
      changed[place] ^= 1 << UInt8(place % 8)
      try store.pool.write {
        try $0.execute(sql: "UPDATE journal SET payload = ? WHERE id = ?", arguments: [changed, id])
      }
      let recovery = try store.recover(at: now)
      #expect(recovery.batches.map(\.key) == [key("a"), key("c")])
      #expect(recovery.setAside.map(\.batch) == [key("b")])
      #expect(recovery.setAside.first?.sequence == 3)
    }
    // A batch that can't be read can't be read by anybody.
    let error = #expect(throws: StoreError.self) { try store.batch(key("b")) }
    #expect(error?.damaged == key("b"))
    #expect(try store.batch(key("c"))?.documents.count == 3)
  }

  @Test("a row that says another batch's name is found")
  func renamed() throws {
    let store = try SQLiteStore(directory: directory.path)
    try fill(store)
    try store.pool.write { try $0.execute(sql: "UPDATE batches SET batch_id = 'x' WHERE batch_id = 'b'") }
    try store.close()
    let again = try SQLiteStore(directory: directory.path)
    #expect(try again.recover(at: now).setAside.map(\.batch) == [key("x")])
  }

  @Test("rows of an earlier version, without check sums, are read as ever")
  func withoutSums() throws {
    let store = try SQLiteStore(directory: directory.path)
    try fill(store)
    try store.pool.write { try $0.execute(sql: "UPDATE journal SET checksum = NULL") }
    let recovery = try store.recover(at: now)
    #expect(recovery.batches.count == 3 && recovery.setAside.isEmpty)
  }

  @Test("answers that cannot be read are told as lost, and stop nothing")
  func damagedAnswers() throws {
    let store = try SQLiteStore(directory: directory.path)
    try store.commit([
      Samples.write("a", 1),
      .idempotency(
        IdempotencyEntry(
          namespace: "n", key: "k", fingerprint: 0, batchID: "a", reply: nil, expires: Instant(milliseconds: 9_000))),
    ])
    try store.pool.write { try $0.execute(sql: "UPDATE idempotency SET payload = x'ffff'") }
    let recovery = try store.recover(at: now)
    #expect(recovery.batches.count == 1 && recovery.idempotency.isEmpty)
    #expect(recovery.losses.count == 1)
  }

  // MARK: - The doctor

  private func contents() throws -> [String: Data] {
    var contents: [String: Data] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: directory.path) {
      contents[name] = try Data(contentsOf: URL(fileURLWithPath: directory.path + "/" + name))
    }
    return contents
  }

  @Test("the doctor names the batches that cannot be folded, with record and reason, and changes nothing")
  func examination() throws {
    let store = try SQLiteStore(directory: directory.path)
    try fill(store)
    #expect(throws: StoreError.self) { _ = try JournalDoctor(directory: directory.path, version: "1") }
    try store.close()
    let well = try JournalDoctor(directory: directory.path, version: "1").examine()
    #expect(well.isWell && well.batches == 3 && well.records == 12)
    try database { try $0.execute(sql: "UPDATE journal SET payload = x'0102' WHERE first = 2 AND batch = 2") }
    let before = try contents()
    let report = try JournalDoctor(directory: directory.path, version: "1").examine()
    #expect(try contents() == before)
    #expect(report.damaged.map(\.batch) == [key("b")] && report.damaged.first?.sequence == 2)
    #expect(!report.isWell && report.setAside.isEmpty)
  }

  @Test("the doctor reads what a killed server left in its log, and leaves it there")
  func killed() throws {
    let store = try SQLiteStore(directory: directory.path)
    try fill(store)
    let killed = try TemporaryDirectory()
    for part in ["", "-wal", "-mark"] {
      try FileManager.default.copyItem(atPath: file + part, toPath: killed.path + "/journal.sqlite" + part)
    }
    let log = try Data(contentsOf: URL(fileURLWithPath: killed.path + "/journal.sqlite-wal"))
    let report = try JournalDoctor(directory: killed.path, version: "1").examine()
    #expect(report.isWell && report.records == 12, "\(report)")
    #expect(try Data(contentsOf: URL(fileURLWithPath: killed.path + "/journal.sqlite-wal")) == log)
    #expect(!FileManager.default.fileExists(atPath: killed.path + "/journal.sqlite-shm"))
  }

  @Test("a batch that the doctor sets aside is left alone until it is brought back")
  func setAside() throws {
    try {
      try fill($0); try $0.close()
    }(try SQLiteStore(directory: directory.path))
    func recovered() throws -> Recovery {
      let store = try SQLiteStore(directory: directory.path)
      defer { try? store.close() }
      return try store.recover(at: now)
    }
    #expect(try !JournalDoctor(directory: directory.path, version: "1").setAside(key("x"), at: now, reason: "r"))
    #expect(try JournalDoctor(directory: directory.path, version: "1").setAside(key("a"), at: now, reason: "r"))
    var recovery = try recovered()
    #expect(recovery.batches.map(\.key) == [key("b"), key("c")])
    #expect(recovery.setAside == [SetAside(batch: key("a"), ground: .administrator, reason: "r")])
    #expect(try JournalDoctor(directory: directory.path, version: "1").examine().setAside.count == 1)
    #expect(try JournalDoctor(directory: directory.path, version: "1").bringBack(key("a")))
    #expect(try !JournalDoctor(directory: directory.path, version: "1").bringBack(key("a")))
    recovery = try recovered()
    #expect(recovery.batches.count == 3 && recovery.setAside.isEmpty)
  }
}

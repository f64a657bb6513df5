import Foundation
import GRDB
import MendCore
import MendRuntime
import TestSupport
import Testing

@testable import MendStore

/// The conformance suite on SQLite.
struct SQLiteStoreConformanceTests {
  private let directory: TemporaryDirectory
  private let suite: StoreConformance

  init() throws {
    let directory = try TemporaryDirectory()
    self.directory = directory
    suite = StoreConformance(
      open: { try SQLiteStore(directory: directory.path) },
      reopen: { store in
        try (store as? SQLiteStore)?.close()
        return try SQLiteStore(directory: directory.path)
      })
  }

  @Test("what was committed is there after reopening") func durability() throws {
    try suite.keepsEverythingOverReopening()
  }
  @Test("a batch's records keep their order") func order() throws { try suite.keepsTheOrderOfInterleavedBatches() }
  @Test("a journal can be read from any sequence on") func after() throws { try suite.givesAJournalAfterASequence() }
  @Test("a commit is written whole or not at all") func atomicity() throws { try suite.writesAllOrNothing() }
  @Test("idempotency keys live until they expire") func keys() throws { try suite.remembersKeysUntilTheyExpire() }
  @Test("what was learnt of starts is there after reopening, the latest of each slot") func starts() throws {
    try suite.keepsTheLatestStartsOfEachSlot()
  }
  @Test("a retired batch needs no recovery and stays readable") func retire() throws {
    try suite.retiresWithoutForgetting()
  }
  @Test("a record makes a retired batch live again") func revive() throws {
    try suite.bringsARetiredBatchBackToLife()
  }
  @Test("retired batches come newest first, in pages") func paging() throws { try suite.listsRetiredBatchesInPages() }
  @Test("many documents in one commit come back") func large() throws { try suite.takesLargeBatches() }
}

struct SQLiteStoreTests {
  private let directory: TemporaryDirectory
  private let key = BatchKey(namespace: "n", batchID: "b")
  private let now = Instant(milliseconds: 5_000)

  init() throws { directory = try TemporaryDirectory() }

  private func record(_ sequence: UInt64, at: Instant? = nil, of key: BatchKey? = nil) -> Write {
    .record(
      Record(
        batch: key ?? self.key, sequence: sequence, at: at ?? now, cause: .worker,
        fact: sequence == 1 ? .batchCreated(Samples.specification) : .batchStatusChanged(.init(.queued, reason: ""))))
  }

  private var file: String { directory.path + "/journal.sqlite" }

  @Test("the writer syncs every commit: synchronous is FULL, and the journal a write-ahead log")
  func synchronousFull() throws {
    let store = try SQLiteStore(directory: directory.path)
    let (synchronous, mode) = try store.pool.writeWithoutTransaction { database in
      (try Int.fetchOne(database, sql: "PRAGMA synchronous"), try String.fetchOne(database, sql: "PRAGMA journal_mode"))
    }
    #expect(synchronous == 2)
    #expect(mode == "wal")
  }

  @Test("a second store on the same directory is refused, and told who has it")
  func secondOpener() throws {
    let store = try SQLiteStore(directory: directory.path)
    let error = #expect(throws: StoreError.self) { try SQLiteStore(directory: directory.path) }
    #expect(error?.message.contains("in use by another server (pid \(getpid()))") == true)
    try store.commit([record(1)])
  }

  @Test("the directory is free again when the store is gone")
  func lockIsReleased() throws {
    let store = try SQLiteStore(directory: directory.path)
    try store.close()
    _ = try SQLiteStore(directory: directory.path)
    _ = try SQLiteStore(directory: directory.path)
  }

  @Test("a directory that isn't there is an error that names it")
  func noDirectory() throws {
    let error = #expect(throws: StoreError.self) { try SQLiteStore(directory: directory.path + "/none") }
    #expect(error?.message.contains("/none/lock cannot be made") == true)
  }

  @Test("another program's database is refused untouched")
  func foreignDatabase() throws {
    let foreign = try DatabaseQueue(path: file)
    try foreign.write { try $0.execute(sql: "CREATE TABLE theirs (x)") }
    try foreign.close()
    let before = try Data(contentsOf: URL(fileURLWithPath: file))
    let error = #expect(throws: StoreError.self) { try SQLiteStore(directory: directory.path) }
    #expect(error?.message.contains("another program") == true)
    #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == before)
  }

  @Test("a damaged database is refused with what to do")
  func damagedDatabase() throws {
    try Data(repeating: 0x5A, count: 8192).write(to: URL(fileURLWithPath: file))
    let error = #expect(throws: StoreError.self) { try SQLiteStore(directory: directory.path) }
    #expect(error?.message.contains("mend doctor --data DIR --rebuild") == true)
  }

  @Test("a journal that was emptied is refused, and one that was moved away makes room for a new one")
  func emptied() throws {
    for name in ["", "-wal"] {
      let store = try SQLiteStore(directory: directory.path)
      if name.isEmpty { try store.commit([record(1)]) }
      try store.close()
      try Data().write(to: URL(fileURLWithPath: file))
      try Data(count: name.isEmpty ? 0 : 100).write(to: URL(fileURLWithPath: file + "-wal"))
      #expect(throws: StoreError.self) { try SQLiteStore(directory: directory.path) }
      for part in ["", "-wal", "-shm", "-mark"] { try? FileManager.default.removeItem(atPath: file + part) }
    }
    try SQLiteStore(directory: directory.path).close()
  }

  @Test("a write-ahead log that is broken before its last commit is refused, a torn last commit is not")
  func brokenLog() throws {
    let store = try SQLiteStore(directory: directory.path)
    for sequence in 1...4 { try store.commit([record(UInt64(sequence))]) }
    // As kill -9 leaves it.
    let killed = try TemporaryDirectory()
    for part in ["", "-wal"] {
      try FileManager.default.copyItem(atPath: file + part, toPath: killed.path + "/journal.sqlite" + part)
    }
    try store.close()
    let log = URL(fileURLWithPath: killed.path + "/journal.sqlite-wal")
    let whole = try Data(contentsOf: log)
    func open(_ change: (inout Data) -> Void) throws {
      var bytes = whole
      change(&bytes)
      try bytes.write(to: log)
      for part in ["-shm", "-journal"] {
        try? FileManager.default.removeItem(atPath: killed.path + "/journal.sqlite" + part)
      }
      let database = try Data(contentsOf: URL(fileURLWithPath: killed.path + "/journal.sqlite"))
      defer { try? database.write(to: URL(fileURLWithPath: killed.path + "/journal.sqlite")) }
      _ = try SQLiteStore(directory: killed.path).close()
    }
    #expect(throws: StoreError.self) { try open { $0[3] ^= 0xff } }
    #expect(throws: StoreError.self) { try open { $0[17] ^= 0xff } }
    #expect(throws: StoreError.self) { try open { $0[32 + 24 + 100] ^= 0xff } }
    try open { $0[$0.count - 100] ^= 0xff }
    try open { _ in }
  }

  @Test("a server that was killed while it made its journal can start again")
  func halfMade() throws {
    try Data("123\n".utf8).write(to: URL(fileURLWithPath: directory.path + "/lock"))
    let queue = try DatabaseQueue(path: file)
    try queue.write { try $0.execute(sql: "CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY)") }
    try queue.close()
    let store = try SQLiteStore(directory: directory.path)
    try store.commit([record(1)])
  }

  @Test("a commit to a file that was removed is refused")
  func removed() throws {
    let store = try SQLiteStore(directory: directory.path)
    try store.commit([record(1)])
    try FileManager.default.removeItem(atPath: file)
    #expect(throws: StoreError.self) { try store.commit([record(2)]) }
  }

  @Test("a later version's database is refused with what to start")
  func laterVersion() throws {
    let store = try SQLiteStore(directory: directory.path)
    try store.pool.write { try $0.execute(sql: "PRAGMA user_version = 7") }
    try store.close()
    let error = #expect(throws: StoreError.self) { try SQLiteStore(directory: directory.path) }
    #expect(error?.message.contains("start the version that wrote it") == true)
  }

  @Test("a fact of a later version sets its batch aside and names the version that wrote it")
  func laterFact() throws {
    let store = try SQLiteStore(directory: directory.path, version: "9.8.7")
    let started = Fact.attemptStarted(Samples.job.attempt(1))
    try store.commit([
      record(1), .record(Record(batch: key, sequence: 2, at: now, cause: .worker, fact: started)),
    ])
    // Turns attempt_started (field 24, c2 01) into field 200 (c2 0c).
    try store.pool.write { database in
      let payload = try #require(try Data.fetchOne(database, sql: "SELECT payload FROM journal"))
      let at = try #require(payload.range(of: Data([0xC2, 0x01]), options: .backwards))
      try database.execute(
        sql: "UPDATE journal SET payload = ?",
        arguments: [payload.replacing(at.lowerBound, with: [0xC2, 0x0C])])
    }
    // As that version would have written it.
    try store.pool.write { try $0.execute(sql: "UPDATE journal SET checksum = NULL") }
    let recovery = try store.recover(at: now)
    #expect(recovery.batches.isEmpty)
    let aside = try #require(recovery.setAside.first)
    #expect(aside.batch == key && aside.sequence == 2 && aside.ground == .journal)
    #expect(aside.reason.contains("record 2 of n/b has an unknown fact"))
    #expect(aside.reason.contains("Mend 9.8.7 wrote it: start that version, or a later one"))
  }

  @Test("a batch whose journal has a missing row is set aside")
  func missingRow() throws {
    let store = try SQLiteStore(directory: directory.path)
    for sequence in 1...3 { try store.commit([record(UInt64(sequence))]) }
    try store.pool.write { try $0.execute(sql: "DELETE FROM journal WHERE first = 2") }
    let aside = try #require(try store.recover(at: now).setAside.first)
    #expect(aside.reason.contains("record 2 is missing, 3 stands in its place"))
    let error = #expect(throws: StoreError.self) { try store.journal(of: key, after: 0) }
    #expect(error?.damaged == key)
  }

  @Test("the keys of one namespace make none of another deleted, and a restart counts them as before")
  func keysOfNamespaces() throws {
    var store = try SQLiteStore(directory: directory.path, idempotencyKeysLimit: 10)
    var sequence: UInt64 = 0
    func commit(_ namespaces: [String]) throws {
      sequence += 1
      let writes = namespaces.enumerated().map { place, namespace in
        Write.idempotency(
          IdempotencyEntry(
            namespace: namespace, key: "k\(sequence).\(place)", fingerprint: 0, batchID: "b", reply: nil,
            expires: Instant(milliseconds: 20_000)))
      }
      try store.commit(writes + [record(sequence)])
    }
    func count() throws -> Int {
      try store.pool.read { try Int.fetchOne($0, sql: "SELECT sum(keys) FROM idempotency") } ?? 0
    }
    try commit(["quiet"])
    try commit(["quiet", "loud"])
    for _ in 0..<(3 * SQLiteStore.commitsPerCleaning) { try commit(["loud"]) }
    #expect(try count() <= 3 + 10 + SQLiteStore.commitsPerCleaning)
    try store.close()
    store = try SQLiteStore(directory: directory.path, idempotencyKeysLimit: 10)
    let recovered = try store.recover(at: now).idempotency
    #expect(recovered.count { $0.namespace == "quiet" } == 2 && recovered.count { $0.namespace == "loud" } == 10)
    for _ in 0..<SQLiteStore.commitsPerCleaning { try commit([]) }
    #expect(try count() <= 3 + 10 + 1)
    #expect(try store.recover(at: now).idempotency == recovered)
  }

  @Test("expired keys are deleted now and then, and the oldest beyond the limit")
  func cleaning() throws {
    let store = try SQLiteStore(directory: directory.path, idempotencyKeysLimit: 10)
    func count() throws -> Int? {
      try store.pool.read { try Int.fetchOne($0, sql: "SELECT sum(keys) FROM idempotency") }
    }
    func entry(_ index: Int, expires: Int64) -> Write {
      .idempotency(
        IdempotencyEntry(
          namespace: "n", key: "k\(index)", fingerprint: 0, batchID: "b", reply: nil,
          expires: Instant(milliseconds: expires)))
    }
    var sequence: UInt64 = 0
    func commit(_ writes: [Write]) throws {
      sequence += 1
      try store.commit(writes + [record(sequence)])
    }
    for index in 0..<8 { try commit([entry(index, expires: index < 5 ? 2_000 : 20_000)]) }
    #expect(try count() == 8)
    for _ in 0..<SQLiteStore.commitsPerCleaning { try commit([]) }
    #expect(try count() == 3)
    for index in 0..<SQLiteStore.commitsPerCleaning { try commit([entry(index, expires: 20_000)]) }
    let kept = try #require(try count())
    #expect(kept >= 10 && kept < 10 + SQLiteStore.commitsPerCleaning)
    let recovered = try store.recover(at: now).idempotency.map(\.key)
    #expect(recovered.count == 10 && recovered.last == "k\(SQLiteStore.commitsPerCleaning - 1)")
  }

  @Test("batches are found in every segment of the journal that they are in")
  func segments() throws {
    var store = try SQLiteStore(directory: directory.path)
    let long = BatchKey(namespace: "n", batchID: "long")
    let perSegment = Int(Schema.rowsPerSegment)
    try store.commit([record(1), record(1, of: long)])
    // Rows far apart: as if many others had been written in between.
    for segment in 1...3 {
      try store.close()
      let queue = try DatabaseQueue(path: file)
      try queue.write { database in
        // Those in between are not missed.
        try JournalCounts.set(JournalCounts.firstRow, .max, in: database)
        try database.execute(
          sql: "INSERT INTO journal (id, batch, first, count, payload) VALUES (?, 999, 1, 1, x'')",
          arguments: [segment * perSegment - 2])
      }
      try queue.close()
      store = try SQLiteStore(directory: directory.path)
      for step in 0..<4 { try store.commit([record(UInt64(segment * 4 + step - 2), of: long)]) }
      if segment == 2 { try store.commit([record(2)]) }
    }
    #expect(try store.journal(of: long, after: 0).map(\.sequence) == Array(1...13))
    #expect(try store.journal(of: long, after: 9).map(\.sequence) == Array(10...13))
    #expect(try store.journal(of: key, after: 0).map(\.sequence) == [1, 2])
    #expect(Set(try store.recover(at: now).batches.map(\.sequence)) == [13, 2])
  }

  @Test("readers are not held up by a commit, and see it when it is done")
  func readersDoNotWait() throws {
    let store = try SQLiteStore(directory: directory.path)
    try store.commit([record(1)])
    try store.pool.writeWithoutTransaction { database in
      try database.inTransaction {
        try database.execute(sql: "DELETE FROM journal")
        #expect(try store.journal(of: key, after: 0).count == 1)
        return .rollback
      }
    }
  }
}

extension Data {
  fileprivate func replacing(_ index: Index, with bytes: [UInt8]) -> Data {
    var copy = self
    copy.replaceSubrange(index..<index + bytes.count, with: bytes)
    return copy
  }
}

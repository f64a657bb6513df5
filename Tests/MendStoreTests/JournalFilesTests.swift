import Foundation
import GRDB
import MendCore
import MendRuntime
import TestSupport
import Testing

@testable import MendStore

@Suite("The journal's files: none is lost, cut, replaced or read by others without a word")
struct JournalFilesTests {
  private let directory: TemporaryDirectory
  private let key = BatchKey(namespace: "n", batchID: "b")
  private let now = Instant(milliseconds: 5_000)

  init() throws { directory = try TemporaryDirectory() }

  private var file: String { directory.path + "/journal.sqlite" }

  private func record(_ sequence: UInt64) -> Write {
    .record(
      Record(
        batch: key, sequence: sequence, at: now, cause: .caller,
        fact: sequence == 1
          ? .batchCreated(Samples.specification)
          : .documentsAdded([Document(id: "d\(sequence)", uri: "file:///\(String(repeating: "x", count: 3000))")])))
  }

  /// The files as kill -9 leaves them, in a directory of their own.
  private func killed(_ parts: [String] = ["", "-wal", "-mark"]) throws -> TemporaryDirectory {
    let copy = try TemporaryDirectory()
    for part in parts {
      try FileManager.default.copyItem(atPath: file + part, toPath: copy.path + "/journal.sqlite" + part)
    }
    try Data("1\njournal made\n".utf8).write(to: URL(fileURLWithPath: copy.path + "/lock"))
    return copy
  }

  private func refusal(_ directory: TemporaryDirectory) -> String {
    do {
      try SQLiteStore(directory: directory.path).close()
      return ""
    } catch {
      return error.message
    }
  }

  @Test("a log that was removed or cut while the server was away is told at the start, until the loss is accepted")
  func lostLog() throws {
    let store = try SQLiteStore(directory: directory.path)
    for sequence in 1...20 { try store.commit([record(UInt64(sequence))]) }
    #expect(refusal(try killed()) == "")
    for damage in [
      { (log: URL) in try FileManager.default.removeItem(at: log) },
      { (log: URL) in try Data().write(to: log) },
      { (log: URL) in try Data(contentsOf: log).prefix(40_000).write(to: log) },
    ] {
      let copy = try killed()
      try damage(URL(fileURLWithPath: copy.path + "/journal.sqlite-wal"))
      for _ in 0..<2 {
        let message = refusal(copy)
        #expect(message.contains("row 20 was acknowledged") && message.contains("mend doctor"), "\(message)")
      }
      let report = try JournalDoctor(directory: copy.path, version: "1").examine()
      #expect(report.faults.contains { $0.contains("row 20 was acknowledged") }, "\(report.faults)")
      try JournalDoctor(directory: copy.path, version: "1").acceptLoss()
      #expect(refusal(copy) == "")
    }
    let copy = try killed(["", "-mark"])
    let rebuilding = try JournalDoctor(directory: copy.path, version: "1").rebuild(at: now)
    #expect(rebuilding.faults.contains { $0.contains("row 20 was acknowledged") }, "\(rebuilding.faults)")
    #expect(refusal(copy) == "")
  }

  @Test("a database file that was copied without its log says so, a whole copy and SQLite's own backup do not")
  func loneFile() throws {
    let store = try SQLiteStore(directory: directory.path)
    for sequence in 1...20 { try store.commit([record(UInt64(sequence))]) }
    for hasLock in [true, false] {
      let lone = try killed([""])
      if !hasLock { try FileManager.default.removeItem(atPath: lone.path + "/lock") }
      for _ in 0..<2 { #expect(refusal(lone).contains("without")) }
      try JournalDoctor(directory: lone.path, version: "1").acceptLoss()
      #expect(refusal(lone) == "")
    }
    #expect(refusal(try killed(["", "-wal"])) == "")
    let backup = try TemporaryDirectory()
    let queue = try DatabaseQueue(path: backup.path + "/journal.sqlite")
    try store.pool.backup(to: queue)
    try queue.close()
    #expect(refusal(backup) == "")
    try store.close()
    #expect(refusal(try killed([""])) == "")
    try SQLiteStore(directory: directory.path).close()
  }

  @Test("a database file that is copied by itself says so after any checkpoint, too; a backup is whole")
  func loneFileAfterCheckpoints() throws {
    let store = try SQLiteStore(directory: directory.path)
    var next: UInt64 = 1
    for round in 0..<12 {
      for _ in 0..<10 {
        try store.commit((next..<next + 40).map { record($0) })
        next += 40
      }
      #expect(refusal(try killed([""])).contains("without"), "round \(round)")
    }
    let bytes = try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int ?? 0
    #expect(bytes > 4 << 20, "no checkpoint was made")
    #expect(store.logBytes < 8 << 20, "\(store.logBytes)")
    let backup = try TemporaryDirectory()
    let queue = try DatabaseQueue(path: backup.path + "/journal.sqlite")
    try store.pool.backup(to: queue)
    try queue.close()
    #expect(refusal(backup) == "")
    #expect(refusal(try killed()) == "")
  }

  @Test("a directory that cannot be looked at any more is told as that, and not as a journal that was removed")
  func unreachable() throws {
    let store = try SQLiteStore(directory: directory.path)
    try store.commit([record(1)])
    let moved = directory.path + "-moved"
    try FileManager.default.moveItem(atPath: directory.path, toPath: moved)
    try FileManager.default.createSymbolicLink(atPath: directory.path, withDestinationPath: directory.path)
    let words = "Too many levels of symbolic links"
    let error = #expect(throws: StoreError.self) { try store.commit([record(2)]) }
    #expect(error?.message.contains(words) == true && error?.message.contains("copy") == false, "\(error as Any)")
    let doctor = #expect(throws: StoreError.self) { try JournalDoctor(directory: directory.path, version: "1") }
    #expect(doctor?.message.contains(words) == true, "\(doctor as Any)")
    try FileManager.default.removeItem(atPath: directory.path)
    try FileManager.default.moveItem(atPath: moved, toPath: directory.path)
    try store.commit([record(2)])
  }

  @Test(
    "a log or index that is removed or replaced while the server runs stops it at the next commit, and nothing is lost")
  func removedWhileOpen() throws {
    for part in ["-wal", "-shm"] {
      for (isReplaced, isRead) in [(false, false), (true, false), (false, true), (true, true)] {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/journal.sqlite"
        let store = try SQLiteStore(directory: directory.path)
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let reader = try DatabaseQueue(path: path, configuration: configuration)
        for sequence in 1...5 {
          try store.commit([record(UInt64(sequence))])
          // It has an older state than the rest.
          if isRead, sequence == 2 {
            try reader.writeWithoutTransaction { database in
              try database.execute(sql: "BEGIN")
              _ = try Int.fetchOne(database, sql: "SELECT count(*) FROM batches")
            }
          }
        }
        try store.check()
        try FileManager.default.removeItem(atPath: path + part)
        if isReplaced { try Data().write(to: URL(fileURLWithPath: path + part)) }
        let error = #expect(throws: StoreError.self) { try store.commit([record(6)]) }
        #expect(error?.message.contains("was removed or replaced") == true)
        #expect(throws: StoreError.self) { try store.check() }
        // kill -9
        let copy = try TemporaryDirectory()
        for name in try FileManager.default.contentsOfDirectory(atPath: directory.path) where !name.hasSuffix("-shm") {
          try FileManager.default.copyItem(atPath: directory.path + "/" + name, toPath: copy.path + "/" + name)
        }
        let again = try SQLiteStore(directory: copy.path)
        #expect(try again.recover(at: now).batches.map(\.sequence) == [5], "\(part) \(isReplaced) \(isRead)")
        if isRead { try reader.writeWithoutTransaction { try $0.execute(sql: "COMMIT") } }
      }
    }
  }

  @Test("the journal is locked by its own file, too: a removed lock lets no second server in")
  func removedLock() throws {
    let store = try SQLiteStore(directory: directory.path)
    try store.commit([record(1)])
    try FileManager.default.removeItem(atPath: directory.path + "/lock")
    let error = #expect(throws: StoreError.self) { try SQLiteStore(directory: directory.path) }
    #expect(error?.message.contains("in use by another server") == true)
    try store.commit([record(2)])
  }

  @Test("what other users could read is closed to them, and said")
  func modes() throws {
    let before = umask(0o022)
    defer { umask(before) }
    let store = try SQLiteStore(directory: directory.path)
    try store.commit([record(1)])
    func modes() throws -> [Int] {
      try ["", "-wal", "-shm", "-mark"].map { part in
        try #require(FileManager.default.attributesOfItem(atPath: file + part)[.posixPermissions] as? Int)
      }
    }
    #expect(try modes() == [0o600, 0o600, 0o600, 0o600])
    #expect(store.tightened.isEmpty)
    try store.close()
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
    let again = try SQLiteStore(directory: directory.path)
    #expect(again.tightened == [file])
    #expect(try modes() == [0o600, 0o600, 0o600, 0o600])
  }

  @Test("after old batches were forgotten, the newest rows among them, nothing is missed")
  func pruned() throws {
    let store = try SQLiteStore(directory: directory.path)
    for sequence in 1...3 { try store.commit([record(UInt64(sequence))]) }
    let listing = BatchListing(
      key: key, batchName: "", bucketID: "", status: .completed, health: .ok, overallProgress: 100, totalObjects: 1,
      failedDocuments: 0, currentTier: 0, totalTiers: 1, hasFailures: false, priority: 0, createdAt: now,
      completedAt: now)
    try store.retire([listing])
    #expect(try store.prune(finishedBefore: now + .seconds(1), limit: 9) == [key])
    #expect(refusal(try killed()) == "")
    try store.close()
    try SQLiteStore(directory: directory.path).close()
  }

  @Test("a migration that is cut off at any of its steps is made by the next start")
  func interruptedMigration() throws {
    for done in Schema.migrator.migrations {
      let directory = try TemporaryDirectory()
      let path = directory.path + "/journal.sqlite"
      let pool = try DatabasePool(path: path)
      try Schema.migrator.migrate(pool, upTo: done)
      try pool.close()
      try Data("1\njournal made\n".utf8).write(to: URL(fileURLWithPath: directory.path + "/lock"))
      let store = try SQLiteStore(directory: directory.path)
      try store.commit([record(1)])
      #expect(try store.recover(at: now).batches.count == 1, "after \(done)")
    }
  }

  @Test("a commit that finds no room half way is not written at all, and can be made once there is some")
  func fullInsideATransaction() throws {
    let store = try SQLiteStore(directory: directory.path)
    for sequence in 1...3 { try store.commit([record(UInt64(sequence))]) }
    try store.pool.writeWithoutTransaction { database in
      let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
      _ = try Int.fetchOne(database, sql: "PRAGMA max_page_count = \(pages + 3)")
    }
    let writes = (4...40).map { record(UInt64($0)) }
    for _ in 0..<3 {
      let error = #expect(throws: StoreError.self) { try store.commit(writes) }
      #expect(error?.isFull == true && error?.words.contains("full") == true)
      #expect(try store.journal(of: key, after: 0).count == 3)
    }
    #expect(throws: StoreError.self) { try store.probe() }
    _ = try store.pool.writeWithoutTransaction { try Int.fetchOne($0, sql: "PRAGMA max_page_count = 1000000") }
    try store.probe()
    try store.commit(writes)
    #expect(try store.recover(at: now).batches.map(\.sequence) == [40])
    #expect(refusal(try killed()) == "")
  }

  @Test(
    "somebody who reads an old state makes the log grow, which is told; prune does not wait for them; then it stays small"
  )
  func longReader() throws {
    let store = try SQLiteStore(directory: directory.path)
    for sequence in 1...3 { try store.commit([record(UInt64(sequence))]) }
    let other = BatchKey(namespace: "n", batchID: "old")
    try store.commit([
      .record(Record(batch: other, sequence: 1, at: now, cause: .caller, fact: .batchCreated(Samples.specification)))
    ])
    let listing = BatchListing(
      key: other, batchName: "", bucketID: "", status: .completed, health: .ok, overallProgress: 100, totalObjects: 1,
      failedDocuments: 0, currentTier: 0, totalTiers: 1, hasFailures: false, priority: 0, createdAt: now,
      completedAt: now)
    try store.retire([listing])
    var next: UInt64 = 4
    func commit(_ count: Int) throws {
      for _ in 0..<count {
        try store.commit((next..<next + 40).map { record($0) })
        next += 40
      }
    }
    let reader = try DatabaseQueue(path: file)
    var grown: Int64 = 0
    try reader.inDatabase { database in
      try database.execute(sql: "BEGIN")
      #expect(try Int.fetchOne(database, sql: "SELECT count(*) FROM batches") == 2)
      try commit(80)
      #expect(try store.prune(finishedBefore: now + .seconds(1), limit: 9) == [other])
      grown = store.logBytes
      #expect(grown > 8 << 20, "\(grown)")
      // What it sees stays as it was.
      #expect(try Int.fetchOne(database, sql: "SELECT count(*) FROM batches") == 2)
      try database.execute(sql: "COMMIT")
    }
    try reader.close()
    try commit(80)
    #expect(store.logBytes < grown + (6 << 20), "\(store.logBytes)")
    #expect(try store.recover(at: now).batches.map(\.sequence) == [next - 1])
  }

  @Test("a file that is there and cannot be looked at is not taken for one that is not")
  func notLookedAt() throws {
    let store = try SQLiteStore(directory: directory.path)
    for sequence in 1...3 { try store.commit([record(UInt64(sequence))]) }
    // A directory in its place can be opened and not read; a link to itself cannot be looked at.
    let marked = try killed()
    let mark = marked.path + "/journal.sqlite-mark"
    try FileManager.default.removeItem(atPath: mark)
    try FileManager.default.createDirectory(atPath: mark, withIntermediateDirectories: false)
    #expect(refusal(marked).contains("journal.sqlite-mark cannot be read"))
    for part in ["", "-wal"] {
      let copy = try killed()
      let path = copy.path + "/journal.sqlite" + part
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: path)
      #expect(refusal(copy).contains("journal.sqlite\(part) cannot be looked at"), "\(refusal(copy))")
    }
  }

  @Test("what a first start that was cut off left in a rollback journal is taken back, and the doctor says so")
  func rollbackJournal() throws {
    let (whole, copy) = (directory.path + "/whole.sqlite", try TemporaryDirectory())
    let queue = try DatabaseQueue(path: whole)
    try queue.writeWithoutTransaction { database in
      // So little is kept in memory that the pages go to the file, and what they were to its journal.
      try database.execute(sql: "PRAGMA cache_size = 1; CREATE TABLE t (a); BEGIN; CREATE TABLE u (a)")
      for _ in 0..<200 { try database.execute(sql: "INSERT INTO u VALUES (zeroblob(3000)); DELETE FROM t") }
      for part in ["", "-journal"] {
        try FileManager.default.copyItem(atPath: whole + part, toPath: copy.path + "/journal.sqlite" + part)
      }
      try database.execute(sql: "ROLLBACK; DROP TABLE t")
    }
    try Data("1\n".utf8).write(to: URL(fileURLWithPath: copy.path + "/lock"))
    do {
      _ = try JournalDoctor(directory: copy.path, version: "1").examine()
      Issue.record("nothing was found")
    } catch {
      #expect(error.message.contains("the next one takes that back"), "\(error.message)")
    }
    // It is another program's database, once it can be looked at.
    #expect(refusal(copy).contains("another program"), "\(refusal(copy))")
  }
}

import Foundation
import GRDB
import MendCore
import MendRuntime
import TestSupport
import Testing

@testable import MendStore

@Suite("A journal that is made anew, or changed while no server has it, loses and mixes up nothing")
struct RebuildingTests {
  private let directory: TemporaryDirectory
  private let now = Instant(milliseconds: 5_000)

  init() throws { directory = try TemporaryDirectory() }

  private var file: String { directory.path + "/journal.sqlite" }

  private func open() throws -> SQLiteStore { try SQLiteStore(directory: directory.path) }

  private func key(_ id: String) -> BatchKey { BatchKey(namespace: "n", batchID: id) }

  private func doctor(_ directory: TemporaryDirectory? = nil) throws -> JournalDoctor {
    try JournalDoctor(directory: (directory ?? self.directory).path, version: "1")
  }

  /// Three batches of four records, a commit each.
  private func fill() throws -> SQLiteStore {
    let store = try open()
    for sequence in 1...4 { for id in ["a", "b", "c"] { try store.commit([Samples.write(id, UInt64(sequence))]) } }
    return store
  }

  /// The files as kill -9 leaves them, in a directory of their own.
  private func killed() throws -> TemporaryDirectory {
    let copy = try TemporaryDirectory()
    for part in ["", "-wal", "-mark"] {
      try FileManager.default.copyItem(atPath: file + part, toPath: copy.path + "/journal.sqlite" + part)
    }
    try Data("1\njournal made\n".utf8).write(to: URL(fileURLWithPath: copy.path + "/lock"))
    return copy
  }

  @Test("a batch that comes after a rebuilding has neither number nor notes of one that was lost")
  func numbers() throws {
    var store = try fill()
    #expect(try store.noteCrash(of: key("c"), signal: 11, at: now) == 1)
    try store.close()
    #expect(try doctor().setAside(key("c"), at: now, reason: "an order"))
    let queue = try DatabaseQueue(path: file)
    try queue.write {
      try $0.execute(sql: "DELETE FROM batches WHERE batch_id = 'c'; DELETE FROM journal WHERE batch = 3 OR id > 10")
    }
    try queue.close()
    _ = try doctor().rebuild(at: now)
    store = try open()
    #expect(try store.recover(at: now).losses.isEmpty)
    try store.commit([Samples.write("d", 1)])
    let ids = try store.pool.read { database in
      try Int64.fetchAll(database, sql: "SELECT max(id) FROM batches UNION ALL SELECT max(id) FROM journal")
    }
    #expect(ids == [4, 13])
    #expect(try store.noteCrash(of: key("d"), signal: 11, at: now) == 1)
    try store.close()
    store = try open()
    let recovery = try store.recover(at: now)
    #expect(recovery.batches.map(\.key).contains(key("d")) && recovery.losses.isEmpty, "\(recovery)")
    try store.close()
    #expect(try doctor().examine().faults.isEmpty)
  }

  /// As a rebuilding leaves them that was cut off once it had taken the log away.
  private func cutOff() throws -> TemporaryDirectory {
    let copy = try killed()
    let path = copy.path + "/journal.sqlite"
    let kept = path + "-kept-1"
    try FileManager.default.createDirectory(atPath: kept, withIntermediateDirectories: false)
    for part in ["", "-wal", "-mark"] {
      try FileManager.default.linkItem(atPath: path + part, toPath: kept + "/journal.sqlite" + part)
    }
    try FileManager.default.removeItem(atPath: path + "-wal")
    return copy
  }

  @Test("after a rebuilding that was cut off, whoever comes next finds the log again, and later ones another's")
  func cutOffAndOthers() throws {
    let store = try fill()
    for accepts in [true, false] {
      let copy = try cutOff()
      if accepts { try doctor(copy).acceptLoss() }
      for sequence in UInt64(5)...6 {
        let next = try SQLiteStore(directory: copy.path)
        #expect(try next.recover(at: now).batches.map(\.sequence).max() == sequence - 1)
        try next.commit([Samples.write("a", sequence)])
        try next.close()
      }
      let rebuilding = try doctor(copy).rebuild(at: now)
      #expect(rebuilding.rows == 14 && rebuilding.setAside.isEmpty && rebuilding.faults.isEmpty, "\(rebuilding)")
    }
    try store.close()
  }

  @Test("a rebuilding that was cut off after it took the log away finds it again")
  func cutOffOnce() throws {
    let store = try fill()
    for hasEmptyLog in [false, true] {
      let copy = try cutOff()
      let path = copy.path + "/journal.sqlite"
      // A server that refuses it leaves one.
      if hasEmptyLog { try Data().write(to: URL(fileURLWithPath: path + "-wal")) }
      let rebuilding = try doctor(copy).rebuild(at: now)
      #expect(rebuilding.rows == 12 && rebuilding.setAside.isEmpty && rebuilding.faults.isEmpty, "\(rebuilding)")
      let again = try SQLiteStore(directory: copy.path)
      #expect(try again.recover(at: now).batches.map(\.sequence) == [4, 4, 4])
      try again.close()
    }
    try store.close()
  }

  @Test("a log that is broken in the middle is left as it is by what sets batches aside and brings them back")
  func brokenLog() throws {
    let store = try fill()
    let copy = try killed()
    let log = URL(fileURLWithPath: copy.path + "/journal.sqlite-wal")
    var bytes = try Data(contentsOf: log)
    bytes[bytes.count / 2] ^= 1
    try bytes.write(to: log)
    for change in [
      { try doctor(copy).setAside(key("a"), at: now, reason: "an order") }, { try doctor(copy).bringBack(key("a")) },
    ] {
      let error = #expect(throws: StoreError.self) { _ = try change() }
      #expect(error?.message.contains("is broken in the middle") == true, "\(error as Any)")
      #expect(try Data(contentsOf: log) == bytes)
    }
    try store.close()
  }
}

import Foundation
import GRDB
import MendCore
import MendRuntime
import TestSupport
import Testing

@testable import MendStore

struct DataDirectoryIdentityTests {
  private let place: TemporaryDirectory
  private var data: String { place.path + "/data" }

  init() throws {
    place = try TemporaryDirectory()
    try FileManager.default.createDirectory(atPath: place.path + "/data", withIntermediateDirectories: true)
  }

  private func open<Value>(_ directory: String, _ body: (SQLiteStore) throws -> Value) throws -> Value {
    let store = try SQLiteStore(directory: directory)
    let value = try body(store)
    try store.close()
    return value
  }

  private func standing(of directory: String) throws -> DataDirectoryStanding {
    try open(directory) { try $0.standing(of: directory) }
  }

  private func identity(of directory: String) throws -> ServerIdentity {
    guard case .own(let identity) = try standing(of: directory) else { throw NotOwn() }
    return identity
  }

  private struct NotOwn: Error {}

  private func addBatch(to store: SQLiteStore) throws {
    let record = Record(
      batch: BatchKey(namespace: "n", batchID: "b"), sequence: 1, at: Instant(milliseconds: 1), cause: .caller,
      fact: .batchCreated(Samples.specification))
    try store.commit([.record(record)])
  }

  @Test func `a new data directory gets a name and keeps it`() throws {
    let identity = try identity(of: data)
    #expect(identity.id.count == 32)
    #expect(identity.ownsNameless)
    #expect(try standing(of: data) == .own(identity))
    let other = place.path + "/other"
    try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: true)
    #expect(try self.identity(of: other).id != identity.id)
  }

  @Test func `one that is renamed, and one whose name was removed, keep it`() throws {
    let identity = try identity(of: data)
    let moved = place.path + "/moved"
    try FileManager.default.moveItem(atPath: data, toPath: moved)
    #expect(try standing(of: moved) == .own(identity))
    try FileManager.default.removeItem(atPath: moved + "/identity")
    #expect(try standing(of: moved) == .own(identity))
    #expect(FileManager.default.fileExists(atPath: moved + "/identity"))
  }

  @Test(arguments: ["", "\n", "\0\0\0\0", "3f", "\u{feff}\u{1f}x"])
  func `what a power cut leaves of a name is as no name`(_ rest: String) throws {
    let identity = try identity(of: data)
    try Data(rest.utf8).write(to: URL(fileURLWithPath: data + "/identity"))
    #expect(try standing(of: data) == .own(identity))
    #expect(try String(contentsOfFile: data + "/identity", encoding: .utf8) == identity.id + "\n")
  }

  @Test func `a journal of one directory in another is a copy, however it came there`() throws {
    _ = try identity(of: data)
    let (whole, backup) = (place.path + "/whole", place.path + "/backup")
    try FileManager.default.copyItem(atPath: data, toPath: whole)
    try FileManager.default.createDirectory(atPath: backup, withIntermediateDirectories: true)
    try open(data) { store in try store.pool.backup(to: DatabaseQueue(path: backup + "/journal.sqlite")) }
    // In a directory that has a name of its own.
    let named = place.path + "/named"
    try FileManager.default.createDirectory(atPath: named, withIntermediateDirectories: true)
    _ = try identity(of: named)
    for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"] {
      try? FileManager.default.removeItem(atPath: "\(named)/\(name)")
    }
    try FileManager.default.copyItem(atPath: backup + "/journal.sqlite", toPath: named + "/journal.sqlite")
    for copy in [whole, backup, named] {
      for _ in 0..<2 {
        #expect(try standing(of: copy) == .copy(of: URL(filePath: data).resolvingSymlinksInPath().path))
      }
    }
  }

  @Test func `a copy that is adopted has a name of its own, and none of what is the original's`() throws {
    let original = try identity(of: data)
    let copy = place.path + "/copy"
    try FileManager.default.copyItem(atPath: data, toPath: copy)
    #expect(FileManager.default.createFile(atPath: copy + "/ray.json", contents: Data("{}".utf8)))
    let identity = try open(copy) { try $0.adoptCopy(in: copy) }
    #expect(identity.id != original.id)
    #expect(!identity.ownsNameless)
    #expect(!identity.owns("") && !identity.owns(original.id) && identity.owns(identity.id))
    #expect(try standing(of: copy) == .own(identity))
    #expect(!FileManager.default.fileExists(atPath: copy + "/ray.json"))
    #expect(try standing(of: data) == .own(original))
  }

  @Test func `a journal that is older than names is its directory's own, and elsewhere a copy`() throws {
    try open(data) { try addBatch(to: $0) }
    let copy = place.path + "/copy"
    try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
    try open(data) { store in try store.pool.backup(to: DatabaseQueue(path: copy + "/journal.sqlite")) }
    #expect(try identity(of: data).ownsNameless)
    #expect(try standing(of: copy) == .copy(of: nil))
  }

  @Test func `an empty journal takes the name that its directory has`() throws {
    let identity = try identity(of: data)
    for name in try FileManager.default.contentsOfDirectory(atPath: data) where name.hasPrefix("journal.sqlite") {
      try FileManager.default.removeItem(atPath: "\(data)/\(name)")
    }
    #expect(try standing(of: data) == .own(identity))
  }

  @Test func `a full disk keeps nobody from a directory that is known to be its own`() throws {
    let identity = try identity(of: data)
    try open(data) { store in
      try store.pool.writeWithoutTransaction { database in
        try database.execute(
          sql: """
            UPDATE data_directory SET boot = 'an earlier one';
            CREATE TABLE filler (bytes BLOB);
            CREATE TRIGGER no_room BEFORE INSERT ON data_directory BEGIN
              INSERT INTO filler VALUES (zeroblob(100000));
            END
            """)
        let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
        _ = try Int.fetchOne(database, sql: "PRAGMA max_page_count = \(pages + 3)")
      }
      #expect(try store.standing(of: data) == .own(identity))
      let boot = try store.pool.read { try String.fetchOne($0, sql: "SELECT boot FROM data_directory") }
      #expect(boot == "an earlier one")
      // A copy is adopted, or it is not.
      let error = #expect(throws: StoreError.self) { try store.adoptCopy(in: data) }
      #expect(error?.isFull == true)
    }
  }

  @Test func `this machine's file systems have a name, and an older journal gets it`() throws {
    let identity = try identity(of: data)
    func fileSystem() throws -> String? {
      try open(data) { store in
        try store.pool.read { try String.fetchOne($0, sql: "SELECT file_system FROM data_directory") }
      }
    }
    #expect(try fileSystem()?.isEmpty == false)
    #expect(try fileSystem() == Place(of: data).fileSystem)
    try open(data) { store in
      try store.pool.write { try $0.execute(sql: "ALTER TABLE data_directory DROP COLUMN file_system") }
    }
    #expect(try standing(of: data) == .own(identity))
    #expect(try fileSystem()?.isEmpty == false)
  }

  @Test(arguments: [true, false])
  func `a first start that was cut off anywhere is none of a copy`(isBound: Bool) throws {
    // It was served before directories had names.
    try open(data) { try addBatch(to: $0) }
    // What cannot be written ends the start as if it were killed there.
    let hindrance = isBound ? data + "/identity.new" : ""
    if isBound {
      try FileManager.default.createDirectory(atPath: hindrance, withIntermediateDirectories: true)
    } else {
      try open(data) { store in
        try store.pool.write { database in
          try database.execute(sql: SQLiteStore.table)
          try database.execute(
            sql: "CREATE TRIGGER hindrance BEFORE INSERT ON data_directory BEGIN SELECT RAISE(ABORT, 'killed'); END")
        }
      }
    }
    #expect(throws: StoreError.self) { try standing(of: data) }
    if isBound {
      try FileManager.default.removeItem(atPath: hindrance)
    } else {
      try open(data) { store in try store.pool.write { try $0.execute(sql: "DROP TRIGGER hindrance") } }
    }
    let identity = try identity(of: data)
    #expect(try String(contentsOfFile: data + "/identity", encoding: .utf8) == identity.id + "\n")
  }
}

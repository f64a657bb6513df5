import Foundation
import GRDB
public import MendCore
public import MendRuntime
import Synchronization

/// The journal in one SQLite database, DIRECTORY/journal.sqlite.
///
/// A commit returns when its transaction is on the disk (WAL with synchronous FULL: one fsync a commit). Commits,
/// retires and recovery are one caller's, the runtime's writer; reading is anybody's, at any time, and does not wait
/// for a commit. While the store lives the directory is locked, and a second one is refused.
public final class SQLiteStore: Store {
  /// What the runtime's writer alone changes.
  struct Ledger {
    struct LiveBatch {
      var id: Int64
      /// Of its newest record; nil until it was looked up.
      var last: UInt64?
      /// The newest one that it is known to be in; -1 until it was looked up.
      var segment: Int64
    }

    /// Where the tables end, and what happened since the last cleaning: what a commit moves on.
    struct Marks {
      var lastBatch: Int64
      var lastRow: Int64
      var commitsSinceCleaning = 0
    }

    var live: [BatchKey: LiveBatch] = [:]
    var marks: Marks
    var keys = KeyRows()
  }

  let pool: DatabasePool
  let path: String
  private let file: JournalFile
  /// A journal stood in this directory before this start.
  let journalWasMadeHere: Bool
  /// Of the files that were opened.
  private let identities: [JournalFile.Identity?]
  let mark: JournalMark
  /// A write that failed in a way that leaves open what is on the disk: from then on nothing is written.
  private let broken = Mutex<StoreError?>(nil)
  /// Files that other users could read until now.
  public let tightened: [String]
  let version: String
  var decoding: JournalDecoding { JournalDecoding(path: path, version: version) }
  let idempotencyKeysLimit: Int
  let ledger: Mutex<Ledger>
  /// Row ids of live batches, for readers, who must not wait for `ledger`.
  let liveIDs: Mutex<[BatchKey: Int64]>
  /// Nil once closed.
  private let lock: Mutex<DirectoryLock?>

  /// Opens the directory's journal, makes it where there is none, and brings an older one to today's form.
  ///
  /// - Parameters:
  ///   - directory: exists, and belongs to this server alone.
  ///   - version: of the program; it is written into every row, for whoever can't read it.
  ///   - idempotencyKeysLimit: keys of one namespace that are kept, as the core's `Limits.idempotencyKeys` has it; its
  ///     oldest go first.
  /// - Throws: `StoreError` that says what to do: the directory is in use, the database is damaged, another
  ///   program's, or a later version's.
  public init(directory: String, version: String = "0.1.0", idempotencyKeysLimit: Int = 100_000) throws(StoreError) {
    let held = try DirectoryLock(directory: directory)
    lock = Mutex(held)
    let path = directory + "/journal.sqlite"
    let file = JournalFile(path: path)
    try file.check(wasMade: held.journalWasMade)
    journalWasMadeHere = held.journalWasMade
    let past = JournalPast(file, held)
    try held.lockJournal(path, in: directory)
    tightened = try file.tighten()
    self.path = path
    self.version = version
    self.idempotencyKeysLimit = idempotencyKeysLimit
    let (pool, found, ids) = try Self.access("open", path) {
      let pool = try Self.open(path, past)
      try Schema.migrator.migrate(pool)
      let (found, ids) = try pool.read { try Self.load($0) }
      try Self.takeOver(pool)
      return (pool, found, ids)
    }
    try held.noteJournal(directory: directory)
    let mark = JournalMark(journal: path)
    mark.set(found.marks.lastRow)
    self.mark = mark
    self.pool = pool
    self.file = file
    identities = file.identities()
    ledger = Mutex(found)
    liveIDs = Mutex(ids)
  }

  /// What was acknowledged is on the disk in truth, and the database file says that it is not all of the journal.
  ///
  /// After a sync that failed, the system takes its pages for written, and a later sync of the same file says nothing of
  /// them: so all that the log has is written once more, into the database file, before anything is added to it.
  private static func takeOver(_ pool: DatabasePool) throws {
    do {
      try pool.writeWithoutTransaction { database in
        try database.execute(sql: "UPDATE log_state SET state = 1 WHERE id = 1")
        do {
          try database.checkpoint(.truncate)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
          // Another program reads it; a later checkpoint does it.
        }
        try database.execute(sql: "UPDATE log_state SET state = 2 WHERE id = 1")
      }
    } catch let error as DatabaseError where isFull(error) {
      // Nothing is added to it either, until there is room.
    }
  }

  private static func open(_ path: String, _ past: JournalPast) throws -> DatabasePool {
    var configuration = Configuration()
    configuration.label = "journal"
    configuration.maximumReaderCount = 4
    configuration.busyMode = .timeout(5)
    // There are no foreign keys to check.
    configuration.foreignKeysEnabled = false
    if FileManager.default.fileExists(atPath: path) {
      // Looked at before anything is written: opening a pool changes the journal mode of whose file it ever is.
      var reading = configuration
      reading.readonly = true
      let database = try DatabaseQueue(path: path, configuration: reading)
      try database.read { database in
        try Schema.check(database, path: path, mayBeNew: past.mayBeNew)
        try past.check(database)
      }
      try database.close()
    }
    let pool = try DatabasePool(path: path, configuration: configuration)
    // DatabasePool sets NORMAL on its writer as it opens: an acknowledged commit would not survive a power cut.
    try pool.writeWithoutTransaction { database in
      try database.execute(sql: "PRAGMA synchronous = FULL")
      let synchronous = try Int.fetchOne(database, sql: "PRAGMA synchronous")
      guard synchronous == 2 else {
        throw StoreError(
          operation: "open", message: "\(path): synchronous is \(synchronous ?? -1), not FULL; commits are not durable")
      }
      // What a burst made of the write-ahead log is given back.
      try database.execute(sql: "PRAGMA journal_size_limit = \(64 << 20)")
    }
    return pool
  }

  private static func load(_ database: Database) throws -> (Ledger, [BatchKey: Int64]) {
    var ledger = Ledger(
      marks: Ledger.Marks(
        lastBatch: try Int64.fetchOne(database, sql: "SELECT max(id) FROM batches") ?? 0,
        lastRow: try Int64.fetchOne(database, sql: "SELECT max(id) FROM journal") ?? 0))
    var ids: [BatchKey: Int64] = [:]
    let rows = try Row.fetchCursor(database, sql: "SELECT id, namespace, batch_id FROM batches WHERE retired = 0")
    while let row = try rows.next() {
      let key = BatchKey(namespace: row[1], batchID: row[2])
      ids[key] = row[0]
      ledger.live[key] = Ledger.LiveBatch(id: row[0], last: nil, segment: -1)
    }
    return (ledger, ids)
  }

  /// SQLite goes on writing to files that were removed, and all of it would be gone with this process.
  public func check() throws(StoreError) {
    if let fault = broken.withLock({ $0 }) { throw fault }
    let present = file.identities()
    guard present != identities else { return }
    guard present.first == identities.first else {
      throw StoreError(
        operation: "commit",
        message:
          "\(path) was removed or replaced while the server ran; nothing can be kept any more: bring it back from a "
          + "copy, then start again")
    }
    // The database file is there, and the log is still open: what it holds goes where it can be found.
    try writing("save") { try pool.writeWithoutTransaction { _ = try $0.checkpoint(.full) } }
    throw StoreError(
      operation: "commit",
      message:
        "\(path)-wal or \(path)-shm was removed or replaced while the server ran; all that was acknowledged was saved into "
        + "\(path): start again")
  }

  /// Notes that a server crashed with the batch in hand; the second time within a day it is set aside. Gives how often.
  ///
  /// Before `recover`.
  public func noteCrash(of key: BatchKey, signal: Int32, at now: Instant) throws(StoreError) -> Int {
    try writing("note") {
      try pool.write { database in
        guard let id = try JournalDoctor.id(of: key, in: database) else { return 0 }
        let before = try Int.fetchOne(
          database, sql: "SELECT count FROM crashes WHERE batch = ? AND at > ?",
          arguments: [id, now.milliseconds - Duration.seconds(86_400).milliseconds])
        let count = (before ?? 0) + 1
        try database.execute(
          sql: "INSERT OR REPLACE INTO crashes (batch, count, at) VALUES (?, ?, ?)",
          arguments: [id, count, now.milliseconds])
        guard count >= Self.crashesUntilSetAside else { return count }
        try database.execute(
          sql: "INSERT OR REPLACE INTO set_aside (batch, at, ground, reason) VALUES (?, ?, ?, ?)",
          arguments: [
            id, now.milliseconds, SetAside.Ground.crash.rawValue,
            "the server crashed over it \(count) times, the last by signal \(signal)",
          ])
        return count
      }
    }
  }

  static let crashesUntilSetAside = 2

  /// Of the write-ahead log: it grows while somebody reads an old state of the database.
  public var logBytes: Int64 { file.logBytes }

  /// Writes the log back into the database file, closes it, and frees the directory. Nothing may be asked of the store
  /// afterwards.
  public func close() throws(StoreError) {
    if broken.withLock({ $0 }) == nil, file.identities() == identities {
      // Where there is no room, the log stays, and the file says so. GRDB closes its readers last, and they write nothing
      // back.
      try? pool.write { try $0.execute(sql: "UPDATE log_state SET state = 0 WHERE id = 1") }
      _ = try? pool.writeWithoutTransaction { try $0.checkpoint(.truncate) }
    }
    try Self.access("close", path) { try pool.close() }
    lock.withLock { $0 = nil }
  }

  /// Runs what writes. What the disk lost, or could not sync, may be there or not: nothing is written after it.
  func writing<Value>(_ operation: String, _ body: () throws -> Value) throws(StoreError) -> Value {
    if let fault = broken.withLock({ $0 }) { throw fault }
    return try Self.access(operation, path) {
      do {
        return try body()
      } catch let error as DatabaseError where error.resultCode == .SQLITE_IOERR && !Self.isFull(error) {
        let fault = StoreError(operation: operation, message: Self.advice(on: error, path))
        broken.withLock { $0 = fault }
        throw fault
      }
    }
  }

  /// Runs what touches the database, and says of its errors what to do about them.
  static func access<Value>(
    _ operation: String, _ path: String, _ body: () throws -> Value
  ) throws(StoreError) -> Value {
    do {
      return try body()
    } catch let error as StoreError {
      throw error
    } catch let error as DatabaseError {
      throw StoreError(
        operation: operation, message: advice(on: error, path), isFull: isFull(error), words: words(error))
    } catch {
      throw StoreError(operation: operation, message: "\(path): \(error)")
    }
  }

  /// A write that found no room is rolled back; one that the disk lost, or whose sync failed, may have been made.
  private static func isFull(_ error: DatabaseError) -> Bool {
    // A file-size limit or a quota is said by the second.
    error.resultCode == .SQLITE_FULL || error.extendedResultCode == .SQLITE_IOERR_WRITE
  }

  private static func words(_ error: DatabaseError) -> String {
    "\(error.message ?? "no message") (SQLite \(error.extendedResultCode.rawValue))"
  }

  private static func advice(on error: DatabaseError, _ path: String) -> String {
    let what = "\(path): \(words(error))"
    return switch error.resultCode {
    case .SQLITE_CORRUPT, .SQLITE_NOTADB:
      "\(what); the file is damaged: bring it back from a copy, or move it away and start with an empty journal"
    case .SQLITE_FULL: "\(what); the disk is full: make room"
    case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH:
      "\(what); the directory and the files in it must be writable for the server"
    case .SQLITE_IOERR: "\(what); the disk failed: look at the system's log before starting again"
    case .SQLITE_BUSY, .SQLITE_LOCKED: "\(what); another program has it open: close that one"
    default: what
    }
  }
}

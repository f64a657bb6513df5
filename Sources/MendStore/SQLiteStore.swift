import Foundation
import GRDB
package import MendCore
package import MendRuntime
import Synchronization

/// The journal in one SQLite database, DIRECTORY/journal.sqlite.
///
/// A commit returns when its transaction is on the disk (WAL with synchronous FULL: one fsync a commit). Only the runtime's
/// writer commits, retires and recovers. Anybody may read at any time, without waiting for a commit. The store locks its
/// directory as long as it lives.
package final class SQLiteStore: Store {
  /// The state that only the runtime's writer changes.
  struct Ledger {
    struct LiveBatch {
      var id: Int64
      /// The sequence of its newest record; nil if that is not known yet.
      var last: UInt64?
      /// The newest segment that is known to have rows of it; -1 if none is known yet.
      var segment: Int64
      /// The sequence of its newest record when it was retired last: its journal has no fewer records.
      var least: UInt64 = 0
    }

    /// The ends of the tables, and what happened since the last cleaning. Every commit changes them.
    struct Marks {
      var lastBatch: Int64
      var lastRow: Int64
      var commitsSinceCleaning = 0
      /// A log that is larger is to be made small; while somebody reads for long, one that is larger than the second.
      var logBytesBound = SQLiteStore.logBytesBound { didSet { logBytesTolerated = logBytesBound } }
      var logBytesTolerated = SQLiteStore.logBytesBound
      /// When the next attempt to make such a log small is due in any case.
      var logRetryAt = ContinuousClock.now
      var logRetryInterval: Duration = .seconds(10)
    }

    var live: [BatchKey: LiveBatch] = [:]
    var marks: Marks
    var keys = KeyRows()
    /// Found at the start: how many rows of the table are of live batches, which of the finished ones have to be live for
    /// once, and what is wrong.
    var liveRows: Int64 = 0
    var revived: [Int64] = []
    /// Live batches that an older page of the table calls finished.
    var calledFinished: [Int64] = []
    /// Whether the start read the whole table of batches.
    var isThorough = false
    var losses: [String] = []
  }

  let pool: DatabasePool
  let frames: LogFrames
  let path: String
  private let file: JournalFile
  /// Whether this directory had a journal before this start.
  let journalWasMadeHere: Bool
  /// The identities of the files that were opened.
  private let identities: [JournalFile.Identity?]
  let mark: JournalMark
  /// The error of a write that left open what is on the disk. After it nothing is written.
  private let broken = Mutex<StoreError?>(nil)
  /// The work that a start on a full disk left undone; nil if there is none.
  let preparation: Mutex<Preparation?>
  /// Why nothing can be added to the journal, though it can be read; nil if it can.
  package let damage: StoreError?
  private let found: Mutex<Losses>
  /// The event ids of notifications that a later version wrote and that wait for it.
  let notificationsLeft = Mutex<Set<String>>([])
  /// Whether a note of where a live batch has rows is lost.
  let missesPlaces = Atomic(false)
  /// Whether a listing was read that is damaged, and whether the next start is asked to make it anew.
  enum DamagedListings: UInt8, AtomicRepresentable { case none, found, asked }
  let missesListings = Atomic(DamagedListings.none)
  /// Finished batches on pages whose reading ends a transaction. This server does not forget them.
  let unforgettable = Mutex<Set<Int64>>([])
  /// The files that other users could read until this start.
  package let tightened: [String]
  let version: String
  var decoding: JournalDecoding { JournalDecoding(path: path, version: version, note: crashNote) }
  private let note = Mutex<(any CrashNote)?>(nil)

  /// Is told whose journal is being read, so that a crash can be blamed on it.
  package var crashNote: (any CrashNote)? {
    get { note.withLock { $0 } }
    set { note.withLock { $0 = newValue } }
  }

  let idempotencyKeysLimit: Int
  let ledger: Mutex<Ledger>
  /// The numbers of live batches, for readers, which must not wait for `ledger`.
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
  package init(directory: String, version: String = "0.1.0", idempotencyKeysLimit: Int = 100_000) throws(StoreError) {
    let held = try DirectoryLock(directory: directory)
    lock = Mutex(held)
    let path = directory + "/journal.sqlite"
    let file = JournalFile(path: path)
    try file.takeBackRebuilding()
    try file.check(wasMade: held.journalWasMade)
    journalWasMadeHere = held.journalWasMade
    let past = try JournalPast(file, held)
    try held.lockJournal(path, in: directory)
    tightened = try file.tighten()
    self.path = path
    self.version = version
    self.idempotencyKeysLimit = idempotencyKeysLimit
    let opened = try Opened(path, past)
    try held.noteJournal(directory: directory)
    mark = opened.mark
    if opened.damage == nil { mark.set(opened.ledger.marks) }
    pool = opened.pool
    frames = opened.frames
    damage = opened.damage
    preparation = Mutex(opened.preparation)
    self.file = file
    identities = try file.identities()
    ledger = Mutex(opened.ledger)
    liveIDs = Mutex(opened.ledger.live.mapValues(\.id))
    found = Mutex(Losses(opened.losses))
  }

  /// Throws if nothing can be kept any more. SQLite goes on writing to removed files, and those end with this process.
  package func check() throws(StoreError) {
    if let fault = broken.withLock({ $0 }) { throw fault }
    let present = try file.identities()
    guard present != identities else { return }
    guard present.first == identities.first else {
      throw StoreError(
        operation: "commit",
        message:
          "\(path) was removed or replaced while the server ran; nothing can be kept any more: bring it back from a "
          + "copy, then start again")
    }
    // The database file is there, and the log is still open: what it holds goes where it can be found. A checkpoint would
    // wait for readers.
    let isLogInPlace = present[1] == identities[1]
    if !isLogInPlace, let log = identities[1] {
      try Self.access("save", path) { try pool.writeWithoutTransaction { _ in try file.putBack(log) } }
    }
    let fault = StoreError(
      operation: "commit",
      message: isLogInPlace
        ? "\(path)-shm was removed or replaced while the server ran; all that was acknowledged is in \(path)-wal: start again"
        : "\(path)-wal was removed or replaced while the server ran; all that was acknowledged was put back there: start "
          + "again")
    broken.withLock { $0 = fault }
    throw fault
  }

  /// Notes that a server crashed over a batch, and returns how often within a day. After the second time the batch is set
  /// aside. To be called before `recover`.
  package func noteCrash(of key: BatchKey, signal: Int32, at now: Instant) throws(StoreError) -> Int {
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
        try Self.keepAside(
          id, .crash, "the server crashed over it \(count) times, the last by signal \(signal)", at: now, in: database)
        return count
      }
    }
  }

  static let crashesUntilSetAside = 2

  /// The size of the write-ahead log, which grows while somebody reads an old state of the database.
  package var logBytes: Int64 { file.logBytes }

  /// Moves the log to the database file, closes it, and unlocks the directory. The store must not be used afterwards.
  package func close() throws(StoreError) {
    if broken.withLock({ $0 }) == nil, (try? file.identities()) == identities {
      // Where there is no room, the log stays, and the file says so. GRDB closes its readers last, and they write nothing
      // back.
      if damage == nil { try? pool.write { try $0.execute(sql: "UPDATE log_state SET state = 0 WHERE id = 1") } }
      _ = try? pool.writeWithoutTransaction { try $0.checkpoint(.truncate) }
    }
    try Self.access("close", path) { try pool.close() }
    lock.withLock { $0 = nil }
  }

  /// Runs a write. After a write that the disk lost, or could not sync, nothing is written any more.
  ///
  /// - Parameter isNeeded: the journal cannot go on without it. Where a page cannot be read that it would change, the next
  ///   server serves what can be read, and changes nothing.
  func writing<Value>(
    _ operation: String, isNeeded: Bool = false, _ body: () throws -> Value
  ) throws(StoreError) -> Value {
    if let fault = broken.withLock({ $0 }) ?? damage { throw fault }
    return try Self.access(operation, path) {
      do {
        try prepare()
        let value = try body()
        try keepLogShort()
        return value
      } catch  where error.isUnreadable {
        guard isNeeded else { throw error }
        let fault = StoreError(operation: operation, message: Self.advice(on: error, path))
        DamageNote(journal: path).write(Self.words(error))
        broken.withLock { $0 = fault }
        throw fault
      } catch let error as DatabaseError where error.resultCode == .SQLITE_IOERR && !Self.isFull(error) {
        let fault = StoreError(operation: operation, message: Self.advice(on: error, path))
        broken.withLock { $0 = fault }
        throw fault
      }
    }
  }

  /// Does the work that a start on a full disk left undone.
  private func prepare() throws {
    try preparation.withLock { preparation in
      guard let undone = preparation else { return }
      do {
        for loss in try undone.run() { note(loss) }
      } catch let fault as Preparation.Damage {
        broken.withLock { $0 = fault.error }
        throw fault.error
      }
      preparation = nil
    }
  }

  /// Sentences about damage; each is told once.
  private struct Losses {
    var untold: [String]
    private var known: Set<String>

    init(_ losses: [String]) {
      untold = losses
      known = Set(losses)
    }

    mutating func add(_ loss: String) {
      guard known.count < SQLiteStore.lossesKnown, known.insert(loss).inserted else { return }
      untold.append(loss)
    }
  }

  /// Keeps a sentence about damage until `takeLosses`.
  func note(_ loss: String) { found.withLock { $0.add(loss) } }

  /// The number of sentences about damage that one recovery reports.
  static let lossesTold = 20
  private static let lossesKnown = 1000

  package func takeLosses() -> [String] {
    found.withLock { losses in
      defer { losses.untold = [] }
      return losses.untold
    }
  }

  /// Runs an access to the database. Its errors say what to do.
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

  /// Tells whether a write failed because there was no room. It is rolled back; after other errors it may have been made.
  static func isFull(_ error: DatabaseError) -> Bool {
    // The second reports a quota or a limit of file sizes, the third a log index without room.
    error.resultCode == .SQLITE_FULL || error.extendedResultCode == .SQLITE_IOERR_WRITE
      || error.extendedResultCode == .SQLITE_IOERR_SHMSIZE
  }

  static func words(_ error: any Error) -> String {
    guard let error = error as? DatabaseError else { return "\(error)" }
    return words(error)
  }

  static func words(_ error: DatabaseError) -> String {
    "\(error.message ?? "no message") (SQLite \(error.extendedResultCode.rawValue))"
  }

  private static func advice(on error: any Error, _ path: String) -> String {
    guard let error = error as? DatabaseError else { return "\(path): \(error)" }
    let what = "\(path): \(words(error))"
    return switch error.resultCode {
    case _ where isFull(error): "\(what); the disk is full, or a quota or a limit of file sizes is reached: make room"
    case .SQLITE_CORRUPT, .SQLITE_NOTADB:
      "\(what); a page of the file is damaged: stop the server, and mend doctor --data DIR says what can be read, and with "
        + "--rebuild makes a whole journal of that; or bring all files that begin with its name back from a copy"
    case .SQLITE_READONLY where error.extendedResultCode == .SQLITE_READONLY_ROLLBACK:
      "\(what); a server was ended as it made the file, before it served: the next one takes that back and begins again"
    case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH:
      "\(what); the directory and the files in it must be writable for the server"
    case .SQLITE_IOERR: "\(what); the disk failed: look at the system's log before starting again"
    case .SQLITE_BUSY, .SQLITE_LOCKED: "\(what); another program has it open: close that one"
    default: what
    }
  }
}

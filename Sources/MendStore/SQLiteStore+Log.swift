import GRDB
import MendCore
import MendRuntime

// The write-ahead log: it goes into the database file now and then, and the file says at all times that it is not all of
// the journal, so that a copy of it alone is found out.

extension SQLiteStore {
  static let logBytesBound: Int64 = 64 << 20
  static let logPatience: Duration = .milliseconds(250)
  static let busyPatience: Duration = .seconds(5)
  static let framesBound = 1000

  /// Moves the whole log to the database file, unless somebody reads an older state.
  ///
  /// Afterwards the file by itself says that a log belongs to it; readers of the database see the state that is in the log.
  static func empty(_ database: Database, _ mode: Database.CheckpointMode) throws -> Bool {
    try database.execute(sql: "UPDATE log_state SET state = 1 WHERE id = 1")
    let checkpoint = Result { try database.checkpoint(mode) }
    try database.execute(sql: "UPDATE log_state SET state = 2 WHERE id = 1")
    do {
      _ = try checkpoint.get()
      return true
    } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
      // A later one does it.
      return false
    }
  }

  /// Makes a checkpoint if the log is long.
  func keepLogShort() throws {
    guard frames.count >= Self.framesBound else { return }
    do {
      try pool.writeWithoutTransaction { database in
        guard frames.count >= Self.framesBound else { return }
        // Most of it while the file may still say what readers find.
        let copied: (walFrameCount: Int, checkpointedFrameCount: Int)
        do {
          copied = try database.checkpoint(.passive)
        } catch is DatabaseError {
          // What is in the log is durable; it is tried again.
          return
        }
        guard copied.walFrameCount == copied.checkpointedFrameCount else { return }
        _ = try Self.empty(database, .passive)
      }
    } catch let error as DatabaseError where Self.isFull(error) {
      // Of what was committed nothing is lost; it is tried again.
    }
  }

  /// Waits for readers for a moment if the log is very large: readers that take turns keep it from starting anew, and it
  /// would grow without end.
  func relieveLog(_ marks: inout Ledger.Marks) throws(StoreError) {
    // Not at each commit: asking costs something, too.
    guard marks.commitsSinceCleaning % 16 == 0 else { return }
    let bytes = logBytes
    guard bytes > marks.logBytesBound else { return }
    let now = ContinuousClock.now
    guard bytes > marks.logBytesTolerated || now >= marks.logRetryAt else { return }
    var isRelieved = false
    do throws(StoreError) {
      isRelieved = try writing("checkpoint") {
        try pool.writeWithoutTransaction { database in
          try database.execute(sql: "PRAGMA busy_timeout = \(Self.logPatience.milliseconds)")
          defer { try? database.execute(sql: "PRAGMA busy_timeout = \(Self.busyPatience.milliseconds)") }
          return try Self.empty(database, .truncate)
        }
      }
    } catch {
      // Of what was committed nothing is lost; it is tried again.
      guard error.isFull else { throw error }
    }
    // Somebody who reads for long is not waited for again at each commit.
    marks.logBytesTolerated = isRelieved ? marks.logBytesBound : bytes + marks.logBytesBound / 4
    marks.logRetryAt = now + marks.logRetryInterval
  }
}

import GRDB
import MendRuntime

/// What is known about a journal before it is opened: whether it may be new, and what was acknowledged.
struct JournalPast {
  private let path: String
  /// Whether the journal may have no tables yet.
  let mayBeNew: Bool
  /// The last row that was acknowledged in this directory; nil if that is unknown.
  let acknowledged: Int64?
  let acknowledgedBatch: Int64?
  private let hasLog: Bool

  init(_ file: JournalFile, _ lock: DirectoryLock) throws(StoreError) {
    path = file.path
    hasLog = try file.hasLog()
    acknowledged = try JournalMark.row(at: file.path + JournalMark.suffix)
    acknowledgedBatch = try JournalMark.batch(at: file.path + JournalMark.suffix)
    let isEmpty = try file.isEmpty()
    mayBeNew = hasLog || isEmpty || (lock.wasThere && !lock.journalWasMade)
  }

  /// Throws if a part of the journal is missing.
  func check(_ database: Database) throws {
    var last: Int64 = 0
    do {
      if try database.tableExists("journal") {
        last = try Int64.fetchOne(database, sql: "SELECT max(id) FROM journal") ?? 0
      }
    } catch  where error.isUnreadable {
      // Its end is on a page that cannot be read: what is missing is found when batches are.
      return
    }
    last = max(last, try JournalCounts(database).lastRow)
    if let acknowledged {
      guard last >= acknowledged else { throw JournalFile.endsBefore(acknowledged, last: last, path) }
    } else if !hasLog, try database.tableExists("log_state") {
      let state = (try? Int.fetchOne(database, sql: "SELECT state FROM log_state WHERE id = 1")) ?? 0
      guard state != 1 else { throw JournalFile.logIsMissing(path) }
    }
  }
}

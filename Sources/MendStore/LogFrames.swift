import GRDB
import GRDBSQLite
import Synchronization

/// Counts the frames that the write-ahead log had after the last commit. While this follows a connection, SQLite makes no
/// checkpoints by itself.
final class LogFrames: Sendable {
  private let frames = Atomic<Int>(0)

  var count: Int { frames.load(ordering: .relaxed) }

  /// - Parameter writer: is not used longer than this lives.
  func follow(_ writer: Database) {
    _ = unsafe sqlite3_wal_hook(
      writer.sqliteConnection,
      { context, _, _, count in
        guard let context = unsafe context else { return SQLITE_OK }
        unsafe Unmanaged<LogFrames>.fromOpaque(context).takeUnretainedValue()
          .frames.store(Int(count), ordering: .relaxed)
        return SQLITE_OK
      }, Unmanaged.passUnretained(self).toOpaque())
  }
}

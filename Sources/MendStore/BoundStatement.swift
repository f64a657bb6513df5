import GRDB
import GRDBSQLite

/// A statement that a commit runs once for each batch, with values that are bound directly to SQLite.
///
/// GRDB prepares and caches the statement. GRDB's own binding and stepping would cost 15,000 instructions a row beside
/// SQLite's 9,000, measured with callgrind. The store uses SQLite's C interface only here.
///
/// SQLite copies texts and blobs, and frees the copies after each run.
struct BoundStatement {
  private let statement: Statement
  private let database: Database
  private var column: CInt = 0

  /// Prepares a statement that takes its first value next.
  init(_ sql: String, in database: Database) throws {
    self.database = database
    statement = try database.cachedStatement(sql: sql)
  }

  mutating func bind(_ value: Int64) throws {
    column += 1
    try check(unsafe sqlite3_bind_int64(statement.sqliteStatement, column, value))
  }

  /// Binds a text, which must not contain NUL.
  mutating func bind(_ text: String) throws {
    column += 1
    try check(unsafe sqlite3_bind_text(statement.sqliteStatement, column, text, -1, Self.copied))
  }

  /// Binds bytes, which must not be empty: SQLite would take them for NULL.
  mutating func bind(_ bytes: [UInt8]) throws {
    column += 1
    let code = unsafe bytes.withUnsafeBytes { bytes in
      unsafe sqlite3_bind_blob64(
        statement.sqliteStatement, column, bytes.baseAddress, UInt64(bytes.count), Self.copied)
    }
    try check(code)
  }

  /// Runs a statement that returns no rows.
  func run() throws { _ = try firstInteger() }

  /// Runs a statement and returns the first column of its first row; nil if there is no row.
  func firstInteger() throws -> Int64? {
    let code = unsafe sqlite3_step(statement.sqliteStatement)
    defer {
      // A failure's code came from the step; a reset only says it again.
      _ = unsafe sqlite3_reset(statement.sqliteStatement)
      _ = unsafe sqlite3_clear_bindings(statement.sqliteStatement)
    }
    switch code {
    case SQLITE_ROW: return unsafe sqlite3_column_int64(statement.sqliteStatement, 0)
    case SQLITE_DONE: return nil
    default: throw failure(code)
    }
  }

  /// SQLITE_TRANSIENT, which Swift does not import: SQLite makes a copy of the value.
  private static var copied: sqlite3_destructor_type { unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

  private func check(_ code: CInt) throws {
    guard code == SQLITE_OK else { throw failure(code) }
  }

  private func failure(_ code: CInt) -> DatabaseError {
    let message = unsafe String(cString: sqlite3_errmsg(database.sqliteConnection))
    return DatabaseError(resultCode: ResultCode(rawValue: code), message: message, sql: statement.sql)
  }
}

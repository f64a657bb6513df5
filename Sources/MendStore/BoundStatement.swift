import GRDB
import GRDBSQLite

/// A statement that is run once for each batch of a commit, its values bound straight to SQLite's.
///
/// GRDB keeps and prepares it. Its own binding and stepping cost several times what SQLite does for a row: by callgrind
/// 15,000 instructions a row besides SQLite's 9,000. All use of SQLite's C interface is here.
///
/// SQLite copies texts and blobs, and lets go of them with the run.
struct BoundStatement {
  private let statement: Statement
  private let database: Database
  private var column: CInt = 0

  /// Ready to take its first value.
  init(_ sql: String, in database: Database) throws {
    self.database = database
    statement = try database.cachedStatement(sql: sql)
  }

  mutating func bind(_ value: Int64) throws {
    column += 1
    try check(unsafe sqlite3_bind_int64(statement.sqliteStatement, column, value))
  }

  /// A text without NUL.
  mutating func bind(_ text: String) throws {
    column += 1
    try check(unsafe sqlite3_bind_text(statement.sqliteStatement, column, text, -1, Self.copied))
  }

  /// Not empty: that would be NULL.
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

  /// The first row's first column; nil without a row.
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

  /// What SQLite calls SQLITE_TRANSIENT.
  private static var copied: sqlite3_destructor_type { unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

  private func check(_ code: CInt) throws {
    guard code == SQLITE_OK else { throw failure(code) }
  }

  private func failure(_ code: CInt) -> DatabaseError {
    let message = unsafe String(cString: sqlite3_errmsg(database.sqliteConnection))
    return DatabaseError(resultCode: ResultCode(rawValue: code), message: message, sql: statement.sql)
  }
}

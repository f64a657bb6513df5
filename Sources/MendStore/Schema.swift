import GRDB
import MendRuntime

/// The tables, and the migrations that bring an older database to the present form.
///
/// Everything that a commit writes is appended: `journal`, `batches` and `idempotency` grow at their end, and a batch
/// is found in the journal by the segments that it is in, `rowsPerSegment` rows each: its first stands with the batch,
/// the others in `presence`, once each. An index of every row would cost a page per batch and commit: measured with 64
/// batches a commit, 5 times the time.
enum Schema {
  /// "MEND" in ASCII, where SQLite has a place for it.
  static let applicationID: Int32 = 0x4D45_4E44
  static let version = 6

  static var migrator: DatabaseMigrator { makeMigrator(JournalCounts.Readable()) }

  /// Brings an older database to the present form, also where pages that tell where rows are cannot be read.
  static func migrate(_ writer: some DatabaseWriter) throws {
    try makeMigrator(writer.unsafeRead { try JournalCounts.Readable($0) }).migrate(writer)
  }

  private static func makeMigrator(_ readable: JournalCounts.Readable) -> DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1 journal") { database in
      try database.execute(
        sql: """
          CREATE TABLE batches (
            id INTEGER PRIMARY KEY,
            namespace TEXT NOT NULL,
            batch_id TEXT NOT NULL,
            -- Of the journal, where its first row is.
            segment INTEGER NOT NULL,
            retired INTEGER NOT NULL DEFAULT 0,
            -- From here on set by its first retirement; times are milliseconds since the Unix epoch.
            created_at INTEGER,
            status INTEGER,
            bucket_id TEXT,
            listing BLOB
          );
          CREATE INDEX live_batches ON batches (id) WHERE retired = 0;
          CREATE UNIQUE INDEX retired_batches ON batches (namespace, batch_id) WHERE retired = 1;
          CREATE INDEX retired_newest ON batches (namespace, created_at, batch_id) WHERE retired = 1;

          -- One row a batch and commit; payload is a mend.v1.JournalEntry with the records from `first` on.
          CREATE TABLE journal (
            id INTEGER PRIMARY KEY,
            batch INTEGER NOT NULL,
            first INTEGER NOT NULL,
            count INTEGER NOT NULL,
            payload BLOB NOT NULL
          );
          CREATE TABLE presence (
            batch INTEGER NOT NULL,
            segment INTEGER NOT NULL,
            PRIMARY KEY (batch, segment)
          ) WITHOUT ROWID;

          -- One row a commit, with its answers, in order; payload is a mend.v1.JournalAnswers, expires its last.
          CREATE TABLE idempotency (
            id INTEGER PRIMARY KEY,
            keys INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            payload BLOB NOT NULL
          );
          """)
      try database.execute(sql: "PRAGMA application_id = \(applicationID)")
      try database.execute(sql: "PRAGMA user_version = 1")
    }
    migrator.registerMigration("starts") { database in
      try database.execute(
        sql: """
          -- What was learnt of starts; payload is a mend.v1.JournalStartHistory.
          CREATE TABLE starts (
            slot INTEGER PRIMARY KEY,
            payload BLOB NOT NULL
          );
          """)
    }
    migrator.registerMigration("2 snapshots") { database in
      try database.execute(
        sql: """
          -- A cache of the journal. `row` is the last row of it that is in; `program` the build that can read it.
          CREATE TABLE snapshots (
            batch INTEGER NOT NULL,
            part INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            row INTEGER NOT NULL,
            program INTEGER NOT NULL,
            checksum INTEGER NOT NULL,
            payload BLOB NOT NULL,
            PRIMARY KEY (batch, part)
          );
          """)
      try database.execute(sql: "PRAGMA user_version = 2")
    }
    migrator.registerMigration("3 outbox and retention") { database in
      try database.execute(
        sql: """
          -- What somebody outside is to be told; payload is a mend.v1.JournalNotification.
          CREATE TABLE outbox (
            id INTEGER PRIMARY KEY,
            event_id TEXT NOT NULL UNIQUE,
            namespace TEXT NOT NULL,
            batch_id TEXT NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            next_at INTEGER NOT NULL,
            payload BLOB NOT NULL
          );
          CREATE INDEX outbox_due ON outbox (next_at, id);

          -- Set by each retirement; what retention goes by.
          ALTER TABLE batches ADD COLUMN completed_at INTEGER;
          UPDATE batches SET completed_at = created_at WHERE retired = 1;
          CREATE INDEX retired_oldest ON batches (completed_at) WHERE retired = 1;
          """)
      try database.execute(sql: "PRAGMA user_version = 3")
    }
    migrator.registerMigration("4 containment") { database in
      try database.execute(
        sql: """
          -- Of the row with its batch's name; NULL in rows of earlier versions.
          ALTER TABLE journal ADD COLUMN checksum INTEGER;

          -- Batches that an administrator, or too many crashes, took out of the server's hands.
          CREATE TABLE set_aside (
            batch INTEGER PRIMARY KEY,
            -- Milliseconds since the Unix epoch.
            at INTEGER NOT NULL,
            ground TEXT NOT NULL,
            reason TEXT NOT NULL
          );

          -- How often a server crashed with a batch in hand, and when last.
          CREATE TABLE crashes (batch INTEGER PRIMARY KEY, count INTEGER NOT NULL, at INTEGER NOT NULL);

          -- One row: whether this file is all of the journal. 0 is yes; 1 stands in the database file while a server has it
          -- open, and 2 in its write-ahead log: a 1 without a log is a journal whose log was left behind.
          CREATE TABLE log_state (id INTEGER PRIMARY KEY, state INTEGER NOT NULL);
          INSERT INTO log_state (id, state) VALUES (1, 0);
          """)
      try database.execute(sql: "PRAGMA user_version = 4")
    }
    migrator.registerMigration("5 sums and counts") { database in
      try database.execute(
        sql: """
          -- Of rows of these tables; NULL in rows of earlier versions.
          ALTER TABLE batches ADD COLUMN checksum INTEGER;
          ALTER TABLE outbox ADD COLUMN checksum INTEGER;
          ALTER TABLE idempotency ADD COLUMN checksum INTEGER;
          ALTER TABLE starts ADD COLUMN checksum INTEGER;
          ALTER TABLE set_aside ADD COLUMN checksum INTEGER;
          -- The batch's newest record when it was retired last: its journal has no fewer.
          ALTER TABLE batches ADD COLUMN last INTEGER;

          -- How many rows there have to be.
          CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;

          -- Batches that were forgotten left these behind, and a later batch could have one's number.
          DELETE FROM set_aside WHERE batch NOT IN (SELECT id FROM batches);
          DELETE FROM crashes WHERE batch NOT IN (SELECT id FROM batches);
          """)
      if readable.ends {
        try JournalCounts.begin(in: database, sumsLive: readable.places)
      } else {
        try JournalCounts.spoil(in: database)
      }
      try database.execute(sql: "PRAGMA user_version = 5")
    }
    migrator.registerMigration("6 forgotten segments") { database in
      try database.execute(
        sql: """
          -- How many rows of a segment were forgotten. Segments that have none left share a row, from `segment` through
          -- `last`.
          CREATE TABLE forgotten (
            segment INTEGER PRIMARY KEY,
            last INTEGER NOT NULL,
            rows INTEGER NOT NULL,
            checksum INTEGER NOT NULL
          );
          """)
      if readable.counts {
        try JournalCounts.moveForgotten(in: database, readable)
        if readable.places { try JournalCounts.sumLive(in: database) }
      }
      try database.execute(sql: "PRAGMA user_version = 6")
    }
    return migrator
  }

  /// Refuses a database of another program, or of a later version of this one.
  ///
  /// - Parameter mayBeNew: nothing was ever in it, so it need not have tables.
  static func check(_ database: Database, path: String, mayBeNew: Bool) throws {
    let application = try Int32.fetchOne(database, sql: "PRAGMA application_id") ?? 0
    // The migrator's own table is made a moment before the rest, and a server may be killed in between.
    let tables =
      try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema WHERE tbl_name <> 'grdb_migrations'") ?? 0
    guard tables > 0 else {
      guard mayBeNew else { throw JournalFile.logIsMissing(path) }
      return
    }
    guard application == applicationID else {
      throw StoreError(
        operation: "open",
        message: "\(path) is a database of another program; serve with another data directory, or move it away")
    }
    let found = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
    let isSuperseded: Bool
    do {
      isSuperseded = try migrator.hasBeenSuperseded(database)
    } catch  where error.isUnreadable {
      // The number says it, too.
      isSuperseded = false
    }
    guard found <= version && !isSuperseded else {
      throw StoreError(
        operation: "open",
        message: "\(path) has the form \(found) of a later version of Mend, this one knows \(version); "
          + "start the version that wrote it, or a later one")
    }
  }

  static let rowsPerSegment: Int64 = 4096

  static func segment(of row: Int64) -> Int64 { row / rowsPerSegment }

  /// The number of rows that a segment can have; row numbers begin with 1.
  static func rowCount(of segment: Int64) -> Int64 { segment == 0 ? rowsPerSegment - 1 : rowsPerSegment }

  static func rows(of segment: Int64) -> Range<Int64> {
    segment * rowsPerSegment..<(segment + 1) * rowsPerSegment
  }
}

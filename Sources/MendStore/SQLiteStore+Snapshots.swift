import Foundation
import GRDB
package import MendCore
package import MendRuntime

// Snapshots keep the state of a batch, so that recovery folds only later records. They are a cache of the journal: one that
// cannot be read, or that another build wrote, is ignored.

extension SQLiteStore {
  private enum Part: Int64 {
    /// The batch without its documents.
    case state = 0
    /// The batch's documents, which do not change after its submission; their number is the sequence.
    case documents = 1
  }

  /// Folds a batch's journal to its end, from its last snapshot on, and keeps the result as a snapshot.
  ///
  /// - Parameter documents: the batch's, all of them, shared with whoever holds the batch.
  package func keepSnapshot(of key: BatchKey, documents: DocumentTable) throws(StoreError) {
    guard let fingerprint = ProgramFingerprint.current else { return }
    let made = try Self.access("snapshot", path) { () -> Made? in
      guard let id = try pool.read({ try anyID(of: key, in: $0) }) else { return nil }
      let note = crashNote
      var fold = Fold(key: key, documents: documents, note: note)
      let kept = try note.holding(key) { try pool.read { try snapshot(of: id, documents: documents, in: $0) } }
      if let kept { fold.go(on: kept) }
      try append(id, to: &fold)
      guard let batch = fold.batch, batch.status != .created, batch.documents.count == documents.count else {
        return nil
      }
      var bare = batch
      bare.documents = DocumentTable()
      let documentsKept = try pool.read { database in
        try Int.fetchOne(
          database, sql: "SELECT sequence FROM snapshots WHERE batch = ? AND part = ? AND program = ?",
          arguments: [id, Part.documents.rawValue, Int64(bitPattern: fingerprint)])
      }
      return try note.holding(key) {
        Made(
          id: id, sequence: batch.sequence, row: fold.row, state: try SnapshotEncoder.encode(bare),
          documents: documentsKept == documents.count ? nil : try SnapshotEncoder.encode(documents))
      }
    }
    guard let made else { return }
    try writing("snapshot") {
      try pool.write { database in
        // It may have been forgotten meanwhile.
        guard try exists(made.id, in: database) else { return }
        if let documentsBytes = made.documents {
          try put(.documents, documentsBytes, of: made, sequence: Int64(documents.count), fingerprint, database)
        }
        try put(.state, made.state, of: made, sequence: Int64(made.sequence), fingerprint, database)
      }
    }
  }

  private struct Made {
    var id: Int64
    var sequence: UInt64
    var row: Int64
    var state: [UInt8]
    var documents: [UInt8]?
  }

  private func put(
    _ part: Part, _ payload: [UInt8], of made: Made, sequence: Int64, _ fingerprint: UInt64, _ database: Database
  ) throws {
    // SQLite takes no larger value; such a batch is recovered from its journal.
    guard payload.count < 900_000_000 else { return }
    let sum = Self.sum(payload, part, of: made.id, sequence: sequence, row: made.row)
    try database.execute(
      sql: """
        INSERT OR REPLACE INTO snapshots (batch, part, sequence, row, program, checksum, payload)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
      arguments: [
        made.id, part.rawValue, sequence, made.row, Int64(bitPattern: fingerprint), sum, Data(payload),
      ])
  }

  private static func sum(_ payload: [UInt8], _ part: Part, of id: Int64, sequence: Int64, row: Int64) -> Int64 {
    var sum = RowSum(payload)
    sum.mix(id)
    sum.mix(part.rawValue)
    sum.mix(sequence)
    sum.mix(row)
    return sum.value
  }

  /// A batch as a snapshot has it, with the last row of the journal that is in it.
  struct Kept {
    var batch: Batch
    var row: Int64
  }

  /// Reads a batch's snapshot; nil if there is none that this build can read.
  ///
  /// - Parameter documents: the batch's documents; if nil, they are read.
  func snapshot(of id: Int64, documents: DocumentTable? = nil, in database: Database) throws -> Kept? {
    guard let (state, row) = try payload(.state, of: id, in: database),
      var batch = try? SnapshotDecoder.decode(Batch.self, from: state)
    else { return nil }
    if let documents {
      batch.documents = documents
    } else {
      guard let (bytes, _) = try payload(.documents, of: id, in: database),
        let documents = try? SnapshotDecoder.decode(DocumentTable.self, from: bytes)
      else { return nil }
      batch.documents = documents
    }
    return Kept(batch: batch, row: row)
  }

  private func payload(_ part: Part, of id: Int64, in database: Database) throws -> ([UInt8], row: Int64)? {
    // Not a cached one: after an error it would say that error again to its next user.
    let select = try database.makeStatement(
      sql: "SELECT row, program, checksum, payload, sequence FROM snapshots WHERE batch = ? AND part = ?")
    let rows = try Row.fetchCursor(select, arguments: [id, part.rawValue])
    guard let found = try rows.next(), let fingerprint = ProgramFingerprint.current,
      found.integer(1) == Int64(bitPattern: fingerprint)
    else { return nil }
    let bytes = found.bytes(3)
    guard found.integer(2) == Self.sum(bytes, part, of: id, sequence: found.integer(4), row: found.integer(0)) else {
      return nil
    }
    return (bytes, found.integer(0))
  }

  // MARK: - Folding

  /// Makes a batch of its journal, row by row.
  struct Fold {
    let key: BatchKey
    private(set) var batch: Batch?
    /// The last row of the journal that was folded.
    private(set) var row: Int64 = -1
    /// The last row that could not be read.
    var unreadable: Int64?
    /// The batch's documents, if they need not be made from the journal.
    private let documents: DocumentTable?
    /// Is told when records are folded.
    private let note: (any CrashNote)?

    init(key: BatchKey, documents: DocumentTable? = nil, note: (any CrashNote)?) {
      self.key = key
      self.documents = documents
      self.note = note
    }

    mutating func go(on kept: Kept) {
      batch = kept.batch
      row = kept.row
    }

    /// Folds one row's records. Skips those that were folded; throws if a record is missing.
    mutating func add(_ records: [MendCore.Record], row: Int64) throws(RecordFault) {
      note?.begin(key)
      defer { note?.end() }
      self.row = max(self.row, row)
      for record in records where record.sequence > batch?.sequence ?? 0 {
        if batch == nil {
          batch = try Batch.folding([record])
          if let documents { batch?.documents = documents }
        } else if documents != nil, case .documentsAdded = record.fact {
          try batch?.pass(record)
        } else {
          try batch?.apply(record)
        }
      }
    }
  }

  /// Folds the rest of a batch's journal, in one transaction for each segment: a long one would keep the log from shrinking.
  func append(_ id: Int64, to fold: inout Fold) throws {
    let segments = try sayingWhose(fold.key) { try pool.read { try self.segments(of: id, in: $0) } }
    for segment in segments.reversed() { try pool.unsafeRead { try append(id, segment, to: &fold, in: $0) } }
  }

  private func append(_ id: Int64, _ segment: Int64, to fold: inout Fold, in database: Database) throws {
    let range = Schema.rows(of: segment)
    guard range.upperBound > fold.row + 1 else { return }
    var walk = TableWalk("SELECT \(JournalRow.columns) FROM journal", filter: "AND batch = \(id)")
    try walk.run(database, max(fold.row + 1, range.lowerBound)...range.upperBound - 1) { row in
      var records: [MendCore.Record] = []
      try decoding.decode(row, of: fold.key, operation: "journal", into: &records)
      do throws(RecordFault) {
        try fold.add(records, row: row.integer(0))
      } catch {
        throw decoding.refused(error, "journal")
      }
    }
    if let end = walk.unreadable.last?.upperBound, end > fold.row { fold.unreadable = end }
  }

  package func batch(_ key: BatchKey) throws(StoreError) -> Batch? {
    try Self.access("journal", path) {
      guard let id = try pool.unsafeRead({ try anyID(of: key, in: $0) }) else { return nil }
      do {
        return try batch(key, id)
      } catch {
        // Forgotten while it was read.
        guard isKept(id) else { return nil }
        if error.isUnreadable { throw decoding.damaged(key, nil, "a page that it is on cannot be read", "journal") }
        throw error
      }
    }
  }

  package func batches(_ keys: [BatchKey]) throws(StoreError) -> [Batch?] {
    var batches: [Batch?] = []
    for key in keys { batches.append(try batch(key)) }
    return batches
  }

  /// Makes a batch from its last snapshot and the later records; nil if it is forgotten meanwhile.
  private func batch(_ key: BatchKey, _ id: Int64) throws -> Batch? {
    // Before its records: it may grow and be finished while they are read.
    guard let end = try sayingWhose(key, { try pool.read { try self.end(of: id, in: $0) } }) else { return nil }
    let note = crashNote
    var fold = Fold(key: key, note: note)
    let kept = try? note.holding(key) { try pool.read { try snapshot(of: id, in: $0) } }
    if let kept, kept.batch.key == key { fold.go(on: kept) }
    try append(id, to: &fold)
    // Forgotten meanwhile, it has only some of them.
    guard isKept(id) else { return nil }
    guard let batch = fold.batch else { throw decoding.damaged(key, 1, "none of its records is there", "journal") }
    if let least = end.least, batch.sequence < UInt64(clamping: least) {
      throw decoding.endsEarly(key, batch.sequence, "journal")
    }
    if !end.endsThere, let row = fold.unreadable, row > fold.row {
      throw decoding.mayMissItsEnd(key, row, "journal")
    }
    return batch
  }
}

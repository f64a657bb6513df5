import Foundation
import GRDB
public import MendCore
public import MendRuntime

// Snapshots: what a batch's journal comes to, kept so that recovery folds only what came after. They are a cache of the
// journal: one that can't be read, or that another build wrote, is as none.

extension SQLiteStore {
  private enum Part: Int64 {
    /// The batch without its documents, at a sequence.
    case state = 0
    /// The documents, which stay the same from the batch's submission on; their number stands as the sequence.
    case documents = 1
  }

  /// Folds the journal up to its end, going on from the last snapshot, and keeps the result.
  ///
  /// - Parameter documents: the batch's, all of them, shared with whoever holds the batch.
  public func keepSnapshot(of key: BatchKey, documents: DocumentTable) throws(StoreError) {
    guard let fingerprint = ProgramFingerprint.current else { return }
    let made = try Self.access("snapshot", path) {
      try pool.read { database -> Made? in
        guard let id = try anyID(of: key, in: database) else { return nil }
        var fold = Fold(key: key, documents: documents)
        if let kept = try snapshot(of: id, documents: documents, in: database) { fold.go(on: kept) }
        try append(id, to: &fold, in: database)
        guard let batch = fold.batch, batch.status != .created, batch.documents.count == documents.count else {
          return nil
        }
        var bare = batch
        bare.documents = DocumentTable()
        let documentsKept = try Int.fetchOne(
          database, sql: "SELECT sequence FROM snapshots WHERE batch = ? AND part = ? AND program = ?",
          arguments: [id, Part.documents.rawValue, Int64(bitPattern: fingerprint)])
        return Made(
          id: id, sequence: batch.sequence, row: fold.row, state: try SnapshotEncoder.encode(bare),
          documents: documentsKept == documents.count ? nil : try SnapshotEncoder.encode(documents))
      }
    }
    guard let made else { return }
    try writing("snapshot") {
      try pool.write { database in
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
    let sum = unsafe payload.withUnsafeBytes { unsafe ProgramFingerprint.checksum($0) }
    try database.execute(
      sql: """
        INSERT OR REPLACE INTO snapshots (batch, part, sequence, row, program, checksum, payload)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
      arguments: [
        made.id, part.rawValue, sequence, made.row, Int64(bitPattern: fingerprint), Int64(bitPattern: sum),
        Data(payload),
      ])
  }

  /// A snapshot, and the last row of the journal that it holds.
  struct Kept {
    var batch: Batch
    var row: Int64
  }

  /// - Parameter documents: where the caller has them; else they are read.
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
    let select = try database.cachedStatement(
      sql: "SELECT row, program, checksum, payload FROM snapshots WHERE batch = ? AND part = ?")
    let rows = try Row.fetchCursor(select, arguments: [id, part.rawValue])
    guard let found = try rows.next(), let fingerprint = ProgramFingerprint.current,
      (found[1] as Int64) == Int64(bitPattern: fingerprint)
    else { return nil }
    let bytes = try found.withUnsafeData(atIndex: 3) { [UInt8]($0 ?? Data()) }
    let sum = unsafe bytes.withUnsafeBytes { unsafe ProgramFingerprint.checksum($0) }
    guard (found[2] as Int64) == Int64(bitPattern: sum) else { return nil }
    return (bytes, found[0])
  }

  // MARK: - Folding

  /// One batch's journal on its way to a batch.
  struct Fold {
    let key: BatchKey
    private(set) var batch: Batch?
    /// The last row of the journal that went in.
    private(set) var row: Int64 = -1
    /// The batch's documents, where they need not be made from the journal.
    private let documents: DocumentTable?

    init(key: BatchKey, documents: DocumentTable? = nil) {
      self.key = key
      self.documents = documents
    }

    mutating func go(on kept: Kept) {
      batch = kept.batch
      row = kept.row
    }

    /// Takes one row's records in; throws where a record is missing, and skips what is in already.
    mutating func add(_ records: [MendCore.Record], row: Int64) throws(RecordFault) {
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

  /// Takes in what the journal has beyond the fold.
  func append(_ id: Int64, to fold: inout Fold, in database: Database) throws {
    let first = fold.row + 1
    // Not a cached one: after an error it would say that error again to its next user.
    let select = try database.makeStatement(
      sql: "SELECT \(JournalRow.columns) FROM journal WHERE id >= ? AND id < ? AND batch = ? ORDER BY id")
    for segment in try segments(of: id, in: database).reversed() {
      let range = Schema.rows(of: segment)
      guard range.upperBound > first else { continue }
      let rows = try Row.fetchCursor(select, arguments: [max(first, range.lowerBound), range.upperBound, id])
      while let row = try rows.next() {
        var records: [MendCore.Record] = []
        try decoding.decode(row, of: fold.key, operation: "journal", into: &records)
        do throws(RecordFault) {
          try fold.add(records, row: row[0])
        } catch {
          throw decoding.refused(error, "journal")
        }
      }
    }
  }

  public func batch(_ key: BatchKey) throws(StoreError) -> Batch? {
    try Self.access("journal", path) {
      try pool.read { try batch(key, in: $0) }
    }
  }

  public func batches(_ keys: [BatchKey]) throws(StoreError) -> [Batch?] {
    try Self.access("journal", path) {
      try pool.read { database in try keys.map { try batch($0, in: database) } }
    }
  }

  private func batch(_ key: BatchKey, in database: Database) throws -> Batch? {
    guard let id = try anyID(of: key, in: database) else { return nil }
    return try batch(key, id, in: database)
  }

  /// From its last snapshot, where there is one, and what came after.
  func batch(_ key: BatchKey, _ id: Int64, in database: Database) throws -> Batch {
    var fold = Fold(key: key)
    do {
      if let kept = try snapshot(of: id, in: database) { fold.go(on: kept) }
      try append(id, to: &fold, in: database)
    } catch let error as DatabaseError where error.resultCode == .SQLITE_CORRUPT {
      throw decoding.damaged(key, nil, "a page of the database that it is on cannot be read", "journal")
    }
    guard let batch = fold.batch else { throw decoding.damaged(key, 1, "none of its records is there", "journal") }
    return batch
  }
}

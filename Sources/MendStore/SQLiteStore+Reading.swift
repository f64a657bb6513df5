import Foundation
import GRDB
package import MendCore
package import MendRuntime
import Synchronization

extension SQLiteStore {
  package func journal(of batch: BatchKey, after sequence: UInt64) throws(StoreError) -> [MendCore.Record] {
    // No journal is that long.
    guard let after = Int64(exactly: sequence), after < .max else { return [] }
    return try Self.access("journal", path) { () throws -> [MendCore.Record] in
      guard let found = try pool.unsafeRead({ try self.place(of: batch, in: $0) }) else { return [] }
      // Backwards, so that the newest part of a long journal costs what it is long; and in a transaction for each segment,
      // so that nobody's log has to be kept for a long reader.
      var parts: [JournalPart] = []
      for segment in found.segments {
        let part = try pool.unsafeRead { try self.part(of: batch, found, segment, after: after, in: $0) }
        parts.append(part)
        if part.reachesBack { break }
      }
      return try whole(parts.reversed(), of: batch, found, after: after, isToEnd: true)
    }
  }

  /// Where the rows of a batch's journal are, and where it ends.
  private struct JournalPlace {
    var id: Int64
    /// The newest first.
    var segments: [Int64]
    /// The least number of its records; nil if that is unknown.
    var least: Int64?
    /// Whether `least` is all of them, because the batch is finished.
    var endsThere = false
  }

  /// The part of a batch's journal that one segment has.
  private struct JournalPart {
    var records: [MendCore.Record] = []
    /// Whether it begins with the first record that is wanted.
    var reachesBack = false
    /// The last row behind it that cannot be read; nil if there is none.
    var mayMissItsEnd: Int64?
  }

  private func place(of batch: BatchKey, in database: Database) throws -> JournalPlace? {
    guard let id = try anyID(of: batch, in: database) else { return nil }
    return try sayingWhose(batch) {
      guard let end = try end(of: id, in: database) else { return nil }
      return JournalPlace(
        id: id, segments: try segments(of: id, in: database), least: end.least, endsThere: end.endsThere)
    }
  }

  /// The least number of records that a batch has, and whether it has no more. Nil if the batch was forgotten.
  func end(of id: Int64, in database: Database) throws -> (least: Int64?, endsThere: Bool)? {
    let select = try database.makeStatement(sql: "SELECT last, retired FROM batches WHERE id = ?")
    return try Row.fetchOne(select, arguments: [id]).map { row in
      let least = row.integerOrNil(0)
      return (least, least != nil && row.integer(1) == 1)
    }
  }

  /// Reports a page that cannot be read as damage to one batch.
  func sayingWhose<Value>(_ batch: BatchKey, _ body: () throws -> Value) throws -> Value {
    do {
      return try body()
    } catch  where error.isUnreadable {
      throw decoding.damaged(batch, nil, "a page of the database that it is on cannot be read", "journal")
    }
  }

  private func part(
    of batch: BatchKey, _ place: JournalPlace, _ segment: Int64, after: Int64, limit: Int = .max, in database: Database
  ) throws -> JournalPart {
    let range = Schema.rows(of: segment)
    var part = JournalPart()
    var last = range.lowerBound
    var walk = TableWalk(
      "SELECT \(JournalRow.columns) FROM journal", filter: "AND batch = \(place.id) AND first + count - 1 > \(after)",
      limit: limit)
    try walk.run(database, range.lowerBound...range.upperBound - 1) { row in
      if (row.integer(1)) <= after + 1 { part.reachesBack = true }
      last = row.integer(0)
      try decoding.decode(row, of: batch, operation: "journal", into: &part.records)
    }
    if let end = walk.unreadable.last?.upperBound, end > last { part.mayMissItsEnd = end }
    return part
  }

  /// Joins parts of a journal, and throws if records are missing.
  private func whole(
    _ parts: [JournalPart], of batch: BatchKey, _ place: JournalPlace, after: Int64, isToEnd: Bool
  ) throws -> [MendCore.Record] {
    let records = parts.map(\.records).joined().filter { $0.sequence > UInt64(after) }
    // Forgotten meanwhile: then there is nothing to be read, and nothing missing.
    guard isKept(place.id) else { return [] }
    try decoding.checkOrder(records, of: batch, from: UInt64(after) + 1, operation: "journal")
    guard isToEnd else { return records }
    let last = Int64(clamping: records.last?.sequence ?? UInt64(after))
    if let least = place.least, last < least {
      throw decoding.endsEarly(batch, UInt64(clamping: last), "journal")
    }
    if !place.endsThere, let row = parts.compactMap(\.mayMissItsEnd).last {
      throw decoding.mayMissItsEnd(batch, row, "journal")
    }
    return records
  }

  /// Tells whether the batch still exists; false if it was forgotten.
  func isKept(_ id: Int64) -> Bool { (try? pool.unsafeRead { try exists(id, in: $0) }) ?? true }

  func exists(_ id: Int64, in database: Database) throws -> Bool {
    try Int64.fetchOne(database.makeStatement(sql: "SELECT id FROM batches WHERE id = ?"), arguments: [id]) != nil
  }

  package func journal(
    of batch: BatchKey, after sequence: UInt64, limit: Int
  ) throws(StoreError) -> [MendCore.Record] {
    guard let after = Int64(exactly: sequence), after < .max, limit > 0 else { return [] }
    return try Self.access("journal", path) { () throws -> [MendCore.Record] in
      let found = try pool.unsafeRead { database -> (JournalPlace, first: Int)? in
        guard let place = try self.place(of: batch, in: database) else { return nil }
        return try sayingWhose(batch) {
          (place, try firstSegment(of: place.id, beyond: after, place.segments.reversed(), in: database))
        }
      }
      guard let (place, first) = found else { return [] }
      // Forwards from where `after` is, so that a page costs what it is long.
      var parts: [JournalPart] = []
      var count = 0
      for segment in place.segments.reversed().dropFirst(first) where count < limit {
        let part = try pool.unsafeRead { try self.part(of: batch, place, segment, after: after, limit: limit, in: $0) }
        count += part.records.count { $0.sequence > sequence }
        parts.append(part)
      }
      let records = try whole(parts, of: batch, place, after: after, isToEnd: count < limit)
      return Array(records.prefix(limit))
    }
  }

  /// The place among a batch's segments, in order, of the first with a record beyond `after`.
  private func firstSegment(
    of id: Int64, beyond after: Int64, _ segments: [Int64], in database: Database
  ) throws -> Int {
    let select = try database.makeStatement(
      sql: "SELECT max(first + count - 1) FROM journal WHERE id >= ? AND id < ? AND batch = ?")
    var low = 0
    var high = segments.count
    while low < high {
      let middle = (low + high) / 2
      let range = Schema.rows(of: segments[middle])
      let last = try Int64.fetchOne(select, arguments: [range.lowerBound, range.upperBound, id])
      if let last, last > after { high = middle } else { low = middle + 1 }
    }
    return low
  }

  package func retired(
    namespace: String, status: MendCore.BatchStatus?, bucketID: String?, before cursor: ListCursor?, limit: Int
  ) throws(StoreError) -> [BatchListing] {
    try Self.access("retired", path) {
      var conditions = ["retired = 1", "namespace = ?"]
      var arguments: StatementArguments = [namespace]
      if let status {
        conditions.append("status = ?")
        arguments += [Int64(status.number)]
      }
      if let bucketID {
        conditions.append("bucket_id = ?")
        arguments += [bucketID]
      }
      if let cursor {
        conditions.append("(created_at, batch_id) < (?, ?)")
        arguments += [cursor.createdAt.milliseconds, cursor.batchID]
      }
      arguments += [limit]
      let rows = """
        FROM batches WHERE \(conditions.joined(separator: " AND ")) ORDER BY created_at DESC, batch_id DESC LIMIT ?
        """
      let listings = try pool.unsafeRead { database in
        do {
          let found = try Row.fetchAll(
            database.makeStatement(sql: "SELECT \(Self.listingColumns) \(rows)"), arguments: arguments)
          return found.compactMap { listing($0, namespace) }
        } catch  where error.isUnreadable {
          let found = try walkListings(database, namespace).filter { listing in
            guard status == nil || listing.status == status, bucketID == nil || listing.bucketID == bucketID else {
              return false
            }
            return cursor.map { (listing.createdAt, listing.key.batchID) < ($0.createdAt, $0.batchID) } ?? true
          }
          return Array(
            found.sorted { ($0.createdAt, $0.key.batchID) > ($1.createdAt, $1.key.batchID) }.prefix(limit))
        }
      }
      askForDamagedListings()
      return listings
    }
  }

  /// Has the next start make damaged listings anew, if one was read. Must not run within a read: it waits for the writer.
  private func askForDamagedListings() {
    let isNew = missesListings.compareExchange(expected: .found, desired: .asked, ordering: .relaxed).exchanged
    guard isNew else { return }
    do throws(StoreError) {
      try askForAll()
    } catch {
      note(error.message)
    }
  }

  private static let listingColumns =
    "batch_id, checksum, created_at, completed_at, status, bucket_id, last, listing, id"

  /// Reads the listings of a namespace without indexes, and around pages that cannot be read.
  private func walkListings(_ database: Database, _ namespace: String) throws -> [BatchListing] {
    var listings: [BatchListing] = []
    var walk = TableWalk("SELECT \(Self.listingColumns), namespace FROM batches NOT INDEXED", filter: "AND retired = 1")
    try walk.run(database, 0...Int64.max, id: 8) { row in
      if row.textOrNil(9) == namespace, let listing = listing(row, namespace) { listings.append(listing) }
    }
    if !walk.unreadable.isEmpty {
      note("listings of finished batches cannot be read: a page of the database is damaged")
    }
    return listings
  }

  /// Reads a listing. Returns nil for a damaged one, and notes it; the next start makes it anew.
  private func listing(_ row: Row, _ namespace: String) -> BatchListing? {
    let key = BatchKey(namespace: namespace, batchID: row.text(0))
    do {
      guard try Self.isWholeListing(row, of: key, from: 1) else {
        throw StoreError(operation: "retired", message: "the listing of \(namespace)/\(key.batchID) is damaged")
      }
      return try decoding.decodeListing(Data(row.bytes(7)), of: key)
    } catch {
      // One that is live for once has another.
      let isLive = liveIDs.withLock { $0[key] != nil }
      if !isLive {
        note((error as? StoreError)?.message ?? "\(error)")
        _ = missesListings.compareExchange(expected: .none, desired: .found, ordering: .relaxed)
      }
      return nil
    }
  }

  // MARK: - Finding a batch

  func retiredID(of key: BatchKey, in database: Database) throws -> Int64? {
    do {
      return try Int64.fetchOne(
        database.makeStatement(sql: Self.retiredIDQuery), arguments: [key.namespace, key.batchID])
    } catch  where error.isUnreadable {
      // By the table itself, in place of its index.
      var found: Int64?
      var walk = TableWalk("SELECT id, namespace, batch_id FROM batches NOT INDEXED", filter: "AND retired = 1")
      try walk.run(database, 0...Int64.max) { row in
        if row.textOrNil(1) == key.namespace, row.textOrNil(2) == key.batchID { found = row.integer(0) }
      }
      if found == nil, !walk.unreadable.isEmpty {
        throw decoding.damaged(key, nil, "a page of the table of batches cannot be read", "journal")
      }
      return found
    }
  }

  static let retiredIDQuery = "SELECT id FROM batches WHERE namespace = ? AND batch_id = ? AND retired = 1"

  /// The segments that may have rows of a batch, the newest first: all segments if the right ones are unknown.
  func segments(of batch: Int64, in database: Database) throws -> [Int64] {
    guard missesPlaces.load(ordering: .relaxed) else { return try notedSegments(of: batch, in: database) }
    return try allSegments(database)
  }

  func allSegments(_ database: Database) throws -> [Int64] {
    let last = try Int64.fetchOne(database.makeStatement(sql: "SELECT max(id) FROM journal")) ?? 0
    return (0...Schema.segment(of: last)).reversed()
  }

  func notedSegments(of batch: Int64, in database: Database) throws -> [Int64] {
    try Int64.fetchAll(
      // Not a cached one: after an error it would say that error again to its next user.
      database.makeStatement(
        sql: """
          SELECT segment FROM batches WHERE id = ?1 UNION SELECT segment FROM presence WHERE batch = ?1
          ORDER BY segment DESC
          """),
      arguments: [batch])
  }

  func anyID(of key: BatchKey, in database: Database) throws -> Int64? {
    if let id = liveIDs.withLock({ $0[key] }) { return id }
    if let id = try retiredID(of: key, in: database) { return id }
    // It came back to life between the two looks.
    return liveIDs.withLock { $0[key] }
  }
}

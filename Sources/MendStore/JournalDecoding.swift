import Foundation
import GRDB
import MendCore
import MendJournal
import MendRuntime

/// Decodes the store's rows. Its errors say which version wrote a row that cannot be read, and what to do.
struct JournalDecoding {
  let path: String
  /// The version of this program.
  let version: String
  /// Is told which batch's row is being read.
  var note: (any CrashNote)?

  /// Decodes one row of the journal, and adds its records.
  ///
  /// - Parameter row: has `JournalRow.columns` from `column` on.
  func decode(
    _ row: Row, from column: Int = 0, of key: BatchKey, operation: String, into records: inout [MendCore.Record]
  ) throws {
    note?.begin(key)
    defer { note?.end() }
    guard JournalRow.isWhole(row, of: key, from: column) else {
      throw damaged(key, row.integer(column + 1), "its check sum is another", operation)
    }
    let first = row.integer(column + 1)
    try row.withUnsafeData(atIndex: column + 4) { payload in
      try decode(payload ?? Data(), first: first, of: key, operation: operation, into: &records)
    }
  }

  private func decode(
    _ payload: Data, first: Int64, of key: BatchKey, operation: String, into records: inout [MendCore.Record]
  ) throws(StoreError) {
    var row = RecordsRow.blank
    do throws(FormatFault) {
      try FieldDecoder.read(&row, from: Array(payload))
    } catch {
      guard error.kind == .unknown else { throw damaged(key, first, error.found, operation) }
      let name = error.sequence.map { "record \($0) of \(key.namespace)/\(key.batchID)" }
      throw StoreError(
        operation: operation,
        message: unreadable(name ?? "a record of \(key.namespace)/\(key.batchID)", error, by: row.writtenBy),
        damaged: key, sequence: error.sequence)
    }
    guard !row.records.isEmpty else { throw damaged(key, first, "it holds no record", operation) }
    for place in row.records.indices { row.records[place].batch = key }
    records += row.records
  }

  func damaged(_ key: BatchKey, _ sequence: Int64?, _ what: String, _ operation: String) -> StoreError {
    let record = sequence.map { ", record \($0)" } ?? ""
    return StoreError(
      operation: operation,
      message: "the journal of \(key.namespace)/\(key.batchID) is damaged\(record): \(what)", damaged: key,
      sequence: sequence.flatMap { UInt64(exactly: $0) })
  }

  func mayMissItsEnd(_ key: BatchKey, _ row: Int64, _ operation: String) -> StoreError {
    damaged(
      key, nil,
      "rows of the database up to \(row) cannot be read or are missing, its newest records may be among them",
      operation)
  }

  func endsEarly(_ key: BatchKey, _ sequence: UInt64, _ operation: String) -> StoreError {
    damaged(key, Int64(clamping: sequence) + 1, "it and those after it are missing", operation)
  }

  func damagedAnswers(_ what: String) -> StoreError {
    StoreError(
      operation: "recover",
      message: "\(path): remembered answers are damaged (\(what)); a call that is repeated is carried out again")
  }

  /// Makes a store's error of a record that does not fit its batch.
  func refused(_ fault: RecordFault, _ operation: String) -> StoreError {
    damaged(fault.batch, Int64(clamping: fault.sequence), "\(fault)", operation)
  }

  /// Decodes remembered answers, and adds those that have not expired.
  func decode(_ payload: Data, at now: Instant, into entries: inout [IdempotencyEntry]) throws(StoreError) {
    var row = AnswersRow.blank
    do throws(FormatFault) {
      try FieldDecoder.read(&row, from: Array(payload))
    } catch {
      // The answers before it are valid.
      entries += row.answers.lazy.filter { $0.expires > now }
      throw damagedAnswers(error.kind == .damaged ? error.found : unreadable("one", error, by: row.writtenBy))
    }
    entries += row.answers.lazy.filter { $0.expires > now }
  }

  /// A value that cannot be read because it is damaged, or because a later version wrote it.
  struct ValueFault: Error {
    var kind: FormatFault.Kind
    var message: String
  }

  func decodeNotification(_ payload: Data, of key: BatchKey) throws(ValueFault) -> MendCore.Notification {
    note?.begin(key)
    defer { note?.end() }
    var notification: MendCore.Notification = try read(payload, "a notification about \(key.namespace)/\(key.batchID)")
    notification.batch = key
    return notification
  }

  func decodeListing(_ payload: Data, of key: BatchKey) throws(StoreError) -> BatchListing {
    note?.begin(key)
    defer { note?.end() }
    do throws(ValueFault) {
      var listing: BatchListing = try read(payload, "the listing of \(key.namespace)/\(key.batchID)")
      listing.key = key
      return listing
    } catch {
      throw StoreError(operation: "retired", message: error.message)
    }
  }

  private func read<Value: RowValue>(_ payload: Data, _ name: String) throws(ValueFault) -> Value {
    var row = ValueRow<Value>.blank
    let bytes = Array(payload)
    do throws(FormatFault) {
      try FieldDecoder.read(&row, from: bytes)
      return row.value
    } catch {
      let message =
        error.kind == .damaged
        ? "\(name) is damaged (\(error.found)); bring the file back from a copy"
        : unreadable(name, error, by: ValueRow<Value>.writer(of: bytes))
      throw ValueFault(kind: error.kind, message: "\(path): \(message)")
    }
  }

  private func unreadable(_ what: String, _ fault: FormatFault, by writer: String) -> String {
    "\(what) has \(fault.found), which Mend \(version) cannot read; Mend "
      + "\(writer.isEmpty ? "of an unknown version" : writer) wrote it: start that version, or a later one"
  }

  /// Throws if records are missing, repeated or out of order from `first` on.
  func checkOrder(
    _ records: [MendCore.Record], of key: BatchKey, from first: UInt64, operation: String
  ) throws(StoreError) {
    var expected = first
    for record in records {
      guard record.sequence == expected else {
        throw damaged(
          key, Int64(clamping: expected), "it is missing; record \(record.sequence) is in its place", operation)
      }
      expected += 1
    }
  }
}

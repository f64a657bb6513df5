import Foundation
import GRDB
import MendAPI
import MendCore
import MendProtobuf
import MendRuntime

/// Reads back what the store's rows hold; what can't be read says which version wrote it, and what to do.
struct JournalDecoding {
  let path: String
  /// Of this program.
  let version: String

  /// The store's own rows were written under the server's limits; here nothing else bounds them.
  private static let limits: DecodingLimits = {
    var limits = DecodingLimits()
    limits.elementBytes = .max
    limits.unknownBytes = .max
    return limits
  }()

  /// - Parameter row: `JournalRow.columns`, from `column` on.
  func decode(
    _ row: Row, from column: Int = 0, of key: BatchKey, operation: String, into records: inout [MendCore.Record]
  ) throws {
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
    let name = "\(key.namespace)/\(key.batchID)"
    let entry: JournalEntry
    do throws(DecodingError) {
      entry = try JournalEntry(serialized: payload.bytes, limits: Self.limits)
    } catch {
      throw damaged(key, first, "\(error)", operation)
    }
    guard !entry.records.isEmpty else { throw damaged(key, first, "it holds no record", operation) }
    for record in entry.records {
      do throws(JournalFault) {
        records.append(try record.record(of: key))
      } catch {
        throw StoreError(
          operation: operation,
          message: unreadable("record \(record.sequence) of \(name)", error, by: entry.writtenBy), damaged: key,
          sequence: record.sequence)
      }
    }
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
      message: "\(path): answers kept for idempotency keys are damaged (\(what)); a call that is said again is carried "
        + "out again")
  }

  /// What a fold found, with the file that it stands in.
  func refused(_ fault: RecordFault, _ operation: String) -> StoreError {
    damaged(fault.batch, Int64(clamping: fault.sequence), "\(fault)", operation)
  }

  /// Adds those that have not expired.
  func decode(_ payload: Data, at now: Instant, into entries: inout [IdempotencyEntry]) throws(StoreError) {
    let message: JournalAnswers
    do throws(DecodingError) {
      message = try JournalAnswers(serialized: payload.bytes, limits: Self.limits)
    } catch {
      throw damagedAnswers("\(error)")
    }
    for answer in message.answers where answer.expiresMs > now.milliseconds {
      do throws(JournalFault) {
        entries.append(try answer.entry())
      } catch {
        throw unreadable(
          "the answer kept for idempotency_key \(answer.key)", error, by: message.writtenBy, "recover")
      }
    }
  }

  func decodeNotification(_ payload: Data, of key: BatchKey) throws(StoreError) -> MendCore.Notification {
    try decode(
      JournalNotification.self, payload, "a notification about \(key.namespace)/\(key.batchID)", "outbox", \.writtenBy
    ) { message throws(JournalFault) in try message.notification(of: key) }
  }

  func decodeListing(_ payload: Data, of key: BatchKey) throws(StoreError) -> BatchListing {
    try decode(
      JournalListing.self, payload, "the listing of \(key.namespace)/\(key.batchID)", "retired", \.writtenBy
    ) { message throws(JournalFault) in try message.listing(of: key) }
  }

  /// One value that has a row of its own.
  private func decode<M: Message, Value>(
    _ type: M.Type, _ payload: Data, _ name: String, _ operation: String, _ writer: (M) -> String,
    _ value: (M) throws(JournalFault) -> Value
  ) throws(StoreError) -> Value {
    let message: M
    do throws(DecodingError) {
      message = try M(serialized: payload.bytes, limits: Self.limits)
    } catch {
      throw StoreError(
        operation: operation, message: "\(path): \(name) is damaged (\(error)); bring the file back from a copy")
    }
    do throws(JournalFault) {
      return try value(message)
    } catch {
      throw unreadable(name, error, by: writer(message), operation)
    }
  }

  private func unreadable(_ what: String, _ fault: JournalFault, by writer: String, _ operation: String) -> StoreError {
    StoreError(operation: operation, message: "\(path): \(unreadable(what, fault, by: writer))")
  }

  private func unreadable(_ what: String, _ fault: JournalFault, by writer: String) -> String {
    "\(what) has \(fault.found), which Mend \(version) cannot read; Mend "
      + "\(writer.isEmpty ? "of an unknown version" : writer) wrote it: start that version, or a later one"
  }

  /// A journal without gaps from `first` on is the only one that may be folded.
  func checkOrder(
    _ records: [MendCore.Record], of key: BatchKey, from first: UInt64, operation: String
  ) throws(StoreError) {
    var expected = first
    for record in records {
      guard record.sequence == expected else {
        throw damaged(
          key, Int64(clamping: expected), "it is missing, \(record.sequence) stands there", operation)
      }
      expected += 1
    }
  }
}

import Foundation
import MendAPI
import MendCore
import MendProtobuf
import MendRuntime

// What can't be read back says which version wrote it, and what to do.

extension SQLiteStore {
  /// The store's own rows were written under the server's limits; here nothing else bounds them.
  private static let limits: DecodingLimits = {
    var limits = DecodingLimits()
    limits.elementBytes = .max
    limits.unknownBytes = .max
    return limits
  }()

  func decode(
    _ payload: Data, of key: BatchKey, operation: String, into records: inout [MendCore.Record]
  ) throws(StoreError) {
    let name = "\(key.namespace)/\(key.batchID)"
    let entry: JournalEntry
    do throws(DecodingError) {
      entry = try JournalEntry(serialized: payload.bytes, limits: Self.limits)
    } catch {
      throw StoreError(
        operation: operation,
        message: "\(path): the journal of \(name) is damaged (\(error)); bring the file back from a copy")
    }
    for record in entry.records {
      do throws(JournalFault) {
        records.append(try record.record(of: key))
      } catch {
        throw unreadable("record \(record.sequence) of \(name)", error, by: entry.writtenBy, operation)
      }
    }
  }

  /// Adds those that have not expired.
  func decode(_ payload: Data, at now: Instant, into entries: inout [IdempotencyEntry]) throws(StoreError) {
    let message: JournalAnswers
    do throws(DecodingError) {
      message = try JournalAnswers(serialized: payload.bytes, limits: Self.limits)
    } catch {
      throw StoreError(
        operation: "recover", message: "\(path): answers kept are damaged (\(error)); bring the file back from a copy")
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
    let name = "a notification about \(key.namespace)/\(key.batchID)"
    let message: JournalNotification
    do throws(DecodingError) {
      message = try JournalNotification(serialized: payload.bytes, limits: Self.limits)
    } catch {
      throw StoreError(
        operation: "outbox", message: "\(path): \(name) is damaged (\(error)); bring the file back from a copy")
    }
    do throws(JournalFault) {
      return try message.notification(of: key)
    } catch {
      throw unreadable(name, error, by: message.writtenBy, "outbox")
    }
  }

  func decodeListing(_ payload: Data, of key: BatchKey) throws(StoreError) -> BatchListing {
    let name = "the listing of \(key.namespace)/\(key.batchID)"
    let message: JournalListing
    do throws(DecodingError) {
      message = try JournalListing(serialized: payload.bytes, limits: Self.limits)
    } catch {
      throw StoreError(
        operation: "retired", message: "\(path): \(name) is damaged (\(error)); bring the file back from a copy")
    }
    do throws(JournalFault) {
      return try message.listing(of: key)
    } catch {
      throw unreadable(name, error, by: message.writtenBy, "retired")
    }
  }

  private func unreadable(_ what: String, _ fault: JournalFault, by writer: String, _ operation: String) -> StoreError {
    StoreError(
      operation: operation,
      message: "\(path): \(what) has \(fault.found), which Mend \(version) cannot read; Mend "
        + "\(writer.isEmpty ? "of an unknown version" : writer) wrote it: start that version, or a later one")
  }

  /// A journal without gaps from `first` on is the only one that may be folded.
  func checkOrder(
    _ records: [MendCore.Record], of key: BatchKey, from first: UInt64, operation: String
  ) throws(StoreError) {
    var expected = first
    for record in records {
      guard record.sequence == expected else {
        throw StoreError(
          operation: operation,
          message: "\(path): record \(expected) of \(key.namespace)/\(key.batchID) is missing (\(record.sequence) "
            + "stands there); the file is damaged: bring it back from a copy")
      }
      expected += 1
    }
  }
}

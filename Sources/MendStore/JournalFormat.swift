import MendAPI
public import MendCore
import MendProtobuf

/// The durable form of records, for histories that leave the store: each a serialized mend.v1.JournalRecord.
public enum JournalFormat {
  public static func encode(_ record: Record) -> [UInt8] { JournalRecord(record).serialized() }

  /// Throws for bytes that are no record, and for facts that this version doesn't know.
  public static func decode(_ bytes: [UInt8], of batch: BatchKey) throws(JournalFormatError) -> Record {
    let message: JournalRecord
    do throws(DecodingError) {
      message = try JournalRecord(serialized: bytes)
    } catch {
      throw JournalFormatError("it is damaged: \(error)")
    }
    do throws(JournalFault) {
      return try message.record(of: batch)
    } catch {
      throw JournalFormatError("record \(message.sequence) has \(error.found), which this version does not know")
    }
  }
}

/// Why a record can't be read.
public struct JournalFormatError: Error, Sendable, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}

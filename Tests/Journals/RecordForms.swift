import MendAPI
import MendCore
import MendJournal

@testable import mend

/// The forms that a record takes outside of the program, each by the code that makes it.
enum RecordForms {
  static func record(_ bytes: ArraySlice<UInt8>, of key: BatchKey) throws -> MendCore.Record {
    try Record(journalBytes: Array(bytes), of: key)
  }

  static func bytes(_ record: MendCore.Record) -> [UInt8] { record.journalBytes }

  /// A line of `mend history --export`.
  static func line(_ record: MendCore.Record) throws -> String {
    var event = BatchEvent()
    event.sequence = record.sequence
    event.record = record.withoutSecrets.journalBytes
    return try HistoryFile.line(event)
  }

  /// What `mend replay` reads.
  static func exported(at path: String) throws -> (key: BatchKey, records: [MendCore.Record]) {
    let file = try HistoryFile(path: path)
    return (file.key, file.records)
  }
}

package import MendCore
package import MendProtobuf

extension Record {
  /// The record as it leaves the store, without its batch's key: a serialized mend.v1.JournalRecord.
  package var journalBytes: [UInt8] { FieldEncoder.encode(self) }

  /// - Throws: `FormatFault` for bytes that are no record, and for facts that this version does not know.
  package init(journalBytes bytes: [UInt8], of batch: BatchKey) throws(FormatFault) {
    self = .blank
    try FieldDecoder.read(&self, from: bytes)
    self.batch = batch
  }

  /// The record as a line of an exported history has it.
  package var json: JSONValue { FieldJSONWriter.value(self) }

  /// - Throws: `FormatFault`, with line, column and path where the text is at fault.
  package init(jsonText: String, of batch: BatchKey) throws(FormatFault) {
    self = try FieldJSONReader.decode(Record.self, jsonText: jsonText)
    self.batch = batch
  }
}

import MendCore
import MendJournal
import MendProtobuf

/// What may stand in a journal: its records, kept answers and listings, chosen by an input's first byte. Damage is told
/// of as damage, and what can be read is written back as it was.
final class JournalTarget {
  func run(_ input: [UInt8]) {
    guard let kind = input.first else { return }
    let bytes = Array(input.dropFirst())
    switch kind % 3 {
    case 0: again(RecordsRow.blank, bytes)
    case 1: again(AnswersRow.blank, bytes)
    default: again(ValueRow<BatchListing>.blank, bytes)
    }
  }

  private func again<Row: Described & Hashable>(_ blank: Row, _ bytes: [UInt8]) {
    var row = blank
    guard (try? FieldDecoder.read(&row, from: bytes)) != nil else { return }
    _ = TextRewriter.redactor.rewritten(row)
    _ = FieldJSONWriter.value(row).compact()
    var second = blank
    do {
      try FieldDecoder.read(&second, from: FieldEncoder.encode(row))
    } catch {
      fatalError("\(Row.schemaName) cannot be read back: \(error)")
    }
    precondition(second == row || row != row, "\(Row.schemaName) is another one after the journal: \(row) \(second)")
  }
}

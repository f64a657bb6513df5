package import MendCore

// What the store's rows hold: values with who wrote them, so that one that cannot be read can be told whose it is.

/// Records of one batch that were committed together: in order, without gaps, at least one.
package struct RecordsRow: Described, Hashable {
  package var writtenBy: String
  package var records: [Record]

  package static let schemaName = "JournalEntry"
  package static var blank: RecordsRow { RecordsRow(writtenBy: "", records: []) }

  package init(writtenBy: String, records: [Record]) {
    self.writtenBy = writtenBy
    self.records = records
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "written_by", &writtenBy)
    try v.messages(2, "records", &records)
  }
}

/// The remembered answers of one commit, in their order.
package struct AnswersRow: Described, Hashable {
  package var writtenBy: String
  package var answers: [IdempotencyEntry]

  package static let schemaName = "JournalAnswers"
  package static var blank: AnswersRow { AnswersRow(writtenBy: "", answers: []) }

  package init(writtenBy: String, answers: [IdempotencyEntry]) {
    self.writtenBy = writtenBy
    self.answers = answers
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(1, "written_by", &writtenBy)
    try v.messages(2, "answers", &answers)
  }
}

/// A value that has a row of its own.
package struct ValueRow<Value: RowValue>: Described {
  package var writtenBy: String
  package var value: Value

  package static var schemaName: String { Value.schemaName }
  package static var blank: ValueRow { ValueRow(writtenBy: "", value: Value.blank) }

  package init(writtenBy: String, value: Value) {
    self.writtenBy = writtenBy
    self.value = value
  }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try value.describe(v, writtenBy: &writtenBy)
  }

  /// Who wrote a row whose value cannot be read; empty where that cannot be read either.
  package static func writer(of bytes: [UInt8]) -> String {
    var writer = RowWriter(number: Value.writtenByNumber)
    do throws(FormatFault) { try FieldDecoder.read(&writer, from: bytes) } catch {}
    return writer.name
  }
}

private struct RowWriter: Described {
  var number: UInt32
  var name = ""

  static var blank: Self { Self(number: 1) }

  mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.string(number, "written_by", &name)
  }
}

extension ValueRow: Equatable where Value: Equatable {}
extension ValueRow: Hashable where Value: Hashable {}

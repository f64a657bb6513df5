import Foundation
import MendCore
import MendJournal
import Testing

/// `Sources/MendJournal/journal.proto` is what the descriptions of the journaled values come to.
///
/// `MEND_REWRITE_SCHEMA=1` writes it anew, for a look at the difference: fields are added, never changed.
struct JournalSchemaTests {
  private static let file = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../Sources/MendJournal/journal.proto").standardizedFileURL

  @Test("the journal's schema has every field that is written, under its number and name")
  func schema() throws {
    var printer = SchemaPrinter()
    printer.add(RecordsRow.self)
    printer.add(AnswersRow.self)
    printer.add(ValueRow<BatchListing>.self)
    printer.add(ValueRow<MendCore.Notification>.self)
    printer.add(StartHistory.self)
    #expect(printer.faults.isEmpty)
    if ProcessInfo.processInfo.environment["MEND_REWRITE_SCHEMA"] == "1" {
      try Data(printer.text.utf8).write(to: Self.file)
    }
    #expect(try String(contentsOf: Self.file, encoding: .utf8) == printer.text)
  }
}

/// Visits blank values, and notes what their fields are called.
private struct SchemaPrinter: FieldVisitor {
  private var lines: [String] = []
  private var numbers: Set<UInt32> = []
  /// Of messages and enums by their names, in the order in which they were met.
  private var declarations: [(name: String, lines: [String])] = []
  /// What no schema may have: a number or a name that stands twice.
  private(set) var faults: [String] = []

  var reads: Bool { true }
  var assigns: Bool { true }
  var goesByNumber: Bool { false }

  var text: String {
    let head = """
      syntax = "proto3";

      // Generated from the descriptions of the journaled values, which say what each field means. The durable form of a
      // batch's history: what MendStore writes into its database and `mend history --export` writes down.
      //
      // Fields are optional, with a default that means what the absence of the field meant before; numbers are never used
      // again. Of the facts of a record, the replies of an answer and the like one is set. A program that doesn't know a
      // fact, or a value of an enum, refuses to recover the journal, and says which version wrote it. Instants are
      // milliseconds since the Unix epoch, durations are milliseconds: `..._ms`.
      package mend.v1;

      import "mend/v1/types.proto";

      """
    return head + declarations.map { "\n" + $0.lines.joined(separator: "\n") + "\n" }.joined()
  }

  mutating func add<D: Described>(_ type: D.Type) {
    guard !declarations.contains(where: { $0.name == D.schemaName }) else { return }
    let place = declarations.count
    declarations.append((D.schemaName, []))
    let fields = fields { printer throws(FormatFault) in
      var blank = D.blank
      try blank.describe(&printer)
    }
    declarations[place].lines = ["message \(D.schemaName) {"] + fields + ["}"]
    // Shared with the calls.
    if !D.schemaName.hasPrefix("Journal") { declarations[place].lines = [] }
    if declarations[place].lines.isEmpty { declarations.remove(at: place) }
  }

  private mutating func fields(_ visit: (inout Self) throws(FormatFault) -> Void) -> [String] {
    var inner = self
    inner.lines = []
    inner.numbers = []
    // What is missing is missed at the end, behind all fields.
    try? visit(&inner)
    (declarations, faults) = (inner.declarations, inner.faults)
    return inner.lines
  }

  private mutating func field(_ number: UInt32, _ name: String, _ type: String) {
    if !numbers.insert(number).inserted { faults.append("\(name) = \(number) stands twice") }
    lines.append("  \(type) \(name) = \(number);")
  }

  mutating func number(
    _ number: UInt32, _ name: String, _ form: NumberForm, _ value: inout Int64?, isOptional: Bool
  ) throws(FormatFault) {
    field(number, name, (isOptional ? "optional " : "") + "\(form)")
  }

  mutating func real(_ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool) throws(FormatFault) {
    field(number, name, (isOptional ? "optional " : "") + "double")
  }

  mutating func flag(_ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool) throws(FormatFault) {
    field(number, name, (isOptional ? "optional " : "") + "bool")
  }

  mutating func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    field(number, name, (isOptional ? "optional " : "") + "string")
  }

  mutating func choice<E: SchemaEnum>(_ number: UInt32, _ name: String, _ value: inout E?) throws(FormatFault) {
    let short = String(E.schemaName.split(separator: ".").last ?? "")
    field(number, name, short)
    value = E(number: 1)
    guard short.hasPrefix("Journal"), !declarations.contains(where: { $0.name == short }) else { return }
    let prefix = short.reduce(into: "") { prefix, letter in
      prefix += (letter.isUppercase && !prefix.isEmpty ? "_" : "") + letter.uppercased()
    }
    let values = (Int32(1)...999).compactMap { E(number: $0) }.map {
      "  \(prefix)_\($0.name.uppercased()) = \($0.number);"
    }
    declarations.append((short, ["enum \(short) {", "  \(prefix)_UNSPECIFIED = 0;"] + values + ["}"]))
  }

  mutating func message<D: Described>(_ number: UInt32, _ name: String, _ value: inout D?) throws(FormatFault) {
    field(number, name, D.schemaName)
    add(D.self)
  }

  mutating func messages<D: Described>(_ number: UInt32, _ name: String, _ values: inout [D]) throws(FormatFault) {
    field(number, name, "repeated \(D.schemaName)")
    add(D.self)
  }

  mutating func group(
    _ number: UInt32, _ name: String, _ isThere: inout Bool, _ fields: (inout Self) throws(FormatFault) -> Void
  ) throws(FormatFault) {
    let type = "JournalReply" + name.split(separator: "_").map(\.capitalized).joined()
    field(number, name, type)
    let place = declarations.count
    declarations.append((type, []))
    declarations[place].lines = ["message \(type) {"] + self.fields(fields) + ["}"]
  }

  mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {
    field(number, name, "repeated uint32")
  }

  mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {
    field(number, name, "repeated int32")
  }

  mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {
    field(number, name, "repeated int64")
  }

  mutating func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    field(number, name, "map<string, string>")
  }
}

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
    let printer = SchemaPrinter()
    printer.add(RecordsRow.self)
    printer.add(AnswersRow.self)
    printer.add(ValueRow<BatchListing>.self)
    printer.add(ValueRow<MendCore.Notification>.self)
    printer.add(StartHistory.self)
    #expect(printer.faults.isEmpty, "\(printer.faults)")
    if ProcessInfo.processInfo.environment["MEND_REWRITE_SCHEMA"] == "1" {
      try Data(printer.text.utf8).write(to: Self.file)
    }
    #expect(try String(contentsOf: Self.file, encoding: .utf8) == printer.text)
  }
}

/// Visits blank values, and notes what their fields are called.
private final class SchemaPrinter: FieldVisitor {
  /// Of messages and enums by their names, in the order in which they were met.
  private var declarations: [(name: String, lines: [String])] = []
  private var open: [Message] = []
  /// What no schema may have: a number that stands twice, a message with fields that are not always the same.
  private(set) var faults: [String] = []

  private struct Message {
    var name: String
    var fields: [String] = []
    var numbers: Set<UInt32> = []
  }

  init() { super.init(reads: true, assigns: true) }

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
    return head
      + declarations.filter { !$0.lines.isEmpty }.map { "\n" + $0.lines.joined(separator: "\n") + "\n" }.joined()
  }

  func add<D: Described>(_ type: D.Type) {
    begin(D.schemaName)
    var blank = D.blank
    do throws(FormatFault) {
      try blank.describe(self)
    } catch {
      faults.append("\(D.schemaName): \(error)")
    }
    end()
  }

  private func begin(_ name: String) {
    // Before what it is made of.
    if !declarations.contains(where: { $0.name == name }) { declarations.append((name, [])) }
    open.append(Message(name: name))
  }

  private func end() {
    guard let message = open.popLast() else { return }
    // Others are shared with the calls.
    guard message.name.hasPrefix("Journal"), let place = declarations.firstIndex(where: { $0.name == message.name })
    else { return }
    let lines = ["message \(message.name) {"] + message.fields + ["}"]
    if !declarations[place].lines.isEmpty, declarations[place].lines != lines {
      faults.append("\(message.name) has different fields")
    }
    declarations[place].lines = lines
  }

  private func field(_ number: UInt32, _ name: String, _ type: String) {
    let last = open.count - 1
    if !open[last].numbers.insert(number).inserted { faults.append("\(name) = \(number) stands twice") }
    open[last].fields.append("  \(type) \(name) = \(number);")
  }

  /// What is called like a secret is one, or is named here.
  private func check(_ name: String, _ role: TextRole) {
    let secretive = ["token", "secret", "password", "credential", "environment", "env", "key", "authorization"]
    let field = "\(open.last?.name ?? "").\(name)"
    if role != .secret, secretive.contains(where: { name.split(separator: "_").contains(Substring($0)) }),
      !Self.noSecrets.contains(field)
    {
      faults.append("\(field) may be a secret, and is not declared as one")
    }
  }

  /// A caller's name for a command, which it may send again.
  private static let noSecrets: Set = ["JournalAnswer.key"]

  override func enter(
    _ number: UInt32, _ name: String, _ type: any Described.Type, element: Int?
  ) throws(FormatFault) -> Bool {
    if open[open.count - 1].numbers.contains(number) { return false }
    field(number, name, (element == nil ? "" : "repeated ") + type.schemaName)
    begin(type.schemaName)
    return true
  }

  override func leave() throws(FormatFault) { end() }

  override func refuseSecond(_ name: String) throws(FormatFault) {}

  override func number(
    _ number: UInt32, _ name: String, _ form: NumberForm, _ value: inout Int64?, isOptional: Bool
  ) throws(FormatFault) {
    field(number, name, (isOptional ? "optional " : "") + "\(form)")
    value = value ?? 0
  }

  override func real(_ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool) throws(FormatFault) {
    field(number, name, (isOptional ? "optional " : "") + "double")
  }

  override func flag(_ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool) throws(FormatFault) {
    field(number, name, (isOptional ? "optional " : "") + "bool")
  }

  override func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    field(number, name, (isOptional ? "optional " : "") + "string")
    check(name, role)
    value = value ?? ""
  }

  override func choice(
    _ number: UInt32, _ name: String, _ value: inout Int32?, of names: any SchemaEnum.Type
  ) throws(FormatFault) {
    let short = String(names.schemaName.split(separator: ".").last ?? "")
    field(number, name, short)
    value = 1
    guard short.hasPrefix("Journal"), !declarations.contains(where: { $0.name == short }) else { return }
    let prefix = short.reduce(into: "") { prefix, letter in
      prefix += (letter.isUppercase && !prefix.isEmpty ? "_" : "") + letter.uppercased()
    }
    let values = (Int32(1)...999).compactMap { names.init(number: $0) }.map {
      "  \(prefix)_\($0.name.uppercased()) = \($0.number);"
    }
    declarations.append((short, ["enum \(short) {", "  \(prefix)_UNSPECIFIED = 0;"] + values + ["}"]))
  }

  override func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {
    field(number, name, "repeated uint32")
  }

  override func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {
    field(number, name, "repeated int32")
  }

  override func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {
    field(number, name, "repeated int64")
  }

  override func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    field(number, name, "map<string, string>")
    check(name, role)
  }
}

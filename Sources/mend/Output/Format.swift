import ArgumentParser
import MendClient
import MendCore
import MendProtobuf

/// How a command prints its answer.
enum Format: String, ExpressibleByArgument, CaseIterable {
  /// Text for people.
  case table
  /// One indented JSON document.
  case json
  /// One line for each JSON document.
  case jsonl

  /// JSON with zeros and empty lists. Unset fields (a time that has not come, an error that did not happen) are left
  /// out.
  static let jsonOptions: JSONEncodingOptions = {
    var options = JSONEncodingOptions()
    options.includeDefaults = true
    options.includeNulls = false
    return options
  }()

  static func json(of message: some Message) throws -> JSONValue {
    do {
      return try message.jsonValue(jsonOptions)
    } catch {
      throw ProgramError(.refused, "the server's answer has no JSON form: \(error.reason)")
    }
  }

  /// Prints `message` as JSON, or as the text that `table` makes of it.
  ///
  /// - Parameter fields: the only top-level fields to print as JSON, because the default of a field that was not requested
  ///   would look like an answer (`has_failures: false`). Nil prints all.
  func print<Answer: Message>(_ message: Answer, fields: Set<String>? = nil, table: (Answer) -> String) throws {
    switch self {
    case .table: Standard.output(table(try TerminalText.escaped(message)).printable)
    case .json: Standard.output(try Self.json(of: message, fields).pretty() + "\n")
    case .jsonl: Standard.output(try Self.json(of: message, fields).compact() + "\n")
    }
  }

  private static func json(of message: some Message, _ fields: Set<String>?) throws -> JSONValue {
    let value = try json(of: message)
    guard let fields, case .object(let object) = value else { return value }
    return .object(JSONObject(object.members.filter { fields.contains($0.name) }))
  }
}

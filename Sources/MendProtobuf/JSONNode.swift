/// A parsed JSON value with its position, so that a fault found later can name line and column.
public struct JSONNode: Sendable {
  package indirect enum Content: Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case unsigned(UInt64)
    case number(Double)
    case string(String)
    case array([JSONNode])
    case object([Member])
  }

  package struct Member: Sendable {
    package var name: String
    /// The name's position.
    package var position: JSONPosition?
    package var value: JSONNode
  }

  package var content: Content
  /// Nil when the value didn't come from text.
  var position: JSONPosition?

  init(_ content: Content, at position: JSONPosition?) {
    self.content = content
    self.position = position
  }

  init(_ value: JSONValue) {
    position = nil
    content =
      switch value {
      case .null: .null
      case .bool(let value): .bool(value)
      case .integer(let value): .integer(value)
      case .unsigned(let value): .unsigned(value)
      case .number(let value): .number(value)
      case .string(let value): .string(value)
      case .array(let values): .array(values.map { JSONNode($0) })
      case .object(let object):
        .object(object.members.map { Member(name: $0.name, position: nil, value: JSONNode($0.value)) })
      }
  }

  var value: JSONValue {
    switch content {
    case .null: .null
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .unsigned(let value): .unsigned(value)
    case .number(let value): .number(value)
    case .string(let value): .string(value)
    case .array(let nodes): .array(nodes.map(\.value))
    case .object(let members): .object(JSONObject(unique: members.map { JSONObject.Member($0.name, $0.value.value) }))
    }
  }

  /// The value in an error's sentence: its kind, with short values spelt out.
  var summary: String {
    switch content {
    case .null: return "null"
    case .bool(let value): return String(value)
    case .integer(let value): return String(value)
    case .unsigned(let value): return String(value)
    case .number(let value): return JSONNumber.text(value)
    case .string(let text): return text.count <= 40 ? "'\(text)'" : "'\(text.prefix(40))…'"
    case .array: return "a list"
    case .object: return "an object"
    }
  }
}

/// A position in JSON text: line and column from 1; the column counts bytes.
public struct JSONPosition: Sendable, Hashable {
  public var line: Int
  public var column: Int
}

/// Why JSON text or a JSON value isn't the message that was expected, and where.
public struct JSONDecodingError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What was wrong, and what was expected.
  public var reason: String
  /// From the document's root: `$.tiers[0].extractors[1].num_cpus`.
  public var path: String
  /// Nil when the value didn't come from text.
  public var position: JSONPosition?

  package init(_ reason: String, path: String = "", at position: JSONPosition?) {
    self.reason = reason
    self.path = path
    self.position = position
  }

  /// Puts the enclosing member or element in front of the path, on the way out.
  package func inside(_ component: String) -> JSONDecodingError {
    JSONDecodingError(reason, path: component + path, at: position)
  }

  public var description: String {
    let place = position.map { "\($0.line):\($0.column): " } ?? ""
    return path.isEmpty ? "\(place)\(reason)" : "\(place)$\(path): \(reason)"
  }
}

/// The error for a value without a JSON form: a time outside of the years 1 to 9999, an Any of an unknown type.
public struct JSONEncodingError: Error, Sendable, Hashable, CustomStringConvertible {
  public var reason: String
  public var description: String { reason }

  init(_ reason: String) { self.reason = reason }
}

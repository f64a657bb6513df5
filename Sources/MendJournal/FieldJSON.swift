package import MendCore
package import MendProtobuf

/// Writes described values as JSON: the schema's names, short enum names, defaults included, what is unset left out.
package struct FieldJSONWriter: FieldVisitor {
  private static let options = JSONEncodingOptions()
  private var members: [JSONObject.Member] = []

  package var reads: Bool { false }
  package var assigns: Bool { false }
  package var goesByNumber: Bool { false }

  package static func value<D: Described>(_ value: D) -> JSONValue {
    var value = value
    var writer = FieldJSONWriter()
    do throws(FormatFault) {
      try value.describe(&writer)
    } catch {
      preconditionFailure("\(D.schemaName) cannot be written: \(error.found)")
    }
    return .object(JSONObject(unique: writer.members))
  }

  private mutating func add(_ name: String, _ value: JSONValue) { members.append(JSONObject.Member(name, value)) }

  package mutating func number(
    _ number: UInt32, _ name: String, _ form: NumberForm, _ value: inout Int64?, isOptional: Bool
  ) throws(FormatFault) {
    guard let value else { return }
    switch form {
    case .uint64, .fixed64: add(name, UInt64Field.json(UInt64(bitPattern: value), Self.options))
    case .int32, .int64, .uint32: add(name, .integer(value))
    }
  }

  package mutating func real(
    _ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool
  ) throws(FormatFault) {
    guard let value else { return }
    add(name, DoubleField.json(value, Self.options))
  }

  package mutating func flag(
    _ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool
  ) throws(FormatFault) {
    if let value { add(name, .bool(value)) }
  }

  package mutating func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    if let value { add(name, .string(value)) }
  }

  package mutating func choice<E: SchemaEnum>(
    _ number: UInt32, _ name: String, _ value: inout E?
  ) throws(FormatFault) {
    if let value { add(name, .string(value.name)) }
  }

  package mutating func message<D: Described>(
    _ number: UInt32, _ name: String, _ value: inout D?
  ) throws(FormatFault) {
    if let value { add(name, Self.value(value)) }
  }

  package mutating func messages<D: Described>(
    _ number: UInt32, _ name: String, _ values: inout [D]
  ) throws(FormatFault) {
    var list: [JSONValue] = []
    list.reserveCapacity(values.count)
    for value in values { list.append(Self.value(value)) }
    add(name, .array(list))
  }

  package mutating func group(
    _ number: UInt32, _ name: String, _ isThere: inout Bool, _ fields: (inout Self) throws(FormatFault) -> Void
  ) throws(FormatFault) {
    guard isThere else { return }
    var nested = FieldJSONWriter()
    try fields(&nested)
    add(name, .object(JSONObject(unique: nested.members)))
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {
    add(name, .array(values.map { .integer(Int64($0)) }))
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {
    add(name, .array(values.map { .integer(Int64($0)) }))
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {
    add(name, .array(values.map { .integer($0) }))
  }

  package mutating func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    let sorted = values.sorted { StringField.precedes($0.key, $1.key) }
    add(name, .object(JSONObject(unique: sorted.map { JSONObject.Member($0.key, .string($0.value)) })))
  }
}

/// Reads described values from JSON: the schema's names or ProtoJSON's, enum names short or whole, null for what is unset.
package struct FieldJSONReader: FieldVisitor {
  private let json: JSONFieldReader
  private let members: [JSONNode.Member]
  /// Members that a field has taken, by their place.
  private var isTaken: [Bool]
  private var names: [String] = []

  package var reads: Bool { true }
  package var assigns: Bool { true }
  package var goesByNumber: Bool { false }

  /// - Throws: `FormatFault` with line, column and path.
  package static func decode<D: Described>(_ type: D.Type, jsonText: String) throws(FormatFault) -> D {
    do throws(JSONDecodingError) {
      return try value(D.self, JSONFieldReader(parsing: jsonText))
    } catch {
      throw FormatFault(.damaged, "\(error)")
    }
  }

  private static func value<D: Described>(_ type: D.Type, _ json: JSONFieldReader) throws(JSONDecodingError) -> D {
    var value = D.blank
    try read(json, D.schemaName) { reader throws(FormatFault) in try value.describe(&reader) }
    return value
  }

  private static func read(
    _ json: JSONFieldReader, _ schemaName: String, _ fields: (inout Self) throws(FormatFault) -> Void
  ) throws(JSONDecodingError) {
    var reader = try FieldJSONReader(json)
    do throws(FormatFault) {
      try fields(&reader)
    } catch {
      throw reader.fault ?? json.fault(error.found)
    }
    try reader.refuseOthers(schemaName)
  }

  /// What was wrong with a member, with its place: a `FormatFault` has none.
  private var fault: JSONDecodingError?

  private init(_ json: JSONFieldReader) throws(JSONDecodingError) {
    guard case .object(let members) = json.node.content else { throw json.mismatch("an object") }
    self.json = json
    self.members = members
    isTaken = Array(repeating: false, count: members.count)
  }

  private func refuseOthers(_ schemaName: String) throws(JSONDecodingError) {
    guard let place = isTaken.firstIndex(of: false) else { return }
    let hint = Spelling.hint(members[place].name, among: names)
    throw JSONDecodingError(
      "mend.v1.\(schemaName) has no field '\(members[place].name)'\(hint)", at: members[place].position)
  }

  /// Nil where the member is not there, or null.
  private mutating func read<T>(
    _ name: String, _ read: (JSONFieldReader) throws(JSONDecodingError) -> T
  ) throws(FormatFault) -> T? {
    names.append(name)
    var found: Int?
    for (place, member) in members.enumerated()
    where !isTaken[place] && (member.name == name || member.name == Self.camelCase(name)) {
      if found != nil {
        fault = JSONDecodingError("'\(name)' stands twice", at: member.position)
        throw FormatFault(.damaged, "'\(name)' stands twice")
      }
      found = place
      isTaken[place] = true
    }
    guard let found else { return nil }
    let value = JSONFieldReader(node: members[found].value, options: json.options)
    if value.isNull { return nil }
    do throws(JSONDecodingError) {
      return try read(value)
    } catch {
      fault = error.inside(".\(members[found].name)")
      throw FormatFault(.damaged, error.reason)
    }
  }

  /// `at_ms` as ProtoJSON spells it: `atMs`.
  private static func camelCase(_ name: String) -> String {
    var result = ""
    var isUpper = false
    for character in name {
      if character == "_" {
        isUpper = true
      } else {
        result += isUpper ? character.uppercased() : String(character)
        isUpper = false
      }
    }
    return result
  }

  package mutating func number(
    _ number: UInt32, _ name: String, _ form: NumberForm, _ value: inout Int64?, isOptional: Bool
  ) throws(FormatFault) {
    value = try read(name) { json throws(JSONDecodingError) in
      switch form {
      case .int32: Int64(try Int32Field.value(json))
      case .int64: try Int64Field.value(json)
      case .uint32: Int64(try UInt32Field.value(json))
      case .uint64, .fixed64: Int64(bitPattern: try UInt64Field.value(json))
      }
    }
  }

  package mutating func real(
    _ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool
  ) throws(FormatFault) {
    value = try read(name) { json throws(JSONDecodingError) in try DoubleField.value(json) }
  }

  package mutating func flag(
    _ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool
  ) throws(FormatFault) {
    value = try read(name) { json throws(JSONDecodingError) in try BoolField.value(json) }
  }

  package mutating func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    value = try read(name) { json throws(JSONDecodingError) in try StringField.value(json) }
  }

  package mutating func choice<E: SchemaEnum>(
    _ number: UInt32, _ name: String, _ value: inout E?
  ) throws(FormatFault) {
    value =
      try read(name) { json throws(JSONDecodingError) -> E? in
        guard case .string(let text) = json.node.content else {
          let whole = try Int32Field.value(json)
          if whole == 0 { return nil }
          guard let known = E(number: whole) else { throw json.fault("no value \(whole) of \(E.schemaName)") }
          return known
        }
        guard let known = E(schemaName: text) else { throw json.fault("'\(text)' is no value of \(E.schemaName)") }
        return known
      } ?? nil
  }

  package mutating func message<D: Described>(
    _ number: UInt32, _ name: String, _ value: inout D?
  ) throws(FormatFault) {
    value = try read(name) { json throws(JSONDecodingError) in try Self.value(D.self, json) }
  }

  package mutating func messages<D: Described>(
    _ number: UInt32, _ name: String, _ values: inout [D]
  ) throws(FormatFault) {
    values = try list(name) { json throws(JSONDecodingError) in try Self.value(D.self, json) }
  }

  package mutating func group(
    _ number: UInt32, _ name: String, _ isThere: inout Bool, _ fields: (inout Self) throws(FormatFault) -> Void
  ) throws(FormatFault) {
    isThere =
      try read(name) { json throws(JSONDecodingError) in
        try Self.read(json, name, fields)
        return true
      } ?? false
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {
    values = try list(name) { json throws(JSONDecodingError) in try UInt32Field.value(json) }
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {
    values = try list(name) { json throws(JSONDecodingError) in try Int32Field.value(json) }
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {
    values = try list(name) { json throws(JSONDecodingError) in try Int64Field.value(json) }
  }

  private mutating func list<T>(
    _ name: String, _ element: (JSONFieldReader) throws(JSONDecodingError) -> T
  ) throws(FormatFault) -> [T] {
    try read(name) { json throws(JSONDecodingError) -> [T] in
      guard case .array(let nodes) = json.node.content else { throw json.mismatch("a list") }
      var values: [T] = []
      values.reserveCapacity(nodes.count)
      for (place, node) in nodes.enumerated() {
        do throws(JSONDecodingError) {
          values.append(try element(JSONFieldReader(node: node, options: json.options)))
        } catch {
          throw error.inside("[\(place)]")
        }
      }
      return values
    } ?? []
  }

  package mutating func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    values =
      try read(name) { json throws(JSONDecodingError) in
        try json.map(StringField.self, StringField.self)
      } ?? [:]
  }
}

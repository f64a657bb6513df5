package import MendCore
import MendProtobuf

/// Reads described values from JSON: the schema's names or ProtoJSON's, enum names short or whole, null for what is unset.
package final class FieldJSONReader: FieldVisitor {
  private var objects: [Object]

  /// An object that is being read.
  private struct Object {
    /// From the object around it: `.steps[2]`.
    var path: String
    var type: any Described.Type
    var json: JSONFieldReader
    var members: [JSONNode.Member]
    /// Those that a field has taken, by their place.
    var isTaken: [Bool]
    /// Some of them are spelt as ProtoJSON has them.
    var hasCamelCase: Bool
    /// Of the fields that were asked for.
    var names: [String] = []
    /// The elements of the list that is being read.
    var list: [JSONNode] = []

    init(_ json: JSONFieldReader, path: String, _ type: any Described.Type) throws(JSONDecodingError) {
      guard case .object(let members) = json.node.content else { throw json.mismatch("an object") }
      self.json = json
      self.path = path
      self.type = type
      self.members = members
      isTaken = Array(repeating: false, count: members.count)
      hasCamelCase = members.contains { $0.name.utf8.contains { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 } }
    }
  }

  private init(_ object: Object) {
    objects = [object]
    super.init(reads: true, assigns: true)
  }

  /// - Throws: `FormatFault` with line, column and path.
  package static func decode<D: Described>(_ type: D.Type, jsonText: String) throws(FormatFault) -> D {
    var value = D.blank
    let reader: FieldJSONReader
    do throws(JSONDecodingError) {
      reader = FieldJSONReader(try Object(JSONFieldReader(parsing: jsonText), path: "", D.self))
    } catch {
      throw FormatFault(.damaged, "\(error)")
    }
    do throws(FormatFault) {
      try value.describe(reader)
      try reader.refuseOthers()
    } catch {
      throw reader.placed(error)
    }
    return value
  }

  /// What a value of the object at hand is refused for, with its place.
  private func placed(_ fault: FormatFault) -> FormatFault {
    guard !isPlaced, let object = objects.last else { return fault }
    var placed = damage(object.json.fault(fault.found))
    placed.kind = fault.kind
    placed.sequence = fault.sequence
    return placed
  }

  /// The fault at hand says already where it is.
  private var isPlaced = false

  private func damage(_ error: JSONDecodingError) -> FormatFault {
    isPlaced = true
    return FormatFault(.damaged, "\(error.inside(objects.map(\.path).joined()))")
  }

  private func refuseOthers() throws(FormatFault) {
    guard let object = objects.last, let place = object.isTaken.firstIndex(of: false) else { return }
    let member = object.members[place]
    let hint = Spelling.hint(member.name, among: object.names)
    throw damage(
      JSONDecodingError("mend.v1.\(object.type.schemaName) has no field '\(member.name)'\(hint)", at: member.position))
  }

  /// The member of a field; nil where it is not there, or null.
  private func member(_ name: String) throws(FormatFault) -> JSONFieldReader? {
    let last = objects.count - 1
    if objects[last].names.last != name { objects[last].names.append(name) }
    let camelCase = objects[last].hasCamelCase ? Self.camelCase(name) : name
    var found: JSONNode?
    for (place, member) in objects[last].members.enumerated()
    where !objects[last].isTaken[place] && (member.name == name || member.name == camelCase) {
      if found != nil { throw damage(JSONDecodingError("'\(name)' stands twice", at: member.position)) }
      found = member.value
      objects[last].isTaken[place] = true
    }
    guard let found else { return nil }
    let json = JSONFieldReader(node: found, options: objects[last].json.options)
    return json.isNull ? nil : json
  }

  private func read<T>(
    _ name: String, _ read: (JSONFieldReader) throws(JSONDecodingError) -> T
  ) throws(FormatFault) -> T? {
    guard let json = try member(name) else { return nil }
    do throws(JSONDecodingError) {
      return try read(json)
    } catch {
      throw damage(error.inside(".\(name)"))
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

  package override func enter(
    _ number: UInt32, _ name: String, _ type: any Described.Type, element: Int?
  ) throws(FormatFault) -> Bool {
    let last = objects.count - 1
    if element == 0 { objects[last].list = try elements(name) }
    let json: JSONFieldReader
    if let element {
      guard objects[last].list.indices.contains(element) else { return false }
      json = JSONFieldReader(node: objects[last].list[element], options: objects[last].json.options)
    } else {
      guard let found = try member(name) else { return false }
      json = found
    }
    let path = ".\(name)" + (element.map { "[\($0)]" } ?? "")
    do throws(JSONDecodingError) {
      objects.append(try Object(json, path: path, type))
    } catch {
      throw damage(error.inside(path))
    }
    return true
  }

  package override func leave() throws(FormatFault) {
    try refuseOthers()
    objects.removeLast()
  }

  private func elements(_ name: String) throws(FormatFault) -> [JSONNode] {
    try read(name) { json throws(JSONDecodingError) -> [JSONNode] in
      guard case .array(let nodes) = json.node.content else { throw json.mismatch("a list") }
      return nodes
    } ?? []
  }

  package override func number(
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

  package override func real(
    _ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool
  ) throws(FormatFault) {
    value = try read(name) { json throws(JSONDecodingError) in try DoubleField.value(json) }
  }

  package override func flag(
    _ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool
  ) throws(FormatFault) {
    value = try read(name) { json throws(JSONDecodingError) in try BoolField.value(json) }
  }

  package override func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    value = try read(name) { json throws(JSONDecodingError) in try StringField.value(json) }
  }

  package override func choice(
    _ number: UInt32, _ name: String, _ value: inout Int32?, of names: any SchemaEnum.Type
  ) throws(FormatFault) {
    let whole = try read(name) { json throws(JSONDecodingError) -> Int32 in
      guard case .string(let text) = json.node.content else { return try Int32Field.value(json) }
      guard let known = names.init(schemaName: text) else {
        let known = (Int32(1)...99).compactMap { names.init(number: $0)?.name }
        throw json.fault("'\(text)' is no value of \(names.schemaName)\(Spelling.hint(text, among: known))")
      }
      return known.number
    }
    value = whole == 0 ? nil : whole
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {
    values = try read(name) { json throws(JSONDecodingError) in try json.repeated(UInt32Field.self) } ?? []
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {
    values = try read(name) { json throws(JSONDecodingError) in try json.repeated(Int32Field.self) } ?? []
  }

  package override func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {
    values = try read(name) { json throws(JSONDecodingError) in try json.repeated(Int64Field.self) } ?? []
  }

  package override func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    values =
      try read(name) { json throws(JSONDecodingError) in try json.map(StringField.self, StringField.self) } ?? [:]
  }
}

/// The options of decoding JSON.
public struct JSONDecodingOptions: Sendable {
  /// Members that the message has no field for, and names that an enum has no value for, are left out instead of
  /// refused.
  public var ignoreUnknownFields = false
  /// Lists and objects within each other.
  public var depth = 100
  /// The message types that a `google.protobuf.Any` may hold.
  public var types = TypeRegistry()

  public init() {}
}

extension Message {
  /// Decodes JSON text. Fields may have the schema's names or ProtoJSON's; enum values their short or schema names, or
  /// their number; null is an unset field.
  ///
  /// - Throws: `JSONDecodingError` with line, column and path.
  public init(jsonText: String, options: JSONDecodingOptions = JSONDecodingOptions()) throws(JSONDecodingError) {
    let node = try JSONNode(parsing: jsonText, depth: options.depth)
    try self.init(json: JSONFieldReader(node: node, options: options))
  }

  /// Decodes a JSON value, as `init(jsonText:options:)` does; errors have a path, but no line.
  public init(json: JSONValue, options: JSONDecodingOptions = JSONDecodingOptions()) throws(JSONDecodingError) {
    try self.init(json: JSONFieldReader(node: JSONNode(json), options: options))
  }

  init(json: JSONFieldReader) throws(JSONDecodingError) {
    self.init()
    var json = json
    if let wellKnown = WellKnownType(rawValue: Self.protobufName) {
      json.node = try wellKnown.plainForm(json)
    }
    guard case .object(let members) = json.node.content else { throw json.mismatch("an object") }
    var seen: Set<Int32> = []
    for member in members {
      let name = member.name
      guard let field = Self.fieldNames.first(where: { $0.schema == name || $0.camelCase == name }) else {
        if json.options.ignoreUnknownFields { continue }
        let hint = Spelling.hint(name, among: Self.fieldNames.map(\.schema))
        throw JSONDecodingError("\(Self.protobufName) has no field '\(name)'\(hint)", at: member.position)
      }
      guard seen.insert(field.number).inserted else {
        throw JSONDecodingError("'\(field.schema)' stands twice, in both spellings", at: member.position)
      }
      do throws(JSONDecodingError) {
        try decodeJSON(field: field.number, from: JSONFieldReader(node: member.value, options: json.options))
      } catch {
        throw error.inside(".\(name)")
      }
    }
  }
}

/// One JSON value on its way into a field; generated code calls one method a field.
public struct JSONFieldReader: Sendable {
  package var node: JSONNode
  package var options: JSONDecodingOptions

  package init(node: JSONNode, options: JSONDecodingOptions) {
    self.node = node
    self.options = options
  }

  /// A document's root.
  package init(parsing text: String, options: JSONDecodingOptions = JSONDecodingOptions()) throws(JSONDecodingError) {
    self.init(node: try JSONNode(parsing: text, depth: options.depth), options: options)
  }

  package var isNull: Bool { if case .null = node.content { true } else { false } }

  /// A field without presence: null is its default.
  public func implicit<F: FieldType>(_ type: F.Type) throws(JSONDecodingError) -> F.Value {
    isNull || isIgnoredName(type) ? F.zero : try F.value(self)
  }

  /// A field with presence: null is unset.
  public func optional<F: FieldType>(_ type: F.Type) throws(JSONDecodingError) -> F.Value? {
    isNull && !F.isJSONNull || isIgnoredName(type) ? nil : try F.value(self)
  }

  /// A member of a oneof: refused when another member is set already.
  public func oneof<F: FieldType, O>(_ type: F.Type, _ wrap: (F.Value) -> O, over current: O?)
    throws(JSONDecodingError) -> O?
  {
    guard let value = try optional(type) else { return current }
    if current != nil { throw fault("another field of the same oneof is set too") }
    return wrap(value)
  }

  public func repeated<F: FieldType>(_ type: F.Type) throws(JSONDecodingError) -> [F.Value] {
    if isNull { return [] }
    guard case .array(let nodes) = node.content else { throw mismatch("a list") }
    var values: [F.Value] = []
    values.reserveCapacity(nodes.count)
    for (index, node) in nodes.enumerated() {
      do throws(JSONDecodingError) {
        if let value = try element(type, node) { values.append(value) }
      } catch {
        throw error.inside("[\(index)]")
      }
    }
    return values
  }

  public func map<K: MapKeyType, V: FieldType>(_ key: K.Type, _ value: V.Type)
    throws(JSONDecodingError) -> [K.Value: V.Value]
  {
    if isNull { return [:] }
    guard case .object(let members) = node.content else { throw mismatch("an object") }
    var map: [K.Value: V.Value] = [:]
    for member in members {
      guard let key = K.key(member.name) else {
        throw JSONDecodingError("'\(member.name)' is no key of this map", at: member.position)
      }
      do throws(JSONDecodingError) {
        if let value = try element(value, member.value) { map[key] = value }
      } catch {
        throw error.inside(".\(member.name)")
      }
    }
    return map
  }

  private func element<F: FieldType>(_ type: F.Type, _ node: JSONNode) throws(JSONDecodingError) -> F.Value? {
    let reader = JSONFieldReader(node: node, options: options)
    if reader.isNull, !F.isJSONNull { throw reader.fault("null is no element of a list or map") }
    return reader.isIgnoredName(type) ? nil : try F.value(reader)
  }

  private func isIgnoredName<F: FieldType>(_ type: F.Type) -> Bool {
    guard options.ignoreUnknownFields, case .string(let name) = node.content,
      let values = F.Value.self as? any Enum.Type
    else { return false }
    return values.init(name: name) == nil
  }

  package func fault(_ reason: String) -> JSONDecodingError { JSONDecodingError(reason, at: node.position) }

  package func mismatch(_ wanted: String) -> JSONDecodingError { fault("expected \(wanted), found \(node.summary)") }
}

extension FieldType {
  /// The two types for which null is a value: `google.protobuf.Value` and `NullValue`.
  fileprivate static var isJSONNull: Bool {
    switch Value.self {
    case let message as any Message.Type: message.protobufName == WellKnownType.value.rawValue
    case let values as any Enum.Type: values.protobufName == "google.protobuf.NullValue"
    default: false
    }
  }
}

/// "Did you mean" for names.
package enum Spelling {
  /// ` (near: a, b)` or, where nothing is near, ` (it has: a, b, c)`.
  package static func hint(_ name: String, among known: [String]) -> String {
    let near = known.map { (name: $0, distance: distance(name.lowercased(), $0)) }
      .filter { $0.distance <= max(2, name.count / 3) || $0.name.contains(name) || name.contains($0.name) }
      .sorted { $0.distance < $1.distance }
    if !near.isEmpty { return "; near: " + near.prefix(3).map(\.name).joined(separator: ", ") }
    if known.isEmpty { return "" }
    return "; there is: " + known.prefix(8).joined(separator: ", ") + (known.count > 8 ? ", …" : "")
  }

  /// Levenshtein's: letters to add, drop or change.
  static func distance(_ left: String, _ right: String) -> Int {
    let left = Array(left.utf8.prefix(64))
    let right = Array(right.utf8.prefix(64))
    var row = Array(0...right.count)
    for (i, a) in left.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, b) in right.enumerated() {
        let substituted = diagonal + (a == b ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = min(substituted, row[j] + 1, row[j + 1] + 1)
      }
    }
    return row[right.count]
  }
}

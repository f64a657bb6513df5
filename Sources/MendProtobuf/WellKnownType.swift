/// Messages of `google.protobuf` that have a JSON form of their own.
///
/// They are generated like any other message. Their JSON is made here, by name, from and to the plain form that the
/// generated code has: so the runtime needs no Swift type of theirs.
enum WellKnownType: String {
  case timestamp = "google.protobuf.Timestamp"
  case duration = "google.protobuf.Duration"
  case fieldMask = "google.protobuf.FieldMask"
  case any = "google.protobuf.Any"
  case structure = "google.protobuf.Struct"
  case value = "google.protobuf.Value"
  case listValue = "google.protobuf.ListValue"
  case doubleValue = "google.protobuf.DoubleValue"
  case floatValue = "google.protobuf.FloatValue"
  case int64Value = "google.protobuf.Int64Value"
  case uint64Value = "google.protobuf.UInt64Value"
  case int32Value = "google.protobuf.Int32Value"
  case uint32Value = "google.protobuf.UInt32Value"
  case boolValue = "google.protobuf.BoolValue"
  case stringValue = "google.protobuf.StringValue"
  case bytesValue = "google.protobuf.BytesValue"

  // MARK: Encoding

  func json<M: Message>(of message: M, _ options: JSONEncodingOptions) throws(JSONEncodingError) -> JSONValue {
    var plainOptions = options
    plainOptions.fieldNames = .schema
    plainOptions.includeDefaults = false
    plainOptions.includeNulls = false
    if self == .timestamp || self == .duration { plainOptions.wideIntegers = .numbers }
    let plain = try message.jsonObject(plainOptions)
    switch self {
    case .timestamp:
      guard let text = RFC3339.text(seconds: plain.integer("seconds"), nanos: plain.integer("nanos")) else {
        throw JSONEncodingError("a Timestamp is outside of the years 1 to 9999: \(JSONValue.object(plain))")
      }
      return .string(text)
    case .duration:
      guard let text = ProtobufDuration.text(seconds: plain.integer("seconds"), nanos: plain.integer("nanos")) else {
        throw JSONEncodingError("a Duration is outside of 10,000 years or has mixed signs: \(JSONValue.object(plain))")
      }
      return .string(text)
    case .fieldMask:
      guard case .array(let paths)? = plain["paths"] else { return .string("") }
      var names: [String] = []
      for case .string(let path) in paths {
        names.append(try FieldMaskPath.text(path, options.fieldNames))
      }
      return .string(names.joined(separator: ","))
    case .any: return try Self.anyJSON(plain, options)
    case .structure: return plain["fields"] ?? .object(JSONObject())
    case .listValue: return plain["values"] ?? .array([])
    case .value:
      guard let member = plain.members.first else {
        throw JSONEncodingError("a google.protobuf.Value is unset, which JSON can't say")
      }
      if case .string = member.value, member.name == "number_value" {
        throw JSONEncodingError("a google.protobuf.Value holds a number that isn't finite")
      }
      return member.value
    case .doubleValue, .floatValue, .int64Value, .uint64Value, .int32Value, .uint32Value, .boolValue, .stringValue,
      .bytesValue:
      plainOptions.includeDefaults = true
      return try message.jsonObject(plainOptions)["value"] ?? .null
    }
  }

  private static func anyJSON(_ plain: JSONObject, _ options: JSONEncodingOptions) throws(JSONEncodingError)
    -> JSONValue
  {
    guard case .string(let url)? = plain["type_url"] else { return .object(JSONObject()) }
    var object = JSONObject()
    object.append("@type", .string(url))
    let payload: [UInt8] = if case .string(let text)? = plain["value"] { Base64.decode(text) ?? [] } else { [] }
    guard let type = options.types[url: url], let content = try? type.init(serialized: payload) else {
      object.append("value", .string(Base64.encode(payload)))
      return .object(object)
    }
    let json = try content.jsonValue(options)
    if WellKnownType(rawValue: type.protobufName) == nil, case .object(let fields) = json {
      for member in fields.members { object.append(member.name, member.value) }
    } else {
      object.append("value", json)
    }
    return .object(object)
  }

  // MARK: Decoding

  /// Turns the type's own form into the one that the generated decoder expects.
  func plainForm(_ json: JSONFieldReader) throws(JSONDecodingError) -> JSONNode {
    func object(_ members: (String, JSONNode.Content)...) -> JSONNode {
      let position = json.node.position
      return JSONNode(
        .object(
          members.map { JSONNode.Member(name: $0.0, position: position, value: JSONNode($0.1, at: position)) }),
        at: position)
    }
    switch self {
    case .timestamp:
      guard case .string(let text) = json.node.content, let time = RFC3339.parse(text) else {
        throw json.mismatch("a time like 2026-01-31T12:00:00Z")
      }
      return object(("seconds", .integer(time.seconds)), ("nanos", .integer(Int64(time.nanos))))
    case .duration:
      guard case .string(let text) = json.node.content, let span = ProtobufDuration.parse(text) else {
        throw json.mismatch("a duration like '1.5s'")
      }
      return object(("seconds", .integer(span.seconds)), ("nanos", .integer(Int64(span.nanos))))
    case .fieldMask:
      guard case .string(let text) = json.node.content else { throw json.mismatch("field names with commas") }
      var paths: [JSONNode] = []
      for path in text.split(separator: ",") {
        paths.append(JSONNode(.string(FieldMaskPath.snakeCase(String(path))), at: json.node.position))
      }
      return object(("paths", .array(paths)))
    case .any: return try Self.plainAny(json)
    case .structure:
      guard case .object = json.node.content else { throw json.mismatch("an object") }
      return object(("fields", json.node.content))
    case .listValue:
      guard case .array = json.node.content else { throw json.mismatch("a list") }
      return object(("values", json.node.content))
    case .value:
      return switch json.node.content {
      case .null: object(("null_value", .integer(0)))
      case .bool: object(("bool_value", json.node.content))
      case .integer, .unsigned, .number: object(("number_value", json.node.content))
      case .string: object(("string_value", json.node.content))
      case .array: object(("list_value", json.node.content))
      case .object: object(("struct_value", json.node.content))
      }
    case .doubleValue, .floatValue, .int64Value, .uint64Value, .int32Value, .uint32Value, .boolValue, .stringValue,
      .bytesValue:
      return object(("value", json.node.content))
    }
  }

  private static func plainAny(_ json: JSONFieldReader) throws(JSONDecodingError) -> JSONNode {
    guard case .object(var members) = json.node.content else { throw json.mismatch("an object with '@type'") }
    if members.isEmpty { return json.node }
    guard let index = members.firstIndex(where: { $0.name == "@type" }),
      case .string(let url) = members[index].value.content
    else { throw json.fault("an Any needs '@type'") }
    members.remove(at: index)
    let position = json.node.position
    func plain(_ payload: String) -> JSONNode {
      JSONNode(
        .object([
          JSONNode.Member(name: "type_url", position: position, value: JSONNode(.string(url), at: position)),
          JSONNode.Member(name: "value", position: position, value: JSONNode(.string(payload), at: position)),
        ]), at: position)
    }
    guard let type = json.options.types[url: url] else {
      if members.count == 1, members[0].name == "value", case .string(let payload) = members[0].value.content {
        return plain(payload)
      }
      throw json.fault("'\(url)' is not a known type; give 'value' in base64")
    }
    var content = json
    if WellKnownType(rawValue: type.protobufName) != nil {
      guard members.count == 1, members[0].name == "value" else { throw json.fault("'\(url)' needs 'value'") }
      content.node = members[0].value
    } else {
      content.node = JSONNode(.object(members), at: position)
    }
    return plain(Base64.encode(try type.init(json: content).serialized()))
  }
}

extension JSONObject {
  fileprivate func integer(_ name: String) -> Int64 {
    if case .integer(let value)? = self[name] { value } else { 0 }
  }
}

/// The names in a FieldMask: the schema's inside of the message, lowerCamelCase in ProtoJSON.
enum FieldMaskPath {
  /// The path's form in JSON. Throws if it would be read back as another path.
  static func text(_ path: String, _ names: JSONEncodingOptions.FieldNames) throws(JSONEncodingError) -> String {
    let text = names == .schema ? path : try camelCase(path)
    guard !path.isEmpty, !path.contains(","), snakeCase(text) == path else {
      throw JSONEncodingError("the path '\(path)' of a FieldMask has no form in JSON")
    }
    return text
  }

  static func camelCase(_ path: String) throws(JSONEncodingError) -> String {
    var result = ""
    var raise = false
    for character in path {
      if character == "_" {
        guard !raise else { throw JSONEncodingError("'\(path)' has no lowerCamelCase form") }
        raise = true
      } else {
        guard !character.isUppercase, !raise || character.isLetter else {
          throw JSONEncodingError("'\(path)' has no lowerCamelCase form")
        }
        result += raise ? character.uppercased() : String(character)
        raise = false
      }
    }
    return result
  }

  static func snakeCase(_ path: String) -> String {
    var result = ""
    for character in path {
      if character.isUppercase { result += "_" + character.lowercased() } else { result.append(character) }
    }
    return result
  }
}

/// Message types by name, for the content of an Any.
public struct TypeRegistry: Sendable {
  private var types: [String: any Message.Type] = [:]

  public init(_ types: [any Message.Type] = []) {
    for type in types { self.types[type.protobufName] = type }
  }

  /// - Parameter name: a full name, as `protobufName` has it.
  public subscript(_ name: String) -> (any Message.Type)? { types[name] }

  /// - Parameter url: a full name after any number of path components: `type.googleapis.com/google.rpc.ErrorInfo`.
  public subscript(url url: String) -> (any Message.Type)? {
    guard url.contains("/") else { return nil }
    return types[String(url.split(separator: "/").last ?? "")]
  }
}

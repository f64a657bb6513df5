/// The options of encoding JSON.
public struct JSONEncodingOptions: Sendable {
  public enum FieldNames: Sendable { case schema, lowerCamelCase }
  public enum EnumNames: Sendable { case short, schema }
  public enum WideIntegers: Sendable { case numbers, strings }

  /// Scalars, enums, lists and maps at their default are written too. An enum whose zero is UNSPECIFIED counts as
  /// unset.
  public var includeDefaults = true
  /// Unset fields (messages, `optional` fields, unspecified enums) are written as null instead of being left out.
  public var includeNulls = false
  public var fieldNames = FieldNames.schema
  public var enumNames = EnumNames.short
  /// 64-bit whole numbers.
  public var wideIntegers = WideIntegers.numbers
  /// The message types that a `google.protobuf.Any` may hold; others are written as their type and base64.
  public var types = TypeRegistry()

  /// The form for people and scripts: the schema's names, short enum names, defaults included.
  public init() {}

  /// ProtoJSON (protobuf.dev/programming-guides/json), as other implementations write it.
  public static var canonical: JSONEncodingOptions {
    var options = JSONEncodingOptions()
    options.includeDefaults = false
    options.fieldNames = .lowerCamelCase
    options.enumNames = .schema
    options.wideIntegers = .strings
    return options
  }
}

extension Message {
  /// The message as JSON; the well-known types of `google.protobuf` in their own forms.
  ///
  /// - Throws: `JSONEncodingError` when a time or duration is outside of the range that its JSON form has, or a path of a
  ///   FieldMask would be read as another.
  public func jsonValue(_ options: JSONEncodingOptions = JSONEncodingOptions()) throws(JSONEncodingError) -> JSONValue {
    if let wellKnown = WellKnownType(rawValue: Self.protobufName) { return try wellKnown.json(of: self, options) }
    return .object(try jsonObject(options))
  }

  func jsonObject(_ options: JSONEncodingOptions) throws(JSONEncodingError) -> JSONObject {
    var builder = JSONObjectBuilder(options: options, names: Self.fieldNames)
    try encodeJSON(to: &builder)
    return builder.object
  }
}

/// Collects a message's fields as JSON members; generated code calls one method a field.
public struct JSONObjectBuilder {
  let options: JSONEncodingOptions
  let names: [FieldName]
  var object = JSONObject()
  /// The index of the next expected name. Fields come in the schema's order, so a search succeeds at once.
  private var next = 0

  init(options: JSONEncodingOptions, names: [FieldName]) {
    self.options = options
    self.names = names
  }

  /// A field without presence.
  public mutating func implicit<F: FieldType>(_ type: F.Type, _ value: F.Value, _ number: Int32)
    throws(JSONEncodingError)
  {
    if F.isZero(value) {
      guard options.includeDefaults else { return }
      if F.zeroIsUnspecified { return null(number) }
    }
    add(number, try F.json(value, options))
  }

  /// A field with presence.
  public mutating func optional<F: FieldType>(_ type: F.Type, _ value: F.Value?, _ number: Int32)
    throws(JSONEncodingError)
  {
    guard let value else { return null(number) }
    add(number, try F.json(value, options))
  }

  public mutating func repeated<F: FieldType>(_ type: F.Type, _ values: [F.Value], _ number: Int32)
    throws(JSONEncodingError)
  {
    if values.isEmpty, !options.includeDefaults { return }
    var list: [JSONValue] = []
    list.reserveCapacity(values.count)
    for value in values { list.append(try F.json(value, options)) }
    add(number, .array(list))
  }

  public mutating func map<K: MapKeyType, V: FieldType>(
    _ key: K.Type, _ value: V.Type, _ map: [K.Value: V.Value], _ number: Int32
  ) throws(JSONEncodingError) {
    if map.isEmpty, !options.includeDefaults { return }
    var entries = JSONObject()
    for (key, value) in map.sorted(by: { K.precedes($0.key, $1.key) }) {
      entries.append(K.name(key), try V.json(value, options))
    }
    add(number, .object(entries))
  }

  private mutating func null(_ number: Int32) {
    if options.includeNulls { add(number, .null) }
  }

  private mutating func add(_ number: Int32, _ value: JSONValue) {
    guard
      let index = names[next...].firstIndex(where: { $0.number == number })
        ?? names[..<next].firstIndex(where: { $0.number == number })
    else { return }
    next = index + 1
    let name = names[index]
    object.append(options.fieldNames == .schema ? name.schema : name.camelCase, value)
  }
}

extension FieldType {
  /// Whether the default is an enum's unspecified value.
  fileprivate static var zeroIsUnspecified: Bool {
    guard let zero = zero as? any Enum else { return false }
    return zero.shortName == "unspecified"
  }
}

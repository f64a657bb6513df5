/// One of the schema's types for a field's value: its wire form, its JSON form, its default.
///
/// Generated code names a `FieldType` a field; it is never instantiated.
public protocol FieldType {
  associatedtype Value: Sendable & Hashable
  static var wireType: WireType { get }
  /// The default where a field has no presence, and of a map's entry that lacks its key or value.
  static var zero: Value { get }
  static func isZero(_ value: Value) -> Bool
  /// Reads a payload; the tag was read before.
  static func read(_ reader: inout Reader) throws(DecodingError) -> Value
  /// Reads a payload on top of an earlier one: messages merge, everything else is replaced.
  static func merge(_ reader: inout Reader, into value: inout Value) throws(DecodingError)
  /// Writes a payload, with its length but without its tag.
  static func write(_ value: Value, to writer: inout Writer)
  static func json(_ value: Value, _ options: JSONEncodingOptions) throws(JSONEncodingError) -> JSONValue
  static func value(_ json: JSONFieldReader) throws(JSONDecodingError) -> Value
}

extension FieldType {
  @inlinable
  public static func merge(_ reader: inout Reader, into value: inout Value) throws(DecodingError) {
    value = try read(&reader)
  }

  @inlinable
  public static func isZero(_ value: Value) -> Bool { value == zero }
}

/// A type that a map may have as its key.
public protocol MapKeyType: FieldType {
  /// The order of entries on the wire and in JSON.
  static func precedes(_ left: Value, _ right: Value) -> Bool
  /// The key as a JSON member's name.
  static func name(_ key: Value) -> String
  /// The key that a JSON member's name stands for.
  static func key(_ name: String) -> Value?
}

public enum MessageField<M: Message>: FieldType {
  @inlinable public static var wireType: WireType { .lengthDelimited }
  @inlinable public static var zero: M { M() }

  @inlinable
  public static func read(_ reader: inout Reader) throws(DecodingError) -> M {
    var message = M()
    try reader.readMessage(into: &message)
    return message
  }

  @inlinable
  public static func merge(_ reader: inout Reader, into value: inout M) throws(DecodingError) {
    try reader.readMessage(into: &value)
  }

  @inlinable
  public static func write(_ value: M, to writer: inout Writer) {
    let before = writer.count
    value.encode(to: &writer)
    writer.writeVarint(UInt64(writer.count - before))
  }

  public static func json(_ value: M, _ options: JSONEncodingOptions) throws(JSONEncodingError) -> JSONValue {
    try value.jsonValue(options)
  }

  public static func value(_ json: JSONFieldReader) throws(JSONDecodingError) -> M {
    try M(json: json)
  }
}

public enum EnumField<E: Enum>: FieldType {
  @inlinable public static var wireType: WireType { .varint }
  @inlinable public static var zero: E { E() }
  @inlinable public static func isZero(_ value: E) -> Bool { value.rawValue == 0 }

  @inlinable
  public static func read(_ reader: inout Reader) throws(DecodingError) -> E {
    E(rawValue: Int32(truncatingIfNeeded: try reader.readVarint()))
  }

  @inlinable
  public static func write(_ value: E, to writer: inout Writer) {
    // Negative numbers take ten bytes, as int32 does.
    writer.writeVarint(UInt64(bitPattern: Int64(value.rawValue)))
  }

  public static func json(_ value: E, _ options: JSONEncodingOptions) -> JSONValue {
    if E.protobufName == "google.protobuf.NullValue" { return .null }
    let number = value.rawValue
    guard let name = E.caseNames.first(where: { $0.number == number }) else { return .integer(Int64(number)) }
    return .string(options.enumNames == .short ? name.short : name.schema)
  }

  public static func value(_ json: JSONFieldReader) throws(JSONDecodingError) -> E {
    switch json.node.content {
    case .string(let name):
      if let value = E(name: name) { return value }
      throw json.fault(
        "'\(name)' is not one of \(E.protobufName)'s values\(Spelling.hint(name, among: E.caseNames.map(\.short)))")
    case .null where E.protobufName == "google.protobuf.NullValue": return E()
    default: return E(rawValue: try Int32Field.value(json))
    }
  }
}

public enum BoolField: MapKeyType {
  @inlinable public static var wireType: WireType { .varint }
  @inlinable public static var zero: Bool { false }

  @inlinable
  public static func read(_ reader: inout Reader) throws(DecodingError) -> Bool { try reader.readVarint() != 0 }

  @inlinable
  public static func write(_ value: Bool, to writer: inout Writer) { writer.writeVarint(value ? 1 : 0) }

  @inlinable public static func precedes(_ left: Bool, _ right: Bool) -> Bool { !left && right }
  public static func name(_ key: Bool) -> String { key ? "true" : "false" }
  public static func key(_ name: String) -> Bool? { Bool(name) }
  public static func json(_ value: Bool, _ options: JSONEncodingOptions) -> JSONValue { .bool(value) }

  public static func value(_ json: JSONFieldReader) throws(JSONDecodingError) -> Bool {
    guard case .bool(let value) = json.node.content else { throw json.mismatch("true or false") }
    return value
  }
}

public enum StringField: MapKeyType {
  @inlinable public static var wireType: WireType { .lengthDelimited }
  @inlinable public static var zero: String { "" }
  @inlinable public static func isZero(_ value: String) -> Bool { value.isEmpty }

  @inlinable
  public static func read(_ reader: inout Reader) throws(DecodingError) -> String { try reader.readString() }

  @inlinable
  public static func write(_ value: String, to writer: inout Writer) {
    let before = writer.count
    writer.writeRaw(value)
    writer.writeVarint(UInt64(writer.count - before))
  }

  @inlinable public static func precedes(_ left: String, _ right: String) -> Bool { left < right }
  public static func name(_ key: String) -> String { key }
  public static func key(_ name: String) -> String? { name }
  public static func json(_ value: String, _ options: JSONEncodingOptions) -> JSONValue { .string(value) }

  public static func value(_ json: JSONFieldReader) throws(JSONDecodingError) -> String {
    guard case .string(let value) = json.node.content else { throw json.mismatch("a string") }
    return value
  }
}

public enum BytesField: FieldType {
  @inlinable public static var wireType: WireType { .lengthDelimited }
  @inlinable public static var zero: [UInt8] { [] }
  @inlinable public static func isZero(_ value: [UInt8]) -> Bool { value.isEmpty }

  @inlinable
  public static func read(_ reader: inout Reader) throws(DecodingError) -> [UInt8] { try reader.readBytes() }

  @inlinable
  public static func write(_ value: [UInt8], to writer: inout Writer) {
    writer.writeRaw(value)
    writer.writeVarint(UInt64(value.count))
  }

  public static func json(_ value: [UInt8], _ options: JSONEncodingOptions) -> JSONValue {
    .string(Base64.encode(value))
  }

  public static func value(_ json: JSONFieldReader) throws(JSONDecodingError) -> [UInt8] {
    guard case .string(let text) = json.node.content else { throw json.mismatch("base64 in a string") }
    guard let bytes = Base64.decode(text) else { throw json.fault("expected base64, found \(json.node.summary)") }
    return bytes
  }
}

public enum DoubleField: FieldType {
  @inlinable public static var wireType: WireType { .fixed64 }
  @inlinable public static var zero: Double { 0 }
  // Negative zero isn't the default: it would lose its sign.
  @inlinable public static func isZero(_ value: Double) -> Bool { value.bitPattern == 0 }

  @inlinable
  public static func read(_ reader: inout Reader) throws(DecodingError) -> Double {
    Double(bitPattern: try reader.readFixed64())
  }

  @inlinable
  public static func write(_ value: Double, to writer: inout Writer) { writer.writeFixed64(value.bitPattern) }

  public static func json(_ value: Double, _ options: JSONEncodingOptions) -> JSONValue { JSONNumber.json(value) }

  public static func value(_ json: JSONFieldReader) throws(JSONDecodingError) -> Double {
    switch json.node.content {
    case .integer(let number): return Double(number)
    case .unsigned(let number): return Double(number)
    case .number(let number): return number
    case .string("NaN"): return .nan
    case .string("Infinity"): return .infinity
    case .string("-Infinity"): return -.infinity
    case .string(let text):
      guard let number = JSONNumber.double(text) else { break }
      return number
    default: break
    }
    throw json.mismatch("a number")
  }
}

public enum FloatField: FieldType {
  @inlinable public static var wireType: WireType { .fixed32 }
  @inlinable public static var zero: Float { 0 }
  @inlinable public static func isZero(_ value: Float) -> Bool { value.bitPattern == 0 }

  @inlinable
  public static func read(_ reader: inout Reader) throws(DecodingError) -> Float {
    Float(bitPattern: try reader.readFixed32())
  }

  @inlinable
  public static func write(_ value: Float, to writer: inout Writer) { writer.writeFixed32(value.bitPattern) }

  public static func json(_ value: Float, _ options: JSONEncodingOptions) -> JSONValue {
    // Through the float's own shortest digits: 0.1, not 0.10000000149011612.
    JSONNumber.json(Double(value.description) ?? Double(value))
  }

  public static func value(_ json: JSONFieldReader) throws(JSONDecodingError) -> Float {
    let wide = try DoubleField.value(json)
    let value = Float(wide)
    guard value.isFinite || !wide.isFinite else {
      throw json.fault("\(json.node.summary) is out of a float's range")
    }
    return value
  }
}

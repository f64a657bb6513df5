/// An integer type of the schema. Only its wire form is its own; the rest is shared.
public protocol IntegerFieldType: MapKeyType where Value: FixedWidthInteger & Sendable {}

extension IntegerFieldType {
  @inlinable public static var zero: Value { 0 }
  @inlinable public static func isZero(_ value: Value) -> Bool { value == 0 }
  @inlinable public static func precedes(_ left: Value, _ right: Value) -> Bool { left < right }
  public static func name(_ key: Value) -> String { String(key) }
  public static func key(_ name: String) -> Value? { JSONNumber.integer(name) }

  public static func json(_ value: Value, _ options: JSONEncodingOptions) -> JSONValue {
    if Value.bitWidth == 64, options.wideIntegers == .strings { return .string(String(value)) }
    return Int64(exactly: value).map(JSONValue.integer) ?? .unsigned(UInt64(truncatingIfNeeded: value))
  }

  public static func value(_ json: JSONFieldReader) throws(JSONDecodingError) -> Value {
    let value: Value? =
      switch json.node.content {
      case .integer(let number): Value(exactly: number)
      case .unsigned(let number): Value(exactly: number)
      case .number(let number): JSONNumber.integer(number)
      case .string(let text): JSONNumber.integer(text)
      default: throw json.mismatch("a whole number")
      }
    guard let value else {
      throw json.fault("expected a whole number from \(Value.min) to \(Value.max), found \(json.node.summary)")
    }
    return value
  }
}

public enum Int32Field: IntegerFieldType {
  public typealias Value = Int32
  @inlinable public static var wireType: WireType { .varint }
  @inlinable public static func read(_ reader: inout Reader) throws(DecodingError) -> Int32 {
    Int32(truncatingIfNeeded: try reader.readVarint())
  }
  @inlinable public static func write(_ value: Int32, to writer: inout Writer) {
    // Sign-extended: a negative int32 is the same bytes as the int64.
    writer.writeVarint(UInt64(bitPattern: Int64(value)))
  }
}

public enum Int64Field: IntegerFieldType {
  public typealias Value = Int64
  @inlinable public static var wireType: WireType { .varint }
  @inlinable public static func read(_ reader: inout Reader) throws(DecodingError) -> Int64 {
    Int64(bitPattern: try reader.readVarint())
  }
  @inlinable public static func write(_ value: Int64, to writer: inout Writer) {
    writer.writeVarint(UInt64(bitPattern: value))
  }
}

public enum UInt32Field: IntegerFieldType {
  public typealias Value = UInt32
  @inlinable public static var wireType: WireType { .varint }
  @inlinable public static func read(_ reader: inout Reader) throws(DecodingError) -> UInt32 {
    UInt32(truncatingIfNeeded: try reader.readVarint())
  }
  @inlinable public static func write(_ value: UInt32, to writer: inout Writer) { writer.writeVarint(UInt64(value)) }
}

public enum UInt64Field: IntegerFieldType {
  public typealias Value = UInt64
  @inlinable public static var wireType: WireType { .varint }
  @inlinable public static func read(_ reader: inout Reader) throws(DecodingError) -> UInt64 {
    try reader.readVarint()
  }
  @inlinable public static func write(_ value: UInt64, to writer: inout Writer) { writer.writeVarint(value) }
}

/// ZigZag: small negative numbers are small on the wire.
public enum SInt32Field: IntegerFieldType {
  public typealias Value = Int32
  @inlinable public static var wireType: WireType { .varint }
  @inlinable public static func read(_ reader: inout Reader) throws(DecodingError) -> Int32 {
    let raw = UInt32(truncatingIfNeeded: try reader.readVarint())
    return Int32(bitPattern: raw >> 1) ^ -Int32(bitPattern: raw & 1)
  }
  @inlinable public static func write(_ value: Int32, to writer: inout Writer) {
    writer.writeVarint(UInt64(UInt32(bitPattern: value << 1 ^ value >> 31)))
  }
}

/// ZigZag: small negative numbers are small on the wire.
public enum SInt64Field: IntegerFieldType {
  public typealias Value = Int64
  @inlinable public static var wireType: WireType { .varint }
  @inlinable public static func read(_ reader: inout Reader) throws(DecodingError) -> Int64 {
    let raw = try reader.readVarint()
    return Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
  }
  @inlinable public static func write(_ value: Int64, to writer: inout Writer) {
    writer.writeVarint(UInt64(bitPattern: value << 1 ^ value >> 63))
  }
}

public enum Fixed32Field: IntegerFieldType {
  public typealias Value = UInt32
  @inlinable public static var wireType: WireType { .fixed32 }
  @inlinable public static func read(_ reader: inout Reader) throws(DecodingError) -> UInt32 {
    try reader.readFixed32()
  }
  @inlinable public static func write(_ value: UInt32, to writer: inout Writer) { writer.writeFixed32(value) }
}

public enum Fixed64Field: IntegerFieldType {
  public typealias Value = UInt64
  @inlinable public static var wireType: WireType { .fixed64 }
  @inlinable public static func read(_ reader: inout Reader) throws(DecodingError) -> UInt64 {
    try reader.readFixed64()
  }
  @inlinable public static func write(_ value: UInt64, to writer: inout Writer) { writer.writeFixed64(value) }
}

public enum SFixed32Field: IntegerFieldType {
  public typealias Value = Int32
  @inlinable public static var wireType: WireType { .fixed32 }
  @inlinable public static func read(_ reader: inout Reader) throws(DecodingError) -> Int32 {
    Int32(bitPattern: try reader.readFixed32())
  }
  @inlinable public static func write(_ value: Int32, to writer: inout Writer) {
    writer.writeFixed32(UInt32(bitPattern: value))
  }
}

public enum SFixed64Field: IntegerFieldType {
  public typealias Value = Int64
  @inlinable public static var wireType: WireType { .fixed64 }
  @inlinable public static func read(_ reader: inout Reader) throws(DecodingError) -> Int64 {
    Int64(bitPattern: try reader.readFixed64())
  }
  @inlinable public static func write(_ value: Int64, to writer: inout Writer) {
    writer.writeFixed64(UInt64(bitPattern: value))
  }
}

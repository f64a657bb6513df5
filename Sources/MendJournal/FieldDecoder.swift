package import MendCore
package import MendProtobuf

/// Reads described values from protobuf messages.
///
/// A message's fields are looked for by ascending number, as they were written, so that each is found where the last one
/// ended; a message in another order is put in order first. Unknown fields are skipped. Of a field that stands twice the
/// later one counts, messages are merged, lists grow (protobuf.dev/programming-guides/encoding).
package struct FieldDecoder: ~Copyable, FieldVisitor {
  private var reader: Reader
  /// Of the field that comes next in the message at hand; `.max` at its end.
  private var next: UInt32 = .max
  private var tag: UInt32 = 0

  package var reads: Bool { true }
  package var assigns: Bool { true }
  package var goesByNumber: Bool { true }

  private init(_ reader: consuming Reader) { self.reader = reader }

  private consuming func end() -> Reader { reader }

  /// The server wrote what it reads here under its own limits; nothing else bounds it.
  package static let limits: DecodingLimits = {
    var limits = DecodingLimits()
    limits.elementBytes = .max
    limits.unknownBytes = .max
    return limits
  }()

  /// Reads a blank value's fields. After an error the value holds those before the fault.
  ///
  /// - Throws: `FormatFault` for bytes that are no message, for what is missing, and for what this version does not know.
  package static func read<D: Described>(_ value: inout D, from bytes: RawSpan) throws(FormatFault) {
    try decode(bytes, limits) { decoder throws(FormatFault) in try value.describe(&decoder) }
  }

  private static func decode(
    _ bytes: RawSpan, _ limits: DecodingLimits, _ fields: (inout Self) throws(FormatFault) -> Void
  ) throws(FormatFault) {
    var fault: FormatFault?
    do throws(DecodingError) {
      try Reader.read(bytes, limits: limits) { reader throws(DecodingError) in
        var decoder = FieldDecoder(reader)
        do throws(FormatFault) {
          try decoder.body(fields)
        } catch {
          fault = error
        }
        reader = decoder.end()
      }
    } catch {
      throw Self.damage(error)
    }
    if let fault { throw fault }
  }

  private static func damage(_ error: DecodingError) -> FormatFault { FormatFault(.damaged, "\(error)") }

  /// The fields of one message, to its end.
  private mutating func body(_ fields: (inout Self) throws(FormatFault) -> Void) throws(FormatFault) {
    let ordered: [UInt8]?
    do throws(DecodingError) {
      ordered = try reader.fieldsInOrder()
      if ordered == nil { try advance() }
    } catch {
      throw Self.damage(error)
    }
    if let ordered { return try Self.decode(unsafe ordered.span.bytes, Self.limits, fields) }
    try fields(&self)
    while next != .max { try skip() }
  }

  // MARK: Fields

  /// Goes on to the field; answers whether it is there.
  private mutating func find(_ number: UInt32, _ wireType: WireType) throws(FormatFault) -> Bool {
    while next < number { try skip() }
    while next == number {
      if tag & 7 == wireType.rawValue { return true }
      try skip()
    }
    return false
  }

  private mutating func skip() throws(FormatFault) {
    do throws(DecodingError) {
      try reader.skip(tag)
      try advance()
    } catch {
      throw Self.damage(error)
    }
  }

  private mutating func advance() throws(DecodingError) {
    tag = try reader.nextTag() ?? 0
    next = tag == 0 ? .max : tag >> 3
  }

  /// Reads a payload, and goes on to the field after it.
  private mutating func take<T>(
    _ read: (inout Reader) throws(DecodingError) -> T
  ) throws(FormatFault) -> T {
    do throws(DecodingError) {
      let value = try read(&reader)
      try advance()
      return value
    } catch {
      throw Self.damage(error)
    }
  }

  package mutating func number(
    _ number: UInt32, _ name: String, _ form: NumberForm, _ value: inout Int64?, isOptional: Bool
  ) throws(FormatFault) {
    value = nil
    if form == .fixed64 {
      while try find(number, .fixed64) {
        value = Int64(bitPattern: try take { reader throws(DecodingError) in try reader.readFixed64() })
      }
      return
    }
    while try find(number, .varint) {
      let whole = try take { reader throws(DecodingError) in try reader.readVarint() }
      value =
        switch form {
        case .int32: Int64(Int32(truncatingIfNeeded: whole))
        case .uint32: Int64(UInt32(truncatingIfNeeded: whole))
        case .int64, .uint64, .fixed64: Int64(bitPattern: whole)
        }
    }
  }

  package mutating func real(
    _ number: UInt32, _ name: String, _ value: inout Double?, isOptional: Bool
  ) throws(FormatFault) {
    value = nil
    while try find(number, .fixed64) {
      value = Double(bitPattern: try take { reader throws(DecodingError) in try reader.readFixed64() })
    }
  }

  package mutating func flag(
    _ number: UInt32, _ name: String, _ value: inout Bool?, isOptional: Bool
  ) throws(FormatFault) {
    value = nil
    while try find(number, .varint) {
      value = try take { reader throws(DecodingError) in try reader.readVarint() } != 0
    }
  }

  package mutating func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String?, isOptional: Bool
  ) throws(FormatFault) {
    value = nil
    while try find(number, .lengthDelimited) {
      value = try take { reader throws(DecodingError) in try reader.readString() }
    }
  }

  package mutating func choice<E: SchemaEnum>(
    _ number: UInt32, _ name: String, _ value: inout E?
  ) throws(FormatFault) {
    var whole: Int64?
    try self.number(number, name, .int32, &whole, isOptional: false)
    value = nil
    guard let whole, whole != 0 else { return }
    value = E(number: Int32(truncatingIfNeeded: whole))
    if value == nil { throw FormatFault("no value \(whole) of \(E.schemaName)") }
  }

  package mutating func message<D: Described>(
    _ number: UInt32, _ name: String, _ value: inout D?
  ) throws(FormatFault) {
    value = nil
    while try find(number, .lengthDelimited) {
      var nested = value ?? D.blank
      try self.nested(&nested)
      value = nested
    }
  }

  package mutating func messages<D: Described>(
    _ number: UInt32, _ name: String, _ values: inout [D]
  ) throws(FormatFault) {
    values = []
    while try find(number, .lengthDelimited) {
      var nested = D.blank
      try self.nested(&nested)
      values.append(nested)
    }
  }

  private mutating func nested<D: Described>(_ value: inout D) throws(FormatFault) {
    try nested { decoder throws(FormatFault) in try value.describe(&decoder) }
  }

  private mutating func nested(_ fields: (inout Self) throws(FormatFault) -> Void) throws(FormatFault) {
    let outer: Int
    do throws(DecodingError) {
      outer = try reader.enter(try reader.readLength())
    } catch {
      throw Self.damage(error)
    }
    try body(fields)
    reader.leave(to: outer)
    do throws(DecodingError) {
      try advance()
    } catch {
      throw Self.damage(error)
    }
  }

  package mutating func group(
    _ number: UInt32, _ name: String, _ isThere: inout Bool, _ fields: (inout Self) throws(FormatFault) -> Void
  ) throws(FormatFault) {
    isThere = false
    while try find(number, .lengthDelimited) {
      try nested(fields)
      isThere = true
    }
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [UInt32]) throws(FormatFault) {
    values = try packed(UInt32Field.self, number)
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int32]) throws(FormatFault) {
    values = try packed(Int32Field.self, number)
  }

  package mutating func numbers(_ number: UInt32, _ name: String, _ values: inout [Int64]) throws(FormatFault) {
    values = try packed(Int64Field.self, number)
  }

  /// Packed or one by one: writers may do either.
  private mutating func packed<F: FieldType>(_ type: F.Type, _ number: UInt32) throws(FormatFault) -> [F.Value] {
    var values: [F.Value] = []
    while next < number { try skip() }
    while next == number {
      if tag & 7 == WireType.lengthDelimited.rawValue {
        try take { reader throws(DecodingError) in try reader.readPacked(type, into: &values) }
      } else if tag & 7 == F.wireType.rawValue {
        try take { reader throws(DecodingError) in try reader.readElement(type, into: &values) }
      } else {
        try skip()
      }
    }
    return values
  }

  package mutating func texts(
    _ number: UInt32, _ name: String, _ role: TextRole, _ values: inout [String: String]
  ) throws(FormatFault) {
    values = [:]
    while try find(number, .lengthDelimited) {
      try take { reader throws(DecodingError) in
        try reader.readEntry(StringField.self, StringField.self, into: &values)
      }
    }
  }
}

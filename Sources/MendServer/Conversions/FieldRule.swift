import MendCore
import MendProtobuf

/// The rules that fields of several requests share, one for each kind of value. Each names the field and the limit.
enum FieldRule {
  /// A span of time: not negative, a number, and at most a century.
  static func span(_ seconds: Double, _ field: String) throws(FieldViolation) -> Duration {
    guard (0...ValueLimit.spanSeconds).contains(seconds) else {
      throw FieldViolation(field, "must be 0 to \(Int(ValueLimit.spanSeconds)) seconds, is \(seconds)")
    }
    return .seconds(seconds)
  }

  /// A count, or an offset in a log.
  static func count(_ value: Int64, _ field: String) throws(FieldViolation) -> Int {
    guard (0...Int64(ValueLimit.count)).contains(value) else {
      throw FieldViolation(field, "must be 0 to \(ValueLimit.count), is \(value)")
    }
    return Int(value)
  }

  /// A value of an enum; nil if it is unset.
  static func choice<Value: SchemaPair & CaseIterable>(
    _ wire: Value.Wire, _ field: String
  ) throws(FieldViolation) -> Value? {
    if wire.rawValue == 0 { return nil }
    guard let value = Value(wire) else {
      throw FieldViolation(field, "must be one of \(Value.allCases.map(\.name).joined(separator: ", ")), or unset")
    }
    return value
  }

  static func length(_ text: String, atMost bytes: Int, _ field: String) throws(FieldViolation) {
    guard text.utf8.count <= bytes else {
      throw FieldViolation(field, "must have at most \(bytes) bytes, has \(text.utf8.count)")
    }
    guard !text.utf8.contains(0) else { throw FieldViolation(field, "must not contain NUL") }
  }
}

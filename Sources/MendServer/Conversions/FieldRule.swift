import MendCore

/// The rules that fields of several requests share. Each names the field that broke it.
enum FieldRule {
  /// A century, so that sums of spans never overflow.
  static let longestSpan = 3.2e9

  /// A span has no form in the core when it is negative, not a number, or longer than a century.
  static func span(_ seconds: Double, _ field: String) throws(FieldViolation) -> Duration {
    guard (0...longestSpan).contains(seconds) else {
      throw FieldViolation(field, "must be 0 or a positive number of seconds, is \(seconds)")
    }
    return .seconds(seconds)
  }

  static func length(_ text: String, atMost bytes: Int, _ field: String) throws(FieldViolation) {
    guard text.utf8.count <= bytes else {
      throw FieldViolation(field, "must have at most \(bytes) bytes, has \(text.utf8.count)")
    }
    guard !text.utf8.contains(0) else { throw FieldViolation(field, "must not contain NUL") }
  }

  /// Positive numbers are taken up to the maximum, 0 is the default.
  static func pageSize(_ value: Int32, standard: Int, maximum: Int) throws(FieldViolation) -> Int {
    guard (0...maximum).contains(Int(value)) else {
      throw FieldViolation("page_size", "must be 0 (for \(standard)) to \(maximum), is \(value)")
    }
    return value == 0 ? standard : Int(value)
  }
}

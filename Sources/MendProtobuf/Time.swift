/// Times in the form of RFC 3339, in UTC.
public enum RFC3339 {
  /// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, the range of `google.protobuf.Timestamp`.
  static let range: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

  /// `2026-01-31T12:00:00Z`, with milli-, micro- or nanoseconds when they aren't zero; nil outside of the years 1 to
  /// 9999 or with nanoseconds that aren't 0 to 999,999,999.
  public static func text(seconds: Int64, nanos: Int64 = 0) -> String? {
    guard range.contains(seconds), nanos >= 0, nanos < 1_000_000_000 else { return nil }
    let (days, second) = Int(seconds).flooredQuotientAndRemainder(by: 86_400)
    let date = civil(days: days)
    return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))T"
      + "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
      + "\(fraction(Int(nanos)))Z"
  }

  /// Any offset, `T` and `Z` in upper case, up to nine digits of a second; nil for anything else.
  public static func parse(_ text: String) -> (seconds: Int64, nanos: Int32)? {
    var scanner = DigitScanner(text)
    guard let year = scanner.number(4), scanner.take("-"), let month = scanner.number(2), scanner.take("-"),
      let day = scanner.number(2), scanner.take("T"), let hour = scanner.number(2), scanner.take(":"),
      let minute = scanner.number(2), scanner.take(":"), let second = scanner.number(2)
    else { return nil }
    guard let nanos = scanner.fraction() else { return nil }
    guard year > 0, (1...12).contains(month), (1...length(ofMonth: month, year)).contains(day), hour < 24, minute < 60,
      second < 60
    else { return nil }
    var offset = 0
    if !scanner.take("Z") {
      let sign = scanner.take("+") ? 1 : scanner.take("-") ? -1 : 0
      guard sign != 0, let hours = scanner.number(2), hours < 24, scanner.take(":"), let minutes = scanner.number(2),
        minutes < 60
      else { return nil }
      offset = sign * (hours * 3600 + minutes * 60)
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset
    guard scanner.isAtEnd, range.contains(Int64(seconds)) else { return nil }
    return (Int64(seconds), nanos)
  }

  private static func length(ofMonth month: Int, _ year: Int) -> Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  // Days from 1970-01-01 and back in the proleptic Gregorian calendar, in eras of 400 years that begin in March
  // (Howard Hinnant, chrono-compatible low-level date algorithms).
  private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let y = month <= 2 ? year - 1 : year
    let (era, yearOfEra) = y.flooredQuotientAndRemainder(by: 400)
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func civil(days: Int) -> (year: Int, month: Int, day: Int) {
    let (era, dayOfEra) = (days + 719_468).flooredQuotientAndRemainder(by: 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
  }

  static func padded(_ value: Int, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  /// Nothing, three, six or nine digits behind a point.
  static func fraction(_ nanos: Int) -> String {
    if nanos == 0 { return "" }
    if nanos % 1_000_000 == 0 { return "." + padded(nanos / 1_000_000, 3) }
    if nanos % 1_000 == 0 { return "." + padded(nanos / 1_000, 6) }
    return "." + padded(nanos, 9)
  }
}

/// Durations in ProtoJSON's form: `1.5s`.
enum ProtobufDuration {
  static let limit: Int64 = 315_576_000_000

  static func text(seconds: Int64, nanos: Int64) -> String? {
    guard seconds.magnitude <= limit, nanos.magnitude < 1_000_000_000,
      seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0)
    else { return nil }
    let sign = seconds < 0 || nanos < 0 ? "-" : ""
    return "\(sign)\(seconds.magnitude)\(RFC3339.fraction(Int(nanos.magnitude)))s"
  }

  static func parse(_ text: String) -> (seconds: Int64, nanos: Int32)? {
    var scanner = DigitScanner(text)
    let isNegative = scanner.take("-")
    guard let seconds = scanner.number(), let nanos = scanner.fraction(), scanner.take("s"), scanner.isAtEnd,
      seconds <= limit
    else { return nil }
    return isNegative ? (-Int64(seconds), -nanos) : (Int64(seconds), nanos)
  }
}

/// Takes digits and marks off the front of a text.
private struct DigitScanner {
  private var rest: Substring.UTF8View

  init(_ text: String) { rest = Substring(text).utf8 }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func take(_ mark: Unicode.Scalar) -> Bool {
    guard rest.first == UInt8(ascii: mark) else { return false }
    rest = rest.dropFirst()
    return true
  }

  private mutating func digits(_ limit: Int) -> Substring.UTF8View {
    let found = rest.prefix(limit).prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
    rest = rest.dropFirst(found.count)
    return found
  }

  /// Exactly that many digits, or one to eighteen of them.
  mutating func number(_ count: Int? = nil) -> Int? {
    let found = digits(count ?? 18)
    return found.count == count ?? max(1, found.count) ? Int(Substring(found)) : nil
  }

  /// Nanoseconds from one to nine digits behind a point; zero without a point.
  mutating func fraction() -> Int32? {
    guard take(".") else { return 0 }
    let found = digits(9)
    guard found.count > 0, let value = Int32(Substring(found)) else { return nil }
    return (found.count..<9).reduce(value) { value, _ in value * 10 }
  }
}

extension Int {
  fileprivate func flooredQuotientAndRemainder(by divisor: Int) -> (Int, Int) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}

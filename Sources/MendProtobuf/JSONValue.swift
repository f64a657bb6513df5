/// A JSON document as a tree.
public enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  /// A whole number, exactly.
  case integer(Int64)
  /// A whole number above `Int64.max`.
  case unsigned(UInt64)
  /// Any other number; finite. A number that isn't finite has no JSON form and prints as null.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  public subscript(_ name: String) -> JSONValue? {
    if case .object(let object) = self { object[name] } else { nil }
  }
}

/// A JSON object: members in the order they were added, names unique.
public struct JSONObject: Sendable, Hashable {
  public struct Member: Sendable, Hashable {
    public var name: String
    public var value: JSONValue

    public init(_ name: String, _ value: JSONValue) {
      self.name = name
      self.value = value
    }
  }

  public private(set) var members: [Member] = []

  public init() {}

  /// Without a check of each name against all others.
  package init(unique members: [Member]) { self.members = members }

  /// The last of members with the same name counts, at the place of the first.
  public init(_ members: [Member]) {
    for member in members { self[member.name] = member.value }
  }

  public var isEmpty: Bool { members.isEmpty }

  /// The member of that name; setting it keeps its place or adds it at the end, nil removes it. Linear in the members.
  public subscript(_ name: String) -> JSONValue? {
    get { members.first { $0.name == name }?.value }
    set {
      let index = members.firstIndex { $0.name == name }
      switch (index, newValue) {
      case (let index?, let value?): members[index].value = value
      case (let index?, nil): members.remove(at: index)
      case (nil, let value?): members.append(Member(name, value))
      case (nil, nil): break
      }
    }
  }

  /// Adds a member whose name is known to be new.
  mutating func append(_ name: String, _ value: JSONValue) { members.append(Member(name, value)) }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(nilLiteral: ()) { self = .null }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(elements.map { JSONObject.Member($0.0, $0.1) }))
  }
}

extension JSONValue: CustomStringConvertible {
  /// The compact form.
  public var description: String { compact() }

  /// On one line, without blanks.
  public func compact() -> String {
    var text = ""
    print(to: &text, indent: nil)
    return text
  }

  /// Over several lines, two blanks a level; no newline at the end.
  public func pretty() -> String {
    var text = ""
    print(to: &text, indent: 0)
    return text
  }

  private func print(to text: inout String, indent: Int?) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .unsigned(let value): text += String(value)
    case .number(let value): text += JSONNumber.text(value)
    case .string(let value): Self.quote(value, to: &text)
    case .array(let values):
      Self.printList(values, "[", "]", to: &text, indent: indent) { value, text, indent in
        value.print(to: &text, indent: indent)
      }
    case .object(let object):
      Self.printList(object.members, "{", "}", to: &text, indent: indent) { member, text, indent in
        Self.quote(member.name, to: &text)
        text += indent == nil ? ":" : ": "
        member.value.print(to: &text, indent: indent)
      }
    }
  }

  private static func printList<Element>(
    _ elements: [Element], _ open: String, _ close: String, to text: inout String, indent: Int?,
    _ printElement: (Element, inout String, Int?) -> Void
  ) {
    text += open
    let inner = indent.map { $0 + 1 }
    for (index, element) in elements.enumerated() {
      if index > 0 { text += "," }
      if let inner { text += "\n" + String(repeating: "  ", count: inner) }
      printElement(element, &text, inner)
    }
    if let indent, !elements.isEmpty { text += "\n" + String(repeating: "  ", count: indent) }
    text += close
  }

  /// Whether a terminal would obey the character instead of showing it: control characters of both sets, and those that
  /// change the direction of text. JSON requires the first 32 to be escaped, and allows it for all.
  private static func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F...0x9F, 0x2028, 0x2029, 0x202A...0x202E, 0x2066...0x2069: true
    default: false
    }
  }

  private static func quote(_ string: String, to text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{8}": text += "\\b"
      case "\u{c}": text += "\\f"
      case _ where isObeyed(scalar):
        let hex = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

/// Numbers in JSON's grammar.
enum JSONNumber {
  static func json(_ value: Double) -> JSONValue {
    if value.isNaN { return .string("NaN") }
    if value.isInfinite { return .string(value < 0 ? "-Infinity" : "Infinity") }
    return .number(value)
  }

  /// The shortest digits that read back as the same double; a whole one without ".0", but for -0.0.
  static func text(_ value: Double) -> String {
    guard value.isFinite else { return "null" }
    let text = value.description
    // Many parsers read -0 as a whole number, which has no negative zero.
    return text.hasSuffix(".0") && text != "-0.0" ? String(text.dropLast(2)) : text
  }

  /// A whole number in any of JSON's spellings: 7, -7, 7.0, 70e-1.
  static func integer<Value: FixedWidthInteger>(_ text: String) -> Value? {
    guard isNumber(text) else { return nil }
    return Value(text) ?? Double(text).flatMap { integer($0) }
  }

  /// A double that is a whole number. -2^63 is refused: an integer just below it was rounded to it.
  static func integer<Value: FixedWidthInteger>(_ value: Double) -> Value? {
    value == -0x1p63 ? nil : Value(exactly: value)
  }

  static func double(_ text: String) -> Double? {
    guard isNumber(text), let value = Double(text), value.isFinite else { return nil }
    return value
  }

  /// RFC 8259, section 6: no plus sign, no leading zero, no bare point.
  static func isNumber(_ text: String) -> Bool {
    var rest = Substring(text).utf8
    func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
    func digits() -> Int {
      let found = rest.prefix(while: isDigit)
      rest = rest.dropFirst(found.count)
      return found.count
    }
    if rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
    let leadingZero = rest.first == UInt8(ascii: "0")
    let whole = digits()
    guard whole > 0, !leadingZero || whole == 1 else { return false }
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst()
      guard digits() > 0 else { return false }
    }
    if let exponent = rest.first, exponent | 0x20 == UInt8(ascii: "e") {
      rest = rest.dropFirst()
      if let sign = rest.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { rest = rest.dropFirst() }
      guard digits() > 0 else { return false }
    }
    return rest.isEmpty
  }
}

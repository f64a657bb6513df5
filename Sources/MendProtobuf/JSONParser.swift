extension JSONValue {
  /// Parses JSON text (RFC 8259).
  ///
  /// - Parameter depth: lists and objects within each other.
  /// - Throws: `JSONDecodingError` with line and column. A name that stands twice in an object is an error.
  public init(parsing text: String, depth: Int = 100) throws(JSONDecodingError) {
    self = try JSONNode(parsing: text, depth: depth).value
  }
}

extension JSONNode {
  /// Parses JSON text and keeps positions.
  public init(parsing text: String, depth: Int = 100) throws(JSONDecodingError) {
    var parser = JSONParser(bytes: Array(text.utf8), depthLimit: depth)
    self = try parser.parseDocument()
  }
}

private struct JSONParser {
  let bytes: [UInt8]
  let depthLimit: Int
  private var index = 0
  private var line = 1
  private var lineStart = 0
  private var depth = 0

  init(bytes: [UInt8], depthLimit: Int) {
    self.bytes = bytes
    self.depthLimit = depthLimit
  }

  private var here: JSONPosition { JSONPosition(line: line, column: index - lineStart + 1) }
  private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

  private func fault(_ reason: String) -> JSONDecodingError { JSONDecodingError(reason, at: here) }

  private func expected(_ what: String) -> JSONDecodingError {
    guard let byte = next else { return fault("expected \(what), the text ends here") }
    let scalar = Unicode.Scalar(byte)
    return fault("expected \(what), found \(byte >= 0x20 && byte < 0x7f ? "'\(scalar)'" : "byte \(byte)")")
  }

  mutating func parseDocument() throws(JSONDecodingError) -> JSONNode {
    skipBlanks()
    let node = try parseValue()
    skipBlanks()
    guard next == nil else { throw expected("the end of the text") }
    return node
  }

  private mutating func skipBlanks() {
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\n"):
        index += 1
        line += 1
        lineStart = index
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): index += 1
      default: return
      }
    }
  }

  private mutating func parseValue() throws(JSONDecodingError) -> JSONNode {
    let position = here
    switch next {
    case UInt8(ascii: "{"): return JSONNode(.object(try parseObject()), at: position)
    case UInt8(ascii: "["): return JSONNode(.array(try parseArray()), at: position)
    case UInt8(ascii: "\""): return JSONNode(.string(try parseString()), at: position)
    case UInt8(ascii: "t"): return JSONNode(.bool(true), after: try parseWord("true"), at: position)
    case UInt8(ascii: "f"): return JSONNode(.bool(false), after: try parseWord("false"), at: position)
    case UInt8(ascii: "n"): return JSONNode(.null, after: try parseWord("null"), at: position)
    case let byte? where byte == UInt8(ascii: "-") || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")):
      return JSONNode(try parseNumber(), at: position)
    default: throw expected("a value")
    }
  }

  private mutating func enter() throws(JSONDecodingError) {
    guard depth < depthLimit else { throw fault("nested more than \(depthLimit) deep") }
    depth += 1
    index += 1
    skipBlanks()
  }

  private mutating func parseObject() throws(JSONDecodingError) -> [JSONNode.Member] {
    try enter()
    defer { depth -= 1 }
    var members: [JSONNode.Member] = []
    var names: Set<String> = []
    if take("}") { return members }
    while true {
      let position = here
      guard next == UInt8(ascii: "\"") else { throw expected("a name in quotes") }
      let name = try parseString()
      guard names.insert(name).inserted else {
        throw JSONDecodingError("'\(name)' stands twice in this object", at: position)
      }
      skipBlanks()
      guard take(":") else { throw expected("':'") }
      skipBlanks()
      members.append(JSONNode.Member(name: name, position: position, value: try parseValue()))
      skipBlanks()
      if take("}") { return members }
      guard take(",") else { throw expected("',' or '}'") }
      skipBlanks()
    }
  }

  private mutating func parseArray() throws(JSONDecodingError) -> [JSONNode] {
    try enter()
    defer { depth -= 1 }
    var values: [JSONNode] = []
    if take("]") { return values }
    while true {
      values.append(try parseValue())
      skipBlanks()
      if take("]") { return values }
      guard take(",") else { throw expected("',' or ']'") }
      skipBlanks()
    }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    index += 1
    return true
  }

  private mutating func parseWord(_ word: StaticString) throws(JSONDecodingError) {
    let text = Array(word.description.utf8)
    guard bytes[index...].starts(with: text) else { throw expected("a value") }
    index += text.count
  }

  private mutating func parseNumber() throws(JSONDecodingError) -> JSONNode.Content {
    let start = index
    while let byte = next, "+-.0123456789eE".utf8.contains(byte) { index += 1 }
    let text = String(decoding: bytes[start..<index], as: UTF8.self)
    guard JSONNumber.isNumber(text) else {
      index = start
      throw fault("'\(text)' is not a number")
    }
    // -0 is a double: as an integer it would lose its sign.
    if text != "-0", let value = Int64(text) { return .integer(value) }
    if let value = UInt64(text) { return .unsigned(value) }
    guard let value = JSONNumber.double(text) else {
      index = start
      throw fault("\(text) is out of a double's range")
    }
    return .number(value)
  }

  private mutating func parseString() throws(JSONDecodingError) -> String {
    index += 1
    var text: [UInt8] = []
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        index += 1
        // The input was a String, so only escapes could have made it anything but UTF-8, and those are checked.
        return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"): text.append(contentsOf: String(try parseEscape()).utf8)
      case 0..<0x20: throw expected("a character (control characters are escaped in strings)")
      default:
        text.append(byte)
        index += 1
      }
    }
    throw fault("the text ends within a string")
  }

  private mutating func parseEscape() throws(JSONDecodingError) -> Unicode.Scalar {
    index += 1
    guard let byte = next else { throw fault("the text ends within a string") }
    index += 1
    switch byte {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try parseUnicodeEscape()
    default:
      index -= 1
      throw expected("an escape (one of \" \\ / b f n r t u)")
    }
  }

  private mutating func parseUnicodeEscape() throws(JSONDecodingError) -> Unicode.Scalar {
    let first = try parseHex()
    if let scalar = Unicode.Scalar(first) { return scalar }
    // A surrogate: the first of a pair, or nothing.
    if first < 0xdc00, take("\\"), take("u") {
      let second = try parseHex()
      if second >= 0xdc00, second < 0xe000,
        let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
      {
        return scalar
      }
    }
    throw fault("a \\u escape of half a surrogate pair")
  }

  private mutating func parseHex() throws(JSONDecodingError) -> UInt32 {
    guard index + 4 <= bytes.count else { throw fault("the text ends within a string") }
    let digits = String(decoding: bytes[index..<index + 4], as: UTF8.self)
    guard digits.unicodeScalars.allSatisfy(\.properties.isASCIIHexDigit), let value = UInt32(digits, radix: 16)
    else { throw expected("four hexadecimal digits") }
    index += 4
    return value
  }
}

extension JSONNode {
  /// Lets a word be parsed in the same expression that names its value.
  fileprivate init(_ content: Content, after: Void, at position: JSONPosition?) { self.init(content, at: position) }
}

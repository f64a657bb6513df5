/// One word, number, string or mark of a schema.
struct Token: Hashable, Sendable {
  enum Kind: Hashable, Sendable {
    case identifier(String)
    case integer(UInt64)
    case float(String)
    /// Unescaped.
    case string(String)
    case symbol(Character)
    case end
  }

  var kind: Kind
  var location: Location
  /// The comments that stand before it, after the token before.
  var comments: [Comment] = []

  var text: String {
    switch kind {
    case .identifier(let name): "'\(name)'"
    case .integer(let value): "'\(value)'"
    case .float(let digits): "'\(digits)'"
    case .string(let value): "\"\(value)\""
    case .symbol(let mark): "'\(mark)'"
    case .end: "the end of the file"
    }
  }
}

/// A run of `//` lines, or one `/* */`.
struct Comment: Hashable, Sendable {
  var lines: [String]
  var firstLine: Int
  var lastLine: Int
  var isBlock: Bool
}

/// Text to tokens.
struct Lexer {
  private let characters: [Character]
  private let file: String
  private var index = 0
  private var line = 1
  private var column = 1

  init(_ text: String, file: String) {
    // CR LF is one Character in Swift: columns and newlines come out right either way.
    characters = Array(text)
    self.file = file
  }

  /// All tokens, ending with `.end`. Characters that can't be part of a schema are reported and left out.
  static func tokens(of text: String, file: String, _ diagnostics: inout Diagnostics) -> [Token] {
    var lexer = Lexer(text, file: file)
    var tokens: [Token] = []
    while true {
      do throws(Diagnostic) {
        let token = try lexer.next()
        tokens.append(token)
        if token.kind == .end { return tokens }
      } catch {
        diagnostics.report(error)
      }
    }
  }

  private var here: Location { Location(file: file, line: line, column: column) }
  private var current: Character? { index < characters.count ? characters[index] : nil }
  private var following: Character? { index + 1 < characters.count ? characters[index + 1] : nil }

  private mutating func advance() {
    guard let character = current else { return }
    index += 1
    if character.isNewline {
      line += 1
      column = 1
    } else {
      column += 1
    }
  }

  private mutating func next() throws(Diagnostic) -> Token {
    let comments = try skipBlanksAndComments()
    let location = here
    guard let character = current else { return Token(kind: .end, location: location, comments: comments) }
    // Ranges of characters go by Unicode's order: an e with a mark above lies between a and z.
    guard character.isASCII else {
      advance()
      throw Diagnostic(location: location, message: "'\(character)' has no meaning in a schema")
    }
    let kind: Token.Kind
    switch character {
    case "a"..."z", "A"..."Z", "_": kind = .identifier(takeWord())
    case "0"..."9": kind = try number()
    case "." where following.map { $0.isASCII && "0"..."9" ~= $0 } == true: kind = try number()
    case "\"", "'": kind = .string(try string(character))
    case "{", "}", "[", "]", "(", ")", "<", ">", ";", ",", "=", ".", "-", "+", ":", "/":
      advance()
      kind = .symbol(character)
    default:
      advance()
      throw Diagnostic(location: location, message: "'\(character)' has no meaning in a schema")
    }
    return Token(kind: kind, location: location, comments: comments)
  }

  private mutating func takeWord() -> String {
    let start = index
    while let character = current, character.isASCII, character.isLetter || character.isNumber || character == "_" {
      advance()
    }
    return String(characters[start..<index])
  }

  private mutating func number() throws(Diagnostic) -> Token.Kind {
    let location = here
    let start = index
    while let character = current {
      let afterExponent = "eE".contains(characters[max(start, index - 1)]) && !isHexadecimal(start)
      guard character.isASCII,
        character.isLetter || character.isNumber || character == "."
          || (afterExponent && index > start && (character == "+" || character == "-"))
      else { break }
      advance()
    }
    let text = String(characters[start..<index])
    let lowercased = text.lowercased()
    let value: UInt64? =
      if lowercased.hasPrefix("0x") {
        UInt64(lowercased.dropFirst(2), radix: 16)
      } else if text.count > 1, text.hasPrefix("0"), text.allSatisfy(\.isNumber) {
        UInt64(text, radix: 8)
      } else {
        UInt64(text)
      }
    if let value { return .integer(value) }
    if Double(text) != nil, !lowercased.hasPrefix("0x") { return .float(text) }
    throw Diagnostic(location: location, message: "'\(text)' is not a number")
  }

  private func isHexadecimal(_ start: Int) -> Bool {
    start + 1 < characters.count && characters[start] == "0" && "xX".contains(characters[start + 1])
  }

  private mutating func string(_ quote: Character) throws(Diagnostic) -> String {
    let location = here
    advance()
    // An escape may stand for a part of a character: "\xc3\xa9".
    var bytes: [UInt8] = []
    while let character = current, !character.isNewline {
      if character == quote {
        advance()
        guard let text = String(validating: bytes, as: UTF8.self) else {
          throw Diagnostic(location: location, message: "the bytes of this string are no UTF-8")
        }
        return text
      }
      if character == "\\" {
        bytes += try escape()
      } else {
        bytes += Array(String(character).utf8)
        advance()
      }
    }
    throw Diagnostic(location: location, message: "this string does not end on its line")
  }

  /// One escape, as protobuf's grammar lists them (protobuf.dev/reference/protobuf/proto3-spec, "String literals").
  private mutating func escape() throws(Diagnostic) -> [UInt8] {
    let location = here
    advance()
    guard let mark = current, !mark.isNewline else { return [] }
    if let byte = Self.escapes[mark] {
      advance()
      return [byte]
    }
    switch mark {
    case "0"..."7":
      let digits = takeDigits(3, radix: 8)
      if let byte = UInt8(digits, radix: 8) { return [byte] }
      throw Diagnostic(location: location, message: "'\\\(digits)' is more than a byte")
    case "x", "X":
      advance()
      let digits = takeDigits(2, radix: 16)
      if let byte = UInt8(digits, radix: 16) { return [byte] }
      throw Diagnostic(location: location, message: "'\\\(mark)' needs one or two hexadecimal digits")
    case "u", "U":
      advance()
      let count = mark == "u" ? 4 : 8
      let digits = takeDigits(count, radix: 16)
      guard digits.count == count, let number = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(number) else {
        throw Diagnostic(
          location: location, message: "'\\\(mark)' needs the \(count) hexadecimal digits of a Unicode character")
      }
      return Array(String(Character(scalar)).utf8)
    default:
      advance()
      throw Diagnostic(location: location, message: "'\\\(mark)' is no escape")
    }
  }

  private static let escapes: [Character: UInt8] = [
    "a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "?": 63, "\\": 92, "'": 39, "\"": 34,
  ]

  /// Takes up to so many digits.
  private mutating func takeDigits(_ limit: Int, radix: Int) -> String {
    var digits = ""
    while digits.count < limit, let character = current, character.isASCII,
      character.hexDigitValue.map({ $0 < radix }) == true
    {
      digits.append(character)
      advance()
    }
    return digits
  }

  private mutating func skipBlanksAndComments() throws(Diagnostic) -> [Comment] {
    var comments: [Comment] = []
    while let character = current {
      if character.isWhitespace {
        advance()
      } else if character == "/", following == "/" {
        addLine(to: &comments)
      } else if character == "/", following == "*" {
        comments.append(try block())
      } else {
        break
      }
    }
    return comments
  }

  /// A `//` line joins the run that ended on the line before, unless code stands before it on its own line.
  private mutating func addLine(to comments: inout [Comment]) {
    let first = line
    let sharesLine = column > 1 && !characters[lineStart..<index].allSatisfy(\.isWhitespace)
    advance()
    advance()
    while current == "/" { advance() }
    let start = index
    while let character = current, !character.isNewline { advance() }
    var text = String(characters[start..<index])
    if text.hasPrefix(" ") { text.removeFirst() }
    if let last = comments.last, !last.isBlock, last.lastLine == first - 1, !sharesLine, !startsBesideCode(last) {
      comments[comments.count - 1].lines.append(text)
      comments[comments.count - 1].lastLine = first
    } else {
      comments.append(Comment(lines: [text], firstLine: first, lastLine: first, isBlock: false))
    }
    if sharesLine { besideCode.insert(first) }
  }

  private var besideCode: Set<Int> = []
  private func startsBesideCode(_ comment: Comment) -> Bool { besideCode.contains(comment.firstLine) }

  private var lineStart: Int {
    var start = index
    while start > 0, !characters[start - 1].isNewline { start -= 1 }
    return start
  }

  private mutating func block() throws(Diagnostic) -> Comment {
    let location = here
    advance()
    advance()
    let start = index
    while let character = current {
      if character == "*", following == "/" {
        let text = String(characters[start..<index])
        advance()
        advance()
        var lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map {
          var part = Substring($0.drop(while: \.isWhitespace))
          if part.hasPrefix("*") { part = part.dropFirst() }
          if part.hasPrefix(" ") { part = part.dropFirst() }
          while part.last?.isWhitespace == true { part = part.dropLast() }
          return String(part)
        }
        while lines.first?.isEmpty == true { lines.removeFirst() }
        while lines.last?.isEmpty == true { lines.removeLast() }
        return Comment(lines: lines, firstLine: location.line, lastLine: line, isBlock: true)
      }
      advance()
    }
    throw Diagnostic(location: location, message: "this comment does not end")
  }
}

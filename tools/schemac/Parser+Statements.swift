/// What an option says; only the few that matter here are looked at.
struct ParsedOptions {
  enum Value {
    case word(String)
    case text(String)
    case other
  }

  var all: [(name: String, value: Value, location: Location)] = []

  func flag(_ name: String) -> Bool? {
    guard case .word(let word)? = all.last(where: { $0.name == name })?.value else { return nil }
    return word == "true"
  }

  func isTrue(_ name: String) -> Bool { flag(name) == true }

  func text(_ name: String) -> String? {
    if case .text(let text)? = all.last(where: { $0.name == name })?.value { text } else { nil }
  }

  func location(_ name: String) -> Location? { all.last { $0.name == name }?.location }
}

extension Parser {
  // MARK: Tokens

  var current: Token { tokens[index] }

  func peek(_ distance: Int) -> Token { tokens[min(index + distance, tokens.count - 1)] }

  mutating func advance() { if index < tokens.count - 1 { index += 1 } }

  mutating func take(_ symbol: Character) -> Bool {
    guard current.kind == .symbol(symbol) else { return false }
    advance()
    return true
  }

  mutating func takeWord(_ word: String) -> Bool {
    guard current.kind == .identifier(word) else { return false }
    advance()
    return true
  }

  func expected(_ what: String) -> Diagnostic {
    Diagnostic(location: current.location, message: "expected \(what), found \(current.text)")
  }

  mutating func expect(_ symbol: Character) throws(Diagnostic) {
    guard take(symbol) else { throw expected("'\(symbol)'") }
  }

  /// Takes the semicolon. A missing one is reported behind the word that it should follow.
  @discardableResult
  mutating func endStatement() throws(Diagnostic) -> Token {
    let semicolon = current
    guard take(";") else {
      if index > 0, current.location.line > tokens[index - 1].location.line || current.kind == .end {
        let last = tokens[index - 1]
        throw Diagnostic(location: last.location, message: "missing ';' after \(last.text)")
      }
      throw expected("';'")
    }
    return semicolon
  }

  mutating func identifier(_ what: String) throws(Diagnostic) -> Name {
    guard case .identifier(let text) = current.kind else { throw expected(what) }
    defer { advance() }
    return Name(text: text, location: current.location)
  }

  mutating func string(_ what: String) throws(Diagnostic) -> Name {
    guard case .string(var text) = current.kind else { throw expected(what) }
    let location = current.location
    advance()
    // Adjacent strings are one.
    while case .string(let more) = current.kind {
      text += more
      advance()
    }
    return Name(text: text, location: location)
  }

  /// `a.b.C` or `.a.b.C`
  mutating func dottedName() throws(Diagnostic) -> Name {
    let location = current.location
    var text = take(".") ? "." : ""
    text += try identifier("a name").text
    while take(".") { text += "." + (try identifier("a name")).text }
    return Name(text: text, location: location)
  }

  mutating func integer(_ what: String) throws(Diagnostic) -> Int {
    let location = current.location
    let isNegative = take("-")
    guard case .integer(let value) = current.kind else { throw expected(what) }
    advance()
    guard let number = Int(exactly: value) else {
      throw Diagnostic(location: location, message: "\(value) is out of range")
    }
    return isNegative ? -number : number
  }

  // MARK: Blocks and recovery

  /// Statements up to the closing brace, which is taken; false when the file ends first.
  mutating func block(_ statement: (inout Parser) throws(Diagnostic) -> Void) -> Bool {
    let opening = tokens[index - 1].location
    while !take("}") {
      if current.kind == .end {
        diagnostics.report("this block does not end", at: opening)
        return false
      }
      recovering(statement)
    }
    return true
  }

  /// Runs one statement; after a fault, goes on behind it.
  mutating func recovering(_ statement: (inout Parser) throws(Diagnostic) -> Void) {
    let start = index
    do throws(Diagnostic) {
      try statement(&self)
    } catch {
      diagnostics.report(error)
      // A missing semicolon is found on the next statement's first token: that statement is whole.
      if error.message.hasPrefix("missing ';'"), index > start { return }
      skipStatement()
      if index == start { advance() }
    }
  }

  private mutating func skipStatement() {
    var depth = 0
    while current.kind != .end {
      switch current.kind {
      case .symbol("{"): depth += 1
      case .symbol("}"):
        if depth == 0 { return }
        depth -= 1
        if depth == 0 {
          advance()
          return
        }
      case .symbol(";") where depth == 0:
        advance()
        return
      default: break
      }
      advance()
    }
  }

  // MARK: Options and reserved

  /// `option name = value;`
  mutating func parseOptionStatement() throws(Diagnostic) -> ParsedOptions {
    guard takeWord("option") else { throw expected("option") }
    var options = ParsedOptions()
    try parseOption(into: &options)
    try endStatement()
    return options
  }

  /// `[name = value, ...]`, or nothing.
  mutating func parseInlineOptions() throws(Diagnostic) -> ParsedOptions {
    var options = ParsedOptions()
    guard take("[") else { return options }
    repeat { try parseOption(into: &options) } while take(",")
    try expect("]")
    return options
  }

  private mutating func parseOption(into options: inout ParsedOptions) throws(Diagnostic) {
    let location = current.location
    var name = ""
    repeat {
      if take("(") {
        name += "(\(try dottedName().text))"
        try expect(")")
      } else {
        name += try identifier("an option's name").text
      }
      if current.kind == .symbol(".") { name += "." }
    } while take(".")
    try expect("=")
    let value: ParsedOptions.Value
    switch current.kind {
    case .identifier(let word):
      advance()
      value = .word(word)
    case .string: value = .text(try string("text").text)
    case .symbol("{"):
      try skipBraces()
      value = .other
    default:
      if !take("-") { _ = take("+") }
      switch current.kind {
      case .integer, .float, .identifier: advance()
      default: throw expected("the option's value")
      }
      value = .other
    }
    options.all.append((name, value, location))
  }

  private mutating func skipBraces() throws(Diagnostic) {
    let opening = current.location
    var depth = 0
    repeat {
      switch current.kind {
      case .symbol("{"): depth += 1
      case .symbol("}"): depth -= 1
      case .end: throw Diagnostic(location: opening, message: "this block does not end")
      default: break
      }
      advance()
    } while depth > 0
  }

  /// - Parameter bounds: the numbers that the declaration's fields or values may have.
  mutating func parseReserved(into reserved: inout Reserved, within bounds: ClosedRange<Int>) throws(Diagnostic) {
    advance()
    if case .string = current.kind {
      repeat { reserved.names.append(try string("a name in quotes")) } while take(",")
    } else {
      repeat {
        let location = current.location
        let first = try integer("a number or a name in quotes")
        var last = first
        if takeWord("to") { last = takeWord("max") ? bounds.upperBound : try integer("a number or max") }
        for number in [first, last] where !bounds.contains(number) {
          throw Diagnostic(
            location: location,
            message: "reserved number \(number) is out of range \(bounds.lowerBound) to \(bounds.upperBound)")
        }
        guard first <= last else {
          throw Diagnostic(location: location, message: "this range ends before it starts")
        }
        reserved.spans.append(Reserved.Span(numbers: first...last, location: location))
      } while take(",")
    }
    try endStatement()
  }

  // MARK: Comments

  /// The comment right above a declaration and, given its last token, the one behind it on the same line.
  func doc(from start: Token, to end: Token? = nil) -> [String] {
    var lines: [String] = []
    let previousLine = previous(start)?.location.line
    if let comment = start.comments.last, comment.lastLine == start.location.line - 1,
      comment.firstLine != previousLine
    {
      lines = comment.lines
    }
    if let end, let comment = current.comments.first, comment.firstLine == end.location.line {
      lines += comment.lines
    }
    return lines
  }
}

extension Parser {
  /// The token before; tokens stand in the order of their places.
  private func previous(_ token: Token) -> Token? {
    var index = self.index
    while index > 0, tokens[index].location != token.location { index -= 1 }
    return index > 0 ? tokens[index - 1] : nil
  }
}

/// Tokens to a syntax tree. A fault ends its statement only: parsing goes on behind the next `;` or block.
struct Parser {
  let tokens: [Token]
  var index = 0
  var diagnostics: Diagnostics
  var file: SchemaSource

  /// - Parameter path: as other files import it; `file` is how diagnostics call it.
  static func parse(_ text: String, path: String, file: String, _ diagnostics: inout Diagnostics) -> SchemaSource {
    let tokens = Lexer.tokens(of: text, file: file, &diagnostics)
    var parser = Parser(tokens: tokens, diagnostics: diagnostics, file: SchemaSource(path: path))
    parser.parseFile()
    diagnostics = parser.diagnostics
    return parser.file
  }

  private mutating func parseFile() {
    guard parseSyntax() else { return }
    while current.kind != .end {
      recovering { parser throws(Diagnostic) in try parser.parseTopLevel() }
    }
  }

  /// False when the rest would only be misread.
  private mutating func parseSyntax() -> Bool {
    let location = current.location
    do throws(Diagnostic) {
      if takeWord("edition") {
        throw Diagnostic(location: location, message: "editions are not supported; write syntax = \"proto3\"")
      }
      guard takeWord("syntax") else {
        throw Diagnostic(location: location, message: "a schema starts with syntax = \"proto3\";")
      }
      try expect("=")
      let value = try string("\"proto3\"")
      guard value.text == "proto3" else {
        throw Diagnostic(location: value.location, message: "\(value.text) is not supported, only proto3")
      }
      try endStatement()
      return true
    } catch {
      diagnostics.report(error)
      return false
    }
  }

  private mutating func parseTopLevel() throws(Diagnostic) {
    if take(";") { return }
    let start = current
    switch start.kind {
    case .identifier("import"): try parseImport()
    case .identifier("package"):
      advance()
      let name = try dottedName()
      try endStatement()
      if !file.package.isEmpty { throw Diagnostic(location: start.location, message: "a second package statement") }
      file.package = name.text
    case .identifier("option"): _ = try parseOptionStatement()
    case .identifier("message"): try parseMessage(start).map { file.messages.append($0) }
    case .identifier("enum"): try parseEnum(start).map { file.enums.append($0) }
    case .identifier("service"): try parseService(start).map { file.services.append($0) }
    case .identifier("extend"):
      throw Diagnostic(location: start.location, message: "extensions are not supported")
    default: throw expected("message, enum, service, import, package or option")
    }
  }

  private mutating func parseImport() throws(Diagnostic) {
    advance()
    let isPublic = takeWord("public")
    if !isPublic { _ = takeWord("weak") }
    let path = try string("a path in quotes")
    try endStatement()
    file.imports.append(Import(path: path.text, isPublic: isPublic, location: path.location))
  }

  // MARK: Messages

  private mutating func parseMessage(_ start: Token) throws(Diagnostic) -> MessageDeclaration? {
    advance()
    let name = try identifier("the message's name")
    try expect("{")
    var message = MessageDeclaration(name: name, doc: doc(from: start))
    let isClosed = block { parser throws(Diagnostic) in try parser.parseMember(of: &message) }
    return isClosed ? message : nil
  }

  private mutating func parseMember(of message: inout MessageDeclaration) throws(Diagnostic) {
    if take(";") { return }
    let start = current
    // A field's type may be called like a keyword, so only what follows decides.
    if case .identifier = peek(1).kind, peek(2).kind != .symbol("=") || start.kind == .identifier("option") {
      switch start.kind {
      case .identifier("message"): return try parseMessage(start).map { message.messages.append($0) } ?? ()
      case .identifier("enum"): return try parseEnum(start).map { message.enums.append($0) } ?? ()
      case .identifier("oneof"): return try parseOneof(start, of: &message)
      case .identifier("option"):
        if try parseOptionStatement().isTrue("deprecated") { message.isDeprecated = true }
        return
      default: break
      }
    }
    switch start.kind {
    case .identifier("option"):
      _ = try parseOptionStatement()
    case .identifier("reserved"): try parseReserved(into: &message.reserved, within: Limits.fieldNumbers)
    case .identifier("extensions"), .identifier("extend"):
      throw Diagnostic(location: start.location, message: "extensions are not supported")
    default: message.fields.append(try parseField(start, oneof: nil))
    }
  }

  private mutating func parseOneof(_ start: Token, of message: inout MessageDeclaration) throws(Diagnostic) {
    advance()
    let name = try identifier("the oneof's name")
    try expect("{")
    let index = message.oneofs.count
    message.oneofs.append(OneofDeclaration(name: name, doc: doc(from: start)))
    let faultsBefore = diagnostics.all.count
    var fields: [FieldDeclaration] = []
    _ = block { parser throws(Diagnostic) in
      if parser.take(";") { return }
      if parser.current.kind == .identifier("option") {
        _ = try parser.parseOptionStatement()
      } else {
        fields.append(try parser.parseField(parser.current, oneof: index))
      }
    }
    message.fields += fields
    if fields.isEmpty, diagnostics.all.count == faultsBefore {
      diagnostics.report("a oneof needs a field", at: name.location)
    }
  }

  private mutating func parseField(_ start: Token, oneof: Int?) throws(Diagnostic) -> FieldDeclaration {
    var label = FieldDeclaration.Label.singular
    // A type follows, which may begin with a dot; a field may be called like a label.
    if startsType(peek(1)) {
      if takeWord("repeated") {
        label = .repeated
      } else if takeWord("optional") {
        label = .optional
      } else if takeWord("required") {
        throw Diagnostic(location: start.location, message: "proto3 has no required fields")
      }
    }
    if label != .singular, oneof != nil {
      throw Diagnostic(location: start.location, message: "a oneof's field can be neither repeated nor optional")
    }
    if current.kind == .identifier("group") {
      throw Diagnostic(location: current.location, message: "proto3 has no groups; use a message")
    }
    let typeLocation = current.location
    let type = try fieldType()
    if case .map = type, label != .singular || oneof != nil {
      throw Diagnostic(
        location: typeLocation, message: "a map can be neither repeated, optional nor in a oneof: it is a list already")
    }
    let name = try identifier("the field's name")
    try expect("=")
    let numberLocation = current.location
    let number = try integer("the field's number")
    let options = try parseInlineOptions()
    let end = try endStatement()
    if let location = options.location("default") {
      throw Diagnostic(location: location, message: "proto3 has no default values of its own")
    }
    return FieldDeclaration(
      name: name, number: number, numberLocation: numberLocation, type: type, label: label, oneof: oneof,
      doc: doc(from: start, to: end), isDeprecated: options.isTrue("deprecated"), packed: options.flag("packed"),
      jsonName: options.text("json_name"))
  }

  private func startsType(_ token: Token) -> Bool {
    if case .identifier = token.kind { true } else { token.kind == .symbol(".") }
  }

  private mutating func fieldType() throws(Diagnostic) -> FieldKind {
    if current.kind == .identifier("map"), peek(1).kind == .symbol("<") {
      advance()
      advance()
      let keyName = try identifier("the map's key type")
      guard let key = Scalar(rawValue: keyName.text), key.canBeMapKey else {
        throw Diagnostic(
          location: keyName.location,
          message: "a map's key is a whole number, a bool or a string, not '\(keyName.text)'")
      }
      try expect(",")
      let location = current.location
      let value = try fieldType()
      if case .map = value { throw Diagnostic(location: location, message: "a map's value can't be a map") }
      try expect(">")
      return .map(key: key, value: value)
    }
    let name = try dottedName()
    return Scalar(rawValue: name.text).map(FieldKind.scalar) ?? .unresolved(name)
  }

  // MARK: Enums

  private mutating func parseEnum(_ start: Token) throws(Diagnostic) -> EnumDeclaration? {
    advance()
    let name = try identifier("the enum's name")
    try expect("{")
    var declaration = EnumDeclaration(name: name, doc: doc(from: start))
    let isClosed = block { parser throws(Diagnostic) in
      if parser.take(";") { return }
      let start = parser.current
      if start.kind == .identifier("option"), parser.peek(1).kind != .symbol("=") {
        let options = try parser.parseOptionStatement()
        if options.isTrue("allow_alias") { declaration.allowsAlias = true }
        if options.isTrue("deprecated") { declaration.isDeprecated = true }
      } else if start.kind == .identifier("reserved"), parser.peek(1).kind != .symbol("=") {
        try parser.parseReserved(into: &declaration.reserved, within: Limits.enumNumbers)
      } else {
        let name = try parser.identifier("the value's name")
        try parser.expect("=")
        let location = parser.current.location
        let number = try parser.integer("the value's number")
        let options = try parser.parseInlineOptions()
        let end = try parser.endStatement()
        declaration.values.append(
          EnumDeclaration.Value(
            name: name, number: number, numberLocation: location, doc: parser.doc(from: start, to: end),
            isDeprecated: options.isTrue("deprecated")))
      }
    }
    return isClosed ? declaration : nil
  }

  // MARK: Services

  private mutating func parseService(_ start: Token) throws(Diagnostic) -> ServiceDeclaration? {
    advance()
    let name = try identifier("the service's name")
    try expect("{")
    var service = ServiceDeclaration(name: name, doc: doc(from: start))
    let isClosed = block { parser throws(Diagnostic) in
      if parser.take(";") { return }
      if parser.current.kind == .identifier("option") {
        if try parser.parseOptionStatement().isTrue("deprecated") { service.isDeprecated = true }
      } else {
        service.methods.append(try parser.parseMethod())
      }
    }
    return isClosed ? service : nil
  }

  private mutating func parseMethod() throws(Diagnostic) -> ServiceDeclaration.Method {
    let start = current
    guard takeWord("rpc") else { throw expected("rpc") }
    let name = try identifier("the method's name")
    let (input, streamsInput) = try methodType()
    guard takeWord("returns") else { throw expected("returns") }
    let (output, streamsOutput) = try methodType()
    var method = ServiceDeclaration.Method(
      name: name, doc: [], input: input, output: output, streamsInput: streamsInput, streamsOutput: streamsOutput)
    if take("{") {
      method.doc = doc(from: start)
      _ = block { parser throws(Diagnostic) in
        if parser.take(";") { return }
        if try parser.parseOptionStatement().isTrue("deprecated") { method.isDeprecated = true }
      }
    } else {
      method.doc = doc(from: start, to: try endStatement())
    }
    return method
  }

  private mutating func methodType() throws(Diagnostic) -> (FieldKind, streams: Bool) {
    try expect("(")
    var streams = false
    if current.kind == .identifier("stream"), peek(1).kind != .symbol(")") {
      advance()
      streams = true
    }
    let name = try dottedName()
    try expect(")")
    return (.unresolved(name), streams)
  }
}

/// The wire format's own limits.
enum Limits {
  static let fieldNumbers = 1...(1 << 29) - 1
  static let enumNumbers = Int(Int32.min)...Int(Int32.max)
  /// protobuf keeps these for itself.
  static let implementationNumbers = 19000...19999
}

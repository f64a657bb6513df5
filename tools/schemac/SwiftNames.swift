/// How the schema's names become Swift's.
///
/// Types: the package is dropped, nested types stay nested; the packages below `google` and `grpc`, which are
/// everybody's, give their types the prefix `Google` and `GRPC`, an early version of one (`v1alpha`) with its name behind:
/// `GRPCV1Alpha`. Fields and cases: lowerCamelCase, a last word id, ids,
/// uri or url in capitals (`batch_id` is `batchID`); cases without their enum's name, if all have it.
struct SwiftNames: Sendable {
  /// By full schema name.
  private(set) var types: [String: String] = [:]
  /// Every simple name that the module will declare. One that hides Swift's or the runtime's makes those qualified.
  private(set) var declared: Set<String> = []
  private var topLevel: [String: Location] = [:]

  init(_ schema: Schema, _ diagnostics: inout Diagnostics) {
    for file in schema.files {
      let prefix = Self.prefix(of: file.package)
      for message in file.messages { declare(message, outer: nil, prefix: prefix, &diagnostics) }
      for declaration in file.enums { declare(declaration, outer: nil, prefix: prefix, &diagnostics) }
    }
    for file in schema.files {
      for service in file.services {
        let name = Self.prefix(of: file.package) + service.name.text
        types[service.fullName] = name
        for suffix in ["", "Service", "Client"] {
          declareTopLevel(name + suffix, at: service.name.location, &diagnostics)
        }
        Self.checkDistinct(service.methods.map(\.name), spelledBy: Self.method, &diagnostics)
      }
    }
    for file in schema.files { file.messages.forEach { checkMembers(of: $0, &diagnostics) } }
    for file in schema.files { file.enums.forEach { Self.checkCases(of: $0, &diagnostics) } }
  }

  static func prefix(of package: String) -> String {
    let parts = package.split(separator: ".")
    return switch parts.first {
    case "google": "Google" + early(parts.last)
    case "grpc": "GRPC" + early(parts.last)
    default: ""
    }
  }

  /// `V1Alpha` for `v1alpha`, `V2Beta1` for `v2beta1`; nothing for `v1`, and for what is no version.
  private static func early(_ version: Substring?) -> String {
    guard let version, version.first == "v", let number = version.dropFirst().first, number.isNumber else { return "" }
    for stage in ["alpha", "beta"] {
      guard let range = version.firstRange(of: stage) else { continue }
      return version[..<range.lowerBound].uppercased() + stage.prefix(1).uppercased() + stage.dropFirst()
        + version[range.upperBound...]
    }
    return ""
  }

  /// The name for the type, with the module in front where the schema declares one that hides it.
  func swift(_ name: String) -> String { declared.contains(name) ? "Swift.\(name)" : name }
  func runtime(_ name: String) -> String { declared.contains(name) ? "MendProtobuf.\(name)" : name }

  func type(_ fullName: String) -> String { types[fullName] ?? fullName }

  // MARK: Collisions

  private mutating func declareTopLevel(_ name: String, at location: Location, _ diagnostics: inout Diagnostics) {
    if name == "Schema" {
      diagnostics.report("'Schema' is the name of the generated list of files; rename this", at: location)
    } else if let other = topLevel[name] {
      diagnostics.report(
        "Swift type '\(name)' is declared twice, first for \(other.file):\(other.line):\(other.column)", at: location)
    } else {
      topLevel[name] = location
    }
    declared.insert(name)
  }

  private mutating func declare(
    _ message: MessageDeclaration, outer: String?, prefix: String, _ diagnostics: inout Diagnostics
  ) {
    let name = declare(message.name, message.fullName, outer: outer, prefix: prefix, &diagnostics)
    for inner in message.messages { declare(inner, outer: name, prefix: "", &diagnostics) }
    for inner in message.enums { declare(inner, outer: name, prefix: "", &diagnostics) }
    for oneof in message.oneofs {
      Self.checkTypeName(Self.typeName(oneof), at: oneof.name.location, &diagnostics)
      declared.insert(Self.typeName(oneof))
    }
  }

  private mutating func declare(
    _ declaration: EnumDeclaration, outer: String?, prefix: String, _ diagnostics: inout Diagnostics
  ) {
    _ = declare(declaration.name, declaration.fullName, outer: outer, prefix: prefix, &diagnostics)
  }

  private mutating func declare(
    _ name: Name, _ fullName: String, outer: String?, prefix: String, _ diagnostics: inout Diagnostics
  ) -> String {
    let simple = prefix + name.text
    Self.checkTypeName(simple, at: name.location, &diagnostics)
    if outer == nil { declareTopLevel(simple, at: name.location, &diagnostics) }
    declared.insert(simple)
    let swiftName = outer.map { "\($0).\(simple)" } ?? simple
    types[fullName] = swiftName
    return swiftName
  }

  /// Names that Swift keeps for itself, and those by which generated code finds its modules.
  private static func checkTypeName(_ name: String, at location: Location, _ diagnostics: inout Diagnostics) {
    if ["Type", "Protocol", "Self", "Any", "Swift", "MendProtobuf", "_"].contains(name) {
      diagnostics.report("Swift has no room for a type called '\(name)'; rename it", at: location)
    }
  }

  /// Names of one scope, which may differ in the schema and yet be one in Swift.
  private static func checkDistinct(
    _ names: [Name], spelledBy spelling: (String) -> String, _ diagnostics: inout Diagnostics
  ) {
    var taken: [String: Name] = [:]
    for name in names {
      let swiftName = spelling(name.text)
      if swiftName == "_" {
        diagnostics.report("Swift has no room for the name '_'; rename it", at: name.location)
      } else if let other = taken[swiftName], other.text != name.text {
        diagnostics.report("'\(name.text)' and '\(other.text)' are both '\(swiftName)' in Swift", at: name.location)
      }
      taken[swiftName] = name
    }
  }

  private mutating func checkMembers(of message: MessageDeclaration, _ diagnostics: inout Diagnostics) {
    let members = message.fields.filter { $0.oneof == nil }.map(\.name) + message.oneofs.map(\.name)
    for name in members where Self.memberNames.contains(Self.property(name.text)) {
      let swiftName = Self.property(name.text)
      diagnostics.report("'\(name.text)' would hide the runtime's '\(swiftName)'; rename it", at: name.location)
    }
    Self.checkDistinct(members, spelledBy: Self.property, &diagnostics)
    for index in message.oneofs.indices {
      let cases = message.fields.filter { $0.oneof == index }.map(\.name)
      Self.checkDistinct(cases, spelledBy: Self.property, &diagnostics)
    }
    var nested: [String: Name] = [:]
    let names =
      message.messages.map(\.name) + message.enums.map(\.name)
      + message.oneofs.map { Name(text: Self.typeName($0), location: $0.name.location) }
    for name in names {
      if nested.updateValue(name, forKey: name.text) != nil {
        let type = "\(message.name.text).\(name.text)"
        diagnostics.report("Swift type '\(type)' is declared twice (a oneof is a type too)", at: name.location)
      }
      if topLevel[name.text] != nil, references(message, toTopLevel: name.text) {
        diagnostics.report(
          "'\(name.text)' in '\(message.name.text)' hides the type '\(name.text)' that its fields use",
          at: name.location)
      }
    }
    message.messages.forEach { checkMembers(of: $0, &diagnostics) }
    message.enums.forEach { Self.checkCases(of: $0, &diagnostics) }
  }

  /// Whether a field here or further in names the type, whose Swift name has nothing in front.
  private func references(_ message: MessageDeclaration, toTopLevel name: String) -> Bool {
    func isIt(_ type: FieldKind) -> Bool {
      switch type {
      case .message(let fullName), .enumeration(let fullName):
        self.type(fullName).split(separator: ".").first.map(String.init) == name
      case .map(_, let value): isIt(value)
      case .scalar, .unresolved: false
      }
    }
    return message.fields.contains { isIt($0.type) } || message.messages.contains { references($0, toTopLevel: name) }
  }

  private static func checkCases(of declaration: EnumDeclaration, _ diagnostics: inout Diagnostics) {
    var cases: [String: EnumDeclaration.Value] = [:]
    let spelling = EnumSpelling(declaration)
    for value in declaration.values {
      let name = spelling.caseName(value)
      if name == "_" {
        diagnostics.report("Swift has no room for the name '_'; rename it", at: value.name.location)
      } else if ["unrecognized", "rawValue", "allCases"].contains(name) {
        diagnostics.report(
          "'\(value.name.text)' would hide the runtime's '\(name)'; rename it", at: value.name.location)
      } else if let other = cases[name], other.number != value.number {
        // Aliases may become one: they mean the same.
        diagnostics.report(
          "'\(value.name.text)' and '\(other.name.text)' are both '\(name)' in Swift", at: value.name.location)
      }
      cases[name] = value
    }
  }

  // MARK: Spelling

  private static let memberNames: Set = ["unknownFields", "protobufName", "fieldNames", "hashValue"]

  static func property(_ name: String) -> String { escaped(camelCase(name)) }

  /// A oneof's enum: `result` is `Result`.
  static func typeName(_ oneof: OneofDeclaration) -> String {
    let name = camelCase(oneof.name.text)
    return name.prefix(1).uppercased() + name.dropFirst()
  }

  static func method(_ name: String) -> String {
    escaped(name.prefix(1).lowercased() + name.dropFirst())
  }

  /// `HEALTH_STATE_OK` without `HealthState`: compared without case and underscores.
  fileprivate static func withoutPrefix(_ value: String, _ enumName: String) -> String? {
    var rest = Substring(value)
    for letter in enumName.lowercased() where letter != "_" {
      while rest.first == "_" { rest = rest.dropFirst() }
      guard rest.first?.lowercased() == String(letter) else { return nil }
      rest = rest.dropFirst()
    }
    guard rest.first == "_" else { return nil }
    while rest.first == "_" { rest = rest.dropFirst() }
    return rest.first?.isLetter == true ? String(rest) : nil
  }

  private static let capitals = ["id": "ID", "ids": "IDs", "uri": "URI", "url": "URL"]

  static func camelCase(_ name: String) -> String {
    var words = name.split(separator: "_").map(String.init)
    guard let first = words.first else { return name }
    // A word that is all capitals is a word; one that is mixed keeps its humps.
    words = words.map { $0.contains(where: \.isLowercase) ? $0 : $0.lowercased() }
    var result = first == first.uppercased() ? words[0] : words[0].prefix(1).lowercased() + words[0].dropFirst()
    for (index, word) in words.enumerated().dropFirst() {
      let isLast = index == words.count - 1
      result += (isLast ? capitals[word.lowercased()] : nil) ?? word.prefix(1).uppercased() + word.dropFirst()
    }
    return result.first?.isNumber == true ? "_\(result)" : result
  }

  private static let keywords: Set = [
    "as", "associatedtype", "break", "case", "catch", "class", "continue", "default", "defer", "deinit", "do", "else",
    "enum", "extension", "fallthrough", "false", "fileprivate", "for", "func", "guard", "if", "import", "in", "init",
    "inout", "internal", "is", "let", "nil", "operator", "precedencegroup", "private", "protocol", "public", "repeat",
    "rethrows", "return", "self", "static", "struct", "subscript", "super", "switch", "throw", "throws", "true", "try",
    "typealias", "var", "where", "while",
  ]

  /// A name that Swift takes. `self` means something else even in backticks, so it gets an underscore.
  static func escaped(_ name: String) -> String {
    name == "self" ? "self_" : keywords.contains(name) ? "`\(name)`" : name
  }
}

/// What an enum's values are called. Whether all have their enum's name in front is looked at once an enum.
struct EnumSpelling {
  private let name: String
  private let sharesPrefix: Bool

  init(_ declaration: EnumDeclaration) {
    name = declaration.name.text
    sharesPrefix = declaration.values.allSatisfy {
      SwiftNames.withoutPrefix($0.name.text, declaration.name.text) != nil
    }
  }

  /// A value's name without its enum's, in lower case: what people and scripts call it.
  func shortName(_ value: EnumDeclaration.Value) -> String {
    let short = sharesPrefix ? SwiftNames.withoutPrefix(value.name.text, name) : nil
    return (short ?? value.name.text).lowercased()
  }

  func caseName(_ value: EnumDeclaration.Value) -> String {
    SwiftNames.escaped(SwiftNames.camelCase(shortName(value)))
  }
}

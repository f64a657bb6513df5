/// The language's rules about numbers and names within one declaration.
struct Checks {
  private var diagnostics: Diagnostics

  static func run(_ schema: Schema, _ diagnostics: inout Diagnostics) {
    var checks = Checks(diagnostics: diagnostics)
    for file in schema.files {
      file.messages.forEach { checks.check($0) }
      file.enums.forEach { checks.check($0) }
    }
    diagnostics = checks.diagnostics
  }

  private init(diagnostics: Diagnostics) { self.diagnostics = diagnostics }

  private mutating func check(_ message: MessageDeclaration) {
    checkOverlaps(message.reserved)
    var names: [String: Location] = [:]
    var numbers: [Int: Name] = [:]
    var jsonNames: [String: Name] = [:]
    for field in message.fields {
      checkNumber(field)
      if names.updateValue(field.name.location, forKey: field.name.text) != nil {
        diagnostics.report("field '\(field.name.text)' is declared twice", at: field.name.location)
      } else if let other = jsonNames[field.camelCaseName] {
        diagnostics.report(
          "'\(field.name.text)' and '\(other.text)' have the same JSON name '\(field.camelCaseName)'",
          at: field.name.location)
      }
      jsonNames[field.camelCaseName] = field.name
      if let other = numbers[field.number] {
        diagnostics.report(
          "number \(field.number) is taken by '\(other.text)' already", at: field.numberLocation)
      }
      numbers[field.number] = field.name
      checkReserved(field.name, field.number, field.numberLocation, message.reserved)
      if field.packed != nil, field.label != .repeated || !field.type.canBePacked {
        diagnostics.report("only repeated numbers, bools and enums can be packed", at: field.name.location)
      }
    }
    for oneof in message.oneofs where names.updateValue(oneof.name.location, forKey: oneof.name.text) != nil {
      diagnostics.report("'\(oneof.name.text)' is declared twice", at: oneof.name.location)
    }
    checkEntries(of: message, names)
    message.messages.forEach { check($0) }
    message.enums.forEach { check($0) }
  }

  /// A map field declares a message of its own for its entries, which shares the scope with all that stands beside it.
  private mutating func checkEntries(of message: MessageDeclaration, _ names: [String: Location]) {
    var taken = Set(names.keys)
    taken.formUnion(message.messages.map(\.name.text))
    taken.formUnion(message.enums.map(\.name.text))
    taken.formUnion(message.enums.flatMap { $0.values.map(\.name.text) })
    for field in message.fields {
      guard case .map = field.type, !taken.insert(field.entryName).inserted else { continue }
      diagnostics.report(
        "the entries of map '\(field.name.text)' are messages called '\(field.entryName)', a name that is taken",
        at: field.name.location)
    }
  }

  private mutating func checkNumber(_ field: FieldDeclaration) {
    if !Limits.fieldNumbers.contains(field.number) {
      diagnostics.report(
        "field number \(field.number) is out of range 1 to \(Limits.fieldNumbers.upperBound)",
        at: field.numberLocation)
    } else if Limits.implementationNumbers.contains(field.number) {
      diagnostics.report(
        "field number \(field.number) is in 19000 to 19999, which protobuf keeps for itself", at: field.numberLocation)
    }
  }

  private mutating func check(_ declaration: EnumDeclaration) {
    checkOverlaps(declaration.reserved)
    guard let first = declaration.values.first else {
      diagnostics.report("enum '\(declaration.name.text)' has no values", at: declaration.name.location)
      return
    }
    if first.number != 0 {
      diagnostics.report("the first value of a proto3 enum is zero", at: first.numberLocation)
    }
    var numbers: [Int: Name] = [:]
    for value in declaration.values {
      if !Limits.enumNumbers.contains(value.number) {
        diagnostics.report("\(value.number) is out of an enum's range, 32 bits", at: value.numberLocation)
      }
      if let other = numbers[value.number], !declaration.allowsAlias {
        diagnostics.report(
          "number \(value.number) is taken by '\(other.text)' already (option allow_alias = true; allows it)",
          at: value.numberLocation)
      }
      numbers[value.number] = numbers[value.number] ?? value.name
      checkReserved(value.name, value.number, value.numberLocation, declaration.reserved)
    }
  }

  private mutating func checkReserved(_ name: Name, _ number: Int, _ location: Location, _ reserved: Reserved) {
    if reserved.spans.contains(where: { $0.numbers.contains(number) }) {
      diagnostics.report("number \(number) is reserved", at: location)
    }
    if reserved.names.contains(where: { $0.text == name.text }) {
      diagnostics.report("name '\(name.text)' is reserved", at: name.location)
    }
  }

  private mutating func checkOverlaps(_ reserved: Reserved) {
    for (index, span) in reserved.spans.enumerated() {
      if reserved.spans[..<index].contains(where: { $0.numbers.overlaps(span.numbers) }) {
        diagnostics.report("these numbers are reserved twice", at: span.location)
      }
    }
  }
}

extension FieldKind {
  var canBePacked: Bool {
    switch self {
    case .scalar(let scalar): scalar != .string && scalar != .bytes
    case .enumeration: true
    case .message, .map, .unresolved: false
    }
  }
}

extension Generator {
  func write(_ declaration: EnumDeclaration, to out: inout SwiftText) {
    var values: [EnumDeclaration.Value] = []
    var aliases: [(alias: EnumDeclaration.Value, original: EnumDeclaration.Value)] = []
    var byNumber: [Int: EnumDeclaration.Value] = [:]
    for value in declaration.values {
      if let original = byNumber[value.number] {
        aliases.append((value, original))
      } else {
        byNumber[value.number] = value
        values.append(value)
      }
    }
    let spelling = EnumSpelling(declaration)
    func name(_ value: EnumDeclaration.Value) -> String { spelling.caseName(value) }
    // Names that differ in the schema by their case alone are one in Swift.
    var taken = Set(values.map(name))
    aliases = aliases.filter { taken.insert(name($0.alias)).inserted }
    let type = names.type(declaration.fullName)
    let simpleName = type.split(separator: ".").last.map(String.init) ?? type
    let int32 = swift("Int32")

    out.line()
    out.doc(declaration.doc, isDeprecated: declaration.isDeprecated)
    out.block("public enum \(simpleName): \(runtime("Enum"))") { out in
      for value in values {
        out.doc(value.doc, isDeprecated: value.isDeprecated)
        out.line("case \(name(value))")
      }
      out.line("/// A number that this version of the schema doesn't name.")
      out.line("case unrecognized(\(int32))")
      for (alias, original) in aliases {
        out.line()
        out.doc(alias.doc, isDeprecated: alias.isDeprecated)
        out.line("public static var \(name(alias)): \(type) { .\(name(original)) }")
      }
      out.line()
      out.line("public static let protobufName = \(SwiftText.quoted(declaration.fullName))")
      let cases = values.map { ".\(name($0))" }.joined(separator: ", ")
      out.line("public static let allCases: [\(type)] = [\(cases)]")
      out.line("public static let caseNames: [\(runtime("CaseName"))] = [")
      for value in declaration.values {
        let short = spelling.shortName(value)
        out.line(
          "  .init(\(value.number), \(SwiftText.quoted(value.name.text)), short: \(SwiftText.quoted(short))),")
      }
      out.line("]")
      out.line()
      out.line("public init() { self = .\(values.first.map(name) ?? "unrecognized(0)") }")
      out.line()
      out.block("public init(rawValue: \(int32))") { out in
        out.line("switch rawValue {")
        for value in values { out.line("case \(value.number): self = .\(name(value))") }
        out.line("default: self = .unrecognized(rawValue)")
        out.line("}")
      }
      out.line()
      out.block("public var rawValue: \(int32)") { out in
        out.line("switch self {")
        for value in values { out.line("case .\(name(value)): \(value.number)") }
        out.line("case .unrecognized(let number): number")
        out.line("}")
      }
    }
  }
}

/// A name that a schema declares.
struct Symbol: Sendable {
  enum Kind: Sendable { case message, enumeration, service, other }

  var kind: Kind
  var fullName: String
  var path: String
  var location: Location
}

/// Schemas whose every type is known: what Swift is made of.
struct Schema: Sendable {
  /// Imported files before those that import them.
  var files: [SchemaSource]
  var symbols: [String: Symbol]
}

/// Gives every declaration its full name and every field its type.
struct Linker {
  private var files: [String: SchemaSource]
  private let order: [String]
  private var symbols: [String: Symbol] = [:]
  private var packages: Set<String> = []
  private var diagnostics: Diagnostics
  /// The files whose names the current file may use.
  private var visible: Set<String> = []

  static func link(_ loader: Loader, _ diagnostics: inout Diagnostics) -> Schema {
    var linker = Linker(files: loader.files, order: loader.order, diagnostics: diagnostics)
    let schema = linker.run()
    diagnostics = linker.diagnostics
    return schema
  }

  private init(files: [String: SchemaSource], order: [String], diagnostics: Diagnostics) {
    self.files = files
    self.order = order
    self.diagnostics = diagnostics
  }

  private mutating func run() -> Schema {
    for path in order {
      guard var file = files[path] else { continue }
      declareAll(&file)
      files[path] = file
    }
    for path in order {
      guard var file = files[path] else { continue }
      resolveAll(&file)
      files[path] = file
    }
    return Schema(files: order.compactMap { files[$0] }, symbols: symbols)
  }

  // MARK: Declaring

  private mutating func declareAll(_ file: inout SchemaSource) {
    let scope = file.package
    var prefix = ""
    for part in scope.split(separator: ".") {
      prefix += prefix.isEmpty ? String(part) : ".\(part)"
      packages.insert(prefix)
    }
    for index in file.messages.indices { declare(&file.messages[index], in: scope, file.path) }
    for index in file.enums.indices { declare(&file.enums[index], in: scope, file.path) }
    for index in file.services.indices {
      let service = file.services[index]
      file.services[index].fullName = declare(.service, service.name, in: scope, file.path)
      var methods: Set<String> = []
      for method in service.methods where !methods.insert(method.name.text).inserted {
        diagnostics.report("method '\(method.name.text)' is declared twice", at: method.name.location)
      }
    }
  }

  private mutating func declare(_ message: inout MessageDeclaration, in scope: String, _ path: String) {
    message.fullName = declare(.message, message.name, in: scope, path)
    for index in message.messages.indices { declare(&message.messages[index], in: message.fullName, path) }
    for index in message.enums.indices { declare(&message.enums[index], in: message.fullName, path) }
  }

  private mutating func declare(_ declaration: inout EnumDeclaration, in scope: String, _ path: String) {
    declaration.fullName = declare(.enumeration, declaration.name, in: scope, path)
    // C++ scoping, which every implementation checks: values are siblings of their enum.
    for value in declaration.values { _ = declare(.other, value.name, in: scope, path) }
  }

  private mutating func declare(_ kind: Symbol.Kind, _ name: Name, in scope: String, _ path: String) -> String {
    let fullName = scope.isEmpty ? name.text : "\(scope).\(name.text)"
    if let earlier = symbols[fullName] {
      let place = "\(earlier.location.file):\(earlier.location.line)"
      diagnostics.report("'\(fullName)' is declared twice, first at \(place)", at: name.location)
    } else {
      symbols[fullName] = Symbol(kind: kind, fullName: fullName, path: path, location: name.location)
    }
    return fullName
  }

  // MARK: Resolving

  private mutating func resolveAll(_ file: inout SchemaSource) {
    visible = [file.path]
    for dependency in file.imports { addVisible(dependency.path) }
    for index in file.messages.indices { resolve(&file.messages[index]) }
    for service in file.services.indices {
      let scope = file.services[service].fullName
      for index in file.services[service].methods.indices {
        var method = file.services[service].methods[index]
        for path in [\ServiceDeclaration.Method.input, \.output] {
          guard case .unresolved(let name) = method[keyPath: path] else { continue }
          method[keyPath: path] = resolve(method[keyPath: path], in: scope)
          if case .enumeration(let fullName) = method[keyPath: path] {
            diagnostics.report("a method takes and returns messages; '\(fullName)' is an enum", at: name.location)
          }
        }
        file.services[service].methods[index] = method
      }
    }
  }

  private mutating func addVisible(_ path: String) {
    guard visible.insert(path).inserted, let file = files[path] else { return }
    for dependency in file.imports where dependency.isPublic { addVisible(dependency.path) }
  }

  private mutating func resolve(_ message: inout MessageDeclaration) {
    for index in message.fields.indices {
      message.fields[index].type = resolve(message.fields[index].type, in: message.fullName)
    }
    for index in message.messages.indices { resolve(&message.messages[index]) }
  }

  private mutating func resolve(_ type: FieldKind, in scope: String) -> FieldKind {
    switch type {
    case .map(let key, let value): return .map(key: key, value: resolve(value, in: scope))
    case .unresolved(let name): return resolve(name, in: scope) ?? type
    case .scalar, .message, .enumeration: return type
    }
  }

  /// The innermost scope that has the name's first part decides, as in C++: the rest must be found there.
  private mutating func resolve(_ name: Name, in scope: String) -> FieldKind? {
    var candidate: String?
    if name.text.hasPrefix(".") {
      candidate = String(name.text.dropFirst())
    } else {
      let first = name.text.split(separator: ".").first.map(String.init) ?? name.text
      var scopes = scope.split(separator: ".").map(String.init)
      while candidate == nil {
        let prefix = scopes.joined(separator: ".")
        let start = prefix.isEmpty ? first : "\(prefix).\(first)"
        let isOnlyPart = first == name.text
        if isVisible(start, asType: isOnlyPart) {
          candidate = prefix.isEmpty ? name.text : "\(prefix).\(name.text)"
        }
        if scopes.isEmpty { break }
        scopes.removeLast()
      }
    }
    guard let candidate, let symbol = symbols[candidate], symbol.kind == .message || symbol.kind == .enumeration else {
      return unknown(name, in: scope)
    }
    guard visible.contains(symbol.path) else {
      diagnostics.report("'\(candidate)' is declared in '\(symbol.path)', which is not imported", at: name.location)
      return nil
    }
    return symbol.kind == .message ? .message(candidate) : .enumeration(candidate)
  }

  private func isVisible(_ fullName: String, asType: Bool) -> Bool {
    if !asType, packages.contains(fullName) { return true }
    guard let symbol = symbols[fullName], visible.contains(symbol.path) else { return false }
    return symbol.kind == .message || (asType && symbol.kind == .enumeration)
  }

  private mutating func unknown(_ name: Name, in scope: String) -> FieldKind? {
    let last = name.text.split(separator: ".").last.map(String.init) ?? name.text
    let elsewhere = symbols.values.filter { symbol in
      (symbol.kind == .message || symbol.kind == .enumeration)
        && (symbol.fullName == name.text || symbol.fullName.hasSuffix(".\(last)"))
    }.min { $0.fullName < $1.fullName }
    let hint =
      switch elsewhere {
      case nil: ""
      case let symbol? where visible.contains(symbol.path): "; there is '\(symbol.fullName)'"
      case let symbol?: "; '\(symbol.fullName)' is in '\(symbol.path)', which is not imported"
      }
    diagnostics.report("unknown type '\(name.text)'\(hint)", at: name.location)
    return nil
  }
}

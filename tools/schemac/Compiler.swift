/// Text to Swift, without touching the file system: what `Schemac` does with files, and tests without.
struct Compiler {
  struct Output: Equatable {
    /// `mend_v1_types.pb.swift`
    var name: String
    var text: String
  }

  /// A module with the RPC types: adds conformances, services and clients.
  var rpcModule: String?
  var read: (_ path: String) -> Loader.Text?

  /// Either the generated files, one a schema and one about all, or the faults, in the order of their places.
  func compile(_ paths: [String]) -> (outputs: [Output], diagnostics: [Diagnostic]) {
    var loader = Loader(read: read)
    for path in paths { loader.load(path) }
    var diagnostics = loader.diagnostics
    let schema = Linker.link(loader, &diagnostics)
    Checks.run(schema, &diagnostics)
    Self.checkOutputs(of: paths, &diagnostics)
    let names = SwiftNames(schema, &diagnostics)
    guard diagnostics.all.isEmpty else { return ([], diagnostics.all.sorted { $0.location < $1.location }) }
    let generator = Generator(schema, names: names, rpcModule: rpcModule)
    let files = schema.files.filter { paths.contains($0.path) }
    var outputs = files.map { Output(name: Self.outputName($0.path), text: generator.generate($0)) }
    outputs.append(
      Output(name: Self.listName, text: generator.generateList(of: files.sorted { $0.path < $1.path })))
    return (outputs, [])
  }

  /// Schemas of different paths may not become one Swift file, nor one constant in it.
  private static func checkOutputs(of paths: [String], _ diagnostics: inout Diagnostics) {
    var taken: [String: String] = [:]
    for path in paths.sorted() {
      let start = Location(file: path, line: 1, column: 1)
      if outputName(path) == listName {
        diagnostics.report("'\(listName)' is the generated list of files; rename this schema", at: start)
      } else if let other = taken.updateValue(path, forKey: Generator.fileConstant(path)), other != path {
        diagnostics.report("this and '\(other)' have one name in Swift, '\(outputName(path))'; rename one", at: start)
      }
    }
  }

  static let listName = "schema_files.pb.swift"

  /// Flat, as Swift wants the file names of a module to differ. SchemaPlugin forms the same name.
  static func outputName(_ path: String) -> String {
    path.replacing(".proto", with: "").replacing("/", with: "_") + ".pb.swift"
  }
}

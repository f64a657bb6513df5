/// Reads the schemas that were asked for and everything that they import.
struct Loader {
  struct Text {
    var content: String
    /// What diagnostics call the file.
    var displayName: String
  }

  /// The text of a file by the path that imports use, nil when there is none.
  var read: (_ path: String) -> Text?
  var diagnostics = Diagnostics()
  private(set) var files: [String: SchemaSource] = [:]
  /// Imported files before those that import them.
  private(set) var order: [String] = []
  private var open: [String] = []

  init(read: @escaping (_ path: String) -> Text?) { self.read = read }

  /// - Parameter importer: the import statement that asks, nil for a file given on the command line.
  mutating func load(_ path: String, importer: Location? = nil) {
    if let start = open.firstIndex(of: path) {
      let cycle = (open[start...] + [path]).joined(separator: " → ")
      diagnostics.report("import cycle: \(cycle)", at: importer ?? Location(file: path, line: 1, column: 1))
      return
    }
    guard files[path] == nil else { return }
    guard let text = read(path) else {
      let location = importer ?? Location(file: path, line: 1, column: 1)
      diagnostics.report(importer == nil ? "no such file" : "import '\(path)' is not found", at: location)
      return
    }
    let file = Parser.parse(text.content, path: path, file: text.displayName, &diagnostics)
    open.append(path)
    var seen: Set<String> = []
    for dependency in file.imports {
      if !seen.insert(dependency.path).inserted {
        diagnostics.report("'\(dependency.path)' is imported twice", at: dependency.location)
      }
      load(dependency.path, importer: dependency.location)
    }
    open.removeLast()
    files[path] = file
    order.append(path)
  }
}

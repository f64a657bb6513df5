import ArgumentParser
import MendCore
import MendProtobuf
import MendReading

struct Causes: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lists the reasons of failures that mend explain knows, or explains one. Needs no server.",
    discussion: """
      A reason is known by words of the program, by an exception or by an exit code. It has a cause, and says what to do \
      and whether a retry helps.

      EXAMPLES
        mend causes
        mend causes http.429
        mend causes --causes our-causes.jsonl -o json
      """)

  @OptionGroup var format: OutputOptions

  @OptionGroup var catalogue: CatalogueOptions

  @Argument(help: ArgumentHelp("The reason to explain; without it all are listed.", valueName: "ID"))
  var id: String?

  func run() throws {
    let catalogue = try catalogue.read()
    guard let id else {
      list(catalogue.entries.filter { $0.role == .root && $0.reason == nil })
      return
    }
    guard let entry = catalogue[id] else {
      throw ProgramError.usage("no reason is called '\(id)'; 'mend causes' lists them")
    }
    switch format.output {
    case .table: Standard.output(Self.page(entry).printable)
    case .json: Standard.output(Self.json(entry).pretty() + "\n")
    case .jsonl: Standard.output(Self.json(entry).compact() + "\n")
    }
  }

  private func list(_ entries: [CatalogueEntry]) {
    switch format.output {
    case .table:
      var table = Table(("REASON", .left), ("CAUSE", .left), ("RETRY", .left), ("MEANING", .left))
      for entry in entries {
        table.add(entry.id, entry.cause?.rawValue ?? "", entry.retry.rawValue, entry.meaning.clipped(to: 80))
      }
      Standard.output(table.text().printable)
    case .json: Standard.output(JSONValue.array(entries.map(Self.json)).pretty() + "\n")
    case .jsonl: for entry in entries { Standard.output(Self.json(entry).compact() + "\n") }
    }
  }

  private static func page(_ entry: CatalogueEntry) -> String {
    var text = "\(entry.id)\n"
    if let cause = entry.cause { text += "  cause    \(cause.category.rawValue): \(cause.rawValue)\n" }
    if !entry.meaning.isEmpty { text += "  meaning  \(entry.meaning)\n  advice   \(entry.advice)\n" }
    text += entry.cause == nil ? "  role     \(entry.role.rawValue)\n" : "  retry    \(entry.retry.rawValue)\n"
    for code in entry.exitCodes { text += "  known by exit code \(code)\n" }
    for name in entry.exceptions { text += "  known by exception \(name)\n" }
    for pattern in entry.patterns { text += "  known by /\(pattern.text)/\n" }
    for sample in entry.samples.matching { text += "  as in    \(sample)\n" }
    return text
  }

  private static func json(_ entry: CatalogueEntry) -> JSONValue {
    var object = JSONObject()
    object["id"] = .string(entry.id)
    object["role"] = .string(entry.role.rawValue)
    if let cause = entry.cause {
      object["category"] = .string(cause.category.rawValue)
      object["cause"] = .string(cause.rawValue)
      object["confidence"] = .string(entry.confidence.rawValue)
      object["meaning"] = .string(entry.meaning)
      object["advice"] = .string(entry.advice)
      object["retry"] = .string(entry.retry.rawValue)
    }
    object["exit_codes"] = .array(entry.exitCodes.map { .integer(Int64($0)) })
    object["exceptions"] = .array(entry.exceptions.map { .string($0) })
    object["patterns"] = .array(entry.patterns.map { .string($0.text) })
    object["matches"] = .array(entry.samples.matching.map { .string($0) })
    object["rejects"] = .array(entry.samples.others.map { .string($0) })
    return .object(object)
  }
}

/// An operator's own causes, beside the built-in ones.
struct CatalogueOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A file of causes of your own, one JSON object a line, that are tried before the built-in ones.",
      valueName: "FILE"))
  var causes: String?

  func read() throws -> Catalogue {
    guard let causes else { return .builtIn }
    let text = try Standard.text(of: causes, option: "--causes", limit: CatalogueFile.byteLimit)
    do throws(CatalogueError) {
      return Catalogue.builtIn.preceded(by: try CatalogueFile(text, file: causes))
    } catch {
      throw ProgramError.usage(error.description)
    }
  }
}

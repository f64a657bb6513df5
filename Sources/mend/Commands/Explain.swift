import ArgumentParser
import MendCore
import MendProtobuf
import MendReading

struct Explain: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Reads what a failed program wrote, and shows which line tells why and what that means. Needs no server.",
    discussion: """
      The server does not read output this way yet: mend diagnose judges by the last line on stderr and a short list, and \
      may name another cause.

      Output may have any length. The line that mend logs prints before a log (==> t0-j0.1 stderr <==) is skipped.

      EXAMPLES
        pdftotext letter.pdf - 2>&1 >/dev/null | mend explain - --exit-code 1
        mend logs BATCH --job t0-j0 --stream stderr | mend explain -
        mend explain stderr.txt --signal 9
        mend explain stderr.txt --causes our-causes.jsonl -o json
      """)

  @OptionGroup var format: OutputOptions

  @OptionGroup var catalogue: CatalogueOptions

  @Argument(help: ArgumentHelp("What the program wrote to stderr; - is standard input.", valueName: "FILE"))
  var file: String

  @Option(help: ArgumentHelp("What the program wrote to stdout.", valueName: "FILE"))
  var stdout: String?

  @Option(help: ArgumentHelp("The program's exit code.", valueName: "N"))
  var exitCode: Int32?

  @Option(help: ArgumentHelp("The number of the signal that ended the program.", valueName: "N"))
  var signal: Int32?

  @Option(
    help: ArgumentHelp(
      "The document's name or path, which says nothing of why it failed. Repeat it for more.", valueName: "NAME"))
  var document: [String] = []

  func validate() throws {
    if file == "-", stdout == "-" {
      throw ValidationError("standard input can be read once: give - as FILE or as --stdout, not both")
    }
    if exitCode != nil, signal != nil { throw ValidationError("give --exit-code or --signal, not both") }
    if let exitCode, !(0...255).contains(exitCode) { throw ValidationError("--exit-code is 0 to 255") }
    if let signal, !(1...64).contains(signal) { throw ValidationError("--signal is 1 to 64") }
  }

  func run() throws {
    let catalogue = try catalogue.read()
    let stderr = try Self.output(file)
    let stdout = try self.stdout.map(Self.output) ?? ProgramOutput()
    let failure = Failure(
      exit: exitCode.map { .code($0) } ?? signal.map { .signal($0) }, stderr: stderr.lines, stdout: stdout.lines,
      names: document)
    let reading = FailureReader(catalogue).read(failure)
    let number = reading.line.map { ($0.stream == .stderr ? stderr : stdout).lineNumbers[$0.index] }
    switch format.output {
    case .table: Standard.output(Self.table(reading, number, catalogue).printable)
    case .json: Standard.output(Self.json(reading, number, catalogue).pretty() + "\n")
    case .jsonl: Standard.output(Self.json(reading, number, catalogue).compact() + "\n")
    }
  }

  private static func output(_ path: String) throws -> ProgramOutput {
    var output = ProgramOutput()
    try Standard.pieces(of: path) { try output.append($0) }
    try output.end()
    return output
  }

  /// - Parameter number: of the line that tells, in its stream.
  private static func table(_ reading: Reading, _ number: Int?, _ catalogue: Catalogue) -> String {
    var text =
      "\(reading.cause.category.rawValue): \(reading.cause.rawValue), confidence \(reading.confidence.rawValue)\n"
    text += "  reason   \(reading.reason) (\(reading.basis.rawValue))\n"
    if let line = reading.line, let number {
      text += "  line     \(line.text)  [\(line.stream.rawValue), line \(number)]\n"
    }
    if let outer = reading.outerLine { text += "  while    \(outer)\n" }
    if let entry = catalogue[reading.reason] {
      text += "  meaning  \(entry.meaning)\n  advice   \(entry.advice)\n  retry    \(entry.retry.rawValue)\n"
    }
    if !reading.others.isEmpty { text += "  others   \(reading.others.joined(separator: ", "))\n" }
    if reading.isIncomplete { text += "  The output was too costly to read to its end.\n" }
    return text + "  read by  catalogue \(catalogue.version)\n"
  }

  private static func json(_ reading: Reading, _ number: Int?, _ catalogue: Catalogue) -> JSONValue {
    var object = JSONObject()
    object["category"] = .string(reading.cause.category.rawValue)
    object["cause"] = .string(reading.cause.rawValue)
    object["confidence"] = .string(reading.confidence.rawValue)
    object["reason"] = .string(reading.reason)
    object["basis"] = .string(reading.basis.rawValue)
    if let line = reading.line, let number {
      object["line"] = .string(line.text)
      object["stream"] = .string(line.stream.rawValue)
      object["line_number"] = .integer(Int64(number))
    }
    if let outer = reading.outerLine { object["outer_line"] = .string(outer) }
    object["captures"] = .array(reading.captures.map { .string($0) })
    if let entry = catalogue[reading.reason] {
      object["meaning"] = .string(entry.meaning)
      object["advice"] = .string(entry.advice)
      object["retry"] = .string(entry.retry.rawValue)
    }
    object["others"] = .array(reading.others.map { .string($0) })
    object["incomplete"] = .bool(reading.isIncomplete)
    object["catalogue"] = .string(catalogue.version)
    return .object(object)
  }
}

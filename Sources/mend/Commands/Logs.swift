import ArgumentParser
import MendAPI
import MendClient

struct Logs: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints what a batch's attempts wrote.",
    discussion: """
      Prints the latest attempt of every job, or of the jobs named, each after a line that names it. Of a long log only \
      the beginning and the end are kept; a line says how many bytes are missing between them. On a terminal, control \
      characters are escaped (\\u001b); elsewhere, and with --raw, bytes are printed as they are. With -o jsonl each line is \
      a piece of a log; with -o json they are the list "pieces" of one document.

      EXAMPLES
        mend logs BATCH
        mend logs BATCH --job t0-j1 --attempt 2 --stream stderr
        mend logs BATCH --follow
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  @Option(help: ArgumentHelp("Show only this job's output, such as t0-j1.", valueName: "job"))
  var job: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("This attempt of each job; default: the latest.", valueName: "N"))
  var attempt: Int32?

  @Option(help: ArgumentHelp("stdout or stderr; default: both.", valueName: "name"))
  var stream: Stream?

  @Flag(help: "Keep printing new output until the jobs are over.")
  var follow = false

  @Flag(help: "Do not escape control characters on a terminal, which then acts on them.")
  var raw = false

  enum Stream: String, ExpressibleByArgument, CaseIterable { case stdout, stderr }

  func run() async throws {
    if let attempt, attempt < 1 { throw ProgramError.usage("--attempt must be 1 or more") }
    var request = ReadLogsRequest()
    request.batchID = batch
    request.jobID = job ?? ""
    request.attempt = attempt ?? 0
    request.stream =
      switch stream {
      case .stdout: .stdout
      case .stderr: .stderr
      case nil: .unspecified
      }
    request.follow = follow
    let asked = request
    try await client.withClient { client in
      var view = LogView(isRaw: raw || !Standard.isOutputTerminal)
      var list = JSONList("pieces", of: batch)
      for try await piece in client.logs(asked) {
        switch format.output {
        case .table: view.show(piece)
        case .json: Standard.output(list.element(try Format.json(of: piece)))
        case .jsonl: try Format.jsonl.print(piece) { _ in "" }
        }
      }
      switch format.output {
      case .table: view.end()
      case .json: Standard.output(list.end())
      case .jsonl: break
      }
    }
  }
}

/// Prints logs one after the other, with a header line wherever another log begins or continues.
struct LogView {
  /// Whether bytes are printed unchanged.
  let isRaw: Bool
  private var text = TerminalLog()
  private var shown: String?
  private var isAtLineStart = true
  private var said: Set<String> = []

  init(isRaw: Bool) { self.isRaw = isRaw }

  mutating func show(_ piece: ReadLogsResponse) {
    if !piece.note.isEmpty { return say(piece) }
    let name = "\(piece.jobID.escaped).\(piece.attempt) \(piece.stream == .stderr ? "stderr" : "stdout")"
    if shown != name {
      finishLine()
      Standard.output("==> \(name) <==\n")
      shown = name
    }
    if piece.leftOutBytes > 0 {
      finishLine()
      Standard.output("[mend: \(piece.leftOutBytes) bytes left out here]\n")
    }
    if isRaw { Standard.output(piece.data) } else { Standard.output(text.shown(piece.data)) }
    isAtLineStart = piece.data.last == UInt8(ascii: "\n")
  }

  mutating func end() { finishLine() }

  /// Prints a note to stderr, because it is not part of a log; only once, because many jobs may have the same reason.
  private mutating func say(_ piece: ReadLogsResponse) {
    if said.insert(piece.note).inserted { Standard.error("mend: \(piece.note.escaped)\n") }
  }

  private mutating func finishLine() {
    if !isRaw { Standard.output(text.end()) }
    if !isAtLineStart { Standard.output("\n") }
    isAtLineStart = true
  }
}

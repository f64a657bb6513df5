import ArgumentParser
import MendAPI
import MendClient
import MendProtobuf

struct History: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows everything that happened to a batch: what, when, and who did it.",
    discussion: """
      An export has everything that the rules use, without tokens and without values of environments. mend replay reads it.

      EXAMPLES
        mend history BATCH
        mend history BATCH -o jsonl --after 120
        mend history BATCH --export incident.jsonl
        mend replay incident.jsonl
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Argument(help: ArgumentHelp("The batch's id.", valueName: "BATCH"))
  var batch: String

  @Option(help: ArgumentHelp("Only events after this one.", valueName: "SEQ"))
  var after: UInt64 = 0

  @Option(
    help: ArgumentHelp("Write the whole history to a file for mend replay; - is stdout.", valueName: "FILE"))
  var export: String?

  func validate() throws {
    if export != nil, after != 0 { throw ValidationError("--export writes the whole history; leave --after out.") }
  }

  func run() async throws {
    if let export {
      try await write(to: export)
      return
    }
    var all = ListEventsResponse()
    try await client.withClient { client throws in
      try await Self.pages(of: batch, after: after, records: false, client) { page in
        if format.output == .json {
          all.batchID = page.batchID
          all.sequence = page.sequence
          all.events += page.events
        } else if format.output == .jsonl {
          for event in page.events { try Format.jsonl.print(event) { _ in "" } }
        } else {
          Standard.output(Self.table(page.events))
        }
      }
    }
    if format.output == .json { try Format.json.print(all) { _ in "" } }
  }

  private func write(to path: String) async throws {
    var lines: [String] = []
    try await client.withClient { client throws in
      try await Self.pages(of: batch, after: 0, records: true, client) { page in
        if lines.isEmpty {
          lines.append(
            HistoryFile.header(page, namespace: self.client.namespace ?? Environment["MEND_NAMESPACE"] ?? "default"))
        }
        for event in page.events { lines.append(try HistoryFile.line(event)) }
      }
    }
    let text = lines.map { $0 + "\n" }.joined()
    if path == "-" {
      Standard.output(text)
    } else {
      try HistoryFile.write(text, to: path)
    }
  }

  static func pages(
    of batch: String, after: UInt64, records: Bool, _ client: MendClient,
    _ take: (ListEventsResponse) throws -> Void
  ) async throws {
    var request = ListEventsRequest()
    request.batchID = batch
    request.afterSequence = after
    request.pageSize = 1000
    request.includeRecords = records
    while true {
      let page = try await client.listEvents(request)
      try take(page)
      guard let last = page.events.last, last.sequence < page.sequence else { return }
      request.afterSequence = last.sequence
    }
  }

  static func table(_ events: [BatchEvent]) -> String {
    if events.isEmpty { return "No events.\n" }
    var table = Table(("SEQ", .right), ("AT (UTC)", .left), ("WHO", .left), ("WHAT", .left))
    for event in events {
      table.add(
        String(event.sequence), Wording.time(event.at), event.actor.clipped(to: 40), event.summary.clipped(to: 200))
    }
    return table.text()
  }
}

import ArgumentParser
import MendAPI
import MendClient
import MendProtobuf

struct List: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lists the namespace's batches, newest first.",
    discussion: """
      EXAMPLES
        mend list
        mend list --status running --bucket reports
        mend list -o jsonl | head -1
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup var format: OutputOptions

  @Option(
    help: ArgumentHelp(
      "Only batches that are created, queued, running, paused, completed, failed or cancelled.", valueName: "status"),
    transform: Self.status)
  var status: BatchStatus?

  @Option(help: ArgumentHelp("Only batches of this bucket.", valueName: "id"))
  var bucket: String?

  @Option(parsing: .unconditional, help: ArgumentHelp("At most this many batches.", valueName: "number"))
  var limit: Int?

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit must be above 0.") }
  }

  func run() async throws {
    var request = ListBatchesRequest()
    request.status = status ?? .unspecified
    request.bucketID = bucket ?? ""
    request.pageSize = Int32(min(limit ?? 500, 500))
    let asked = request
    let answer = try await client.withClient { client throws in
      var answer = try await client.listBatches(asked)
      var next = asked
      while !answer.nextPageToken.isEmpty, answer.batches.count < limit ?? .max {
        next.pageToken = answer.nextPageToken
        let page = try await client.listBatches(next)
        answer.batches += page.batches
        answer.nextPageToken = page.nextPageToken
      }
      if let limit { answer.batches = Array(answer.batches.prefix(limit)) }
      return answer
    }
    if format.output == .jsonl {
      for batch in answer.batches { try Format.jsonl.print(batch) { _ in "" } }
    } else {
      try format.output.print(answer, table: Self.table)
    }
  }

  static func status(_ text: String) throws -> BatchStatus {
    guard let status = BatchStatus(name: text), status != .unspecified else {
      let names = BatchStatus.caseNames.filter { $0.number != 0 }.map(\.short)
      throw ValidationError("unknown status '\(text)'; expected one of: \(names.joined(separator: ", ")).")
    }
    return status
  }

  static func table(_ answer: ListBatchesResponse) -> String {
    if answer.batches.isEmpty { return "No batches.\n" }
    var table = Table(
      ("BATCH", .left), ("NAME", .left), ("BUCKET", .left), ("STATUS", .left), ("HEALTH", .left), ("DONE", .right),
      ("DOCUMENTS", .right), ("FAILED", .right), ("TIER", .right), ("CREATED (UTC)", .left))
    for batch in answer.batches {
      table.add(
        batch.batchID, batch.batchName.clipped(to: 30), batch.bucketID.clipped(to: 20), Wording.name(batch.status),
        Wording.name(batch.health), Wording.processed(batch.overallProgress, batch.status), String(batch.totalObjects),
        failed(batch),
        "\(batch.currentTier) (\(Int(batch.currentTier) + 1)/\(batch.totalTiers))", Wording.time(batch.createdAt))
    }
    return table.text()
  }

  /// Empty if no document failed; `?` if some did and an earlier version did not record how many.
  private static func failed(_ batch: BatchListEntry) -> String {
    guard let count = batch.failedDocuments else { return batch.hasFailures ? "?" : "" }
    return count > 0 ? String(count) : ""
  }
}
